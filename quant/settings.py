"""Ranges of settings, checked where a step is configured."""

from __future__ import annotations

from math import inf, isfinite

from hwsim.core.errors import InputError


def check_ranges(where: str, **given: tuple[float, float, float]) -> None:
    """Raise InputError for the first setting outside its range.

    Parameters
    ----------
    where : the step.
    given : name -> (value, smallest allowed, largest allowed).
    """
    for name, (value, low, high) in given.items():
        if not (isfinite(value) and low <= value <= high):
            allowed = f"{low:g} and up" if high == inf else f"{low:g} to {high:g}"
            raise InputError(f"{name} = {value!r}", where=where, hint=f"allowed: {allowed}")
