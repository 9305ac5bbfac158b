"""numpy's part of a pickle of plain data: dtypes, scalars and arrays, made from their bytes by hwsim's own code.

The names are tokens: what they name is never imported or called. What numpy writes: `__reduce__` and `__setstate__` of
`numpy.dtype` and `numpy.ndarray` (numpy 1.16 to 2.4, pickle protocols 0 to 5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_DTYPE = re.compile(r"[<>=|]?(?:f[248]|[iu][1248]|b1|[SU]\d{1,4})")


class Refused(Exception):
    """What the reader will not do; becomes an InputError with the place in the file."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the list below: a token, not the thing that it names."""

    text: str


@dataclass(slots=True)
class Dtype:
    """A numpy dtype under construction: BUILD sets its byte order."""

    code: str
    order: str = "<"

    def made(self) -> np.dtype[np.generic]:
        return np.dtype(self.order + self.code)


@dataclass(slots=True)
class Array:
    """A numpy array under construction: BUILD gives it its values."""

    values: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None = None


def set_state(target: object, state: object) -> None:
    """What BUILD does: the byte order of a dtype, the values of an array."""
    if isinstance(target, Dtype):
        _set_order(target, state)
    elif isinstance(target, Array):
        _set_values(target, state)
    else:
        raise Refused(f"a state for a {target.text if isinstance(target, Name) else type(target).__name__}")


def _set_order(target: Dtype, state: object) -> None:
    """State of a dtype: (version, byte order, then nothing but for structured types)."""
    if not isinstance(state, tuple) or len(state) < 5 or any(field is not None for field in state[2:5]):
        raise Refused("a structured dtype")
    if state[1] not in ("<", ">", "=", "|"):
        raise Refused("a dtype of no known byte order")
    target.order = str(state[1])


def _set_values(target: Array, state: object) -> None:
    """State of an array: (version, shape, dtype, column major, bytes)."""
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], Dtype):
        raise Refused("an array whose state is not numpy's")
    _, shape, dtype, column_major, data = state
    target.values = _from_bytes(data, dtype, shape, "F" if column_major else "C")


def _from_bytes(
    data: object, dtype: Dtype, shape: object, order: object
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not isinstance(data, bytes | bytearray) or not isinstance(shape, tuple) or not whole:
        raise Refused("an array of objects, or of no bytes")
    flat: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = np.frombuffer(data, dtype.made())
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _make_dtype(name: str, arguments: tuple[object, ...]) -> Dtype:
    code = arguments[0] if arguments else None
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise Refused(f"a dtype {code!r:.40}" if isinstance(code, str) else "a structured dtype")
    return Dtype(code.lstrip("<>=|"), code[0] if code[0] in "<>=|" else "=")


def _make_scalar(name: str, arguments: tuple[object, ...]) -> object:
    if len(arguments) != 2 or not isinstance(arguments[0], Dtype):
        raise Refused(f"{name} of other than a dtype and bytes")
    value: object = _from_bytes(arguments[1], arguments[0], (), "C").item()
    return value


def _make_array(name: str, arguments: tuple[object, ...]) -> Array:
    """`_reconstruct(ndarray, (0,), b"b")`, which BUILD fills, or `_frombuffer(data, dtype, shape, order)`."""
    if name.endswith("_frombuffer") and len(arguments) == 4 and isinstance(arguments[1], Dtype):
        return Array(_from_bytes(arguments[0], arguments[1], arguments[2], arguments[3]))
    if name.endswith("_reconstruct") and arguments[:1] == (Name("numpy.ndarray"),):
        return Array()
    raise Refused(f"{name} of something that is not a plain array")


def _make_bytes(name: str, arguments: tuple[object, ...]) -> bytes:
    """How protocols 0 to 2 write bytes: `_codecs.encode(text, "latin1")`, and none at all as `bytes()`."""
    if name.endswith(".bytes") and not arguments:
        return b""
    if len(arguments) == 2 and isinstance(arguments[0], str) and arguments[1] in ("latin1", "latin-1"):
        return arguments[0].encode("latin1")
    raise Refused(f"{name} of other than latin1 text")


def _make_nothing(name: str, arguments: tuple[object, ...]) -> object:
    raise Refused(f"a call of {name}")


MAKERS: dict[str, Callable[[str, tuple[object, ...]], object]] = {
    "numpy.dtype": _make_dtype,
    "numpy.ndarray": _make_nothing,
    **dict.fromkeys(("_codecs.encode", "__builtin__.bytes"), _make_bytes),
    **{f"{module}.{name}": make for module in _MULTIARRAY for name, make in
       (("scalar", _make_scalar), ("_reconstruct", _make_array))},
    **dict.fromkeys(("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"), _make_array),
}  # fmt: skip
