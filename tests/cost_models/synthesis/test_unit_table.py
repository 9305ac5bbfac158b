"""The table of synthesised units: written and read back, keys, damaged files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.integer import IntMac, IntMultiplier
from hwsim.cost_models.synthesis.cells import Cells
from hwsim.cost_models.synthesis.table import HEADER, Row, key_of, merged, read_table, row_of, write_table
from hwsim.cost_models.synthesis.yosys import FLOWS, Flow

BASE, TOOL = FLOWS["base"], "yosys 1.0"


def row(w_bits: int, lut6: int = 3) -> Row:
    return row_of(IntMultiplier(w_bits, 4, False), BASE, TOOL, Cells(lut2=w_bits, lut6=lut6, carry4=1), 1.234)


@pytest.mark.exact
def test_round_trip(tmp_path: Path) -> None:
    mac = row_of(IntMac(4, 4, True, 14), FLOWS["dsp"], TOOL, Cells(ff=14, dsp=1, lut6=7, ramb36=2), 0.5)
    rows = [row(10), mac, row(2)]
    path = tmp_path / "deep" / "units.csv"
    write_table(path, rows)
    found = read_table(path)
    assert set(found) == set(rows)
    assert [r.name for r in found] == ["int_mac_s4_s4_acc14", "int_mul_s2_u4", "int_mul_s10_u4"]
    assert found[0].values == {"w_bits": 4, "a_bits": 4, "a_signed": True, "acc_bits": 14}
    assert (found[1].lut, found[0].cells.bram18, found[1].seconds) == (5, 4, 1.23)
    before = path.read_bytes()
    write_table(path, reversed(found))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["units.csv"]


@pytest.mark.exact
def test_no_file_is_an_empty_table(tmp_path: Path) -> None:
    assert read_table(tmp_path / "none.csv") == []


@pytest.mark.exact
def test_a_key_changes_with_verilog_options_and_tool() -> None:
    unit = IntMultiplier(3, 4, False)
    keys = [
        key_of(unit, BASE.options, TOOL),
        key_of(IntMultiplier(3, 4, True), BASE.options, TOOL),
        key_of(unit, FLOWS["dsp"].options, TOOL),
        key_of(unit, BASE.options, "yosys 1.1"),
    ]
    assert len(set(keys)) == 4
    assert key_of(IntMultiplier(3, 4, False), BASE.options, TOOL) == keys[0]


@pytest.mark.exact
def test_new_rows_take_the_place_of_old_ones_of_the_same_unit_and_flow() -> None:
    other = replace(row(2), flow="dsp")
    assert set(merged([row(2), row(3), other], [row(2, lut6=9)])) == {row(2, lut6=9), row(3), other}


@pytest.mark.exact
@pytest.mark.parametrize("damage", ["header", "number", "sum", "parameters", "binary"])
def test_a_damaged_table_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "units.csv"
    write_table(path, [row(2)])
    text = path.read_text()
    changed = {
        "header": text.replace("muxf7", "muxf6"),
        "number": text.replace(",1.23", ",fast"),
        "sum": text.replace(row(2).key + ",5,", row(2).key + ",6,"),
        "parameters": text.replace('""w_bits"":2', '""w_bits"":'),
        "binary": "",
    }[damage]
    assert changed != text
    path.write_bytes(b"\xff\xfe\x00" if damage == "binary" else changed.encode())
    with pytest.raises(InputError) as error:
        read_table(path)
    assert error.value.where == str(path) and error.value.hint


@pytest.mark.exact
def test_the_header_holds_what_a_row_holds() -> None:
    assert HEADER[:7] == ("family", "name", "parameters", "flow", "options", "tool", "key")
    assert HEADER[7:14] == ("lut", "lut1", "lut2", "lut3", "lut4", "lut5", "lut6")
    assert len(set(HEADER)) == len(HEADER)
    assert isinstance(BASE, Flow) and "-nodsp" in BASE.options and "-nodsp" not in FLOWS["dsp"].options
