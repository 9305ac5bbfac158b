"""The cost of hardware made of units: each unit by its surface or its law, summed.

What synthesis saves across the border of two units is not in it: constants that reach the next unit, equal logic in
two of them. Whole layers that were synthesised say how much that is (`layer_errors`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hwsim.core.errors import UnsupportedError
from hwsim.cost_models.laws.catalogue import LAWS
from hwsim.cost_models.laws.counts import Counts
from hwsim.cost_models.laws.errors import ends
from hwsim.cost_models.rtl.unit import Unit, parameters
from hwsim.cost_models.surface import FAMILIES, surface


@dataclass(frozen=True, slots=True)
class Priced:
    """Resources of one unit, or of several.

    Attributes
    ----------
    counts : predicted.
    low, high : ends of the interval of `counts.lut`.
    out_of_domain : whether parameters lie beyond what was synthesised.
    """

    counts: Counts
    low: float
    high: float
    out_of_domain: bool


def price_of(family: str, fields: Mapping[str, Any]) -> Priced:
    """The cost of a unit by its family and the fields of its class: its own synthesis where that is among the data.

    Raises
    ------
    UnsupportedError
        For a family without surface and law.
    """
    return _price(family, tuple((name, value) for name, value in fields.items() if isinstance(value, int | str)))


@lru_cache(maxsize=1 << 16)
def _price(family: str, values: tuple[tuple[str, Any], ...]) -> Priced:
    fields: Mapping[str, Any] = dict(values)
    if family in LAWS:
        counts = LAWS[family](fields)
        return Priced(counts, *ends(family, counts.lut), False)
    for name, known in FAMILIES.items():
        if known.unit_family == family and known.holds(fields):
            ff = surface(name, "ff").counted(fields)
            if ff is None:
                ff = float(surface(name, "ff").predict(fields).mid[0])
            counted = surface(name).counted(fields)
            if counted is not None:
                return Priced(Counts(counted, ff), counted, counted, False)
            lut = surface(name).predict(fields)
            counts = Counts(float(lut.mid[0]), ff)
            return Priced(counts, float(lut.low[0]), float(lut.high[0]), bool(lut.out_of_domain[0]))
    raise UnsupportedError(f"no surface and no law for units {family!r}", where="cost", hint=", ".join(LAWS))


def composed(parts: Iterable[tuple[Unit, int]]) -> Priced:
    """The sum over units and how many there are of each; their errors are taken to go together."""
    lut = low = high = ff = blocks = dsp = 0.0
    outside = False
    for unit, count in parts:
        one = price_of(unit.family, parameters(unit))
        lut, ff = lut + count * one.counts.lut, ff + count * one.counts.ff
        blocks, dsp = blocks + count * one.counts.bram18, dsp + count * one.counts.dsp
        low, high = low + count * one.low, high + count * one.high
        outside |= one.out_of_domain
    return Priced(Counts(lut, ff, blocks, dsp), low, high, outside)
