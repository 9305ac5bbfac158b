"""Intervals from the formulas' own errors on synthesised operators.

`data/residuals.json` holds, for each family of operators, how far open synthesis fell below and above the formula
(`evaluate` makes it). An interval is the prediction times those two factors, widened to hold the prediction itself,
since the formulas are not fitted. Errors are taken as fully correlated: the ends of terms add up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from hwsim.core.cost import Interval
from hwsim.cost_models.bill import Bill

FILE = Path(__file__).parent / "data" / "residuals.json"


@dataclass(frozen=True, slots=True)
class Residual:
    """Synthesised over predicted in one family.

    Attributes
    ----------
    low, middle, high : the ends used, and the median.
    rows : comparisons behind them.
    coverage : held-out share of rows inside the ends, None where no group could be left out.
    median_abs_error : of |predicted / synthesised - 1|.
    """

    low: float
    middle: float
    high: float
    rows: int
    coverage: float | None
    median_abs_error: float


@cache
def residuals() -> dict[str, Residual]:
    """All families of the shipped file."""
    data = json.loads(FILE.read_text())
    return {
        name: Residual(row["low"], row["q50"], row["high"], row["n"], row["coverage"], row["median_abs_error"])
        for name, row in data["families"].items()
    }


@lru_cache(maxsize=1024)
def ends(family: str) -> tuple[float, float]:
    """Factors (low <= 1 <= high) for a family; `a+b` spans both; an unmeasured one spans all families together."""
    known = residuals()
    names = [name if name in known else "all" for name in family.split("+")]
    low = min(known[name].low for name in names)
    high = max(known[name].high for name in names)
    return min(1.0, low), max(1.0, high)


def lut_interval(bills: Iterable[Bill], coverage: float | None = None, joined: float = 1.0) -> Interval:
    """LUTs of several bills.

    Parameters
    ----------
    joined : factor by which both ends move out, for what synthesis changes where units meet: see `trust.joined_factor`.
    """
    low = middle = high = 0.0
    for bill in bills:
        for term in bill.terms:
            middle += term.lut
            if term.low is not None and term.high is not None:
                low, high = low + term.low, high + term.high
                continue
            least, most = ends(term.family)
            low += term.lut * least
            high += term.lut * most
    return Interval(low / joined, middle, high * joined, "LUT", "formula", coverage)


def scaled_interval(value: float, family: str, unit: str, low: float | None = None) -> Interval:
    """`value` times the ends of a family; `low` replaces the lower end where it is smaller."""
    least, most = ends(family)
    start = value * least if low is None else min(low, value * least)
    return Interval(start, value, value * most, unit, "formula")


def coverage_of(families: Iterable[str]) -> float | None:
    """The lowest held-out coverage among families, None where one was never measured."""
    known = residuals()
    rates = []
    for family in families:
        for name in family.split("+"):
            if name not in known or known[name].coverage is None:
                return None
            rates.append(known[name].coverage)
    return min((r for r in rates if r is not None), default=None)
