"""Intervals, costs, workloads, devices, errors: the values that rooms hand to each other."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core import errors
from hwsim.core.cost import BatchLatency, Cost, Interval, KernelTime, LatencyPrediction, LayerCost
from hwsim.core.devices import Gpu, Part, load_device, load_devices
from hwsim.core.errors import HwsimError, InputError, nearest
from hwsim.core.workload import Layer, Workload

pytestmark = pytest.mark.exact


@given(st.lists(st.floats(allow_nan=True), min_size=3, max_size=3))
def test_an_interval_is_ordered_or_an_error(ends: list[float]) -> None:
    lo, mid, hi = ends
    if lo <= mid <= hi:
        assert Interval(lo, mid, hi, "us", "kernel").as_dict()["mid"] == mid
    else:
        with pytest.raises(InputError, match="is false"):
            Interval(lo, mid, hi, "us", "kernel")


def test_interval_words() -> None:
    assert str(Interval.exact(1234567, "LUT")) == "1,234,567 LUT"
    assert str(Interval(0.5, 1.25, 250, "us", "kernel")) == "1.25 us (0.5 to 250)"
    assert Interval.exact(3, "cycles").as_dict() == {
        "lo": 3, "mid": 3, "hi": 3, "unit": "cycles", "stage": "formula", "coverage": None
    }  # fmt: skip


def test_costs_become_json_and_escaped_tables() -> None:
    one = Interval.exact(1, "LUT")
    layer = LayerCost("c", "conv", 1, 2, 3, 4, 5, "int4", "int4", 17, 1, {"multiply": 1})
    cost = Cost("<part>", one, one, one, one, one, one, 200, "yes", (layer,), ("note",))
    data = json.loads(json.dumps(cost.as_dict()))
    assert {"lut", "ff", "dsp", "bram18", "latency_us", "ii_cycles", "fits", "layers"} <= set(data)
    assert data["layers"][0]["terms"] == {"multiply": 1}
    assert data["layers"][0]["accumulator_bits"] == 17
    kernel = KernelTime("c", "conv", 1.5, "memory", "fp16", 10, 20)
    batch = BatchLatency(4, one, {"0.5": 1.0}, None, False, (kernel,))
    prediction = LatencyPrediction("<gpu>", "eager", "fp16", (batch,))
    data = json.loads(json.dumps(prediction.as_dict()))
    assert {"batch", "latency_us", "quantiles", "p_miss", "out_of_domain", "layers"} == set(data["batches"][0])
    for page in (cost._repr_html_(), prediction._repr_html_()):
        assert "<part>" not in page
        assert "<gpu>" not in page
        assert "&lt;" in page


def layer(name: str, *sources: str, preserving: bool = False, **more: object) -> Layer:
    return Layer(name, "elementwise", "x", sources, ((1, 4),), (1, 4), value_preserving=preserving, **more)  # type: ignore[arg-type]


def test_workload_lookup_sums_and_origins() -> None:
    net = Workload(
        "net",
        (layer("a", "x", macs=5, params=2), layer("b", "a", preserving=True), layer("c", "b", "x", macs=7)),
        ("x",),
        ((1, 4),),
        ("c",),
    )
    assert (net.macs, net.params) == (12, 2)
    assert [x.name for x in net.consumers("x")] == ["a", "c"]
    assert (net.origin("b"), net.origin("c"), net.origin("x")) == ("a", "c", "x")
    assert net["b"].name == "b"
    with pytest.raises(InputError) as caught:
        net["aa"]
    assert "did you mean 'a'" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "op", "weight", "shapes", "more", "reduction"),
    [
        ("linear", "linear", (10, 64), ((1, 64),), {}, 64),
        ("conv", "conv2d", (8, 3, 3, 3), ((1, 3, 8, 8),), {"kernel": (3, 3)}, 27),
        ("conv", "conv2d", (8, 1, 3, 3), ((1, 8, 8, 8),), {"kernel": (3, 3), "groups": 8}, 9),
        ("conv", "conv1d", (8, 4, 5), ((1, 4, 9),), {"kernel": (5,)}, 20),
        ("conv", "conv_transpose2d", (6, 2, 2, 2), ((1, 6, 4, 4),), {"kernel": (2, 2), "groups": 3}, 8),
        ("matmul", "matmul", None, ((1, 5, 7), (1, 7, 9)), {}, 7),
        ("attention", "sdpa", None, ((1, 2, 5, 16), (1, 2, 40, 16), (1, 2, 40, 16)), {}, 40),
        ("norm", "batch_norm", None, ((1, 3, 8, 8),), {}, 0),
    ],
)
def test_longest_dot_product(
    kind: str, op: str, weight: tuple[int, ...] | None, shapes: tuple[tuple[int, ...], ...], more: dict, reduction: int
) -> None:
    found = Layer("l", kind, op, ("x",), shapes, (1, 1), weight, **more)  # type: ignore[arg-type]
    assert found.reduction == reduction
    assert found.is_depthwise == (more.get("groups") == 8)


PART = """name = "p"
title = "P"
family = "7"
lut = 1
ff = 2
dsp = 3
bram18 = 4
uram = 0
dsp_type = "DSP48E1"
clock_mhz = 200
dram_gbps = 1.5
source = "sheet"
"""
GPU = """name = "g"
title = "G"
architecture = "a"
sms = 80
clock_mhz = 1380
dram_gbps = 800
dram_gbps_spec = 900.0
l2_mb = 6
native = ["int8", "fp16"]
source = "sheet"
[peak_tflops]
fp16 = 112
[launch_us]
eager = 5.5
"""


def test_devices_load_with_their_types(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(PART)
    (tmp_path / "a.toml").write_text(PART.replace('"p"', '"q"') + 'part_number = "xc7"\n')
    found = load_devices(Part, tmp_path)
    assert list(found) == ["q", "p"]
    assert (found["q"].part_number, found["p"].part_number) == ("xc7", "")
    assert isinstance(found["p"].clock_mhz, float)
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / "g.toml").write_text(GPU)
    gpu = load_device(Gpu, tmp_path / "gpu" / "g.toml")
    assert gpu.native == ("int8", "fp16")
    assert gpu.peak_tflops == {"fp16": 112.0}
    assert isinstance(gpu.peak_tflops["fp16"], float)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (Part, PART.replace("lut = 1", "luts = 1"), "unknown key 'luts'"),
        (Part, PART.replace("lut = 1\n", ""), "'lut' is missing"),
        (Part, PART.replace("lut = 1", 'lut = "1"'), "lut = '1'"),
        (Part, PART.replace("lut = 1", "lut = 1.5"), "lut = 1.5"),
        (Part, PART.replace("lut = 1", "lut = true"), "lut = True"),
        (Part, PART.replace("clock_mhz = 200", 'clock_mhz = "fast"'), "clock_mhz = 'fast'"),
        (Part, PART.replace('title = "P"', "title = 3"), "title = 3"),
        (Part, "lut = ", "Invalid value"),
        (Part, "lut = 1\nlut = 2", "Cannot overwrite a value"),
        (Gpu, GPU.replace("fp16 = 112", 'fp16 = "fast"'), "peak_tflops.fp16 = 'fast'"),
        (Gpu, GPU.replace("eager = 5.5", "eager = true"), "launch_us.eager = True"),
        (Gpu, GPU.replace('"fp16"]', "16]"), "native[1] = 16"),
        (Gpu, GPU.replace('["int8", "fp16"]', '"int8"'), "native = 'int8'"),
    ],
)
def test_device_files_with_errors_name_file_and_key(tmp_path: Path, kind: type, text: str, words: str) -> None:
    path = tmp_path / "device.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_device(kind, path)
    assert words in caught.value.message
    assert caught.value.where == str(path)
    assert caught.value.hint


def test_missing_and_doubled_device_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_device(Part, tmp_path / "none.toml")
    (tmp_path / "raw.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError):
        load_device(Part, tmp_path / "raw.toml")
    (tmp_path / "raw.toml").unlink()
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(PART)
    with pytest.raises(InputError, match="second device named 'p'"):
        load_devices(Part, tmp_path)


def test_each_error_is_one_exit_code() -> None:
    kinds = [getattr(errors, n) for n in dir(errors) if isinstance(getattr(errors, n), type) and n.endswith("Error")]
    table = {k.__name__: (k.exit_code, k.code) for k in kinds}
    assert table == {
        "HwsimError": (1, "internal"),
        "InputError": (2, "input"),
        "UnsupportedError": (3, "unsupported"),
        "InfeasibleError": (4, "infeasible"),
        "MissingToolError": (5, "missing_tool"),
        "VerificationError": (6, "verification"),
    }


def test_errors_say_where_and_what_next_and_survive_a_worker() -> None:
    error = InputError("bad", where="file.toml", hint="do this")
    assert str(error) == "file.toml: bad\n  do this"
    assert str(HwsimError("bad")) == "bad"
    assert error.as_dict() == {"code": "input", "message": "bad", "where": "file.toml", "hint": "do this"}
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), back.as_dict()) == (InputError, error.as_dict())


def test_nearest() -> None:
    assert nearest("conv", ["conv1", "relu"]) == "did you mean 'conv1'? allowed: conv1, relu"
    assert nearest("zzz", ["conv1", "relu"]) == "allowed: conv1, relu"
    assert nearest("layer30", [f"layer{i}" for i in range(40)]).startswith("did you mean 'layer30'? allowed: layer0,")
    assert nearest("x", [str(i) for i in range(40)]).endswith("... (40 in all)")
