"""Fitted values as plain arrays in one .npz file: no pickle, nothing executed at reading."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.stats.conformal_quantiles import ConformalQuantiles
from hwsim.stats.presto import OrdinalRisk
from hwsim.stats.quantile_aggregation import QuantileAggregation

T = TypeVar("T")
_LAYOUT = "layout"  # name of the JSON text that says where arrays belong
_VIA_DICT = (QuantileAggregation, ConformalQuantiles, OrdinalRisk)
_TIME = (1980, 1, 1, 0, 0, 0)


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write dataclasses, mappings, tuples, numbers, text and arrays by name; the same values give the same bytes."""
    arrays: dict[str, NDArray[Any]] = {}
    layout = {name: _packed(value, arrays) for name, value in values.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, array in {_LAYOUT: np.array(json.dumps(layout)), **arrays}.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", _TIME), buffer.getvalue(), zipfile.ZIP_DEFLATED)


def read(path: Path, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Read what `write` wrote.

    Parameters
    ----------
    kinds : type of each name (`dict[str, Expert]`).

    Raises
    ------
    InputError
        For a file of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        layout = json.loads(str(arrays.pop(_LAYOUT)))
        return {name: _unpacked(kind, layout[name], arrays) for name, kind in kinds.items()}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{error}", where=str(path), hint="a file of fitted values of this version is wanted"
        ) from None


def _packed(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value.astype(np.float32) if value.dtype == np.float64 else value
        return name
    if isinstance(value, _VIA_DICT):
        return _packed_json(value.as_dict())
    if is_dataclass(value):
        return {f.name: _packed(getattr(value, f.name), arrays) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _packed(item, arrays) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_packed(item, arrays) for item in value]
    return value


def _packed_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _packed_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_packed_json(item) for item in value] if isinstance(value, tuple | list) else value


def _unpacked(kind: Any, data: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _of_union(get_args(kind), data, arrays)
    if origin in (tuple, list):
        inner = get_args(kind)[0]
        return tuple(
            _unpacked(kind_of, item, arrays) for kind_of, item in zip(_each(kind, len(data), inner), data, strict=True)
        )
    if origin is not None and issubclass(origin, Mapping):
        return {key: _unpacked(get_args(kind)[1], item, arrays) for key, item in data.items()}
    if origin is np.ndarray:
        found = arrays[data]
        return found.astype(np.float64) if found.dtype == np.float32 and "float32" not in str(kind) else found
    if kind in _VIA_DICT:
        return kind.from_dict(data)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: _unpacked(hints[f.name], data[f.name], arrays) for f in fields(kind)})  # type: ignore[operator]
    return data


def _each(kind: Any, count: int, inner: Any) -> list[Any]:
    args = get_args(kind)
    return [inner] * count if len(args) == 2 and args[1] is Ellipsis else list(args)


def _of_union(kinds: tuple[Any, ...], data: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if data is None:
        return None
    for kind in kinds:
        if is_dataclass(kind) and isinstance(data, dict) and {f.name for f in fields(kind)} == set(data):
            return _unpacked(kind, data, arrays)
    raise ValueError(f"no kind of {kinds} has these fields")
