"""C simulation: the compiled sources against the quantized network in float64, value for value."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hls_networks import NETWORKS, quantize, quantized, samples
from torch import nn

from hwsim.core.errors import VerificationError
from hwsim.hls.project import HlsProject, export_hls
from hwsim.hls.sources import sources_hash, width
from hwsim.hls.verification import Verification, verify
from hwsim.quant.model import QuantizedModel
from hwsim.zoo.data import load
from hwsim.zoo.networks import network

SAMPLES = 500


def exported(model: QuantizedModel, folder: Path, **options: object) -> HlsProject:
    return export_hls(model, folder, part="xck26-sfvc784-2LV-c", clock_mhz=200.0, **options)  # type: ignore[arg-type]


def assert_exact(outcome: Verification, rows: int) -> None:
    assert (outcome.samples, outcome.mismatches, outcome.max_abs_difference) == (rows, 0, 0.0)
    assert outcome.bit_exact and outcome.first_mismatch is None


@pytest.mark.exact
def test_a_small_convolutional_network_is_bit_exact(tmp_path: Path) -> None:
    model = quantized("tiny", "int5")
    project = exported(model, tmp_path / "out")
    x = samples("tiny", 100, seed=5)
    before = sources_hash(project.folder)
    outcome = verify(project, model, x, 80, labels=np.zeros(100))
    assert_exact(outcome, 80)
    assert outcome.metric == float((model(x[:80]).argmax(1) == 0).double().mean())
    record = json.loads((project.folder / "hwsim_project.json").read_text())["verification"]
    assert record["bit_exact"] and record["samples"] == 80
    assert record["sources_sha256"] == before == sources_hash(project.folder)
    vectors = (project.folder / "tb_data/tb_input_features.dat").read_text().splitlines()
    assert len(vectors) == 20 and len(vectors[0].split()) == 24
    assert [float(v) for v in vectors[0].split()] == x[0].movedim(0, -1).flatten().tolist()


@pytest.mark.exact
@pytest.mark.slow
@pytest.mark.parametrize("io", ["io_stream", "io_parallel"])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "tiny"])
def test_every_topology_is_bit_exact(name: str, io: str, tmp_path: Path) -> None:
    model = quantized(name, "int4")
    project = exported(model, tmp_path / "out", io=io)
    assert_exact(verify(project, model, samples(name, SAMPLES, seed=5)), SAMPLES)
    assert {width(kind) for kind in project.weight_types.values()} == {4}
    assert any(layer["shifts"] for layer in project.record["layers"])


@pytest.mark.exact
@pytest.mark.slow
@pytest.mark.parametrize(("name", "io", "reuse"), [
    ("residual", "io_stream", 6),
    ("depthwise", "io_stream", 4),
    ("signal", "io_stream", 12),
    ("depthwise", "io_parallel", 16),
    ("signal", "io_parallel", 16),
    ("perceptron", "io_parallel", 8),
])  # fmt: skip
def test_shared_multipliers_are_bit_exact(name: str, io: str, reuse: int, tmp_path: Path) -> None:
    model = quantized(name, "int6")
    project = exported(model, tmp_path / "out", io=io, reuse=reuse)
    assert_exact(verify(project, model, samples(name, SAMPLES, seed=5)), SAMPLES)
    assert {width(kind) for kind in project.weight_types.values()} == {6}


@pytest.mark.exact
@pytest.mark.slow
def test_signed_activations_and_wider_edges_are_bit_exact(tmp_path: Path) -> None:
    model = quantized("residual", "int3", "int5", acts_signed=True, edge="int8")
    project = exported(model, tmp_path / "out")
    assert_exact(verify(project, model, samples("residual", SAMPLES, seed=5)), SAMPLES)
    assert [width(project.weight_types[name]) for name in ("a", "b", "fc")] == [8, 3, 8]


@pytest.mark.exact
@pytest.mark.slow
@pytest.mark.parametrize("fmt", ["int8", "int6", "int4"])
def test_digits_network_is_bit_exact_on_real_samples(fmt: str, tmp_path: Path) -> None:
    x, y = load("digits", "test")
    calib = torch.from_numpy(load("digits", "calib")[0])
    module = network("digits_resnet").factory(seed=3)
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):  # as training would leave them: no two channels alike
            part.weight.data *= torch.exp(0.5 * torch.randn(part.weight.shape, generator=generator))
            part.bias.data += 0.3 * torch.randn(part.bias.shape, generator=generator)
    model = quantize(module, calib, fmt, name="digits")
    project = exported(model, tmp_path / "out")
    outcome = verify(project, model, torch.from_numpy(x), SAMPLES, labels=y)
    assert_exact(outcome, SAMPLES)
    defines = (project.folder / "firmware/defines.h").read_text()
    found = re.findall(r"typedef ap_fixed<(\d+),-?\d+> \w+_weight_t;", defines)
    assert len(found) == 9 and set(found) == {fmt.removeprefix("int")}
    predicted = model(torch.from_numpy(x[:SAMPLES])).argmax(1).numpy()
    assert outcome.metric == float((predicted == y[:SAMPLES]).mean())


@pytest.mark.slow
def test_a_corrupted_weight_is_found_and_its_layer_named(tmp_path: Path) -> None:
    model = quantized("residual", "int4")
    project = exported(model, tmp_path / "out")
    defines = (project.folder / "firmware/defines.h").read_text()
    assert "c_weight_t" in defines
    header = next(p for p in (project.folder / "firmware/weights").glob("w*.h") if "\nc_weight_t " in p.read_text())
    for path in (header, header.with_suffix(".txt")):
        start, brace, values = path.read_text().rpartition("{")
        numbers = values.split(", ")
        numbers[7] = "0.000000" if float(numbers[7]) else numbers[8]
        path.write_text(start + brace + ", ".join(numbers))
    x = samples("residual", 50, seed=5)
    with pytest.raises(VerificationError, match="sample") as caught:
        verify(project, model, x)
    assert caught.value.where == "layer c"
    record = HlsProject.load(project.folder).record["verification"]
    assert not record["bit_exact"] and record["mismatches"] > 0 and record["max_abs_difference"] > 0
    assert record["first_mismatch"]["layer"] == "c" and f"sample {record['first_mismatch']['sample']}" in str(
        caught.value
    )


@pytest.mark.slow
def test_another_network_does_not_pass_for_the_exported_one(tmp_path: Path) -> None:
    project = exported(quantized("tiny", "int4"), tmp_path / "out")
    with pytest.raises(VerificationError, match="differs"):
        verify(project, quantized("tiny", "int5"), samples("tiny", 20))


@pytest.mark.slow
def test_sources_that_do_not_compile_are_reported(tmp_path: Path) -> None:
    model = quantized("tiny", "int4")
    project = exported(model, tmp_path / "out")
    source = project.folder / "firmware/tiny.cpp"
    source.write_text(source.read_text().replace("nnet::", "nowhere::", 1))
    with pytest.raises(VerificationError, match="do not compile"):
        verify(project, model, samples("tiny", 2))
