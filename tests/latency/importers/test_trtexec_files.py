"""trtexec's profiles and times: shapes of layers, what is skipped and why, and errors that say the next step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trtexec_files import FP16, INT8, NHWC, convolution, layer, profile, run, tensor

from hwsim.core.errors import InputError
from hwsim.latency.importers import Imported, read_measurements
from hwsim.latency.shapes import conv, linear, matmul, memory


def imported(folder: Path, times: object, layers: object | None = None, **labels: Any) -> Imported:
    (folder / "profile.json").write_text(json.dumps(times))
    if layers is not None:
        (folder / "layers.json").write_text(json.dumps(layers))
        labels["layers"] = folder / "layers.json"
    return read_measurements(folder / "profile.json", **{"device": "v100"} | labels)


def one(folder: Path, made: dict[str, Any], **labels: Any) -> Imported:
    return imported(folder, profile((made["Name"], 0.25)), {"Layers": [made], "Bindings": []}, **labels)


@pytest.mark.exact
def test_a_convolution_of_tensorrts_guide(tmp_path: Path) -> None:
    """The example layer of TensorRT's developer guide ("Engine Inspector"): 16 images, 1x1, 512 to 256 maps."""
    made = convolution("branch2a", [tensor(16, 512, 28, 28, text=INT8)], tensor(16, 256, 28, 28, text=INT8), 1)
    (row,) = one(tmp_path, made).rows
    assert row.shape == conv(512, 256, (28, 28), (1, 1)) and row.shape.weight_elements == 131072
    assert (row.batch, row.precision, row.runtime, row.operator, row.name) == (
        16,
        "int8",
        "tensorrt",
        "conv2d",
        "branch2a",
    )
    assert row.latency_us == pytest.approx(250) and row.samples == 200 and row.layout == "nchw"


@pytest.mark.exact
@pytest.mark.parametrize(
    ("made", "operator", "batch", "shape"),
    [
        (convolution("stem", [tensor(1, 3, 224, 224)], tensor(1, 32, 112, 112), 3, 2), "conv2d", 1,
         conv(3, 32, (224, 224), (3, 3), 2)),
        (convolution("dw", [tensor(2, 96, 56, 56)], tensor(2, 96, 56, 56), 3, groups=96), "conv2d", 2,
         conv(96, 96, (56, 56), (3, 3), 1, 96)),
        (convolution("add", [tensor(2, 8, 4, 4), tensor(2, 6, 4, 4)], tensor(2, 6, 4, 4), 1), "conv2d", 2,
         replace(conv(8, 6, (4, 4), (1, 1)), read_elements=8 * 16 + 6 * 16)),
        (convolution("dilated", [tensor(1, 8, 9, 9)], tensor(1, 8, 7, 7), 3, Dilation=[2, 2]), "conv2d", 1,
         replace(conv(8, 8, (9, 9), (3, 3), 1, 1, (0, 0), True))),
        (layer("fc", "MatrixMultiply", [tensor(4, 197, 768)], [tensor(4, 197, 3072)]), "linear", 4,
         linear(197, 768, 3072)),
        (layer("qk", "gemm", [tensor(2, 12, 197, 64), tensor(2, 12, 64, 197)], [tensor(2, 12, 197, 197)]), "matmul", 2,
         matmul(12, 197, 197, 64)),
        (layer("qkt", "gemm", [tensor(24, 64, 197), tensor(24, 64, 197)], [tensor(24, 197, 197)]), "matmul", 1,
         matmul(24, 197, 197, 64)),
        (layer("cast", "Reformat", [tensor(1, 3, 8, 8)], [tensor(1, 3, 8, 8)]), "reformat", 1, memory(192, 192)),
        (layer("pool", "Pooling", [tensor(3, 1280, 7, 7)], [tensor(3, 1280, 1, 1)]), "pooling", 3, memory(62720, 1280)),
        (layer("sum", "ElementWise", [tensor(2, 5), tensor(1, 5)], [tensor(2, 5)]), "elementwise", 1, memory(15, 10)),
    ],
)  # fmt: skip
def test_shapes_of_layers(tmp_path: Path, made: dict[str, Any], operator: str, batch: int, shape: object) -> None:
    found = one(tmp_path, made)
    assert not found.skipped, found.skipped
    (row,) = found.rows
    assert (row.operator, row.batch, row.shape, row.precision) == (operator, batch, shape, "fp32")


@pytest.mark.exact
@pytest.mark.parametrize(
    ("text", "tactic", "said", "precision", "layout"),
    [
        (FP16, "", "", "fp16", "nchw"), (NHWC, "", "fp32", "fp16", "nhwc"), ("Half", "", "", "fp16", "nchw"),
        ("Row major linear BFloat16 format", "", "", "bf16", "nchw"),
        ("Row major linear FP32", "", "fp16", "fp32", "nchw"),
        ("Row major linear FP32", "", "tf32", "tf32", "nchw"), ("FP32", "sm80_tf32_fprop", "", "tf32", "nchw"),
        ("N/A due to dynamic shapes", "", "int8", "int8", "nchw"),
    ],
)  # fmt: skip
def test_precision_and_layout(tmp_path: Path, text: str, tactic: str, said: str, precision: str, layout: str) -> None:
    made = convolution("c", [tensor(1, 8, 4, 4, text=text)], tensor(1, 8, 4, 4, text=text), 3, TacticName=tactic)
    (row,) = one(tmp_path, made, precision=said).rows
    assert (row.precision, row.layout) == (precision, layout)


@pytest.mark.exact
def test_layers_that_give_no_row_are_told_with_reason_and_time(tmp_path: Path) -> None:
    sizes = {"inputs": [tensor(1, 8, 4, 4)], "outputs": [tensor(1, 8, 4, 4)]}
    layers = [
        convolution("good", sizes["inputs"], tensor(1, 8, 4, 4), 3),
        convolution("dynamic", [tensor(-1, 8, 4, 4)], tensor(-1, 8, 4, 4), 3),
        convolution("odd", sizes["inputs"], tensor(1, 8, 4, 4), 3, Stride=[1, 2]),
        convolution("maps", sizes["inputs"], tensor(1, 8, 4, 4), 3, OutMaps=9),
        convolution("groups", sizes["inputs"], tensor(1, 8, 4, 4), 3, groups=3),
        convolution("flat", [tensor(1, 8, 4)], tensor(1, 8, 4), 3, Kernel=[3]),
        convolution("nan", [tensor(1, 8, 4, 4, text="FP8")], tensor(1, 8, 4, 4), 3),
        {**convolution("fractions", sizes["inputs"], tensor(1, 8, 4, 4), 3), "Kernel": [3.5, 3]},
        layer("{ForeignNode[a...b]}", "myelin", **sizes),
        layer("scalar", "Shuffle", [tensor()], [tensor()]),
        layer("gemm", "gemm", [tensor(2, 3), tensor(5, 7)], [tensor(2, 7)]),
        layer("twice", "Reformat", **sizes), layer("twice", "Reformat", **sizes),
        {"Name": "bare", "LayerType": "Reformat"}, {"Name": "no dims", "Inputs": ["a"], "Outputs": []},
        layer("idle", "NoOp", **sizes), "a name alone",
    ]  # fmt: skip
    names = [
        "good",
        "dynamic",
        "odd",
        "maps",
        "groups",
        "flat",
        "nan",
        "fractions",
        "{ForeignNode[a...b]}",
        "scalar",
        "gemm",
    ]
    names += ["twice", "bare", "no dims", "elsewhere"]
    times = [*profile(*((name, 0.5) for name in names)), {"name": "idle", "timeMs": 0, "averageMs": 0, "percentage": 0}]
    found = imported(tmp_path, times, {"Layers": layers})
    assert [row.name for row in found.rows] == ["good"]
    assert [(s.name, s.latency_us) for s in found.skipped] == [*((name, 500.0) for name in names[1:]), ("idle", 0.0)]
    reasons = {s.name: s.reason for s in found.skipped}
    for name, words in {
        "dynamic": "fixed shapes", "odd": "one stride", "maps": "disagree", "groups": "disagree",
        "flat": "two-dimensional",
        "nan": "'fp8' is not one of", "fractions": "whole numbers", "{ForeignNode[a...b]}": "'myelin'",
        "bare": "detailed",
        "scalar": "no dimensions", "gemm": "not one product", "twice": "several", "elsewhere": "not in the layer file",
        "idle": "no time", "no dims": "detailed",
    }.items():  # fmt: skip
        assert words in reasons[name], (name, reasons[name])


@pytest.mark.exact
def test_average_where_there_is_no_median(tmp_path: Path) -> None:
    made = layer("r", "Reformat", [tensor(1, 4)], [tensor(1, 4)])
    found = imported(tmp_path, profile(("r", 0.0122041), median=False), {"Layers": [made]})
    assert found.rows[0].latency_us == pytest.approx(12.2041)


@pytest.mark.exact
@pytest.mark.parametrize("key", ["latencyMs", "endToEndMs"])
def test_times_of_runs_are_one_network_row(tmp_path: Path, key: str) -> None:
    times = [run(0.4 + i / 1000) | {key: 9.0} for i in range(101)]
    labels = {"precision": "fp16", "name": "timm:resnet50", "batch": 8}
    (row,) = imported(tmp_path, times, **labels).rows
    assert row.latency_us == pytest.approx(450) and row.spread == pytest.approx(80 / 450) and row.samples == 101
    assert (row.operator, row.shape, row.name, row.batch, row.runtime) == (
        "network",
        None,
        "timm:resnet50",
        8,
        "tensorrt",
    )
    for missing in ("device", "precision", "name", "batch"):
        with pytest.raises(InputError, match=f"does not say its {missing}"):
            imported(tmp_path, times, **labels | {missing: 0 if missing == "batch" else ""})


LAYERS = {"Layers": [layer("r", "Reformat", [tensor(1, 4)], [tensor(1, 4)])]}


@pytest.mark.parametrize(
    ("times", "layers", "message", "hint"),
    [
        (profile(("r", 0.1)), None, "holds names and times, no shapes", "--exportLayerInfo"),
        (LAYERS, None, "holds shapes, no times", "layers="),
        (profile(("r", 0.1)), {"Layers": ["r"]}, "names alone", "--profilingVerbosity=detailed"),
        (profile(("r", 0.1)), {"layers": []}, "key 'Layers' is missing", "--exportLayerInfo"),
        (profile(("r", 0.1)), [], "key 'Layers' is missing", "--exportLayerInfo"),
        (profile(("r", 0.1)), {"Layers": []}, "no measurement", "not in the layer file"),
        ([{"count": 0}], LAYERS, "count = 0", "begins with"),
        ([{"count": 3}], LAYERS, "no measurement", "formats"),
        ([{"count": 3}, {"name": "r"}], LAYERS, "key 'averageMs' is missing", "milliseconds"),
        ([{"count": 3}, {"name": "r", "averageMs": "1"}], LAYERS, "averageMs = '1'", "milliseconds"),
        ([{"count": 3}, {"name": "r", "averageMs": -1}], LAYERS, "averageMs = -1", "milliseconds"),
        ([{"count": 3}, {"name": "r", "averageMs": float("nan")}], LAYERS, "averageMs = nan", "milliseconds"),
        ([{"count": 3}, {"name": "r", "averageMs": True}], LAYERS, "averageMs = True", "milliseconds"),
        ([{"count": 3}, 7], LAYERS, "not a list of objects", "trtexec"),
        ([run(1.0), {"latencyMs": 1}], None, "key 'computeMs' is missing", "milliseconds"),
    ],
)  # fmt: skip
def test_errors_name_the_file_and_the_next_step(
    tmp_path: Path, times: object, layers: object, message: str, hint: str
) -> None:
    with pytest.raises(InputError) as error:
        imported(tmp_path, times, layers, precision="fp16", name="n", batch=1)
    assert message in error.value.message and hint in error.value.hint and str(tmp_path) in error.value.where


def test_a_profile_needs_its_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not say its device"):
        imported(tmp_path, profile(("r", 0.1)), LAYERS, device="")
