"""How far synthesised units are from their laws: intervals from the table of synthesised units.

    python -m hwsim.cost_models.laws.errors

prints errors by family and renews `data/law_errors.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.cost_models.laws.catalogue import LAWS
from hwsim.cost_models.synthesis.table import SHIPPED, read_table
from hwsim.stats import conformal_quantile

FILE = Path(__file__).parent.parent / "data" / "law_errors.json"
COVERAGE = 0.9
RESOURCES = ("lut", "ff", "bram18")


@dataclass(frozen=True, slots=True)
class LawError:
    """Errors of one law.

    Attributes
    ----------
    units : synthesised.
    median, p90, worst : of |predicted - true| LUTs.
    below, above : LUTs that the truth may lie below and above the law, each with 95 % of the units inside.
    relative : whether these two are shares of the law instead of LUTs.
    """

    units: int
    median: float
    p90: float
    worst: float
    below: float
    above: float
    relative: bool


@cache
def law_errors() -> Mapping[str, LawError]:
    """All laws of the shipped file."""
    return {name: LawError(**row) for name, row in json.loads(FILE.read_text()).items()}


def ends(family: str, lut: float) -> tuple[float, float]:
    """The interval of a law's count."""
    known = law_errors().get(family)
    if known is None:
        return lut, lut
    unit = lut if known.relative else 1.0
    return max(0.0, lut - known.below * unit), lut + known.above * unit


def measured(resource: str = "lut", path: Path = SHIPPED) -> Iterator[tuple[str, dict[str, Any], float, float]]:
    """(family, fields, by law, synthesised) of every unit with a law."""
    for row in read_table(path):
        if row.family in LAWS and row.flow == ("dsp" if row.family == "dsp_mul" else "base"):
            cells = row.cells
            truth = {"lut": cells.lut + cells.lutram + cells.srl, "ff": cells.ff, "bram18": cells.bram18}[resource]
            yield row.family, row.values, getattr(LAWS[row.family](row.values), resource), truth


def errors_of(resource: str = "lut", path: Path = SHIPPED) -> dict[str, LawError]:
    """Errors by family; relative where that makes the interval of the middle unit narrower."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for family, _, law, truth in measured(resource, path):
        rows.setdefault(family, []).append((law, truth))
    return {family: _error(np.array(pairs)) for family, pairs in rows.items()}


def _error(pairs: np.ndarray[Any, np.dtype[np.float64]]) -> LawError:
    law, truth = pairs.T
    off = np.abs(law - truth)
    one_sided = (1 + COVERAGE) / 2
    relative = False
    if law.min() > 0:
        absolute, share = _width(truth - law, one_sided), _width(truth / law - 1, one_sided)
        relative = bool(absolute > np.median(law) * share)
    scores = truth / law - 1 if relative else truth - law
    below, above = (max(0.0, conformal_quantile(side * scores, one_sided)) for side in (-1.0, 1.0))
    if not np.isfinite([below, above]).all():
        below, above = float(max(0.0, -scores.min())), float(max(0.0, scores.max()))
    median, p90, worst = (round(float(q), 2) for q in np.quantile(off, (0.5, 0.9, 1.0)))
    return LawError(len(law), median, p90, worst, round(below, 4), round(above, 4), relative)


def _width(scores: np.ndarray[Any, np.dtype[np.float64]], share: float) -> float:
    return float(np.quantile(scores, share) - np.quantile(scores, 1 - share))


def main() -> None:
    for resource in RESOURCES:
        print(f"{resource:18s} {'units':>6s} {'median':>8s} {'p90':>8s} {'worst':>8s} {'below':>8s} {'above':>8s}")
        for family, e in errors_of(resource).items():
            print(
                f"{family:18s} {e.units:6d} {e.median:8.2f} {e.p90:8.2f} {e.worst:8.2f} {e.below:8.3f} {e.above:8.3f}"
            )
    found = {family: {n: getattr(e, n) for n in LawError.__slots__} for family, e in errors_of().items()}
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
