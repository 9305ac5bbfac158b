"""Errors on what was left out, as documents and tables show them, and where results of a calibration go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cached(*parts: str) -> Path:
    """A file in the user's cache folder."""
    from hwsim.zoo.weights import cache_folder

    return cache_folder().joinpath(*parts)


def summary(errors: NDArray[Any]) -> dict[str, float | int] | None:
    """Rows, median, 90 % quantile and worst of relative errors; None without any."""
    import numpy as np

    if not len(errors):
        return None
    p90 = float(np.quantile(errors, 0.9))
    return {"rows": len(errors), "median": float(np.median(errors)), "p90": p90, "worst": float(errors.max())}


def percent(errors: dict[str, Any] | None) -> str:
    """`median (90 % quantile)` in percent."""
    return "-" if errors is None else f"{100 * errors['median']:.1f} ({100 * errors['p90']:.1f})"
