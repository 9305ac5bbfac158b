"""How good predicted quantiles are: pinball loss, interval scores, crossing, coverage and width.

Quantiles are arrays of (rows, levels) beside the levels, ascending in (0, 1). The weighted interval score of central
intervals and the median is twice the mean pinball loss, so one optimum serves both (Gneiting and Raftery, Strictly
Proper Scoring Rules, JASA 2007, section 6.2; Bracher, Ray, Gneiting and Reich, PLoS Comput. Biol. 2021, equation 2).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError

Floats = NDArray[np.float64]
_SAME = 1e-9  # two levels mirror each other when they add up to one within this
_ROUNDING = 1e-12  # of the largest quantile: a decrease below it is floating-point noise


def checked_levels(levels: ArrayLike) -> Floats:
    """`levels` as an array; an error names the first one outside (0, 1) or out of order."""
    found = np.asarray(levels, dtype=np.float64)
    hint = "allowed: at least one level, strictly ascending, above 0 and below 1"
    if found.ndim != 1 or found.size == 0:
        raise InputError(f"levels of shape {found.shape}", where="quantiles", hint=hint)
    for level in found:
        if not 0 < level < 1:
            raise InputError(f"level {level}", where="quantiles", hint=hint)
    for before, after in pairwise(found):
        if after <= before:
            raise InputError(f"level {after} follows {before}", where="quantiles", hint=hint)
    return found


def checked_finite(values: ArrayLike, shape: tuple[int | None, ...], name: str) -> Floats:
    """`values` as floats; None in `shape` allows any length. Errors say which shape, or where the first NaN is."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != len(shape) or any(s is not None and s != n for s, n in zip(shape, found.shape, strict=True)):
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        raise InputError(f"{name} of shape {found.shape}", where="quantiles", hint=f"expected: ({wanted})")
    bad = ~np.isfinite(found)
    if bad.any():
        at = tuple(int(i[0]) for i in np.nonzero(bad))
        raise InputError(f"{name} holds {found[at]} at {list(at)}", where="quantiles", hint="drop or impute such rows")
    return found


def pinball_losses(truth: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> Floats:
    """max(tau u, (tau - 1) u) with u = truth - quantile, (rows, levels), in units of `truth`.

    Source: Koenker and Bassett, Regression Quantiles, Econometrica 1978.
    """
    y, q, tau = _checked(truth, quantiles, levels)
    u = y[:, None] - q
    return np.asarray(np.maximum(tau * u, (tau - 1) * u))


def pinball_loss(truth: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> float:
    """Mean of `pinball_losses` over rows and levels."""
    return float(pinball_losses(truth, quantiles, levels).mean())


def central_pairs(levels: ArrayLike) -> list[tuple[int, int]]:
    """Positions (low, high) of the levels tau and 1 - tau, from the widest interval inwards, without the median."""
    tau = checked_levels(levels)
    if np.any(np.abs(tau + tau[::-1] - 1) > _SAME):
        odd = float(tau[int(np.argmax(np.abs(tau + tau[::-1] - 1)))])
        raise InputError(
            f"level {odd:g} has no partner {1 - odd:g}",
            where="quantiles",
            hint="central intervals need symmetric levels",
        )
    return [(k, len(tau) - 1 - k) for k in range(len(tau) // 2)]


def interval_score(truth: ArrayLike, low: ArrayLike, high: ArrayLike, miscoverage: float) -> Floats:
    """(high - low) + 2 / a of what truth lies outside by, for each row; `miscoverage` a = 1 - nominal coverage."""
    if not 0 < miscoverage < 1:
        raise InputError(f"miscoverage {miscoverage}", where="quantiles", hint="allowed: above 0 and below 1")
    y, a, b = (np.asarray(v, dtype=np.float64) for v in (truth, low, high))
    return np.asarray((b - a) + (2 / miscoverage) * (np.maximum(a - y, 0) + np.maximum(y - b, 0)))


def weighted_interval_score(truth: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> float:
    """Mean over rows of (|y - median| / 2 + sum over K pairs of a / 2 times the interval score) / (K + 1/2).

    Levels are symmetric and hold the median; the score is in units of `truth`.
    """
    y, q, tau = _checked(truth, quantiles, levels)
    pairs = central_pairs(tau)
    if len(tau) % 2 == 0:
        raise InputError("no level 0.5", where="quantiles", hint="the weighted interval score needs the median")
    total = 0.5 * np.abs(y - q[:, len(tau) // 2])
    for low, high in pairs:
        a = 2 * float(tau[low])
        total += a / 2 * interval_score(y, q[:, low], q[:, high], a)
    return float(total.mean()) / (len(pairs) + 0.5)


def crossing_rate(quantiles: ArrayLike) -> float:
    """Share of rows in which some quantile lies below that of a lower level."""
    q = checked_finite(quantiles, (None, None), "quantiles")
    noise = _ROUNDING * float(np.abs(q).max(initial=0))
    return float(np.any(np.diff(q, axis=1) < -noise, axis=1).mean())


def coverage_errors(truth: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> Floats:
    """Share of truths at or below each quantile, less its level: 0 is calibrated, negative is too low."""
    y, q, tau = _checked(truth, quantiles, levels)
    return np.asarray((y[:, None] <= q).mean(axis=0) - tau)


def interval_widths(quantiles: ArrayLike, levels: ArrayLike) -> Floats:
    """Mean width of each central interval, from the widest inwards, as `central_pairs` lists them."""
    pairs = central_pairs(levels)
    q = checked_finite(quantiles, (None, np.asarray(levels).size), "quantiles")
    return np.array([float((q[:, high] - q[:, low]).mean()) for low, high in pairs])


def _checked(truth: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> tuple[Floats, Floats, Floats]:
    tau = checked_levels(levels)
    q = checked_finite(quantiles, (None, len(tau)), "quantiles")
    return checked_finite(truth, (len(q),), "truth"), q, tau
