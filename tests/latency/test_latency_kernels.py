"""What is launched: fusion by runtime, free views, counted work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwsim.core.errors import InputError, UnsupportedError
from hwsim.core.workload import Layer, Workload
from hwsim.latency import Kernel, kernels
from hwsim.latency.kernels import shape_of
from hwsim.latency.published import PUBLISHED, published
from hwsim.latency.published.builder import NetworkBuilder


def residual_block() -> Workload:
    net = NetworkBuilder("block", (1, 16, 8, 8))
    y = net.conv_bn(net.conv_bn("x", 16, 3), 16, 3, act=None)
    return net.workload(net.act(net.add(y, "x")))


def moved(kernel: Kernel) -> int:
    return kernel.shape.read_elements + kernel.shape.write_elements


@pytest.mark.exact
def test_eager_launches_every_operator() -> None:
    made = kernels(residual_block(), "eager")
    assert [k.kind for k in made] == ["conv3x3", "memory", "memory", "conv3x3", "memory", "memory", "memory"]
    assert all(len(k.layers) == 1 for k in made)


@pytest.mark.exact
@pytest.mark.parametrize("runtime", ["compiled", "tensorrt"])
def test_fused_block_is_two_kernels(runtime: str) -> None:
    first, second = kernels(residual_block(), runtime)
    assert first.layers == ("conv2d_0", "batch_norm_1", "relu_2")
    assert second.layers == ("conv2d_3", "batch_norm_4", "add_5", "relu_6")
    elements = 16 * 8 * 8
    assert moved(first) == 2 * elements
    assert moved(second) == 3 * elements, "input, residual branch, output"
    assert (first.shape.rows, first.shape.cols, first.shape.weight_elements) == (64, 16, 16 * 16 * 9)
    assert (first.operator, first.shape.depth, first.shape.out_h, first.shape.kernel_h) == ("conv2d", 144, 8, 3)


@pytest.mark.exact
def test_a_tensor_with_two_readers_is_written() -> None:
    net = NetworkBuilder("fork", (1, 8, 4, 4))
    y = net.conv("x", 8)
    z = net.act(y)
    made = kernels(net.workload(net.add(z, y)), "compiled")
    assert [k.layers for k in made] == [("conv2d_0",), ("relu_1", "add_2")]


@pytest.mark.exact
def test_nothing_is_fused_into_a_kernel_that_ran_too_early() -> None:
    """The sum needs the second convolution, which two layers read: the first one is done by then."""
    net = NetworkBuilder("late", (1, 8, 4, 4))
    a, b = net.conv("x", 8), net.conv("x", 8, 3)
    total = net.add(a, b)
    made = kernels(net.workload(net.add(total, net.act(b))), "compiled")
    assert made[0].layers == ("conv2d_0",) and made[1].layers == ("conv2d_1",)


@pytest.mark.exact
def test_views_cost_nothing_and_are_seen_through() -> None:
    net = NetworkBuilder("view", (1, 8, 4, 4))
    y = net.act(net.reshape(net.conv("x", 8), (1, 128)))
    made = kernels(net.workload(net.linear(y, 10)), "compiled")
    assert [k.layers for k in made] == [("conv2d_0", "relu_2"), ("linear_3",)]


@pytest.mark.exact
def test_layer_norm_is_not_folded() -> None:
    net = NetworkBuilder("norm", (1, 7, 32))
    made = kernels(net.workload(net.act(net.layer_norm(net.linear("x", 32)), "gelu")), "tensorrt")
    assert [k.layers for k in made] == [("linear_0",), ("layer_norm_1", "gelu_2")]


@pytest.mark.property
@pytest.mark.parametrize(
    "name", ["resnet50", "efficientnet_b0", "densenet121", "convnext_tiny", "mixer_s16_224", "inception_v3"]
)
def test_fusion_keeps_the_work(name: str) -> None:
    workload = published(name, 299 if name == "inception_v3" else 224)
    eager, fused = kernels(workload, "eager"), kernels(workload, "compiled")
    views = sum(layer.kind == "reshape" for layer in workload)
    assert len(eager) == len(workload.layers) - views
    assert sum(k.shape.macs for k in eager) == sum(k.shape.macs for k in fused) == workload.macs
    assert len(fused) < len(eager)
    assert sum(map(moved, fused)) < sum(map(moved, eager))
    assert sorted(n for k in fused for n in k.layers) == sorted(n for k in eager for n in k.layers)


@pytest.mark.exact
def test_errors_name_layer_and_runtime() -> None:
    workload = residual_block()
    strange = replace(workload.layers[2], kind="sort")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="relu_2"):
        kernels(replace(workload, layers=(*workload.layers[:2], strange)), "eager")
    with pytest.raises(InputError) as error:
        kernels(workload, "tensorr")
    assert "did you mean 'tensorrt'" in error.value.hint


@pytest.mark.exact
def test_other_layers_move_data_in_the_precision_before_them() -> None:
    made = kernels(residual_block(), "eager", {"conv2d_0": "int8", "conv2d_3": "fp16"})
    assert [k.precision for k in made] == ["int8", "int8", "int8", "fp16", "fp16", "fp16", "fp16"]


@pytest.mark.exact
def test_padding_and_turned_views_move_data() -> None:
    """A reshape of a permuted tensor copies it; padding and rolls always do; a view does not."""

    def layer(name: str, op: str, source: str, shape: tuple[int, ...]) -> Layer:
        return Layer(name, "reshape", op, (source,), ((1, 8, 4, 4),), shape, value_preserving=True)

    layers = (
        layer("turn", "permute", "x", (1, 4, 4, 8)), layer("flat", "reshape", "turn", (1, 16, 8)),
        layer("view", "reshape", "x", (1, 128)), layer("pad", "pad", "x", (1, 8, 6, 6)),
    )  # fmt: skip
    made = kernels(Workload("views", layers, ("x",), ((1, 8, 4, 4),), ("flat", "pad")), "eager")
    assert [(k.name, k.kind) for k in made] == [("flat", "memory"), ("pad", "memory")]


@pytest.mark.exact
def test_transposed_and_one_dimensional_convolutions() -> None:
    up = Layer("up", "conv", "conv_transpose2d", ("x",), ((1, 16, 8, 8),), (1, 4, 16, 16), (16, 4, 2, 2), True,
               16 * 4 * 4 * 64, 16 * 16 + 4, (2, 2), (2, 2), (0, 0), (1, 1))  # fmt: skip
    line = Layer("line", "conv", "conv1d", ("x",), ((1, 8, 32),), (1, 16, 32), (16, 8, 3), False, 16 * 8 * 3 * 32,
                 384, (3,), (1,), (1,), (1,))  # fmt: skip
    for one in (up, line):
        shape = shape_of(one)
        assert shape.macs == one.macs and shape.write_elements == one.out_elements
        assert shape.read_elements == one.in_elements and shape.weight_elements == one.params


@pytest.mark.exact
def test_unknown_published_network() -> None:
    assert len(PUBLISHED) > 60
    with pytest.raises(InputError, match="resnet51"):
        published("resnet51", 224)
