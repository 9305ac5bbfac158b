"""Plans: evaluated in integers against the quantized network, their structure, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hls_networks import NETWORKS, quantize, quantized, samples
from plan_interpreter import run_plan
from torch import Tensor, nn

from hwsim.core.errors import UnsupportedError
from hwsim.hls.layer_list import Settings, hls4ml_config, layer_list
from hwsim.hls.plan import plan_network
from hwsim.hls.reference import Reference
from hwsim.hls.stages import MULTIPLIES
from hwsim.quant.model import QuantizedModel


def assert_plan_agrees(model: QuantizedModel, x: Tensor) -> None:
    plan = plan_network(model)
    found = run_plan(plan, x.double().reshape(len(x), -1).numpy())
    reference = Reference(model)
    expected = reference.outputs(x)[:, plan.output.order]
    assert np.array_equal(found[plan.output.name].reshape(len(x), -1), expected)
    wanted = reference.tensors(x[:1])
    for stage in plan.stages:
        if stage.tensor is not None:
            assert np.array_equal(found[stage.name][0].ravel(), wanted[stage.tensor][stage.order]), stage.name


@pytest.mark.exact
@pytest.mark.parametrize("fmt", ["int3", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_plan_in_integers_equals_the_quantized_network(name: str, fmt: str) -> None:
    assert_plan_agrees(quantized(name, fmt), samples(name, 16, seed=5))


@pytest.mark.exact
@pytest.mark.parametrize("policy", [{"acts_signed": True}, {"edge": "int8"}, {"weights": "int4@tensor"}])
def test_plan_agrees_under_other_policies(policy: dict[str, object]) -> None:
    for name in ("residual", "depthwise"):
        weights = str(policy.get("weights", "int5"))
        others = {key: value for key, value in policy.items() if key != "weights"}
        assert_plan_agrees(quantized(name, weights, "int5", **others), samples(name, 8, seed=5))


def test_residual_network_becomes_these_stages() -> None:
    plan = plan_network(quantized("residual", "int4@tensor", "int4"))
    made = [(stage.operation, stage.tensor) for stage in plan.stages]
    assert made == [
        ("input", "x"),
        ("pad", None),
        ("conv", "a"),
        ("add", "relu"),
        ("pad", None),
        ("conv", "relu_1"),
        ("pad", None),
        ("conv", "c"),
        ("conv", "s"),
        ("add", "relu_2"),
        ("flatten", None),
        ("dense", "fc"),
    ]
    assert plan.stages[0].shape == (6, 10, 3)
    assert [s.weights.type.bits for s in plan.stages if s.weights] == [4] * 5


def test_weights_are_handed_over_in_hls4ml_order() -> None:
    model = quantized("tiny", "int4@tensor", "int4")
    layers = {layer["name"]: layer for layer in layer_list(plan_network(model))}
    weight = model.codes["conv"].dequantize()
    assert np.array_equal(layers["conv"]["weight_data"], weight.transpose(2, 3, 1, 0))
    matrix = model.codes["fc"].dequantize().reshape(4, 3, 2, 3)  # (out, channels, rows, columns)
    assert np.array_equal(layers["fc"]["weight_data"], matrix.transpose(2, 3, 1, 0).reshape(18, 4))
    assert layers["in_x"]["input_shape"] == [4, 6, 1]
    assert (layers["conv_pad"]["pad_top"], layers["conv_pad"]["out_height"], layers["conv_pad"]["out_width"]) == (
        1,
        6,
        8,
    )


def test_every_type_of_the_configuration_is_explicit() -> None:
    plan = plan_network(quantized("branches"))
    config = hls4ml_config(plan, Settings("net", "part", 200.0, "io_stream", {"d": 4}), ".", False)
    by_name = config["HLSConfig"]["LayerName"]
    assert set(by_name) == {stage.name for stage in plan.stages}
    for stage in plan.stages:
        precision = by_name[stage.name]["Precision"]
        assert precision["result"] == str(stage.type)
        assert ("accum" in precision) == (stage.accumulator is not None)
        assert ("weight" in precision) == (stage.operation in MULTIPLIES)
    assert (by_name["d"]["ReuseFactor"], by_name["d"]["Strategy"]) == (4, "Resource")
    assert (by_name["a"]["ReuseFactor"], by_name["a"]["Strategy"]) == (1, "Latency")
    assert config["ClockPeriod"] == 5.0


def test_relu_costs_no_stage_where_its_quantizer_clips_at_zero() -> None:
    kept = plan_network(quantized("residual", "int4", acts_signed=True))
    assert [s.operation for s in kept.stages].count("relu") == 3
    gone = plan_network(quantized("residual", "int4"))
    assert "relu" not in {s.operation for s in gone.stages}


def test_a_shared_tensor_is_requantized_by_a_stage_of_its_own() -> None:
    kinds = [stage.operation for stage in plan_network(quantized("pointwise_head", "int4@tensor", "int4")).stages]
    assert kinds == ["input", "pad", "conv", "relu", "cast", "conv", "relu", "global_average", "dense"]


class Clamped(nn.Module):
    def __init__(self, high: float) -> None:
        super().__init__()
        self.a, self.b, self.high = nn.Linear(4, 4), nn.Linear(4, 2), high

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.hardtanh(self.a(x), 0.0, self.high))


@pytest.mark.exact
@pytest.mark.parametrize("high", [0.25, 0.75, 1.5, 6.0])
def test_clamps_are_dropped_only_where_saturation_does_the_same(high: float) -> None:
    torch.manual_seed(0)
    x = 4 * torch.randn(64, 4)
    model = quantize(Clamped(high), x, "int4")
    kinds = [stage.operation for stage in plan_network(model).stages]
    top = model.quantizer("hardtanh").spec.format.max * float(model.quantizer("hardtanh").scale)
    assert ("clamp" in kinds) == (top > high)
    assert_plan_agrees(model, 2 * x)


class Wrapped(nn.Module):
    """A convolution with something in front and something behind."""

    def __init__(self, behind: object, before: object = None, **options: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1, **options)  # type: ignore[arg-type]
        self.behind, self.before = behind, before

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.before(x) if self.before else x)  # type: ignore[operator]
        return self.behind(y)  # type: ignore[operator, no-any-return]


REFUSED = {
    "gelu": (Wrapped(F.gelu), "layer gelu", "operator gelu"),
    "dilation": (Wrapped(F.relu, dilation=2), "layer conv", "dilation"),
    "overlapping pool": (Wrapped(lambda y: F.max_pool2d(y, 3, 2)), "layer max_pool2d", "window"),
    "padded pool": (Wrapped(lambda y: F.max_pool2d(y, 2, 2, 1)), "layer max_pool2d", "padding"),
    "mean of six": (Wrapped(lambda y: F.avg_pool2d(y, (2, 3))), "layer avg_pool2d", "6 elements"),
    "mean of channels": (Wrapped(lambda y: y.mean(1)), "layer mean", "axes"),
    "broadcast": (Wrapped(lambda y: y + y.mean((2, 3), keepdim=True)), "layer add", "sum of tensors"),
    "constant": (Wrapped(lambda y: y + 1.0), "layer add", "operator add|addition"),
    "product": (Wrapped(lambda y: y * F.relu(y)), "layer mul", "operator mul"),
    "rows": (Wrapped(lambda y: torch.cat([y, y], 2)), "layer cat", "axis 2"),
    "odd clamp": (Wrapped(lambda y: F.hardtanh(y, -0.1, 0.1)), "layer hardtanh", "bound"),
    "unquantized input": (Wrapped(F.relu, lambda x: F.avg_pool2d(x, 1)), "layer x", "unquantized"),
    "transposed": (nn.ConvTranspose2d(2, 4, 2, 2), "layer", "conv_transpose2d"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exact_is_refused_by_layer_and_reason(case: str) -> None:
    module, where, reason = REFUSED[case]
    torch.manual_seed(0)
    model = quantize(module, torch.randn(8, 2, 4, 4), "int4")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match=reason) as caught:
        plan_network(model)
    assert caught.value.where.startswith(where)
    assert "support" in caught.value.hint


def test_all_problems_are_listed_at_once() -> None:
    module = Wrapped(lambda y: F.silu(F.gelu(y)).transpose(2, 3))
    with pytest.raises(UnsupportedError, match="3 layers") as caught:
        plan_network(quantize(module, torch.randn(8, 2, 6, 6), "int4"))
    for word in ("gelu", "silu", "transpose"):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("weights", "acts", "policy", "words"),
    [
        ("e2m1", "int4", {}, "weights in e2m1"),
        ("int4", "e4m3", {}, "activations in e4m3"),
        ("int4", "int4", {"scale": "f32"}, "weights with f32 scales.*activations with f32 scales"),
        ("int4@group3", "int4", {}, "groups of 3"),
        ("int4", "int4+zp", {}, "zero point"),
        ("int4", "none", {}, "unquantized activations"),
        ("none", "int4", {}, "unquantized weights"),
        ("int4", "uint4.narrow", {}, "largest code"),
        ("mxint8", "int8", {}, "weights"),
    ],
)
def test_formats_without_an_exact_project_are_named(
    weights: str, acts: str, policy: dict[str, object], words: str
) -> None:
    with pytest.raises(UnsupportedError, match=words) as caught:
        plan_network(quantized("tiny", weights, acts, **policy))
    assert "pow2" in caught.value.hint
    assert "conv" in caught.value.message


def test_results_beyond_float64_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="bits") as caught:
        plan_network(quantized("tiny", "int32", "int32"))
    assert "conv" in caught.value.where
