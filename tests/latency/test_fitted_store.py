"""Values to arrays and back, without pickles, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.latency.errors import Errors
from hwsim.latency.store import read, write


@dataclass(frozen=True, slots=True)
class Inner:
    values: NDArray[np.float64]
    name: str


@dataclass(frozen=True, slots=True)
class Outer:
    one: Inner
    many: tuple[Inner, ...]
    either: Inner | Errors
    nothing: Inner | None
    by_name: dict[str, NDArray[np.float64]]
    pair: tuple[float, float]


def value() -> Outer:
    inner = Inner(np.array([1.0, 2.5]), "a")
    errors = Errors((0.05, 0.5), (-0.1, 0.0), 0.9, 7)
    return Outer(inner, (inner, Inner(np.zeros((2, 3)), "b")), errors, None, {"x": np.array([3.0])}, (1.0, 2.0))


@pytest.mark.exact
def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write(path, {"outer": value(), "about": {"made_by": "test", "n": 3}})
    found = read(path, {"outer": Outer, "about": dict[str, Any]})
    outer = found["outer"]
    assert found["about"] == {"made_by": "test", "n": 3}
    assert outer.either == value().either and outer.nothing is None and outer.pair == (1.0, 2.0)
    assert [i.name for i in outer.many] == ["a", "b"] and outer.many[1].values.shape == (2, 3)
    assert np.array_equal(outer.one.values, [1.0, 2.5]) and np.array_equal(outer.by_name["x"], [3.0])
    again = tmp_path / "y.npz"
    write(again, {"outer": value(), "about": {"made_by": "test", "n": 3}})
    assert path.read_bytes() == again.read_bytes()


@pytest.mark.exact
def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"x\.npz"):
        read(path, {"outer": Outer})
    np.savez(path, layout=np.array([object()], dtype=object))
    with pytest.raises(InputError, match=r"x\.npz"):
        read(path, {"outer": Outer})
    write(path, {"outer": Inner(np.zeros(1), "no outer")})
    with pytest.raises(InputError, match=r"x\.npz"):
        read(path, {"outer": Outer})
