"""Pickles of plain data, read without running what is in them.

A pickle is a program that may call any function of any module. This reader interprets its opcodes itself (decoded by
the standard library's pickletools, which runs nothing) and knows numbers, text, bytes, lists, tuples and dicts, plus
numpy's arrays, scalars and dtypes, which it makes from their bytes. No name is ever imported and no object of a pickle
is ever called: any other name or opcode is an InputError. Sizes that a pickle merely declares are never allocated, and
values that it has made again and again from few bytes may not outgrow the file by more than 8 times.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hwsim.core.errors import InputError
from hwsim.latency.importers.json_files import content
from hwsim.latency.importers.pickled_arrays import MAKERS, Array, Name, Refused, set_state

MOST_BYTES = 2**27  # of a file; what GitHub carries as one file is smaller
_HINT = "only plain data and numpy arrays are read: nothing of the file was run"
_MARK = object()
_PUSHED = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def load_plain(path: Path) -> object:
    """The value of a pickle of plain data; numpy's scalars become numbers, its arrays what `array` opens.

    Raises
    ------
    InputError
        For anything else, naming the global or opcode and its offset.
    """
    data = content(path, MOST_BYTES)
    position = 0
    machine = Machine(most_bytes=8 * len(data) + 2**20)
    try:
        for opcode, argument, offset in pickletools.genops(io.BytesIO(data)):
            position = offset or 0
            machine.step(opcode.name, argument)
        return machine.result()
    except Refused as error:
        raise InputError(str(error), where=f"{path}, byte {position}", hint=_HINT) from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, EOFError, SyntaxError) as error:
        message = f"not a pickle, or a truncated one: {error!s:.120}"
        raise InputError(message, where=f"{path}, byte {position}", hint="copy the file again") from None


def array(value: object) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None:
    """The array that a value of `load_plain` is, None for anything else."""
    return value.values if isinstance(value, Array) else None


class Machine:
    """Stack and memo of the pickle machine, for plain data alone.

    Parameters
    ----------
    most_bytes : that text and bytes made by calls may have in all.
    """

    def __init__(self, most_bytes: int) -> None:
        self._bytes_left = most_bytes
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    def result(self) -> object:
        if len(self._stack) != 1:
            raise Refused(f"{len(self._stack)} values are left at the end instead of one")
        return self._stack[0]

    def step(self, name: str, argument: object) -> None:
        """Carry out one opcode."""
        if name in _PUSHED:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            said = f" ({argument!r:.80})" if argument is not None else ""
            below = next((v.text for v in reversed(self._stack) if isinstance(v, Name)), "")
            raise Refused(f"opcode {name}{said} is refused" + (f", of {below}" if below else ""))

    def _mark(self, _: object) -> None:
        self._stack.append(_MARK)

    def _pop(self, _: object) -> None:
        self._stack.pop()

    def _pop_mark(self, _: object) -> None:
        self._above_mark()

    def _duplicate(self, _: object) -> None:
        self._stack.append(self._stack[-1])

    def _above_mark(self) -> list[object]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                values = self._stack[index + 1 :]
                del self._stack[index:]
                return values
        raise Refused("an opcode without its MARK")

    def _put(self, index: object) -> None:
        self._memo[len(self._memo) if index is None else int(str(index))] = self._stack[-1]

    def _get(self, index: object) -> None:
        self._stack.append(self._memo[int(str(index))])

    def _empty(self, made: type[list[object]] | type[dict[object, object]] | type[tuple[object, ...]]) -> None:
        self._stack.append(made())

    def _list(self, _: object) -> None:
        self._stack.append(self._above_mark())

    def _append(self, many: bool) -> None:
        values = self._above_mark() if many else [self._stack.pop()]
        target = self._stack[-1]
        if not isinstance(target, list):
            raise Refused(f"an append to a {type(target).__name__}")
        target += values

    def _tuple(self, size: int | None) -> None:
        if size is None:
            values = self._above_mark()
        else:
            values = self._stack[len(self._stack) - size :]
            del self._stack[-size:]
            if len(values) != size:
                raise Refused("a tuple of more values than there are")
        self._stack.append(tuple(values))

    def _dict(self, _: object) -> None:
        values = self._above_mark()
        self._stack.append({})
        self._fill(values)

    def _set_items(self, many: bool) -> None:
        values = self._above_mark() if many else [self._stack.pop() for _ in "kv"][::-1]
        self._fill(values)

    def _fill(self, values: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise Refused(f"{len(values)} keys and values for a {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int | float | bytes | None):
                raise Refused(f"a key of type {type(key).__name__}")
            target[key] = value

    def _global(self, name: object) -> None:
        """A name; `name` is "module name", or None for the two texts on the stack."""
        if name is None:
            attribute, module = self._stack.pop(), self._stack.pop()
        else:
            module, _, attribute = str(name).partition(" ")
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise Refused("the name of a global is no text")
        text = f"{module}.{attribute}"
        if text not in MAKERS:
            raise Refused(f"the pickle asks for {text:.120}, which is refused")
        self._stack.append(Name(text))

    def _reduce(self, _: object) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise Refused(f"a call of a {type(name).__name__}")
        made = MAKERS[name.text](name.text, arguments)
        self._bytes_left -= len(made) if isinstance(made, str | bytes) else 0
        if self._bytes_left < 0:
            raise Refused(f"calls of {name.text} make far more than the file holds")
        self._stack.append(made)

    def _build(self, _: object) -> None:
        state = self._stack.pop()
        set_state(self._stack[-1], state)


_Step = Callable[[Machine, object], None]
_STEPS: dict[str, _Step] = {
    "MARK": Machine._mark, "POP": Machine._pop, "POP_MARK": Machine._pop_mark, "DUP": Machine._duplicate,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    "EMPTY_LIST": lambda m, _: m._empty(list), "EMPTY_DICT": lambda m, _: m._empty(dict),
    "EMPTY_TUPLE": lambda m, _: m._empty(tuple), "LIST": Machine._list, "DICT": Machine._dict,
    "APPEND": lambda m, _: m._append(False), "APPENDS": lambda m, _: m._append(True),
    "TUPLE": lambda m, _: m._tuple(None), "TUPLE1": lambda m, _: m._tuple(1), "TUPLE2": lambda m, _: m._tuple(2),
    "TUPLE3": lambda m, _: m._tuple(3), "SETITEM": lambda m, _: m._set_items(False),
    "SETITEMS": lambda m, _: m._set_items(True), "GLOBAL": Machine._global, "STACK_GLOBAL": Machine._global,
    "REDUCE": Machine._reduce, "BUILD": Machine._build,
}  # fmt: skip
