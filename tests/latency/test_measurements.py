"""Tables of measured times: what is written is read back, and a bad cell is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.errors import InputError
from hwsim.latency.measurements import COLUMNS, Measurement, read, write
from hwsim.latency.shapes import conv, linear, matmul, memory

KERNEL = Measurement(
    "v100", "eager", "fp16", "nhwc", "conv2d", "a, \"b\"\nc", 8, conv(64, 64, (56, 56), (3, 3)), 41.25, 0.02, 50, "test"
)  # fmt: skip
NETWORK = replace(KERNEL, operator="network", name="timm:resnet50", shape=None)


@pytest.mark.exact
def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    shapes = (None, conv(8, 8, (7, 9), (1, 5), 2, 8), linear(196, 768, 3072), matmul(12, 196, 64, 196), memory(0, 7))
    rows = [replace(KERNEL, shape=shape) for shape in shapes]
    write(tmp_path / "rows.csv", rows)
    assert read(tmp_path / "rows.csv") == rows


@pytest.mark.property
@given(
    us=st.floats(min_value=0.001, max_value=1e9),
    text=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1),
)
def test_any_time_and_name_come_back(tmp_path_factory: pytest.TempPathFactory, us: float, text: str) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    write(path, [replace(NETWORK, name=text, latency_us=us)])
    (row,) = read(path)
    assert row.name == text and row.latency_us == pytest.approx(us, abs=1e-6)


def test_a_table_of_a_spreadsheet_with_its_mark_and_without_optional_columns(tmp_path: Path) -> None:
    write(tmp_path / "full.csv", [NETWORK])
    header, cells = (tmp_path / "full.csv").read_text().splitlines()
    keep = [i for i, name in enumerate(COLUMNS) if name not in ("layout", "spread", "samples", "source")]
    lines = [",".join(line.split(",")[i] for i in keep) for line in (header, cells)]
    (tmp_path / "slim.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    assert read(tmp_path / "slim.csv") == [replace(NETWORK, layout="nchw", spread=0.0, samples=1, source="")]


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("batch", "0", "batch = '0'"), ("batch", "1.5", "batch = '1.5'"), ("batch", "", "batch is empty"),
        ("latency_us", "-3", "latency_us = '-3'"), ("latency_us", "nan", "latency_us = 'nan'"),
        ("latency_us", "inf", "latency_us = 'inf'"), ("kind", "conv4x4", "kind = 'conv4x4'"),
        ("rows", "0", "rows = '0'"),
        ("device", "", "device is empty"), ("runtime", "", "runtime is empty"), ("spread", "-0.1", "spread = '-0.1'"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_named_with_its_line(tmp_path: Path, column: str, cell: str, said: str) -> None:
    path = tmp_path / "rows.csv"
    write(path, [replace(KERNEL, name="x")])
    header, cells = path.read_text().splitlines()
    values = cells.split(",")
    values[COLUMNS.index(column)] = cell
    path.write_text(f"{header}\n{','.join(values)}\n")
    with pytest.raises(InputError) as error:
        read(path)
    assert error.value.message == said and error.value.where == f"{path}:2" and error.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "column 'device' is missing"), ("device,devise\n", "unknown column 'devise'"),
        ("device,device\n", "column 'device' is there twice"), ("\xff\xfe", "unknown column"),
    ],
)  # fmt: skip
def test_columns_are_checked(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read(tmp_path / "rows.csv")


def test_more_cells_than_columns_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write(path, [NETWORK])
    path.write_text(path.read_text().rstrip() + ",surplus\n")
    with pytest.raises(InputError, match="more cells than columns"):
        read(path)
    for bad in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match=str(bad)):
            read(bad)
    path.write_bytes(b"device,runtime\n\xff\xfe\n")
    with pytest.raises(InputError, match="utf-8"):
        read(path)
