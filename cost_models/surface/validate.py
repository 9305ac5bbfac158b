"""Errors of surfaces on units that they did not see.

    python -m hwsim.cost_models.surface.validate [--older FILE] [FAMILY ...]

Interpolation: ten random folds, units that differ in the order of their operands together. Extrapolation: all units
with a side of 8 bits out; all with a side of 8 bits or more; all with an E4 or E5 format; all pairs of different
minifloats. Every fit, hyperparameters and intervals included, is made from the other rows alone. Beside the surface
stand, on the same rows, its structural law alone, the plain linear law of earlier studies refitted on the same rows (W
A, W + A, accumulator; for minifloats significands, shifter, exponents, accumulator), FINN's multiplier term and W x A
for integers of as many bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.operators.multiplier import multiplier_lut
from hwsim.cost_models.surface.calibrate import folds_of
from hwsim.cost_models.surface.family import Columns
from hwsim.cost_models.surface.fit import fit_units, missing
from hwsim.cost_models.surface.linear import relative_fit
from hwsim.cost_models.surface.products import minifloat_product
from hwsim.cost_models.surface.synthesised_rows import UnitRows, older_rows, shipped_rows
from hwsim.stats import coverage

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
FOLDS = 10
EXTRAPOLATIONS = ("8 bits out", "8 bits and more out", "E4, E5 out", "mixed out")
SPLITS = ("random", *EXTRAPOLATIONS)


@dataclass(frozen=True, slots=True)
class Held:
    """Errors on rows held out, shares of the truth.

    Attributes
    ----------
    rows : held out.
    median, p90, worst : of |predicted / truth - 1|.
    counts : 90 % of predictions are off by at most so many LUTs, or whatever is counted.
    cover : share inside nominal 90 % intervals.
    width : median of high / low.
    out_of_domain : share flagged.
    cover_in_domain : share inside among those not flagged, nan without any.
    law, linear, finn, product : median error of the structural law alone, of the plain linear law, of FINN's term
        and of W x A; nan where that means nothing.
    """

    rows: int
    median: float
    p90: float
    worst: float
    counts: float
    cover: float
    width: float
    out_of_domain: float
    cover_in_domain: float
    law: float
    linear: float
    finn: float
    product: float


def held_out(rows: UnitRows, split: str, resource: str = "lut") -> Held | None:
    """Errors of one split; None where it leaves nothing to fit on or to test."""
    truth = rows.counts[resource]
    offset = 0.0 if truth.min() > 0 else 1.0
    names = ("mid", "low", "high", "outside", "law", "linear")
    found: dict[str, list[Floats]] = {name: [] for name in names}
    tested: list[NDArray[np.intp]] = []
    for known, out in splits(rows, split):
        left = rows.take(known)
        left = replace(left, kin=_kin(left, split))
        if not out.any() or not known.any() or missing(left):
            continue
        surface = fit_units(left, resource)
        parameters = rows.take(out).parameters
        prediction = surface.predict(parameters)
        law = surface.law.values(rows.family, rows.family.axis_columns(parameters)) - surface.law.offset
        plain = _plain_law(rows, known, out, truth)
        values = (prediction.mid, prediction.low, prediction.high, prediction.out_of_domain.astype(float), law, plain)
        for name, value in zip(names, values, strict=True):
            found[name].append(value)
        tested.append(np.flatnonzero(out))
    if not tested:
        return None
    index = np.concatenate(tested)
    columns = {name: np.concatenate(values) for name, values in found.items()}
    return _summary(truth[index], offset, columns, rows.family.axis_columns(rows.parameters), index)


def _kin(rows: UnitRows, split: str) -> Mapping[str, UnitRows]:
    """The kin without its own units of the kind left out, all of it for random folds."""
    if split == "random":
        return rows.kin
    return {name: kin.take(next(splits(kin, split))[0]) for name, kin in rows.kin.items()}


def splits(rows: UnitRows, split: str) -> Iterator[tuple[Mask, Mask]]:
    """(rows to fit on, rows to test on)."""
    columns = rows.family.axis_columns(rows.parameters)
    if split == "random":
        fold = folds_of(rows.family.keys(columns), FOLDS, 0)
        yield from ((fold != k, fold == k) for k in range(FOLDS))
        return
    test, also_unknown = _EXTRAPOLATED[split](columns)
    yield ~(test | also_unknown), test


def side_bits(c: Columns) -> tuple[Floats, Floats] | None:
    """Bits of weights and activations, sign included; None in families without two sides."""
    if "w_bits" in c:
        return c["w_bits"], c["a_bits"]
    if "ew" in c:
        w = 1 + c["ew"] + c["mw"]
        return w, c["a_bits"] if "a_bits" in c else c["ea"] + c["ma"] + c.get("a_signed", np.ones_like(w))
    return None


def _none(c: Columns) -> tuple[Mask, Mask]:
    nothing = np.zeros(len(next(iter(c.values()))), dtype=bool)
    return nothing, nothing


def _eight_bits(c: Columns) -> tuple[Mask, Mask]:
    sides = side_bits(c)
    return _none(c) if sides is None else ((sides[0] == 8) | (sides[1] == 8), _none(c)[1])


def _eight_and_more(c: Columns) -> tuple[Mask, Mask]:
    """Tested on 8 bits, with nothing wider known."""
    sides = side_bits(c)
    if sides is None:
        return _none(c)
    return np.maximum(*sides) == 8, np.maximum(*sides) >= 8


def _wide_exponents(c: Columns) -> tuple[Mask, Mask]:
    exponents = [c[name] for name in ("ew", "ea") if name in c]
    return (np.max(exponents, axis=0) >= 4, _none(c)[1]) if exponents else _none(c)


def _mixed(c: Columns) -> tuple[Mask, Mask]:
    if "ea" not in c:
        return _none(c)
    return (c["ew"] != c["ea"]) | (c["mw"] != c["ma"]), _none(c)[1]


_EXTRAPOLATED: Mapping[str, Callable[[Columns], tuple[Mask, Mask]]] = {
    "8 bits out": _eight_bits,
    "8 bits and more out": _eight_and_more,
    "E4, E5 out": _wide_exponents,
    "mixed out": _mixed,
}


def _plain_law(rows: UnitRows, known: Mask, out: Mask, truth: Floats) -> Floats:
    """The linear law of earlier studies, nan where there is none."""
    c = rows.family.axis_columns(rows.parameters)
    guard, lanes = c.get("guard_bits", np.zeros(len(truth))), c.get("lanes", np.ones(len(truth)))
    one = np.ones(len(truth))
    if "w_bits" in c and set(c) <= {"w_bits", "a_bits", "a_signed", "guard_bits", "lanes"}:
        w, a = c["w_bits"], c["a_bits"]
        features = [lanes * w * a, lanes * (w + a), w + a + guard, one]
        features += [c["a_signed"] * f for f in features]
    elif "ew" in c and "eacc" not in c:
        p = minifloat_product(c["ew"], c["mw"], c.get("ea", 0 * one), c["ma"] if "ma" in c else c["a_bits"] - 1)
        steps = np.log2(1 + p["reach"])
        features = [p["product"], p["significand"] + 1, p["width"] * steps, p["width"], c["ew"] + c.get("ea", 0 * one)]
        features = [lanes * f for f in features] + [p["width"] + guard, one]
    else:
        return np.full(int(out.sum()), np.nan)
    matrix = np.stack(features, axis=1)
    used = truth[known] > 0
    fitted = relative_fit(matrix[known][used], truth[known][used], ridges=(1e-7,))
    return np.asarray(np.maximum(matrix[out] @ fitted.coefficients, truth[known].min() / 2))


def _summary(truth: Floats, offset: float, found: Columns, columns: Columns, index: NDArray[np.intp]) -> Held:
    def error(values: Floats) -> Floats:
        return np.asarray(np.abs(values - truth) / (truth + offset))

    held = coverage(truth, found["low"], found["high"])
    inside = (truth >= found["low"]) & (truth <= found["high"])
    within = found["outside"] == 0
    own = error(found["mid"])
    finn, product = _published(columns, index)
    return Held(
        len(truth),
        float(np.median(own)),
        float(np.quantile(own, 0.9)),
        float(own.max()),
        float(np.quantile(np.abs(found["mid"] - truth), 0.9)),
        held.share,
        float(np.median((found["high"] + offset) / (found["low"] + max(offset, 1e-9)))),
        float(found["outside"].mean()),
        float(inside[within].mean()) if within.any() else float("nan"),
        *(float(np.median(error(v))) for v in (found["law"], found["linear"], finn, product)),
    )


def _published(columns: Columns, index: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """FINN's multiplier term with an adder, and W x A with an accumulator, for integers of as many bits."""
    sides = side_bits(columns)
    if sides is None or "eacc" in columns:
        nothing = np.full(len(index), np.nan)
        return nothing, nothing
    w, a = sides[0][index], sides[1][index]
    lanes = columns["lanes"][index] if "lanes" in columns else np.ones(len(index))
    term = np.array([multiplier_lut(int(p), int(q)) for p, q in zip(w, a, strict=True)], dtype=np.float64)
    sums = (2 * lanes - 1) * (w + a) + w + a + columns["guard_bits"][index] if "guard_bits" in columns else 0.0
    acc = w + a + columns["guard_bits"][index] if "guard_bits" in columns else 0.0
    return lanes * term + sums, lanes * w * a + acc


HEADER = (
    f"{'family':22s} {'held out':20s} {'n':>4s} {'median':>7s} {'p90':>6s} {'worst':>6s} {'count':>5s} "
    f"{'cover':>6s} {'width':>6s} {'OOD':>5s} {'cov in':>6s} | {'law':>6s} {'linear':>6s} {'FINN':>6s} {'W x A':>6s}"
)


def line(name: str, split: str, held: Held) -> str:
    """One line of the table, errors in percent."""

    def percent(value: float, width: int) -> str:
        return f"{'-':>{width}s}" if np.isnan(value) else f"{100 * value:{width}.1f}"

    return (
        f"{name:22s} {split:20s} {held.rows:4d} {percent(held.median, 7)} {percent(held.p90, 6)} "
        f"{percent(held.worst, 6)} {held.counts:5.1f} {held.cover:6.2f} {held.width:6.2f} {held.out_of_domain:5.2f} "
        f"{held.cover_in_domain:6.2f} | {percent(held.law, 6)} {percent(held.linear, 6)} {percent(held.finn, 6)} "
        f"{percent(held.product, 6)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="errors of surfaces on units left out")
    parser.add_argument("--older", type=Path, help="mac_synthesis.csv instead of the table that ships")
    parser.add_argument("--resource", default="lut")
    parser.add_argument("--split", choices=SPLITS, action="append")
    parser.add_argument("families", nargs="*")
    options = parser.parse_args()
    table = older_rows(options.older) if options.older else shipped_rows()
    print(HEADER)
    for name, rows in table.items():
        if (options.families and name not in options.families) or missing(rows):
            continue
        for split in options.split or SPLITS:
            held = held_out(rows, split, options.resource)
            if held is not None:
                print(line(name, split, held), flush=True)


if __name__ == "__main__":
    main()
