"""CSV tables written by hand: units from the column's name, shapes from the operator, and errors that name the cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwsim.core.errors import InputError
from hwsim.latency.importers import Imported, read_measurements
from hwsim.latency.measurements import Measurement, write
from hwsim.latency.shapes import conv, linear, matmul, memory


def table(folder: Path, text: str, **labels: Any) -> Imported:
    path = folder / "rows.csv"
    path.write_text(text)
    return read_measurements(path, **{"device": "v100", "runtime": "eager", "precision": "fp32"} | labels)


@pytest.mark.exact
@pytest.mark.parametrize(("unit", "cell"), [("ms", "0.041"), ("us", "41"), ("ns", "41000"), ("s", "0.000041")])
def test_units_come_from_the_column(tmp_path: Path, unit: str, cell: str) -> None:
    found = table(tmp_path, f"op,batch,cin,h,w,cout,kernel,latency_{unit}\nconv2d,4,64,56,56,64,3,{cell}\n")
    (row,) = found.rows
    assert found.format == "CSV with op and latency" and not found.skipped
    assert row.latency_us == pytest.approx(41) and row.batch == 4 and row.shape == conv(64, 64, (56, 56), (3, 3))
    assert (row.device, row.runtime, row.precision, row.layout) == ("v100", "eager", "fp32", "nchw")


@pytest.mark.exact
def test_every_operator_has_its_shape(tmp_path: Path) -> None:
    text = """op,cin,h,w,cout,kernel,stride,padding,groups,rows,cols,depth,count,name,latency_us
conv2d,8,9,11,16,3x1,2,0x1,4,,,,,,1
linear,768,,,3072,,,,,197,,,,,1
matmul,,,,,,,,,197,64,32,12,,1
add,8,4,4,,,,,,,,,,,1
relu,8,4,4,,,,,,,,,,first,1
network,,,,,,,,,,,,,timm:resnet50,1
"""
    rows = table(tmp_path, text).rows
    assert [row.shape for row in rows] == [
        conv(8, 16, (9, 11), (3, 1), 2, 4, (0, 1)), linear(197, 768, 3072), matmul(12, 197, 64, 32), memory(256, 128),
        memory(128, 128), None,
    ]  # fmt: skip
    assert [row.operator for row in rows] == ["conv2d", "linear", "matmul", "add", "relu", "network"]
    assert [row.name for row in rows] == ["", "", "", "", "first", "timm:resnet50"]


@pytest.mark.exact
def test_cells_win_over_what_was_said(tmp_path: Path) -> None:
    header = "op,rows,cin,cout,device,runtime,precision,layout,samples,spread,source,latency_us"
    (row,) = table(tmp_path, f"{header}\nlinear,1,2,3,t4,compiled,int8,nhwc,7,0.1,mine,5\n").rows
    assert row == Measurement(
        "t4", "compiled", "int8", "nhwc", "linear", "", 1, linear(1, 2, 3), 5.0, 0.1, 7, "mine"
    )  # fmt: skip


@pytest.mark.exact
def test_hwsims_own_table_is_read_as_it_is(tmp_path: Path) -> None:
    row = Measurement("t4", "eager", "fp16", "nchw", "linear", "fc", 2, linear(1, 8, 9), 3.5, 0.1, 9, "x")
    write(tmp_path / "own.csv", [row])
    found = read_measurements(tmp_path / "own.csv")
    assert found.rows == (row,) and found.format == "hwsim table"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("op,batch,kernal,latency_ms\n", "unknown column 'kernal'", "did you mean 'kernel'?"),
        ("op,latency_msec\n", "unknown column 'latency_msec'", "did you mean 'latency_ms'?"),
        ("op,batch\n", "column 'latency_us' is missing", "wanted: op, latency_us"),
        ("op,latency_us,latency_ms\n", "2 columns of latencies", "keep one"),
        ("batch,latency_us\n", "column 'op' is missing", "wanted"),
        ("op,latency_us\nconv,1\n", "op = 'conv'", "did you mean 'conv2d'?"),
        ("op,latency_us,cin\nrelu,1,0\n", "cin = '0'", "above 0"),
        ("op,latency_us,cin\nrelu,1,\n", "cin is empty", "above 0"),
        ("op,latency_us,cin\nrelu,0,3\n", "latency_us = '0'", "above 0"),
        ("op,latency_us,name\nnetwork,1,\n", "a network without a name", "MODEL"),
        ("op,latency_us,precision,cin\nrelu,1,fp17,3\n", "precision = 'fp17'", "did you mean 'fp16'?"),
        ("op,cin,h,w,cout,kernel,latency_us\nconv2d,3,8,8,4,3y3,1\n", "kernel = '3y3'", "above 0"),
        ("op,cin,h,w,cout,kernel,latency_us\nconv2d,3,8,8,4,3x,1\n", "kernel (the second) = ''", "above 0"),
        ("op,cin,h,w,cout,kernel,padding,latency_us\nconv2d,3,4,4,4,5,0,1\n", "kernel = '5' is larger", "h and w"),
        ("op,cin,h,w,cout,kernel,groups,latency_us\nconv2d,6,8,8,4,3,4,1\n", "groups = 4", "divides"),
        ("op,latency_us\n", "no measurement in this CSV", "formats"),
    ],
)  # fmt: skip
def test_errors_name_the_column_and_the_next_step(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        table(tmp_path, text)
    assert message in error.value.message and hint in error.value.hint
    assert error.value.where.startswith(str(tmp_path / "rows.csv"))


@pytest.mark.parametrize("key", ["device", "runtime", "precision"])
def test_what_a_table_does_not_say_is_asked_for(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError, match=f"does not say its {key}"):
        table(tmp_path, "op,latency_us,cin\nrelu,1,3\n", **{key: ""})


@pytest.mark.parametrize(("key", "value"), [("runtime", "tensorrtt"), ("precision", "fp15")])
def test_labels_are_checked(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(InputError, match=f"{key} = {value!r}"):
        table(tmp_path, "op,latency_us,cin\nrelu,1,3\n", **{key: value})
