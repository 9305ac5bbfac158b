"""The registry of built-in data: digits and text that need no download, and sets in a folder the user names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hwsim.core.errors import InputError, nearest
from hwsim.zoo.bccd import bccd
from hwsim.zoo.digits import digits
from hwsim.zoo.fashion_mnist import fashion_mnist
from hwsim.zoo.python_text import LENGTH, python_text

Split = tuple[Any, Any]
_SPLITS = ("train", "calib", "test")


@dataclass(frozen=True, slots=True)
class DataEntry:
    """One built-in data set.

    Attributes
    ----------
    name, summary : for listings.
    splits : names of the splits, pairwise disjoint.
    load : split name -> (x, y): x float32 (N, C, H, W), or int64 (N, T) for tokens; y int64, or a `DetectionTruth`.
    version : raised when its rows, their order or their splits change; weights trained on it are kept apart by it.
    files : whether it is read from the folder that `HWSIM_DATA` names.
    """

    name: str
    summary: str
    splits: tuple[str, ...]
    load: Callable[[str], Split]
    version: int = 1
    files: bool = False


def dataset(name: str) -> DataEntry:
    """The built-in data set of this name; InputError with the nearest name if there is none."""
    if name not in DATASETS:
        raise InputError(f"no built-in data named {name!r}", where=f"zoo:{name}", hint=nearest(name, DATASETS))
    return DATASETS[name]


def load(name: str, split: str) -> Split:
    """Rows and labels of one split of a built-in data set.

    Returns
    -------
    (x, y) : as the entry says; the same arrays in every process and on every machine (for `pytext`, with every
        installation of the same Python release).

    Raises
    ------
    InputError
        No such data set or split, or its files are not in the folder that `HWSIM_DATA` names.
    """
    entry = dataset(name)
    if split not in entry.splits:
        raise InputError(f"no split named {split!r}", where=f"zoo:{name}", hint=nearest(split, entry.splits))
    return entry.load(split)


DATASETS: dict[str, DataEntry] = {
    entry.name: entry
    for entry in (
        DataEntry(
            "digits",
            "1,797 grey 8x8 handwritten digits of scikit-learn, in [0, 1]",
            _SPLITS,
            digits,
        ),
        DataEntry(
            "pytext",
            f"source text of the standard library: windows of {LENGTH} bytes and the bytes that follow",
            _SPLITS,
            python_text,
        ),
        DataEntry(
            "fashion_mnist",
            "70,000 grey 28x28 images of clothes in ten classes, in [0, 1], from the folder HWSIM_DATA",
            _SPLITS,
            fashion_mnist,
            files=True,
        ),
        DataEntry(
            "bccd",
            "364 images of blood cells, 3x120x160 in [0, 1], with boxes of three classes, from the folder HWSIM_DATA",
            _SPLITS,
            bccd,
            files=True,
        ),
    )
}
