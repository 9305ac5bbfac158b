"""Quantized networks: every topology runs, stays close at eight bits, keeps its codes, survives saving."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.capture.graph import capture
from hwsim.core.assignment import Policy
from hwsim.core.errors import InputError
from hwsim.core.scaled import parse
from hwsim.quant.calibration import Calibration, calibrate
from hwsim.quant.fast_graph import fast_graph
from hwsim.quant.layers import rows_to_weight, sqnr_db, weight_rows
from hwsim.quant.model import QuantizedModel
from hwsim.quant.pipeline import quantize_network
from hwsim.quant.recipe import parse_recipe
from hwsim.quant.rewrite.fold_batchnorm import fold_batchnorm

sys.path.insert(0, str(Path(__file__).parent.parent / "capture"))
from topologies import TOPOLOGIES, build

FORMATS = (
    "int8 int4 int8@tensor int4@group8 uint8+zp int3:pow2 e4m3 e2m1 e5m2 e3m4~bias=2.5 e4m3fn pow4 mxfp4 mxint8 nvfp4 "
    "binary bf16 none"
)
ACTS = "int8 e4m3 mxfp8_e4m3 int8@channel uint8+zp fp16 none pow8 nvfp4"


@lru_cache
def calibrated(name: str) -> Calibration:
    """Shared by tests, none of which changes it."""
    model, x = build(name)
    return calibrate(fold_batchnorm(capture(model, x[:1], name=name)), x)


def quantized(calibration: Calibration, weights: str, acts: str, **options: object) -> QuantizedModel:
    recipe = str(options.pop("recipe", "rtn"))
    return quantize_network(calibration, Policy(weights, acts, **options), parse_recipe(recipe))  # type: ignore[arg-type]


@pytest.mark.exact
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_folding_leaves_the_function_alone(name: str) -> None:
    model, x = build(name)
    network = capture(model.double(), x[:1].double() if x.is_floating_point() else x[:1])
    x = x.double() if x.is_floating_point() else x
    before, after = network(x), fold_batchnorm(network)(x)
    assert (before - after).abs().max() <= 1e-9 * before.abs().max()
    folded = [layer.op for layer in fold_batchnorm(network).workload]
    assert "batch_norm" not in folded


def test_a_normalisation_with_another_reader_is_not_folded() -> None:
    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 2, 1)
            self.bn = torch.nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return self.bn(y) + y

    network = fold_batchnorm(capture(Both().eval(), torch.randn(1, 1, 4, 4)))
    assert "batch_norm" in [layer.op for layer in network.workload]


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_eight_bits_stay_close_and_two_forms_agree(name: str) -> None:
    calibration = calibrated(name)
    x = calibration.sample
    model = quantized(calibration, "int8", "int8")
    reference = calibration.network(x)
    assert sqnr_db(reference, model(x)) > 20
    torch.testing.assert_close(model(x), model.module(x), rtol=1e-5, atol=1e-6 * float(reference.abs().max()))
    untouched = quantized(calibration, "none", "none")(x)
    assert torch.equal(untouched, fast_graph(calibration.network.module)(x))
    assert sqnr_db(reference, untouched) > 120  # convolutions add up in another order


@pytest.mark.parametrize("weights", FORMATS.split())
@pytest.mark.parametrize("name", ["residual", "unet", "sequence"])
def test_every_weight_format_runs(name: str, weights: str) -> None:
    calibration = calibrated(name)
    model = quantized(calibration, weights, "int8")
    assert torch.isfinite(model(calibration.sample)).all()
    for layer in calibration.network.workload.weighted:
        spec = parse(weights, block="channel")
        assert model.assignment.weight(layer.name) == spec
        if not spec.is_native:
            codes = model.codes[layer.name]
            node = next(n for n in model.module.graph.nodes if n.meta.get("layer") == layer.name)
            held = getattr(model.module, str(node.args[0 if layer.kind == "embedding" else 1].target))
            rows = weight_rows(layer, held).double().numpy()
            np.testing.assert_allclose(codes.dequantize(), rows, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("acts", ACTS.split())
@pytest.mark.parametrize("name", ["dense", "depthwise", "sequence"])
def test_every_activation_format_runs(name: str, acts: str) -> None:
    calibration = calibrated(name)
    model = quantized(calibration, "int8", acts)
    out = model(calibration.sample)
    assert torch.isfinite(out).all()
    assert sqnr_db(calibration.network(calibration.sample), out) > 3


def test_weights_round_trip_through_rows() -> None:
    calibration = calibrated("unet")
    for layer in calibration.network.workload.weighted:
        weight = torch.randn(*layer.weight_shape)
        rows = weight_rows(layer, weight)
        assert rows.shape[0] == layer.out_shape[1]
        assert torch.equal(rows_to_weight(layer, rows), weight)


def test_the_skip_connection_reads_the_quantized_tensor() -> None:
    model = quantized(calibrated("residual"), "int4", "int4")
    graph = model.module.graph
    quantizer = next(n for n in graph.nodes if n.meta.get("quantizes") == "relu")
    assert {n.meta["layer"] for n in quantizer.users} == {"a", "short"}
    assert str(model.quantizer("relu").spec.format) == "uint4"
    assert str(model.quantizer("x").spec.format) == "int4"


def test_weights_are_quantized_once_and_shared_between_designs() -> None:
    calibration = calibrated("residual")
    first, second = quantized(calibration, "int4", "int8"), quantized(calibration, "int4", "e4m3")
    assert first.codes["stem"] is second.codes["stem"]


def test_power_of_two_designs_are_integer_arithmetic() -> None:
    """Every sum that the graph makes is a whole multiple of the accumulator step, so float64 computes it exactly."""
    calibration = calibrated("residual")
    model = quantized(calibration, "int4", "int4", scale="pow2")
    assert model.is_exact_in(torch.float32) and model.evaluation_dtype is torch.float32
    x = calibration.sample
    assert torch.equal(model(x).double(), model(x.double()))
    for layer in calibration.network.workload.weighted:
        scale = model.codes[layer.name].scale
        assert np.array_equal(2.0 ** np.round(np.log2(scale)), scale)


def test_wide_accumulators_are_evaluated_in_float64() -> None:
    model = quantized(calibrated("residual"), "e4m3", "e4m3", scale="pow2")
    assert model.evaluation_dtype is torch.float64


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_save_and_load(name: str, tmp_path: Path) -> None:
    calibration = calibrated(name)
    model = quantized(calibration, "e2m1", "int8", edge="int8")
    model.save(tmp_path)
    again = QuantizedModel.load(tmp_path)
    assert torch.equal(again(calibration.sample), model(calibration.sample))
    assert again.assignment == model.assignment and again.layers == model.layers and again.policy == model.policy
    for layer, codes in model.codes.items():
        assert np.array_equal(again.codes[layer].codes, codes.codes)
        assert again.codes[layer].spec == codes.spec


def test_damaged_files_are_input_errors(tmp_path: Path) -> None:
    model = quantized(calibrated("residual"), "int8", "int8")
    model.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(InputError, match="damaged"):
        QuantizedModel.load(tmp_path)
    with pytest.raises(InputError, match=r"model\.json"):
        QuantizedModel.load(tmp_path / "nothing")


def test_edge_layers_and_overrides_are_stored() -> None:
    model = quantized(calibrated("residual"), "int4", "int4", edge="int8", overrides=(("b", "e2m1,int6"),))
    found = {layer.name: (str(layer.weight.format), str(layer.acts[0].format)) for layer in model.layers}
    assert found["stem"] == ("int8", "int8") and found["head"] == ("int8", "uint8")
    assert found["a"] == ("int4", "uint4") and found["b"] == ("e2m1", "uint6")


def test_nan_weights_name_the_layer() -> None:
    model, x = build("residual")
    calibration = calibrate(fold_batchnorm(capture(model, x[:1])), x)
    node = calibration.network.node("a")
    getattr(calibration.network.module, str(node.args[1].target))[0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="layer a"):
        quantized(calibration, "int8", "int8")


def test_calibration_refuses_bad_data() -> None:
    model, x = build("residual")
    network = fold_batchnorm(capture(model, x[:1]))
    for bad, words in ((x[:0], "no rows"), (x[:, :2], "shape"), (x / 0, "NaN")):
        with pytest.raises(InputError, match=words):
            calibrate(network, bad)
