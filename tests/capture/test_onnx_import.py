"""Imported ONNX graphs against onnxruntime, the ONNX reference implementation and the torch models behind them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx_files import NODE, Arrays, check, draw, positive, reference, run, save, whole

from hwsim.capture.graph import capture
from hwsim.capture.onnx_import import OnnxModule, import_onnx
from hwsim.core.errors import InputError, MissingToolError, UnsupportedError
from hwsim.zoo.networks import NETWORKS

X4 = draw(2, 6, 9, 11)


@pytest.mark.exact
def test_split_by_count_and_by_lengths(tmp_path: Path) -> None:
    inputs = {"x": draw(2, 7)}
    first = NODE("Split", ["x", "n"], ["a", "b"], axis=1)
    second = NODE("Split", ["a"], ["c", "d", "e"], axis=1, num_outputs=3)
    path = save(tmp_path, [first, second], inputs, {"n": whole(5, 2)}, 18, outputs=("b", "c", "d", "e"))
    check(path, inputs)


@pytest.mark.exact
def test_comparisons_and_where(tmp_path: Path) -> None:
    inputs = {"x": draw(3, 4), "z": draw(3, 4, seed=1)}
    nodes = [
        NODE("Greater", ["x", "z"], ["g"]),
        NODE("LessOrEqual", ["x", "zero"], ["l"]),
        NODE("And", ["g", "l"], ["both"]),
        NODE("Not", ["both"], ["n"]),
        NODE("Equal", ["x", "z"], ["e"]),
        NODE("Or", ["n", "e"], ["o"]),
        NODE("Where", ["o", "x", "hundred"], ["y"]),
    ]
    constants = {"zero": np.array(0.0, np.float32), "hundred": np.array(100.0, np.float32)}
    check(save(tmp_path, nodes, inputs, constants, 17), inputs)


@pytest.mark.exact
def test_shape_arithmetic_and_an_open_batch(tmp_path: Path) -> None:
    """The pattern of exporters for `x.view(x.size(0), -1)` and `token.expand(x.size(0), ...)`."""
    inputs = {"x": draw(2, 3, 4)}
    nodes = [
        NODE("Shape", ["x"], ["s"]),
        NODE("Gather", ["s", "zero"], ["n"], axis=0),
        NODE("Unsqueeze", ["n", "axis"], ["n1"]),
        NODE("Concat", ["n1", "rest"], ["to"], axis=0),
        NODE("ConstantOfShape", ["three"], ["ones"], value=helper.make_tensor("v", TensorProto.INT64, [1], [1])),
        NODE("Mul", ["ones", "minus"], ["minuses"]),
        NODE("Equal", ["to", "minuses"], ["free"]),
        NODE("Where", ["free", "ones", "to"], ["target"]),
        NODE("Expand", ["token", "target"], ["tokens"]),
        NODE("Concat", ["tokens", "x"], ["joined"], axis=1),
        NODE("Slice", ["s", "axis", "one"], ["batch"]),
        NODE("Concat", ["batch", "minus"], ["flat"], axis=0),
        NODE("Reshape", ["joined", "flat"], ["y"]),
    ]
    constants = {
        "zero": np.array(0, np.int64),
        "axis": whole(0),
        "one": whole(1),
        "three": whole(3),
        "minus": whole(-1),
        "rest": whole(1, -1),
        "token": draw(1, 1, 4),
    }
    path = save(tmp_path, nodes, inputs, constants, 17)
    module = check(path, inputs)
    check(path, {"x": draw(5, 3, 4)})
    assert module.input_shapes == ((None, 3, 4),)
    network = capture(module, torch.zeros(1, 3, 4))
    assert network.fixed_batch is None
    x = draw(7, 3, 4)
    np.testing.assert_array_equal(network(torch.from_numpy(x)).numpy(), reference(path, {"x": x})[0])


@pytest.mark.exact
def test_matmul_and_bias_become_one_linear_layer(tmp_path: Path) -> None:
    inputs = {"x": draw(2, 3, 5)}
    nodes = [
        NODE("MatMul", ["x", "w"], ["m"], name="/head/fc/MatMul"),
        NODE("Add", ["b", "m"], ["y"], name="/head/fc/Add"),
    ]
    module = check(save(tmp_path, nodes, inputs, {"w": draw(5, 4), "b": draw(4)}, 17), inputs)
    layer = module.get_submodule("head.fc")
    assert isinstance(layer, torch.nn.Linear)
    assert layer.bias.shape == (4,)
    assert len(module.steps) == 1


@pytest.mark.exact
def test_embedding_of_tokens(tmp_path: Path) -> None:
    inputs = {"x": np.array([[1, 2, 0], [4, 4, 3]], np.int64)}
    node = NODE("Gather", ["table.weight", "x"], ["y"])
    module = check(save(tmp_path, [node], inputs, {"table.weight": draw(5, 8)}, 17), inputs)
    assert isinstance(module.get_submodule("table"), torch.nn.Embedding)


@pytest.mark.exact
def test_whole_number_division_goes_towards_zero(tmp_path: Path) -> None:
    inputs = {"x": np.array([-7, 7, 6], np.int64)}
    node = NODE("Div", ["x", "c"], ["y"])
    check(save(tmp_path, [node], inputs, {"c": whole(2)}, 17, kind=TensorProto.INT64), inputs)


@pytest.mark.exact
def test_arg_max_and_cast(tmp_path: Path) -> None:
    inputs = {"x": draw(3, 5)}
    nodes = [
        NODE("ArgMax", ["x"], ["i"], axis=1, keepdims=0),
        NODE("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
    ]
    check(save(tmp_path, nodes, inputs, {}, 17), inputs)


@pytest.mark.exact
@pytest.mark.parametrize("causal", [0, 1])
def test_attention_operator(causal: int, tmp_path: Path) -> None:
    inputs = {key: draw(2, 5, 12, seed=i) for i, key in enumerate("qkv")}
    node = NODE("Attention", ["q", "k", "v"], ["y"], q_num_heads=3, kv_num_heads=3, is_causal=causal)
    path = save(tmp_path, [node], inputs, {}, 23)
    ours = run(import_onnx(path), inputs)[0]
    theirs = ReferenceEvaluator(onnx.load(path)).run(None, inputs)[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.exact
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("per_axis", [False, True])
def test_quantize_and_dequantize(kind: Any, per_axis: bool, tmp_path: Path) -> None:
    inputs = {"x": 40 * draw(2, 3, 50)}
    scale = np.array([0.1, 0.25, 0.7], np.float32) if per_axis else np.array(0.25, np.float32)
    zero = np.array([3, 0, 7], kind) if per_axis else np.array(5, kind)
    nodes = [
        NODE("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1),
        NODE("DequantizeLinear", ["q", "s", "z"], ["y"], axis=1),
    ]
    check(save(tmp_path, nodes, inputs, {"s": scale, "z": zero}, 17), inputs, tolerance=0)


@pytest.mark.exact
def test_quantized_weights_become_layers(tmp_path: Path) -> None:
    inputs = {"x": draw(2, 3, 6, 6)}
    codes = np.random.default_rng(0).integers(-128, 128, (4, 3, 3, 3)).astype(np.int8)
    nodes = [
        NODE("DequantizeLinear", ["codes", "s"], ["w"], axis=0),
        NODE("Conv", ["x", "w"], ["y"], name="conv"),
    ]
    module = check(save(tmp_path, nodes, inputs, {"codes": codes, "s": positive(4)}, 17), inputs)
    assert isinstance(module.get_submodule("conv"), torch.nn.Conv2d)
    assert len(module.steps) == 1


ROUNDINGS = {  # QONNX, custom operators, table of the Quant operator
    "ROUND": (6, 2, 2, 1, 1, -1, -1, -2, -2, -6),
    "CEIL": (6, 3, 2, 2, 1, -1, -1, -1, -2, -5),
    "FLOOR": (5, 2, 1, 1, 1, -1, -2, -2, -3, -6),
    "UP": (6, 3, 2, 2, 1, -1, -2, -2, -3, -6),
    "DOWN": (5, 2, 1, 1, 1, -1, -1, -1, -2, -5),
    "HALF_UP": (6, 3, 2, 1, 1, -1, -1, -2, -3, -6),
    "half_down": (5, 2, 2, 1, 1, -1, -1, -2, -2, -5),
}


@pytest.mark.truth
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_qonnx_rounding_modes(rounding: str, tmp_path: Path) -> None:
    inputs = {"x": np.array([[5.5, 2.5, 1.6, 1.1, 1.0, -1.0, -1.1, -1.6, -2.5, -5.5]], np.float32)}
    domain = "qonnx.custom_op.general"
    node = NODE("Quant", ["x", "s", "z", "b"], ["y"], domain=domain, rounding_mode=rounding, signed=1)
    constants = {key: np.array(v, np.float32) for key, v in (("s", 1), ("z", 0), ("b", 8))}
    path = save(tmp_path, [node], inputs, constants, 17, domain=domain)
    assert run(import_onnx(path), inputs)[0].tolist() == [list(ROUNDINGS[rounding])]


@pytest.mark.truth
@pytest.mark.parametrize(
    ("signed", "narrow", "low", "high"), [(1, 0, -8, 7), (1, 1, -7, 7), (0, 0, 0, 15), (0, 1, 0, 14)]
)
def test_qonnx_ranges_and_scales(signed: int, narrow: int, low: int, high: int, tmp_path: Path) -> None:
    inputs = {"x": np.linspace(-9, 9, 37, dtype=np.float32).reshape(1, -1)}
    node = NODE("Quant", ["x", "s", "z", "b"], ["y"], domain="qonnx.custom_op.general", signed=signed, narrow=narrow)
    constants = {"s": np.array(0.5, np.float32), "z": np.array(0, np.float32), "b": np.array(4, np.float32)}
    path = save(tmp_path, [node], inputs, constants, 17, domain="qonnx.custom_op.general")
    expected = np.clip(np.rint(inputs["x"] / 0.5), low, high) * 0.5
    np.testing.assert_array_equal(run(import_onnx(path), inputs)[0], expected)


@pytest.mark.exact
def test_qonnx_network_with_quantized_weights(tmp_path: Path) -> None:
    """Quantized weights fold into the layer; quantized activations stay as arithmetic, and torch.export takes both."""
    inputs = {"x": draw(2, 6)}
    domain = "onnx.brevitas"
    weight = draw(6, 4)
    constants = {
        "w": weight,
        "ws": np.array(0.25, np.float32),
        "z": np.array(0, np.float32),
        "wb": np.array(3, np.float32),
        "one": np.array(1, np.float32),
        "xs": np.array([[0.5]], np.float32),
        "xb": np.array(4, np.float32),
    }
    nodes = [
        NODE("Quant", ["w", "ws", "z", "wb"], ["wq"], domain=domain, narrow=1, signed=1),
        NODE("Quant", ["x", "xs", "z", "xb"], ["xq"], domain=domain, signed=1),
        NODE("MatMul", ["xq", "wq"], ["m"], name="fc"),
        NODE("BipolarQuant", ["m", "one"], ["y"], domain=domain),
    ]
    module = import_onnx(save(tmp_path, nodes, inputs, constants, 17, domain=domain))
    wq = np.clip(np.rint(weight / 0.25), -3, 3) * 0.25
    xq = np.clip(np.rint(inputs["x"] / 0.5), -8, 7) * 0.5
    expected = np.where(xq @ wq >= 0, 1.0, -1.0)
    np.testing.assert_array_equal(run(module, inputs)[0], expected)
    network = capture(module, torch.zeros(1, 6))
    np.testing.assert_array_equal(network(torch.from_numpy(inputs["x"])).numpy(), expected)
    assert [layer.name for layer in network.workload.weighted] == ["fc"]


def export(name: str, folder: Path, dynamo: bool) -> tuple[Any, Path]:
    entry = NETWORKS[name]
    model = entry.factory(seed=3)
    x = torch.randn(2, *entry.input_shape[1:])
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            free = ({0: torch.export.Dim.DYNAMIC},)
            torch.onnx.export(model, (x,), path, dynamo=True, dynamic_shapes=free, verbose=False, external_data=False)
        else:
            axes = {"x": {0: "n"}}
            torch.onnx.export(model, (x,), path, dynamo=False, input_names=["x"], dynamic_axes=axes)
    return model, path


def check_network(name: str, folder: Path, dynamo: bool) -> tuple[Any, OnnxModule]:
    model, path = export(name, folder, dynamo)
    module = import_onnx(path)
    for batch in (1, 3):
        x = torch.randn(batch, *NETWORKS[name].input_shape[1:])
        with torch.no_grad():
            expected = model(x)
        (ours,) = run(module, {"x": x.numpy()})
        np.testing.assert_allclose(ours, expected.numpy(), atol=1e-4)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(ours, session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], atol=1e-4)
    assert module.input_shapes == ((None, *NETWORKS[name].input_shape[1:]),)
    return model, module


def check_capture(name: str, model: Any, module: OnnxModule) -> None:
    shape = NETWORKS[name].input_shape
    ours, theirs = capture(module, torch.zeros(shape)), capture(model, torch.zeros(shape))
    assert ours.fixed_batch is None
    assert ours.workload.macs == theirs.workload.macs


@pytest.mark.exact
@pytest.mark.parametrize("name", ["digits_resnet", "mlp", "vit_tiny", "unet_tiny"])
def test_zoo_through_the_tracing_exporter(name: str, tmp_path: Path) -> None:
    check_network(name, tmp_path, dynamo=False)


@pytest.mark.exact
@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_zoo_through_both_exporters(name: str, dynamo: bool, tmp_path: Path) -> None:
    check_capture(name, *check_network(name, tmp_path, dynamo))


def test_layers_keep_the_names_of_the_model(tmp_path: Path) -> None:
    _, path = export("digits_resnet", tmp_path, dynamo=False)
    module = import_onnx(path)
    names = [name for name, layer in module.named_modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
    convolutions = ["stem.conv", *[f"blocks.{i}.conv{j}" for i in range(3) for j in (1, 2)]]
    assert set(names) == {*convolutions, "blocks.1.shortcut.conv", "classifier"}


def test_layers_of_one_weight_share_no_name(tmp_path: Path) -> None:
    inputs = {"x": draw(2, 4)}
    nodes = [NODE("Gemm", ["x", "fc.weight"], ["a"]), NODE("Gemm", ["a", "fc.weight"], ["y"])]
    module = check(save(tmp_path, nodes, inputs, {"fc.weight": draw(4, 4)}, 17), inputs)
    assert [name for name, layer in module.named_modules() if isinstance(layer, torch.nn.Linear)] == ["fc", "fc_1"]


def test_unsupported_operators_are_named_and_counted(tmp_path: Path) -> None:
    inputs = {"x": draw(2, 4)}
    nodes = [
        NODE("Relu", ["x"], ["a"]),
        NODE("NonZero", ["a"], ["b"], name="find"),
        NODE("Det", ["b"], ["c"]),
        NODE("NonZero", ["c"], ["y"]),
    ]
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(save(tmp_path, nodes, inputs, {}, 17))
    text = str(caught.value)
    assert "NonZero" in text
    assert "'find'" in text
    assert "3 of 4 nodes" in text
    assert "Det x1" in text


def test_an_operator_of_a_foreign_domain_is_unsupported(tmp_path: Path) -> None:
    inputs = {"x": draw(2, 4)}
    path = save(tmp_path, [NODE("Relu", ["x"], ["y"], domain="my.own")], inputs, {}, 17, domain="my.own")
    with pytest.raises(UnsupportedError, match="Relu"):
        import_onnx(path)


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (NODE("Conv", ["x", "z"], ["y"], name="n"), {}),
        (NODE("MaxPool", ["x"], ["y", "i"], name="n", kernel_shape=[2, 2]), {}),
        (NODE("CumSum", ["x", "a"], ["y"], name="n", reverse=1), {"a": np.array(1, np.int64)}),
        (NODE("Resize", ["x", "", "s"], ["y"], name="n"), {"s": np.array([2, 1, 1, 1], np.float32)}),
    ],
)
def test_unsupported_uses_name_the_node(node: Any, constants: Arrays, tmp_path: Path) -> None:
    inputs = {"x": X4, "z": draw(4, 6, 3, 3)}
    path = save(tmp_path, [node], inputs, constants, 17)
    with pytest.raises(UnsupportedError, match="node 'n'"):
        run(import_onnx(path), inputs)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        import_onnx(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is no protobuf" * 9)
    with pytest.raises(InputError, match=r"broken\.onnx"):
        import_onnx(broken)
    broken.write_bytes(b"")
    with pytest.raises(InputError, match="without nodes"):
        import_onnx(broken)


def test_without_onnx_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingToolError, match=r"hwsim\[onnx\]"):
        import_onnx(tmp_path / "any.onnx")
