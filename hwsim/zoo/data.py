"""Data that need no download: scikit-learn's digits, and the source text of the standard library as bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError, nearest

Array = NDArray[np.float32] | NDArray[np.int64]
Split = tuple[Array, Array]

_DIGITS_TEST = 597
_DIGITS_CALIB = 176
_DIGITS_SEED = 0
_TEXT_LENGTH = 128
_TEXT_MODULES = {
    "train": (
        "abc argparse ast base64 bdb bisect calendar cmd code codecs collections contextlib copy csv dataclasses "
        "datetime decimal difflib dis doctest email enum fractions ftplib functools gettext glob heapq html http "
        "imaplib inspect ipaddress json locale logging mailbox mimetypes numbers operator optparse os pdb pickle "
        "platform plistlib pprint profile pydoc queue random re reprlib sched selectors shelve shlex shutil smtplib"
    ),
    "calib": "statistics string struct subprocess sysconfig tarfile",
    "test": "tempfile textwrap threading timeit tokenize traceback types typing unittest urllib uuid warnings weakref",
}


@dataclass(frozen=True, slots=True)
class DataEntry:
    """One built-in data set.

    Attributes
    ----------
    name, summary : for listings.
    splits : names of the splits, pairwise disjoint.
    load : split name -> (x, y): x float32 (N, C, H, W), or int64 (N, T) for tokens; y int64.
    """

    name: str
    summary: str
    splits: tuple[str, ...]
    load: Callable[[str], Split]


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
        No such data set or split.
    """
    entry = dataset(name)
    if split not in entry.splits:
        raise InputError(f"no split named {split!r}", where=f"zoo:{name}", hint=nearest(split, entry.splits))
    return entry.load(split)


def stratified_order(y: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """An order of the rows in which every contiguous stretch has nearly the class shares of the whole."""
    rng = np.random.default_rng(seed)
    position = np.empty(len(y))
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        position[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.argsort(position, kind="stable")


@cache
def _digits() -> dict[str, Split]:
    """The 1,797 8x8 digits bundled with scikit-learn (UCI optical recognition of handwritten digits, test part)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = (bunch.images / 16.0).astype(np.float32)[:, None]
    y = bunch.target.astype(np.int64)
    order = stratified_order(y, _DIGITS_SEED)
    ends = (0, _DIGITS_TEST, _DIGITS_TEST + _DIGITS_CALIB, len(y))
    parts = [order[a:b] for a, b in pairwise(ends)]
    return {name: (x[rows], y[rows]) for name, rows in zip(("test", "calib", "train"), parts, strict=True)}


@cache
def _pytext(split: str) -> Split:
    """Non-overlapping windows of source text; y holds the byte that follows each byte of x."""
    windows: dict[bytes, None] = {}
    for name in _TEXT_MODULES[split].split():
        for path in _sources(name):
            text = path.read_bytes()
            last = len(text) - _TEXT_LENGTH - 1
            windows.update(dict.fromkeys(text[i : i + _TEXT_LENGTH + 1] for i in range(0, last, _TEXT_LENGTH)))
    rows = np.frombuffer(b"".join(windows), np.uint8).reshape(-1, _TEXT_LENGTH + 1).astype(np.int64)
    return rows[:, :-1].copy(), rows[:, 1:].copy()


def _sources(module: str) -> list[Path]:
    found = find_spec(module)
    origin = Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None
    if origin is None:
        return []
    return sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]


DATASETS: dict[str, DataEntry] = {
    entry.name: entry
    for entry in (
        DataEntry(
            "digits",
            "1,797 grey 8x8 handwritten digits of scikit-learn, in [0, 1]",
            ("train", "calib", "test"),
            lambda split: _digits()[split],
        ),
        DataEntry(
            "pytext",
            f"source text of the standard library: windows of {_TEXT_LENGTH} bytes and the bytes that follow",
            ("train", "calib", "test"),
            _pytext,
        ),
    )
}
