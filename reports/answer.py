"""The answer in words: which format on which device, at what cost, how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.core.design import DesignPoint, ParetoFront
from hwsim.core.fronts import EVERYWHERE
from hwsim.reports.picks import Picks, pick
from hwsim.reports.study import Study
from hwsim.reports.words import (
    NBSP,
    cost_words,
    float_ends,
    metric_words,
    pair_names,
    percent,
    quantity,
    share_words,
)

Sentence = tuple[str | DesignPoint, ...]
"""Words, with designs where the page links to them."""

SPOKEN = 3
"""The words speak of so many parts and so many devices; the table of picks holds all."""

UNCALIBRATED = {
    True: "FPGA figures are uncalibrated: their intervals rest on open synthesis, not on placed designs.",
    False: "GPU latencies are uncalibrated: their intervals were never compared with whole networks.",
}
"""By whether a design is on an FPGA."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of the page: one sentence, a row a target and a question, and the picks behind them, one a front."""

    headline: Sentence
    rows: tuple[tuple[str, Sentence], ...]
    picks: tuple[Picks, ...]


def answer(study: Study) -> Answer:
    """What a reader who reads only the first lines should know."""
    if not study.designs:
        return Answer(("No design has been evaluated yet, so there is nothing to choose from.",), (), ())
    if not study.fronts:
        return Answer((f"{len(study.designs):,} designs were evaluated, but no front was drawn.",), (), ())
    picks = tuple(pick(study, front) for front in study.fronts if _is_plane(front))
    named = {design.part for design in study.designs}
    parts = [p for p in picks if p.target in named and p.cost == "lut"]
    gpus = [p for p in picks if p.target not in named and p.target != EVERYWHERE and p.cost == "latency_us"]
    rows = [(study.title(p.target), _part_row(study, p)) for p in parts[:SPOKEN]]
    rows += [(study.title(p.target), _gpu_row(study, p)) for p in gpus[:SPOKEN]]
    if left := len(parts[SPOKEN:]) + len(gpus[SPOKEN:]):
        rows.append(("Other targets", (f"{left} more {'is' if left == 1 else 'are'} in the table below.",)))
    duels = [_duel_row(study, p) for p in (*parts[:1], *(p for p in picks if p.target == EVERYWHERE))]
    if words := tuple(piece for duel in duels for piece in duel):
        rows.append(("Integer or minifloat", words))
    rows.append(("How sure", _sureness(study)))
    return Answer(_headline(study, [*parts[:SPOKEN], *gpus[:SPOKEN]]), tuple(rows), picks)


def answer_lines(study: Study) -> list[str]:
    """The headline and the rows as lines for a terminal, designs by formats and id."""
    found = answer(study)
    pairs = pair_names(study.designs)

    def words(sentence: Sentence) -> str:
        pieces = (x if isinstance(x, str) else f"{pairs[x.id]} [{x.id}]" for x in sentence)
        return "".join(pieces).replace(NBSP, " ").strip()

    return [words(found.headline), *(f"{head}: {words(sentence)}" for head, sentence in found.rows)]


def verdict(p: Picks) -> str:
    """How far the best integer and the best minifloat design lie apart, and whether their sampling intervals do."""
    if p.integer is None or p.minifloat is None:
        return ""
    points = 100 * (p.integer.metric - p.minifloat.metric)
    if abs(points) < 0.05:
        return "no difference"
    apart = p.integer.metric_lo > p.minifloat.metric_hi or p.minifloat.metric_lo > p.integer.metric_hi
    sure = "intervals apart" if apart else "intervals overlap"
    return f"{'integer' if points > 0 else 'minifloat'} ahead by {abs(points):.1f} points, {sure}"


def _is_plane(front: ParetoFront) -> bool:
    return len(front.objectives) == 2 and front.objectives[0] == "error"


def _headline(study: Study, picks: Sequence[Picks]) -> Sentence:
    """The cheapest good design of each target; where there is none, the most accurate."""
    good = [p for p in picks if p.frugal is not None]
    float_metric = percent(study.float_metric)
    if good:
        words: list[str | DesignPoint] = [f"Within one point of floating point ({study.metric_name} {float_metric}): "]
        for i, p in enumerate(good):
            assert p.frugal is not None
            words += [p.frugal, f" on {study.title(p.target)} {_at(p.cost)} {cost_words(p.frugal, p.cost)}"]
            words.append("." if i == len(good) - 1 else "; ")
        return tuple(words)
    nearest = max((p for p in picks if p.best is not None), key=lambda p: p.best.metric if p.best else 0, default=None)
    if nearest is None or nearest.best is None:
        return ("No design fits any of the targets.",)
    best, fits = nearest.best, "fits" if nearest.is_sure else "may fit"
    tail = f" on {study.title(best.target)} with {metric_words(best.metric, best.metric_lo, best.metric_hi)}."
    head = f"No design that fits stays within one point of floating point ({study.metric_name} {float_metric}). "
    return (f"{head}The most accurate that {fits} is ", best, tail)


def _part_row(study: Study, p: Picks) -> Sentence:
    if p.best is None:
        if p.nearest is None:
            return ("No design was evaluated.",)
        over = f", {quantity(p.overshoot)} times what the part has of its scarcest resource" if p.overshoot else ""
        return ("No design fits. The nearest is ", p.nearest, f" at {cost_words(p.nearest, p.cost)}{over}.")
    start = "The most accurate design that fits is " if p.is_sure else "No design is sure to fit. The best that may is "
    words: list[str | DesignPoint] = [start, p.best, f": {_result(study, p.best, p.cost)}"]
    words.append(f", {share_words(p.share)} of the part. " if p.share is not None else ". ")
    if p.frugal is None:
        words.append("None that fits stays within one point of floating point. ")
    elif p.frugal.id != p.best.id:
        words += [p.frugal, f" stays within one point of floating point for {cost_words(p.frugal, p.cost)}. "]
    if p.knee is not None and p.knee.id not in {d.id for d in (p.best, p.frugal) if d}:
        words += ["The knee of the front is ", p.knee, f": {_result(study, p.knee, p.cost)}."]
    return tuple(words)


def _gpu_row(study: Study, p: Picks) -> Sentence:
    design = p.frugal or p.best
    if design is None:
        return ("No design was evaluated.",)
    start = "The fastest design within one point of floating point is "
    if p.frugal is None:
        start = "No design stays within one point of floating point; the most accurate is "
    note = f" Note: {design.note.rstrip('.')}." if design.note else ""
    return (start, design, f": {_result(study, design, p.cost)} ({design.setting}).{note}")


def _duel_row(study: Study, p: Picks) -> Sentence:
    if p.integer is None or p.minifloat is None:
        return ()
    where = "" if p.target == EVERYWHERE else f" on {study.title(p.target)}"
    what = {"lut": "LUTs", "memory_bits": "memory", "latency_us": "latency"}.get(p.cost, p.cost)
    head = f"At equal {what}{where} (up to {p.budget_words}) the best integer design "
    middle = f" reaches {percent(p.integer.metric)} and the best minifloat design "
    return (head, p.integer, middle, p.minifloat, f" {percent(p.minifloat.metric)}: {verdict(p)}. ")


def _at(cost: str) -> str:
    return "in" if cost == "latency_us" else "for"


def _result(study: Study, design: DesignPoint, cost: str) -> str:
    accuracy = metric_words(design.metric, design.metric_lo, design.metric_hi)
    return f"{study.metric_name} {accuracy} at {cost_words(design, cost)}"


def _sureness(study: Study) -> Sentence:
    """What the intervals rest on: the samples of the accuracy, and the costs that nothing outside was compared with."""
    float_metric = metric_words(study.float_metric, *float_ends(study))
    samples = f"on the same {study.n_eval:,} samples"
    head = f"Brackets are intervals. In floating point the network has {float_metric} {samples}. "
    loose = sorted({d.part is not None for d in study.designs if _is_uncalibrated(d)}, reverse=True)
    tail = " ".join(UNCALIBRATED[on_fpga] for on_fpga in loose)
    return (head, tail or "Cost intervals come with a measured coverage, listed below.")


def _is_uncalibrated(design: DesignPoint) -> bool:
    return (design.lut if design.part and design.lut else design.latency_us).coverage is None
