"""Splits for validation, the rows read, and the errors on stored synthesis results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.core.errors import InputError
from hwsim.cost_models.surface.catalogue import family
from hwsim.cost_models.surface.synthesised_rows import UnitRows, older_rows, shipped_rows
from hwsim.cost_models.surface.validate import HEADER, SPLITS, held_out, line, side_bits, splits


def pairs() -> UnitRows:
    formats = np.array([(2, 1), (3, 2), (4, 3), (5, 2)])
    w, a = np.meshgrid(np.arange(4), np.arange(4), indexing="ij")
    parameters = {
        "ew": formats[w.ravel(), 0],
        "mw": formats[w.ravel(), 1],
        "ea": formats[a.ravel(), 0],
        "ma": formats[a.ravel(), 1],
        "a_signed": np.ones(16),
    }
    return UnitRows(family("minifloat_mul"), parameters, {"lut": np.arange(16.0) + 20})


@pytest.mark.exact
def test_what_each_split_leaves_out() -> None:
    rows = pairs()
    same = rows.parameters["ew"] == rows.parameters["ea"]
    e4 = np.maximum(rows.parameters["ew"], rows.parameters["ea"]) >= 4
    sides = side_bits(rows.family.axis_columns(rows.parameters))
    assert sides is not None
    assert set(sides[0].tolist()) == {4, 6, 8}
    cut = {name: list(splits(rows, name)) for name in SPLITS}
    assert np.array_equal(sum(out.astype(int) for _, out in cut["random"]), np.ones(16))
    assert all(not (known & out).any() for folds in cut.values() for known, out in folds)
    assert np.array_equal(cut["mixed out"][0][1], ~same)
    assert np.array_equal(cut["E4, E5 out"][0][1], e4)
    assert np.array_equal(cut["8 bits out"][0][1], e4)  # E4M3 and E5M2 have eight bits
    assert np.array_equal(cut["8 bits and more out"][0][0], ~e4)


@pytest.mark.exact
def test_families_without_sides_have_no_such_split() -> None:
    rows = UnitRows(family("relu"), {"bits": np.arange(1.0, 13)}, {"lut": np.arange(1.0, 13)})
    assert held_out(rows, "8 bits out") is None
    found = held_out(rows, "random")
    assert found is not None and found.rows == 12 and found.median < 0.05
    assert len(line("relu", "random", found)) == len(HEADER)


@pytest.mark.exact
def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table"):
        shipped_rows(tmp_path / "none.csv")


@pytest.mark.truth
@pytest.mark.data
def test_older_rows_are_read(shared: Path) -> None:
    table = older_rows(shared / "fpga" / "mac_synthesis.csv")
    sizes = {name: len(rows) for name, rows in table.items()}
    assert (sizes["int_mul"], sizes["int_mac"], sizes["minifloat_mac"], sizes["int_dot"]) == (77, 93, 60, 27)
    assert (table["minifloat_mac"].counts["ff"] == table["minifloat_mac"].parameters["acc_bits"]).all()


@pytest.mark.truth
@pytest.mark.data
@pytest.mark.slow
def test_errors_on_older_rows(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On 93 integer and 60 minifloat MACs: better than the laws of the same rows, and intervals as stated."""
    table = older_rows(shared / "fpga" / "mac_synthesis.csv")
    for name in ("int_mac", "minifloat_mac"):
        for split in ("random", "8 bits and more out"):
            found = held_out(table[name], split)
            assert found is not None
            with capsys.disabled():
                print("\n" + line(name, split, found))
            if split == "random":
                assert found.median <= 0.03 and found.p90 <= 0.08
                assert found.median < found.linear < found.finn < found.product
                assert 0.85 <= found.cover <= 0.95
            else:
                assert found.p90 <= 0.15
