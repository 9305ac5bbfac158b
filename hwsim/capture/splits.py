"""Splits of a data set: `#train`, `#calib`, `#test`."""

from __future__ import annotations

from hwsim.core.errors import InputError

SPLITS = ("train", "calib", "test")


def choose_split(split: str, default: str, splits: list[str], has_whole: bool, spec: str) -> str:
    """The split to read: the one asked for, the default where the data have it, or none ("")."""
    if split and split not in splits:
        have = ", ".join("#" + s for s in splits) or "no splits: leave the suffix out"
        raise InputError(f"no split {split!r}", where=spec, hint=f"it has {have}")
    if split or not splits:
        return split
    if default in splits:
        return default
    if has_whole:
        return ""
    raise InputError("no split named", where=spec, hint=f"it has {', '.join('#' + s for s in splits)}")
