"""JSON files of other tools, plain or gzipped: loaded whole, with errors that name file and place."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard, cast

from hwsim.core.errors import InputError
from hwsim.latency.importers.imported import Unreadable

MOST_BYTES = 2**30
_GZIP = b"\x1f\x8b"


def content(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The bytes of a file, decompressed where it is gzipped.

    Raises
    ------
    InputError
        For a file that cannot be read, is empty, or holds more than `most_bytes`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
        if data.startswith(_GZIP):
            with gzip.open(path) as packed:
                data = packed.read(most_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(str(error), where=str(path), hint="a readable, complete file is wanted") from None
    if not data.strip():
        raise InputError("the file is empty", where=str(path), hint="let the tool that writes it end by itself")
    if len(data) > most_bytes:
        size = f"{most_bytes >> 20} MiB"
        hint = f"at most {size} are read: measure less"
        raise InputError(f"the file holds more than {size}", where=str(path), hint=hint)
    return data


def load(path: Path) -> object:
    """The value of a JSON file."""
    try:
        return cast(object, json.loads(content(path)))
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}"
        hint = "a complete JSON file is wanted: the tool may have been stopped while it wrote"
        raise InputError(f"not JSON: {error.msg}, column {error.colno}", where=where, hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", where=str(path), hint="a JSON file in UTF-8 is wanted") from None


def milliseconds(entry: object, key: str, where: str) -> float:
    """A time of an entry, finite and from 0 up."""
    value = entry.get(key) if isinstance(entry, Mapping) else None
    if not is_number(value) or not 0 <= value < float("inf"):
        said = f"{key} = {value!r:.40}" if value is not None else f"key {key!r} is missing"
        raise InputError(said, where=where, hint="milliseconds, a number from 0 up, are wanted")
    return float(value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole_numbers(value: object, least: int = 1) -> tuple[int, ...]:
    """A list of whole numbers from `least` up; Unreadable otherwise."""
    if not isinstance(value, list) or not all(type(v) is int and v >= least for v in value):
        raise Unreadable(f"no whole numbers from {least} up: {value!r:.60}")
    return tuple(value)
