"""Pickles are read as data: plain ones give what pickle gives, all others are refused before anything of them runs."""

from __future__ import annotations

import collections
import datetime
import os
import pickle
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.errors import InputError
from hwsim.latency.importers.plain_pickle import array, load_plain

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


def loaded(folder: Path, data: bytes) -> Any:
    path = folder / "data.pickle"
    path.write_bytes(data)
    return load_plain(path)


def refusal(folder: Path, data: bytes) -> str:
    with pytest.raises(InputError) as error:
        loaded(folder, data)
    assert error.value.where.startswith(str(folder)) and error.value.hint
    return error.value.message


@pytest.mark.property
@given(value=plain, protocol=st.sampled_from(PROTOCOLS))
def test_plain_data_is_what_pickle_reads(tmp_path_factory: pytest.TempPathFactory, value: Any, protocol: int) -> None:
    assert loaded(tmp_path_factory.mktemp("plain"), pickle.dumps(value, protocol)) == value


@pytest.mark.exact
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("module", [b"numpy._core", b"numpy.core"])
def test_numpy_arrays_and_scalars_are_made_from_their_bytes(tmp_path: Path, protocol: int, module: bytes) -> None:
    grid = np.arange(6.0).reshape(2, 3)
    wanted = [
        np.float64(1.5), np.float32(-2), np.int64(7), np.bool_(True), np.str_("arch"), np.arange(5, dtype=">i4"),
        np.array([1.0, 2.0]), grid, np.asfortranarray(grid), np.array(["a", "bcd"]), grid.astype(np.float16),
    ]  # fmt: skip
    data = pickle.dumps(wanted, protocol)
    if protocol < 4:  # later ones hold the lengths of names
        data = data.replace(b"numpy._core", module)
    for got, value in zip(loaded(tmp_path, data), wanted, strict=True):
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(array(got), value)
        else:
            assert got == value.item() and type(got) is type(value.item())


class Reduces:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def payloads(target: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that would make the file `target` if they were run, by opcode, and the name to be refused."""
    command = f"touch {target}".encode()
    text = struct.pack("<I", len(command)) + command
    system, posix = b"cos\nsystem\n", b"\x8c\x05posix\x8c\x06system\x93"
    shell = b"X" + text
    return {
        **{f"reduce {p}": (pickle.dumps(Reduces(os.system, command.decode()), p), "posix.system") for p in PROTOCOLS},
        "global": (system + b"(S'" + command + b"'\ntR.", "os.system"),
        "stack_global": (b"\x80\x04" + posix + shell + b"\x85R.", "posix.system"),
        "inst": (b"(S'" + command + b"'\nios\nsystem\n.", "os system"),
        "obj": (b"\x80\x02(" + system + shell + b"o.", "os.system"),
        "newobj": (b"\x80\x02csubprocess\nPopen\n" + shell + b"\x85\x81.", "subprocess.Popen"),
        "newobj_ex": (b"\x80\x04csubprocess\nPopen\n" + shell + b"\x85}\x92.", "subprocess.Popen"),
        "build": (b"\x80\x02csite\n_Printer\n)\x81}b.", "site._Printer"),
        "memoised": (b"\x80\x04" + posix + b"\x940h\x00" + shell + b"\x85R.", "posix.system"),
        "memoised names": (
            b"\x80\x04\x8c\x06system\x94\x8c\x05posix\x940h\x01h\x00\x93" + shell + b"\x85R.", "posix.system"
        ),
        "after the value": (b"}." + system + shell + b"\x85R.", ""),
        "eval": (b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),
        "getattr": (b"cbuiltins\ngetattr\n(cos\nsystem\ntR.", "builtins.getattr"),
        "nested name": (b"\x80\x04\x8c\x05numpy\x8c\x10core.os.system.x\x93.", "numpy.core.os.system.x"),
        "numpy load": (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
        "numpy runstring": (b"cnumpy.testing._private.utils\nrunstring\n(S'x'\n}tR.", "numpy.testing"),
        "copyreg": (pickle.dumps(Plain(), 0), "copy_reg._reconstructor"),
        "copyreg 2": (b"ccopyreg\n__newobj__\n(cos\nPathLike\ntR.", "copyreg.__newobj__"),
        "extension": (b"\x80\x02\x82\x01.", "opcode EXT1 (1)"),
        "extension 2": (b"\x80\x02\x83\x01\x00.", "opcode EXT2 (1)"),
        "extension 4": (b"\x80\x02\x84\x01\x00\x00\x00.", "opcode EXT4 (1)"),
        "persistent": (b"Pos.system\n.", "opcode PERSID ('os.system')"),
        "persistent 2": (b"\x80\x02X\x01\x00\x00\x00aQ.", "opcode BINPERSID"),
        "buffer": (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
    }  # fmt: skip


class Plain:
    """An object of a class that this reader does not know."""


@pytest.mark.exact
def test_nothing_of_a_malicious_pickle_runs_and_the_refused_name_is_said(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for name, (data, said) in payloads(target).items():
        if said:
            assert said in refusal(tmp_path, data), name
        else:
            assert loaded(tmp_path, data) == {}
        assert not target.exists(), name


def test_the_payloads_would_run(tmp_path: Path) -> None:
    """The test above means something: pickle itself runs these."""
    for name in ("reduce 0", "reduce 5", "global", "stack_global", "inst", "obj", "memoised names"):
        target = tmp_path / name.replace(" ", "_")
        pickle.loads(payloads(target)[name][0])
        assert target.exists(), name


@pytest.mark.parametrize(
    "value", [datetime.date(2020, 1, 1), collections.OrderedDict(a=1), {1, 2}, frozenset(), 1j, Path]
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_sets_and_classes_are_refused(tmp_path: Path, value: Any, protocol: int) -> None:
    assert "refused" in refusal(tmp_path, pickle.dumps(value, protocol))


@pytest.mark.parametrize(
    "value",
    [np.array([{}]), np.zeros(2, "i4,f8"), np.datetime64("2020"), np.ma.array([1]), np.zeros(1, "c8"), np.dtype("O")],
)
def test_arrays_of_objects_and_structures_are_refused(tmp_path: Path, value: Any) -> None:
    assert refusal(tmp_path, pickle.dumps(value, 4))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x80\x02cnumpy\ndtype\n}b.", "a state for a numpy.dtype"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "opcode NEWOBJ is refused, of numpy.ndarray"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "a call of numpy.ndarray"),
        (b"\x80\x02K\x01)R.", "a call of a int"),
        (b"\x80\x02K\x01K\x02a.", "an append to a int"),
        (b"\x80\x02]K\x01K\x02s.", "2 keys and values for a list"),
        (b"\x80\x02})K\x01s.", "a key of type tuple"),
        (b"\x80\x02}(K\x01u.", "1 keys and values"),
        (b"\x80\x02K\x01t.", "without its MARK"),
        (b"\x80\x02K\x01K\x02.", "2 values are left"),
        (b"\x80\x02K\x01\x86.", "a tuple of more values"),
        (b"\x80\x02h\x07.", "not a pickle"),
        (b"\x80\x04K\x01K\x02\x93.", "the name of a global is no text"),
        (b".", "0 values are left"), (b"\x80\x02", "not a pickle"),
        (b"\xff\xff", "not a pickle"), (b"0.", "not a pickle"),
    ],
)  # fmt: skip
def test_confused_and_truncated_pickles_are_errors(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in refusal(tmp_path, data)


@pytest.mark.property
@given(cut=st.integers(min_value=1, max_value=200), noise=st.binary(max_size=8))
def test_cut_and_noisy_pickles_are_errors_or_data(
    tmp_path_factory: pytest.TempPathFactory, cut: int, noise: bytes
) -> None:
    data = pickle.dumps({"a": [1.5, np.float64(2), np.arange(3)], "b": ("x",) * 3}, 4)
    found = None
    with suppress(InputError):
        found = loaded(tmp_path_factory.mktemp("noise"), data[:cut] + noise + data[cut + len(noise) :])
    assert not callable(found) and type(found).__module__ in ("builtins", "numpy")


@pytest.mark.timeout(20)
def test_bombs_end_at_once(tmp_path: Path) -> None:
    """Declared sizes, memo indices, depth, doubling and repeated calls; each would cost pickle memory or time."""

    def sized(code: bytes, form: str, size: int) -> bytes:
        return b"\x80\x04" + code + struct.pack(form, size) + b"x."

    for data in (
        sized(b"\x8e", "<Q", 2**40),
        sized(b"\x8d", "<Q", 2**62),
        sized(b"B", "<I", 2**31),
        sized(b"\x96", "<Q", 2**40),
    ):
        assert "not a pickle" in refusal(tmp_path, data)
    assert loaded(tmp_path, b"\x80\x02K\x01r\xff\xff\xff\xff.") == 1
    assert "not a pickle" in refusal(tmp_path, b"I" + b"9" * 10_000 + b"\n.")
    deep = loaded(tmp_path, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    assert len(deep) == 1
    doubled = b"\x80\x02" + b")" + b"2\x86" * 200 + b"}q\x00" + b"00."  # a tuple whose hash takes 2^200 steps
    assert refusal(tmp_path, doubled)
    assert "key of type tuple" in refusal(tmp_path, b"\x80\x02})" + b"2\x86" * 200 + b"K\x01s.")
    loop = loaded(tmp_path, b"\x80\x02]q\x00h\x00a.")
    assert loop[0] is loop
    call = b"h\x00h\x01h\x02\x86R"
    text = b"X" + struct.pack("<I", 2**20) + b"a" * 2**20
    many = b"\x80\x02](c_codecs\nencode\nq\x00" + text + b"q\x01X\x06\x00\x00\x00latin1q\x02" + call * 100_000 + b"e."
    assert "far more than the file holds" in refusal(tmp_path, many)


def test_arrays_of_more_elements_than_bytes_are_errors(tmp_path: Path) -> None:
    data = pickle.dumps(np.zeros(3), 2).replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85")
    assert "not a pickle" in refusal(tmp_path, data)
