"""Minifloats written down a second time, from the definition alone, in exact arithmetic.

A code is sign | exponent field e | mantissa field m. Value (arXiv 2311.12359, section 3; OCP 8-bit Floating Point
Specification 1.0, section 5): e = 0 gives (-1)^S 2^(1-B) m/2^y, e > 0 gives (-1)^S 2^(e-B) (1 + m/2^y).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hwsim.core.formats import Minifloat


def value_of(code: int, fmt: Minifloat) -> Fraction | str:
    """The value of a code under the usual bias, or `nan`, `inf`, `-inf`."""
    x, y = fmt.exponent, fmt.mantissa
    bias = 2 ** (x - 1) if fmt.specials == "fnuz" else 2 ** (x - 1) - 1
    sign = code // 2 ** (x + y)
    e, m = code // 2**y % 2**x, code % 2**y
    if fmt.specials == "fnuz" and sign == 1 and e == 0 and m == 0:
        return "nan"
    if fmt.specials == "fn" and e == 2**x - 1 and m == 2**y - 1:
        return "nan"
    if fmt.specials == "ieee" and e == 2**x - 1:
        return "nan" if m else "-inf" if sign else "inf"
    magnitude = Fraction(2) ** (1 - bias) * Fraction(m, 2**y) if e == 0 else Fraction(2) ** (e - bias)
    if e > 0:
        magnitude *= 1 + Fraction(m, 2**y)
    return -magnitude if sign else magnitude


def table(fmt: Minifloat) -> list[tuple[Fraction, int]]:
    """(value, code) of all finite codes in rising order; zero once, with the code of +0."""
    pairs: dict[Fraction, int] = {}
    for code in range(2**fmt.bits):
        value = value_of(code, fmt)
        if not isinstance(value, str):
            pairs.setdefault(value, code)  # +0 comes before -0
    return sorted(pairs.items())


def probes(values: NDArray[np.float64], seed: int = 0, n: int = 2000) -> NDArray[np.float64]:
    """Every value, every tie, the neighbours of every tie, points beyond the ends, random points at all scales."""
    ties = (values[1:] + values[:-1]) / 2
    rng = np.random.default_rng(seed)
    span = float(np.abs(values).max())
    step = float(np.diff(values).min())
    exponents = rng.uniform(np.log2(step) - 2, np.log2(span) + 2, n)
    wide = rng.choice([-1.0, 1.0], n) * 2.0**exponents
    parts = [values, ties, np.nextafter(ties, -np.inf), np.nextafter(ties, np.inf), wide, rng.uniform(-span, span, n)]
    return np.concatenate([*parts, span * np.array([-1e30, -2, -1.25, -1.01, 1.01, 1.25, 2, 1e30])])


def round_by_table(x: NDArray[np.float64], fmt: Minifloat) -> NDArray[np.float64]:
    """Nearest value of the table, ties to the even code, saturating at the ends."""
    rows = table(fmt)
    values = np.array([float(v) for v, _ in rows])
    even = np.array([code % 2 == 0 for _, code in rows])
    x = np.clip(x, values[0], values[-1])
    right = np.clip(np.searchsorted(values, x), 1, len(values) - 1)
    left = right - 1
    below, above = x - values[left], values[right] - x  # exact: few significant bits apart, or compared far from a tie
    take_right = (above < below) | ((above == below) & even[right])
    return np.where(take_right, values[right], values[left])
