"""What the cost model says of designs that a vendor's tool reports on, and which report is about which design.

An estimate is known by the name of its design: a unit of the table of synthesised units by the unit's name, a network
by the name of the file that holds the document of `hwsim cost --json`, its layers by `network/layer`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwsim.core.errors import InputError, nearest
from hwsim.cost_models.vendor.reports import RESOURCES, ReportRow

_INSTANCE_ENDING = re.compile(r"_(u\d+|inst|i)$")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated counts of one design, by resource; a resource that the estimate does not have is missing."""

    design: str
    counts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """Counts of one design as estimated and as reported; None where the report does not say."""

    design: str
    predicted: Mapping[str, float]
    reported: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Matched:
    """Pairs, and the rows (file, design) that no estimate is for."""

    pairs: tuple[Pair, ...]
    unmatched: tuple[tuple[str, str], ...]


def read_estimates(path: Path) -> list[Estimate]:
    """A network or an operator, and the layers of a network, from the document of `hwsim cost --json`.

    Raises
    ------
    InputError
        Where the file cannot be read or is no such document.
    """
    hint = "the document that `hwsim cost .. --json` prints"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("cannot be read", where=str(path), hint=error.strerror or str(error)) from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}", where=str(path), hint=hint) from None
    try:
        total = {name: float(document[name]["mid"]) for name in RESOURCES if name in document}
        layers = [(str(x["name"]), {n: float(x[n]) for n in RESOURCES}) for x in document.get("layers", ())]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"not an estimate: {error!r}", where=str(path), hint=hint) from None
    counts_of = [total, *(counts for _, counts in layers)]
    if not all(0 <= value < float("inf") for counts in counts_of for value in counts.values()):
        raise InputError("a count is negative or not finite", where=str(path), hint=hint)
    if "lut" not in total:
        raise InputError("not an estimate: no `lut`", where=str(path), hint=hint)
    return [Estimate(path.stem, total), *(Estimate(f"{path.stem}/{name}", counts) for name, counts in layers)]


def unit_estimates(rows: Iterable[ReportRow], table: Path | None = None) -> list[Estimate]:
    """Units that reports are about, from the table of synthesised units.

    A unit that took DSP blocks is compared with its row of the flow that allows them, any other with that of the flow
    without; where the table has no such row, there is no estimate.
    """
    from hwsim.cost_models.synthesis.table import SHIPPED, read_table

    wanted = {(row.design, "dsp" if row.dsp else "base") for row in rows}
    found: dict[str, Estimate] = {}
    for row in read_table(table or SHIPPED):
        if (row.name, row.flow) in wanted:
            cells = row.cells
            lut = float(cells.lut + cells.lutram + cells.srl)
            counts = {"lut": lut, "ff": float(cells.ff), "dsp": float(cells.dsp), "bram18": float(cells.bram18)}
            found[row.name] = Estimate(row.name, counts)
    return list(found.values())


def match(rows: Sequence[tuple[str, ReportRow]], estimates: Sequence[Estimate]) -> Matched:
    """Each report with the estimate of the same design.

    Names are the same where letters and digits are; of an instance in a hierarchy, its own name counts where its path
    is not known. One network and one report without a hierarchy belong together whatever their names. Of a design
    and its instances only the instances are kept: their sum says nothing new.

    Parameters
    ----------
    rows : (file, row).

    Raises
    ------
    InputError
        Where two estimates have one name, or two reports are about one estimate.
    """
    known = _by_name(estimates)
    totals = [e for e in estimates if "/" not in e.design]
    tops = [row for _, row in rows if "/" not in row.design and not row.design.endswith("(own)")]
    alone = totals[0] if len(totals) == len(tops) == 1 else None
    found: dict[str, tuple[str, str, Pair]] = {}
    unmatched = []
    for where, row in rows:
        if row.design.endswith("(own)"):
            continue
        estimate = _estimate_of(row.design, known)
        if estimate is None and alone is not None and row in tops:
            estimate = alone
        if estimate is None:
            unmatched.append((where, row.design))
            continue
        if estimate.design in found:
            first = found[estimate.design]
            raise InputError(
                f"{row.design!r} is {estimate.design!r}, and so is {first[1]!r} of {first[0]}",
                where=where,
                hint="leave one of the two reports out",
            )
        reported = {name: getattr(row, name) for name in RESOURCES}
        found[estimate.design] = where, row.design, Pair(estimate.design, dict(estimate.counts), reported)
    parents = {name.partition("/")[0] for name in found if "/" in name}
    return Matched(tuple(p for name, (_, _, p) in found.items() if name not in parents), tuple(unmatched))


def nothing_matched(unmatched: Sequence[tuple[str, str]], estimates: Sequence[Estimate]) -> InputError:
    """Why no report is of use, with the next step."""
    where, design = unmatched[0] if unmatched else ("calibrate", "")
    names = [e.design for e in estimates]
    other = "give --estimate FILE (hwsim cost .. --json > FILE), or --units TABLE for units of hwsim synth"
    hint = nearest(design, names) if names else other
    return InputError(f"no estimate of the design {design!r}", where=where, hint=hint)


def _estimate_of(design: str, known: Mapping[str, Estimate]) -> Estimate | None:
    """By the whole path, else by its end; as the name stands, else without what HLS appends to an instance."""
    parts = _plain(design).split("/")
    for n in range(len(parts), 0, -1):
        name = "/".join(parts[-n:])
        for spelled in (name, _INSTANCE_ENDING.sub("", name)):
            if spelled in known:
                return known[spelled]
    return None


def _by_name(estimates: Sequence[Estimate]) -> dict[str, Estimate]:
    """By plain names; layers also without their network, where that is still one layer."""
    found: dict[str, Estimate] = {}
    short: dict[str, list[Estimate]] = {}
    for estimate in estimates:
        if found.setdefault(_plain(estimate.design), estimate) is not estimate:
            hint = "name estimates like their designs, each once"
            raise InputError(f"two estimates of {estimate.design!r}", where="--estimate", hint=hint)
        _, slash, layer = estimate.design.partition("/")
        if slash:
            short.setdefault(_plain(layer), []).append(estimate)
    return {name: several[0] for name, several in short.items() if len(several) == 1} | found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9/]+", "_", name.strip().lower()).strip("_")
