"""Traces of torch.profiler: real ones made here on the CPU, one with CUDA kernels made by hand from kineto's fields."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from hwsim.core.errors import InputError
from hwsim.latency.importers import Imported, read_measurements
from hwsim.latency.shapes import conv, linear, matmul, memory

IMAGE = nn.Sequential(
    nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=2, dilation=2,
    groups=16), nn.Conv2d(16, 8, 1, bias=False), nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    nn.Linear(8, 10), nn.LayerNorm(10), nn.GELU(), nn.Softmax(-1),
).eval()  # fmt: skip


def traced(folder: Path, run: Any, times: int = 3, shapes: bool = True, **labels: Any) -> Imported:
    path = folder / "trace.json"
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], record_shapes=shapes) as recorder:
        for _ in range(times):
            run()
    recorder.export_chrome_trace(str(path))
    return read_measurements(path, **{"device": "cpu"} | labels)


@pytest.mark.exact
def test_a_real_trace_of_a_network_of_images(tmp_path: Path) -> None:
    found = traced(tmp_path, lambda: IMAGE(torch.rand(2, 3, 32, 32)))
    rows = {row.name: row for row in found.rows if row.operator != "conv2d"}
    dilated = replace(conv(16, 16, (16, 16), (3, 3), 1, 16), kind="depthwise")
    assert [row.shape for row in found.rows if row.operator == "conv2d"] == [
        conv(3, 16, (32, 32), (3, 3), 2), dilated, conv(16, 8, (16, 16), (1, 1)),
    ]  # fmt: skip
    assert {name: row.shape for name, row in rows.items()} == {
        "aten::batch_norm": memory(4096, 4096), "aten::relu": memory(4096, 4096),
        "aten::max_pool2d": memory(2048, 512), "aten::adaptive_avg_pool2d": memory(512, 8),
        "aten::addmm": linear(2, 8, 10), "aten::native_layer_norm": memory(20, 20), "aten::gelu": memory(20, 20),
        "aten::_softmax": memory(20, 20),
    }  # fmt: skip
    for row in found.rows:
        assert (row.samples, row.precision, row.layout, row.device, row.runtime) == (3, "fp32", "nchw", "cpu", "eager")
        assert row.latency_us > 0 and row.batch == (
            2 if row.operator in ("conv2d", "relu", "batch_norm") else row.batch
        )
    assert {"aten::rand", "aten::flatten"} <= {s.name for s in found.skipped}
    assert all(s.count % 3 == 0 and s.latency_us > 0 for s in found.skipped)


@pytest.mark.exact
def test_a_real_trace_of_products(tmp_path: Path) -> None:
    tokens, weights = torch.rand(4, 8, 16), nn.Linear(16, 5, bias=False)

    def run() -> None:
        weights(tokens)
        tokens @ tokens.transpose(1, 2)
        torch.mm(tokens[0], tokens[0].T)
        tokens + tokens[0]
        torch.baddbmm(torch.rand(4, 8, 8), tokens, tokens.transpose(1, 2))

    rows = {(row.name, row.operator): row.shape for row in traced(tmp_path, run).rows}
    assert rows == {
        ("aten::mm", "linear"): linear(32, 16, 5), ("aten::mm", "matmul"): matmul(1, 8, 8, 16),
        ("aten::bmm", "matmul"): matmul(4, 8, 8, 16), ("aten::baddbmm", "matmul"): matmul(4, 8, 8, 16),
        ("aten::add", "add"): memory(512 + 128, 512),
    }  # fmt: skip


@pytest.mark.exact
def test_layouts_and_precisions_of_real_traces(tmp_path: Path) -> None:
    images = torch.rand(2, 8, 6, 6)
    layer = nn.Conv2d(8, 8, 3, padding=1)
    last = images.to(memory_format=torch.channels_last)
    half, brain = images.half(), images.bfloat16()

    def run() -> None:
        layer(last), torch.relu(half), torch.relu(brain), torch.sigmoid(images.double())

    found = traced(tmp_path, run)
    assert [(r.operator, r.layout, r.precision) for r in found.rows if r.operator in ("conv2d", "relu")] == [
        ("conv2d", "nhwc", "fp32"), ("relu", "nchw", "fp16"), ("relu", "nchw", "bf16"),
    ]  # fmt: skip
    assert "'double' is not one of" in {s.name: s.reason for s in found.skipped}["aten::sigmoid"]
    (row,) = [r for r in traced(tmp_path, run, precision="tf32").rows if r.operator == "conv2d"]
    assert row.precision == "tf32"


@pytest.mark.exact
def test_convolutions_that_are_not_one_known_shape_are_skipped(tmp_path: Path) -> None:
    images = torch.rand(1, 4, 8, 8)
    layers = [nn.ConvTranspose2d(4, 4, 3), nn.Conv2d(4, 4, 3, stride=(1, 2)), nn.Conv2d(4, 4, 3)]
    found = traced(tmp_path, lambda: [layer(images) for layer in layers] + [nn.Conv1d(4, 4, 3)(images[:, :, 0])])
    assert [row.shape for row in found.rows if row.operator == "conv2d"] == [conv(4, 4, (8, 8), (3, 3), padding=(0, 0))]
    reasons = {s.reason for s in found.skipped if s.name == "aten::convolution"}
    assert any("transposed" in r for r in reasons) and any("rank 4" in r for r in reasons)


def test_a_trace_without_shapes_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="record_shapes=True"):
        traced(tmp_path, lambda: torch.relu(torch.rand(3)), shapes=False)


def operator(
    name: str, ts: float, dur: float, identity: int, dims: list[Any], values: list[str] | None = None
) -> dict[str, Any]:
    args: dict[str, Any] = {"External id": identity, "Input Dims": dims, "Input type": ["c10::Half"] * len(dims)}
    args["Input Strides"] = [[1] * len(d) for d in dims]
    args |= {"Concrete Inputs": values} if values else {}
    return {"ph": "X", "cat": "cpu_op", "name": name, "pid": 1, "tid": 1, "ts": ts, "dur": dur, "args": args}


def launch(ts: float, correlation: int, identity: int = 0) -> dict[str, Any]:
    args = {"cbid": 211, "correlation": correlation} | ({"External id": identity} if identity else {})
    return {
        "ph": "X",
        "cat": "cuda_runtime",
        "name": "cudaLaunchKernel",
        "pid": 1,
        "tid": 1,
        "ts": ts,
        "dur": 2,
        "args": args,
    }


def kernel(name: str, dur: float, correlation: int = 0, identity: int = 0, cat: str = "kernel") -> dict[str, Any]:
    args: dict[str, Any] = {"device": 0, "stream": 7, "grid": [1, 1, 1]}
    args |= {"correlation": correlation} if correlation else {}
    args |= {"External id": identity} if identity else {}
    return {"ph": "X", "cat": cat, "name": name, "pid": 0, "tid": 7, "ts": 1e6 + correlation, "dur": dur, "args": args}


CONV = ([[2, 8, 6, 6], [8, 8, 3, 3], [8]], ["", "", "", "[1, 1]", "[1, 1]", "[1, 1]", "False", "[0, 0]", "1"])


def cuda_events() -> list[dict[str, Any]]:
    """A convolution of two kernels (its own and a bias), a product, a normalisation nobody knows, a lost kernel."""
    return [
        {"ph": "M", "name": "process_name", "pid": 0, "args": {"name": "python"}},
        operator("aten::conv2d", 0, 100, 1, *CONV), operator("aten::convolution", 5, 90, 2, *CONV),
        operator("aten::cudnn_convolution", 10, 40, 3, CONV[0]), launch(20, 101), kernel("xmma_fprop", 30.0, 101),
        operator("aten::add_", 60, 20, 4, [[2, 8, 6, 6], [1, 8, 1, 1]]),
        launch(65, 102, 4), kernel("elementwise", 4.0, 102),
        operator("aten::addmm", 200, 30, 5, [[10], [4, 8], [8, 10]]), kernel("gemm", 11.0, identity=5),
        operator("aten::addmm", 300, 30, 6, [[10], [4, 8], [8, 10]]), kernel("gemm", 13.0, identity=6),
        operator("aten::view", 400, 3, 7, [[4, 10]]),
        operator("aten::group_norm", 500, 30, 8, [[2, 8, 6, 6]]), launch(505, 103), kernel("RowwiseMoments", 7.0, 103),
        kernel("graph_kernel", 9.0, 999),
        operator("aten::relu", 600, 5, 9, [[4]]),
        operator("aten::copy_", 700, 9, 10, [[4], [4]]),
        launch(701, 104), kernel("Memcpy DtoD", 2.0, 104, cat="gpu_memcpy"),
        operator("aten::copy_", 800, 9, 11, [[4], [4]]),
        launch(801, 105), kernel("Memcpy HtoD (Pageable -> Device)", 50.0, 105, cat="gpu_memcpy"),
    ]  # fmt: skip


def read_events(folder: Path, value: object, **labels: Any) -> Imported:
    (folder / "cuda.json").write_text(json.dumps(value))
    return read_measurements(folder / "cuda.json", **{"device": "v100"} | labels)


@pytest.mark.exact
@pytest.mark.parametrize("whole", [True, False])
def test_kernels_count_for_the_operator_that_launched_them(tmp_path: Path, whole: bool) -> None:
    events = cuda_events()
    found = read_events(tmp_path, {"schemaVersion": 1, "traceEvents": events} if whole else events)
    assert {row.name: (row.latency_us, row.samples) for row in found.rows} == {
        "aten::convolution": (34.0, 1), "aten::addmm": (12.0, 2), "aten::copy_": (2.0, 1)
    }  # fmt: skip
    (first, second, _) = found.rows
    assert first.shape == conv(8, 8, (6, 6), (3, 3)) and first.batch == 2 and first.precision == "fp16"
    assert second.shape == linear(4, 8, 10) and "kernels" in second.source
    assert {s.name: (s.latency_us, s.count) for s in found.skipped} == {
        "graph_kernel": (9.0, 1), "aten::group_norm": (7.0, 1), "aten::relu": (0.0, 1), "aten::copy_": (0.0, 1),
        "Memcpy HtoD (Pageable -> Device)": (50.0, 1),
    }  # fmt: skip
    total = sum(r.latency_us * r.samples for r in found.rows) + sum(s.latency_us for s in found.skipped)
    assert total == sum(e["dur"] for e in events if e.get("cat") in ("kernel", "gpu_memcpy"))


@pytest.mark.exact
def test_fields_as_torch_before_2_wrote_them(tmp_path: Path) -> None:
    text = json.dumps(cuda_events()).replace('"External id"', '"external id"').replace("Input Dims", "Input dims")
    events = json.loads(
        text.replace('"cpu_op"', '"Operator"').replace('"kernel"', '"Kernel"').replace('"cuda_runtime"', '"Runtime"')
    )
    rows = read_events(tmp_path, {"traceEvents": events}).rows
    assert {row.name: row.latency_us for row in rows} == {
        "aten::convolution": 34.0, "aten::addmm": 12.0, "aten::copy_": 2.0
    }  # fmt: skip


@pytest.mark.exact
def test_a_convolution_without_its_numbers_is_skipped(tmp_path: Path) -> None:
    events = [operator("aten::convolution", 0, 9, 1, CONV[0]), operator("aten::relu", 20, 9, 2, [[1, 2, 3, 4]])]
    (skipped,) = read_events(tmp_path, {"traceEvents": events}).skipped
    assert skipped.name == "aten::convolution" and "torch 2.1" in skipped.reason


@pytest.mark.parametrize(
    ("name", "dims", "values"),
    [
        ("aten::convolution", CONV[0], ["", "", "", "[1, 1", *CONV[1][4:]]),
        ("aten::convolution", CONV[0], [*CONV[1][:8], "3"]), ("aten::convolution", CONV[0], [*CONV[1][:8], "[]"]),
        ("aten::convolution", CONV[0], ["", "", "", "[0, 0]", *CONV[1][4:]]),
        ("aten::convolution", CONV[0], ["", "", "", "[" * 5000, *CONV[1][4:]]),
        ("aten::convolution", [[1, 8, 2, 2], [8, 8, 5, 5], [8]], ["", "", "", "[1]", "[0]", *CONV[1][5:]]),
        ("aten::addmm", [[10], [4, 8], [9, 10]], None), ("aten::addmm", [[10], [4, 8]], None),
        ("aten::mm", ["a", 3], None),
        ("aten::bmm", [[2, 3, 4], [3, 4, 5]], None), ("aten::bmm", [], None), ("aten::add", [[3], [4]], None),
        ("aten::cat", [[3, 4]], None), ("aten::cat", [[]], None), ("aten::relu", [[]], None),
        ("aten::relu", [[0, 3]], None),
        ("aten::relu", [[-1, 3]], None), ("aten::relu", [[1.5]], None), ("aten::relu", ["abc"], None),
        ("aten::max_pool2d", [[1, 8, 4, 4]], ["", "[2, 2]", "[]", "[0, 0]", "[1, 1]", "True"]),
        ("aten::max_pool2d", [[1, 8, 4, 4]], ["", "[2, 2, 2]", "[]", "[0, 0]"]),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_skipped(tmp_path: Path, name: str, dims: list[Any], values: Any) -> None:
    event = operator(name, 0, 9, 1, [], values)
    event["args"] |= {"Input Dims": dims, "Input type": ["float"] * 3}
    found = read_events(tmp_path, [event, operator("aten::tanh", 20, 9, 2, [[3]])])
    assert [r.name for r in found.rows] == ["aten::tanh"] and [s.name for s in found.skipped] == [name]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"traceEvents": 3}, "'traceEvents' is missing"), ({"traceEvents": []}, "no operator"),
        ({"traceEvents": [{"ph": "X", "cat": "cpu_op", "ts": "1", "dur": 2}]}, "ts = '1'"),
        ({"traceEvents": [{"ph": "X", "cat": "cpu_op", "ts": 1, "dur": -2}]}, "dur = -2"),
        ({"traceEvents": [{"ph": "X", "cat": "cpu_op", "ts": 1}]}, "dur = None"),
        ({"traceEvents": ["a", 3, None, {"ph": "M"}]}, "no operator"),
        ({"traceEvents": [operator("aten::view", 1, 2, 3, [[1]])]}, "no measurement"),
    ],
)  # fmt: skip
def test_bad_traces_are_errors(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_events(tmp_path, value)
    assert message in error.value.message and str(tmp_path) in error.value.where and error.value.hint


def test_a_trace_needs_its_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not say its device"):
        read_events(tmp_path, cuda_events(), device="")


def test_operators_nested_ten_thousand_deep_end(tmp_path: Path) -> None:
    deep = [operator("a", i, 2e4 - i, i + 1, [[1]]) for i in range(10_000)]
    assert len(read_events(tmp_path, [*deep, operator("aten::relu", 1e4, 1, 99_999, [[3]])]).rows) == 1
