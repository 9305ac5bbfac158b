"""Fashion-MNIST (Xiao et al., 1708.07747) from its distribution files in a folder that the user names.

The files may come in any order of rows: rows are put into the order of their labels and pixels before they are split,
so that the splits are the same sets of images whichever form of the files is read.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from functools import lru_cache
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.zoo.folders import missing, places
from hwsim.zoo.stratified import stratified_order

SUBFOLDERS = ("fashion_mnist", "FashionMNIST/raw", "FashionMNIST", "fashion-mnist", "fashion-mnist/data/fashion")
SOURCE = "https://github.com/zalandoresearch/fashion-mnist (MIT)"
_IDX = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
_NPZ = ("fashion_mnist.npz", "fashion-mnist.npz")
_CALIB_SHARE = 12
_SEED = 0
Bytes = NDArray[np.uint8]
Split = tuple[NDArray[np.float32], NDArray[np.int64]]


def fashion_mnist(split: str) -> Split:
    """One split: x float32 (N, 1, 28, 28) in [0, 1], y int64 (N,).

    `test` is the published test set; `calib` is a stratified twelfth of the training set (5,000 of 60,000 rows),
    `train` the rest of it.

    Raises
    ------
    InputError
        No folder named, no such file in it, or a file that is not what its name says.
    """
    x, y = _rows("test" if split == "test" else "train", tuple(places(SUBFOLDERS)))
    order = stratified_order(y, _SEED)
    held = len(y) // _CALIB_SHARE if split != "test" else 0
    chosen = order[len(y) - held :] if split == "calib" else order[: len(y) - held]
    return (x[chosen, None] / np.float32(255)).astype(np.float32), y[chosen].astype(np.int64)


@lru_cache(maxsize=2)
def _rows(part: str, folders: tuple[Path, ...]) -> tuple[Bytes, NDArray[np.int64]]:
    """Images uint8 (N, 28, 28) and labels of `train` or `test`, sorted by label and pixels."""
    x, y = _read(part, folders)
    if x.ndim != 3 or len(x) != len(y) or x.dtype != np.uint8:
        shapes = f"images {x.dtype} {x.shape}, labels {y.shape}"
        raise InputError(shapes, where="zoo:fashion_mnist", hint="wanted: uint8 (N, 28, 28) and (N,)")
    keys = [bytes([label]) + image.tobytes() for image, label in zip(x, y, strict=True)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return x[order], y[order].astype(np.int64)


def _read(part: str, folders: tuple[Path, ...]) -> tuple[Bytes, Bytes]:
    names = (f"x_{part}", f"y_{part}")
    for folder in folders:
        files = [_file(folder, _IDX[name]) for name in names]
        if files[0] is not None and files[1] is not None:
            return read_idx(files[0]), read_idx(files[1])
        for name in _NPZ:
            if (folder / name).is_file():
                return _from_npz(folder / name, names)
    files_wanted = f"{', '.join(_IDX.values())} (each also .gz), or {_NPZ[0]} (x_train, y_train, x_test, y_test)"
    raise missing("fashion_mnist", files_wanted, SUBFOLDERS, SOURCE)


def _file(folder: Path, name: str) -> Path | None:
    found = [folder / spelling for spelling in (name, f"{name}.gz", name.replace("-idx", ".idx"))]
    return next((path for path in found if path.is_file()), None)


def _from_npz(path: Path, names: tuple[str, str]) -> tuple[Bytes, Bytes]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[names[0]], archive[names[1]].reshape(-1)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        hint = "an archive of x_train, y_train, x_test, y_test"
        raise InputError(f"cannot be read: {error}", where=str(path), hint=hint) from error


def read_idx(path: Path) -> Bytes:
    """The array of an idx file of bytes, gzipped or not.

    The format: two zero bytes, the type (8: unsigned byte), the rank, each size as a big-endian 32-bit integer, then
    the values in row-major order (LeCun's description of the MNIST files).

    Raises
    ------
    InputError
        Another format or type, or fewer or more values than the header says.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), hint="a damaged file? fetch it again") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise InputError("not an idx file of bytes", where=str(path), hint=f"data: {SOURCE}")
    rank = content[3]
    shape = tuple(int(size) for size in np.frombuffer(content[4 : 4 + 4 * rank], ">u4"))
    values = np.frombuffer(content, np.uint8, offset=min(4 + 4 * rank, len(content)))
    if len(shape) != rank or len(values) != prod(shape):
        what = f"{len(values)} values where the header says {shape}"
        raise InputError(what, where=str(path), hint="a damaged file? fetch it again")
    return values.reshape(shape)
