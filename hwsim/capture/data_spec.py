"""DATA spec strings: `zoo:NAME`, an `.npz`, an image folder, `file.py:factory`, `package.module:factory`; `#SPLIT`."""

from __future__ import annotations

import hashlib
import inspect
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwsim.capture.factory import call_factory, is_factory
from hwsim.capture.image_folder import read_folder
from hwsim.capture.rows import as_labels, as_rows, normalised, resized
from hwsim.capture.splits import SPLITS, choose_split
from hwsim.core.errors import InputError, nearest
from hwsim.zoo.detection import DetectionTruth

FORMS = "zoo:NAME, an .npz file, a folder of images, path/to/file.py:factory, package.module:factory; #SPLIT at the end"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows to calibrate or to evaluate on.

    Attributes
    ----------
    x : float32, rows first, images as (N, C, H, W); whole numbers of rank 2 (tokens) are int64.
    y : int64 labels, rows first; the objects of the images where the data are for detection; or None.
    name, split : from the spec; the split is empty where the data have none.
    """

    x: Tensor
    y: Tensor | DetectionTruth | None
    name: str
    split: str

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def sha256(self) -> str:
        """Of shapes, types and values."""
        return _digest(self.x, self.y)


def load_data(
    spec: str,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    resize: int | tuple[int, int] | None = None,
    default_split: str | None = None,
) -> Dataset:
    """The data that a spec string names.

    Parameters
    ----------
    mean, std : of each channel (or one for all), taken off and divided by after scaling to [0, 1].
    resize : side, or (height, width), in pixels.
    default_split : taken where the spec names none and the data have splits.

    Raises
    ------
    InputError
        Nothing there, no such split, a shape or type that is no data set, no rows, NaN, x and y of different length.
    MissingToolError
        Pillow is not installed (image folders).
    """
    body, hash_sign, split = spec.strip().partition("#")
    if hash_sign and split not in SPLITS:
        raise InputError(f"no split named {split!r}", where=spec, hint=nearest(split, SPLITS))
    x, y, split = _read(body, split, default_split or "", spec, resize)
    if len(x) == 0:
        raise InputError("a data set without rows", where=spec, hint="at least one row is needed")
    rows = as_rows(x, spec)
    if rows.is_floating_point():
        rows = normalised(resized(rows, resize, spec), mean, std, spec)
        bad = int((~torch.isfinite(rows)).flatten(1).any(dim=1).sum())
        if bad:
            raise InputError(f"{bad} of {len(rows)} rows hold NaN or infinity", where=spec, hint="clean the data")
    labels = y if y is None or isinstance(y, DetectionTruth) else as_labels(y, spec)
    if labels is not None and len(labels) != len(rows):
        raise InputError(f"{len(rows)} rows but {len(labels)} labels", where=spec, hint="x and y have one entry a row")
    return Dataset(rows, labels, body, split)


def without_channel(data: Dataset, input_shape: tuple[int, ...] | None) -> Dataset:
    """Rows (1, H, W) as (H, W) where the input shape says so: files of rank 3 are read as images of one channel."""
    rows = tuple(data.x.shape[1:])
    if input_shape is not None and rows[:1] == (1,) and rows[1:] == tuple(input_shape[1:]):
        return replace(data, x=data.x[:, 0])
    return data


def calibration_rows(dataset: Dataset, n: int = 1024, seed: int = 0) -> Dataset:
    """The first `n` rows of a seeded permutation, or all rows, permuted, where there are fewer."""
    if n < 1:
        raise InputError(f"{n} calibration rows", where=dataset.name, hint="allowed: 1 and up")
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(dataset.x))[:n])
    x, y = dataset.x[order], None if dataset.y is None else dataset.y[order]
    return replace(dataset, x=x, y=y)


def check_disjoint(calib: Dataset, evaluation: Dataset, allow: bool = False) -> int:
    """The number of evaluation rows that are also calibration rows, bit for bit.

    Raises
    ------
    InputError
        There are some, unless allowed.
    """
    if calib.x.shape[1:] != evaluation.x.shape[1:] or calib.x.dtype != evaluation.x.dtype:
        return 0
    seen = set(_row_digests(calib.x))
    shared = [row for row in _row_digests(evaluation.x) if row in seen]
    if shared and not allow:
        raise InputError(
            f"{len(shared)} of {len(evaluation.x)} evaluation rows are also calibration rows",
            where=f"{_label(calib)} and {_label(evaluation)}",
            hint="take disjoint splits, or allow the overlap (--allow-overlap)",
        )
    return len(shared)


def _label(dataset: Dataset) -> str:
    return f"{dataset.name}#{dataset.split}" if dataset.split else dataset.name


def _row_digests(x: Tensor) -> list[bytes]:
    array = np.ascontiguousarray(x.numpy())
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in array]


def _digest(x: Tensor, y: Tensor | DetectionTruth | None) -> str:
    digest = hashlib.sha256()
    labels = () if y is None else y.tensors() if isinstance(y, DetectionTruth) else (y,)
    for tensor in (x, *labels):
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def _read(body: str, split: str, default: str, spec: str, resize: Any) -> tuple[Any, Any, str]:
    """(x, y, split) as they are stored."""
    if body.startswith("zoo:"):
        return _from_zoo(body.removeprefix("zoo:"), split or default, spec)
    if is_factory(body):
        return _from_factory(body, split, default, spec)
    path = Path(body).expanduser()
    if path.is_dir():
        return read_folder(path, split, default, spec, resize)
    if path.suffix.lower() == ".npz":
        if not path.is_file():
            raise InputError("no such file", where=body, hint=f"DATA is one of: {FORMS}")
        return _from_npz(path, split, default, spec)
    raise InputError("no such data", where=spec, hint=f"DATA is one of: {FORMS}")


def _from_zoo(name: str, split: str, spec: str) -> tuple[Any, Any, str]:
    from hwsim.zoo import data

    splits = data.dataset(name).splits
    if not split:
        raise InputError("no split named", where=spec, hint=f"name one: {', '.join(f'zoo:{name}#{s}' for s in splits)}")
    return *data.load(name, split), split


def _from_npz(path: Path, split: str, default: str, spec: str) -> tuple[Any, Any, str]:
    if not zipfile.is_zipfile(path):
        raise InputError("not an .npz archive, or a damaged one", where=spec, hint="write it with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:
        if "allow_pickle" in str(error):
            raise InputError("it holds pickled Python objects", where=spec, hint="store arrays of numbers") from error
        raise InputError("a damaged .npz archive", where=spec, hint="write it with numpy.savez") from error
    splits = [s for s in SPLITS if f"x_{s}" in arrays]
    split = choose_split(split, default, splits, "x" in arrays, spec)
    tail = f"_{split}" if split else ""
    if f"x{tail}" not in arrays:
        hint = f"it holds {', '.join(sorted(arrays)) or 'nothing'}; wanted: x[, y] or x_SPLIT[, y_SPLIT]"
        raise InputError("no array named x", where=spec, hint=hint)
    return arrays[f"x{tail}"], arrays.get(f"y{tail}"), split


def _from_factory(body: str, split: str, default: str, spec: str) -> tuple[Any, Any, str]:
    chosen = split

    def make(found: Any) -> Any:
        nonlocal chosen
        if not callable(found):
            return found
        if _takes_split(found):
            chosen = split or default
            return found(split=chosen) if chosen else found()
        if split:
            raise InputError("a factory without splits", where=spec, hint="def factory(split): ... takes #SPLIT")
        return found()

    made = call_factory(body, make)
    x, y = made if isinstance(made, tuple | list) and len(made) == 2 else (made, None)
    return x, y, chosen


def _takes_split(factory: Callable[..., Any]) -> bool:
    try:
        return "split" in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False
