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
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hwsim.capture.graph import capture
from hwsim.capture.onnx_import import OnnxModule, import_onnx
from hwsim.core.errors import InputError, MissingToolError, UnsupportedError
from hwsim.zoo.networks import NETWORKS

Arrays = dict[str, np.ndarray[Any, Any]]
NODE = helper.make_node


def draw(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def positive(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.abs(draw(*shape, seed=seed)) + np.float32(0.5)


def whole(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def save(
    folder: Path,
    nodes: list[Any],
    inputs: Arrays,
    constants: Arrays,
    opset: int,
    outputs: tuple[str, ...] = ("y",),
    kind: int = TensorProto.FLOAT,
    domain: str = "",
) -> Path:
    """A file with these nodes; the first axis of the first input is symbolic."""
    given = []
    for i, (name, value) in enumerate(inputs.items()):
        shape: list[Any] = list(value.shape)
        if i == 0 and shape:
            shape[0] = "batch"
        given.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), shape))
    graph = helper.make_graph(
        nodes,
        "g",
        given,
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def run(module: OnnxModule, inputs: Arrays) -> list[np.ndarray[Any, Any]]:
    with torch.no_grad():
        found = module(*[torch.from_numpy(value) for value in inputs.values()])
    return [t.numpy() for t in (found if isinstance(found, tuple) else (found,))]


def reference(path: Path, inputs: Arrays) -> list[np.ndarray[Any, Any]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, inputs)


def check(path: Path, inputs: Arrays, tolerance: float = 1e-5) -> OnnxModule:
    module = import_onnx(path)
    for ours, theirs in zip(run(module, inputs), reference(path, inputs), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=tolerance * max(1.0, float(np.abs(theirs).max())), rtol=0)
    return module


X4 = draw(2, 6, 9, 11)
IMAGE = {"x": X4}
# op, attributes, data inputs, constant inputs (in order after the data), opset, outputs
CASES: dict[str, tuple[str, dict[str, Any], Arrays, Arrays, int]] = {
    "conv1d": ("Conv", {"pads": [1, 1], "strides": [2]}, {"x": draw(2, 4, 13)}, {"w": draw(6, 4, 3), "b": draw(6)}, 17),
    "conv2d group": ("Conv", {"group": 3, "dilations": [2, 1]}, IMAGE, {"w": draw(9, 2, 3, 3)}, 17),
    "conv3d": ("Conv", {"pads": [1] * 6}, {"x": draw(2, 3, 5, 6, 7)}, {"w": draw(4, 3, 3, 3, 3)}, 17),
    "conv uneven pads": ("Conv", {"pads": [0, 1, 2, 3]}, IMAGE, {"w": draw(4, 6, 3, 3), "b": draw(4)}, 17),
    "conv valid": ("Conv", {"auto_pad": "VALID"}, IMAGE, {"w": draw(4, 6, 3, 2)}, 17),
    "conv same upper": ("Conv", {"auto_pad": "SAME_UPPER"}, IMAGE, {"w": draw(4, 6, 4, 2)}, 17),
    "conv same lower": ("Conv", {"auto_pad": "SAME_LOWER"}, IMAGE, {"w": draw(4, 6, 4, 2)}, 17),
    "conv same strided": ("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 3]}, IMAGE, {"w": draw(4, 6, 3, 4)}, 17),
    "deconv": ("ConvTranspose", {"strides": [2, 3], "pads": [1, 0, 1, 0]}, IMAGE, {"w": draw(6, 4, 3, 3)}, 17),
    "deconv group": (
        "ConvTranspose",
        {"strides": [2, 2], "group": 2, "output_padding": [1, 0]},
        IMAGE,
        {"w": draw(6, 2, 3, 3), "b": draw(4)},
        17,
    ),
    "deconv uneven": ("ConvTranspose", {"strides": [2, 2], "pads": [0, 1, 1, 0]}, IMAGE, {"w": draw(6, 4, 3, 3)}, 17),
    "deconv same": (
        "ConvTranspose",
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        IMAGE,
        {"w": draw(6, 4, 3, 3)},
        17,
    ),
    "gemm": ("Gemm", {"transB": 1}, {"x": draw(3, 5)}, {"w": draw(4, 5), "b": draw(4)}, 17),
    "gemm scaled": ("Gemm", {"alpha": 0.5, "beta": 2.0}, {"x": draw(3, 5)}, {"w": draw(5, 4), "b": draw(1, 4)}, 17),
    "gemm rows": ("Gemm", {"transA": 1}, {"x": draw(5, 3)}, {"w": draw(5, 4), "b": draw(3, 1)}, 17),
    "matmul": ("MatMul", {}, {"x": draw(2, 3, 5)}, {"w": draw(5, 4)}, 17),
    "matmul batched": ("MatMul", {}, {"x": draw(2, 3, 5)}, {"w": draw(2, 5, 4)}, 17),
    "matmul of two": ("MatMul", {}, {"x": draw(2, 3, 5), "z": draw(2, 5, 4)}, {}, 17),
    "einsum": ("Einsum", {"equation": "bij,bjk->bik"}, {"x": draw(2, 3, 5), "z": draw(2, 5, 4)}, {}, 17),
    "batch norm": (
        "BatchNormalization",
        {"epsilon": 1e-3},
        IMAGE,
        {"s": draw(6), "b": draw(6), "m": draw(6), "v": positive(6)},
        15,
    ),
    "batch norm 2d": (
        "BatchNormalization",
        {},
        {"x": draw(4, 6)},
        {"s": draw(6), "b": draw(6), "m": draw(6), "v": positive(6)},
        15,
    ),
    "layer norm": ("LayerNormalization", {"axis": -2}, IMAGE, {"s": draw(9, 11), "b": draw(9, 11)}, 17),
    "layer norm axis": ("LayerNormalization", {"axis": 1}, {"x": draw(2, 5)}, {"s": draw(5)}, 17),
    "layer norm spread": ("LayerNormalization", {"axis": 2}, IMAGE, {"s": draw(11)}, 17),
    "instance norm": ("InstanceNormalization", {}, IMAGE, {"s": draw(6), "b": draw(6)}, 17),
    "group norm": ("GroupNormalization", {"num_groups": 3}, IMAGE, {"s": draw(6), "b": draw(6)}, 21),
    "lrn": ("LRN", {"size": 3, "alpha": 0.1}, IMAGE, {}, 17),
    "lp norm": ("LpNormalization", {"axis": 1, "p": 2}, IMAGE, {}, 17),
    "max pool": ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]}, IMAGE, {}, 17),
    "max pool ceil": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, IMAGE, {}, 17),
    "max pool dilated": ("MaxPool", {"kernel_shape": [3, 3], "dilations": [2, 2]}, IMAGE, {}, 17),
    "max pool uneven": ("MaxPool", {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}, IMAGE, {}, 17),
    "max pool same": (
        "MaxPool",
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
        IMAGE,
        {},
        17,
    ),
    "max pool 1d": ("MaxPool", {"kernel_shape": [3]}, {"x": draw(2, 4, 13)}, {}, 17),
    "average pool": ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, IMAGE, {}, 17),
    "average pool counted": (
        "AveragePool",
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1},
        IMAGE,
        {},
        17,
    ),
    "average pool uneven": ("AveragePool", {"kernel_shape": [2, 2], "pads": [0, 1, 1, 0]}, IMAGE, {}, 17),
    "average pool uneven counted": (
        "AveragePool",
        {"kernel_shape": [2, 2], "pads": [0, 1, 1, 0], "count_include_pad": 1},
        IMAGE,
        {},
        17,
    ),
    "average pool same": (
        "AveragePool",
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
        IMAGE,
        {},
        17,
    ),
    "average pool ceil": (
        "AveragePool",
        {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
        IMAGE,
        {},
        19,
    ),
    "global average": ("GlobalAveragePool", {}, IMAGE, {}, 17),
    "global max": ("GlobalMaxPool", {}, IMAGE, {}, 17),
    "relu": ("Relu", {}, IMAGE, {}, 17),
    "leaky relu": ("LeakyRelu", {"alpha": 0.2}, IMAGE, {}, 17),
    "prelu": ("PRelu", {}, IMAGE, {"s": draw(6, 1, 1)}, 17),
    "prelu along width": ("PRelu", {}, IMAGE, {"s": draw(11)}, 17),
    "clip": ("Clip", {}, IMAGE, {"lo": np.array(0.0, np.float32), "hi": np.array(6.0, np.float32)}, 17),
    "clip low": ("Clip", {}, IMAGE, {"lo": np.array(-0.3, np.float32)}, 17),
    "clip 6": ("Clip", {"min": -0.5, "max": 0.5}, IMAGE, {}, 6),
    "sigmoid": ("Sigmoid", {}, IMAGE, {}, 17),
    "tanh": ("Tanh", {}, IMAGE, {}, 17),
    "elu": ("Elu", {"alpha": 0.7}, IMAGE, {}, 17),
    "selu": ("Selu", {}, IMAGE, {}, 17),
    "celu": ("Celu", {"alpha": 0.7}, IMAGE, {}, 17),
    "thresholded": ("ThresholdedRelu", {"alpha": 0.4}, IMAGE, {}, 17),
    "hard sigmoid": ("HardSigmoid", {}, IMAGE, {}, 17),
    "hard sigmoid of torch": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, IMAGE, {}, 17),
    "hard swish": ("HardSwish", {}, IMAGE, {}, 17),
    "softplus": ("Softplus", {}, IMAGE, {}, 17),
    "softsign": ("Softsign", {}, IMAGE, {}, 17),
    "mish": ("Mish", {}, IMAGE, {}, 18),
    "gelu": ("Gelu", {}, IMAGE, {}, 20),
    "gelu tanh": ("Gelu", {"approximate": "tanh"}, IMAGE, {}, 20),
    "softmax": ("Softmax", {"axis": 1}, IMAGE, {}, 17),
    "softmax 11": ("Softmax", {"axis": 2}, IMAGE, {}, 11),
    "log softmax": ("LogSoftmax", {}, IMAGE, {}, 17),
    "add": ("Add", {}, IMAGE, {"c": draw(6, 1, 1)}, 17),
    "sub a scalar": ("Sub", {}, IMAGE, {"c": np.array(0.3, np.float32)}, 17),
    "div": ("Div", {}, IMAGE, {"c": positive(11)}, 17),
    "pow": ("Pow", {}, {"x": positive(2, 3)}, {"c": np.array(2.5, np.float32)}, 17),
    "min": ("Min", {}, {"x": draw(2, 3), "z": draw(2, 3, seed=1)}, {"c": np.array(0.1, np.float32)}, 17),
    "max": ("Max", {}, {"x": draw(2, 3), "z": draw(2, 3, seed=1)}, {"c": np.array([0.1], np.float32)}, 17),
    "sum": ("Sum", {}, {"x": draw(2, 3), "z": draw(2, 3, seed=1)}, {"c": draw(3)}, 17),
    "mean of": ("Mean", {}, {"x": draw(2, 3), "z": draw(2, 3, seed=1)}, {"c": draw(3)}, 17),
    "fmod": ("Mod", {"fmod": 1}, {"x": draw(2, 3)}, {"c": positive(3)}, 17),
    **{
        op.lower(): (op, {}, {"x": positive(2, 3)}, {}, 17)
        for op in "Abs Neg Sign Sqrt Reciprocal Exp Log Erf Sin Cos Floor Ceil Round".split()
    },
    "reduce mean": ("ReduceMean", {"axes": [2, 3]}, IMAGE, {}, 17),
    "reduce mean 18": ("ReduceMean", {"keepdims": 0}, IMAGE, {"a": whole(-1)}, 18),
    "reduce sum": ("ReduceSum", {}, IMAGE, {"a": whole(1, 2)}, 13),
    "reduce all": ("ReduceSum", {"keepdims": 0}, IMAGE, {}, 13),
    "reduce max": ("ReduceMax", {"axes": [1]}, IMAGE, {}, 17),
    "reduce min": ("ReduceMin", {"axes": [1], "keepdims": 0}, IMAGE, {}, 17),
    "reduce prod": ("ReduceProd", {"axes": [1, 3]}, IMAGE, {}, 17),
    "reduce l1": ("ReduceL1", {"axes": [1]}, IMAGE, {}, 17),
    "reduce l2": ("ReduceL2", {"axes": [1]}, IMAGE, {}, 17),
    "reduce squares": ("ReduceSumSquare", {"axes": [1]}, IMAGE, {}, 17),
    "reduce logsumexp": ("ReduceLogSumExp", {"axes": [1]}, IMAGE, {}, 17),
    "cumsum": ("CumSum", {}, IMAGE, {"a": np.array(1, np.int64)}, 17),
    "reshape": ("Reshape", {}, IMAGE, {"s": whole(0, -1, 11)}, 17),
    "flatten": ("Flatten", {}, IMAGE, {}, 17),
    "flatten 2": ("Flatten", {"axis": 2}, IMAGE, {}, 17),
    "flatten 0": ("Flatten", {"axis": 0}, IMAGE, {}, 17),
    "transpose": ("Transpose", {"perm": [0, 2, 3, 1]}, IMAGE, {}, 17),
    "transpose reversed": ("Transpose", {}, IMAGE, {}, 17),
    "squeeze": ("Squeeze", {}, {"x": draw(2, 1, 3, 1)}, {"a": whole(1, -1)}, 17),
    "squeeze 11": ("Squeeze", {"axes": [1]}, {"x": draw(2, 1, 3, 1)}, {}, 11),
    "unsqueeze": ("Unsqueeze", {}, {"x": draw(2, 3)}, {"a": whole(0, -1)}, 17),
    "slice": ("Slice", {}, IMAGE, {"s": whole(1, -4), "e": whole(8, 2**62), "a": whole(2, 3), "t": whole(2, 1)}, 17),
    "slice backwards": ("Slice", {}, IMAGE, {"s": whole(-1), "e": whole(-(2**62)), "a": whole(3), "t": whole(-2)}, 17),
    "slice 9": ("Slice", {"starts": [1], "ends": [4], "axes": [1]}, IMAGE, {}, 9),
    "concat": ("Concat", {"axis": 1}, {"x": draw(2, 3), "z": draw(2, 2)}, {"c": draw(2, 1)}, 17),
    "gather": ("Gather", {"axis": 2}, IMAGE, {"i": whole(3, -1, 0)}, 17),
    "gather one": ("Gather", {"axis": 1}, IMAGE, {"i": np.array(-2, np.int64)}, 17),
    "gather grid": ("Gather", {"axis": 1}, IMAGE, {"i": np.array([[0, 1], [2, -1]], np.int64)}, 17),
    "gather elements": ("GatherElements", {"axis": 1}, {"x": draw(2, 3)}, {"i": np.array([[0, -1], [1, 1]])}, 17),
    "expand": ("Expand", {}, {"x": draw(2, 1, 3)}, {"s": whole(4, 1, 5, 1)}, 17),
    "tile": ("Tile", {}, {"x": draw(2, 3)}, {"r": whole(2, 3)}, 17),
    "identity": ("Identity", {}, IMAGE, {}, 17),
    "dropout": ("Dropout", {}, IMAGE, {"r": np.array(0.5, np.float32)}, 17),
    "depth to space": ("DepthToSpace", {"blocksize": 2}, {"x": draw(2, 8, 3, 4)}, {}, 17),
    "depth to space crd": ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, {"x": draw(2, 8, 3, 4)}, {}, 17),
    "space to depth": ("SpaceToDepth", {"blocksize": 2}, {"x": draw(2, 3, 4, 6)}, {}, 17),
    "trilu": ("Trilu", {"upper": 0}, {"x": draw(2, 4, 4)}, {"k": np.array(1, np.int64)}, 17),
    "pad": ("Pad", {}, IMAGE, {"p": whole(0, 0, 1, 2, 0, 0, 3, 0), "v": np.array(0.7, np.float32)}, 17),
    "pad axes": ("Pad", {}, IMAGE, {"p": whole(1, 2), "v": np.array(0.0, np.float32), "a": whole(1)}, 18),
    "pad 10": ("Pad", {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "value": 0.2}, IMAGE, {}, 10),
    "pad crop": ("Pad", {}, IMAGE, {"p": whole(0, 0, -1, 0, 0, 0, -1, 0)}, 17),
    "pad reflect": ("Pad", {"mode": "reflect"}, IMAGE, {"p": whole(0, 0, 1, 2, 0, 0, 1, 2)}, 17),
    "pad reflect width": ("Pad", {"mode": "reflect"}, IMAGE, {"p": whole(0, 0, 0, 2, 0, 0, 0, 1)}, 17),
    "pad edge": ("Pad", {"mode": "edge"}, {"x": draw(2, 3, 5)}, {"p": whole(0, 0, 2, 0, 0, 1)}, 17),
}


@pytest.mark.exact
@pytest.mark.parametrize("case", CASES)
def test_operator_agrees_with_onnxruntime(case: str, tmp_path: Path) -> None:
    op, attributes, inputs, constants, opset = CASES[case]
    node = NODE(op, [*inputs, *constants], ["y"], name="node", **attributes)
    check(save(tmp_path, [node], inputs, constants, opset), inputs)


RESIZES = [
    ("nearest", "asymmetric", "floor", [2.0, 3.0]),
    ("nearest", "half_pixel", "round_prefer_floor", [2.0, 2.0]),
    ("nearest", "asymmetric", "floor", [0.5, 1.5]),
    ("nearest", "half_pixel", "round_prefer_ceil", [1.6, 0.7]),
    ("nearest", "align_corners", "round_prefer_floor", [1.5, 2.0]),
    ("nearest", "pytorch_half_pixel", "ceil", [1.5, 2.0]),
    ("linear", "half_pixel", "floor", [2.0, 1.5]),
    ("linear", "align_corners", "floor", [2.0, 2.0]),
    ("cubic", "half_pixel", "floor", [2.0, 2.0]),
]


@pytest.mark.exact
@pytest.mark.parametrize("by_size", [False, True])
@pytest.mark.parametrize(("mode", "place", "rounding", "scale"), RESIZES)
def test_resize(mode: str, place: str, rounding: str, scale: list[float], by_size: bool, tmp_path: Path) -> None:
    x = draw(1, 2, 6, 10)
    inputs = {"x": x}
    constants: Arrays = {"scales": np.array([1, 1, *scale], np.float32)}
    names = ["x", "", "scales"]
    if by_size:
        sizes = np.floor(np.array(x.shape) * np.array([1, 1, *scale], np.float32))
        constants, names = {"sizes": sizes.astype(np.int64)}, ["x", "", "", "sizes"]
    node = NODE("Resize", names, ["y"], mode=mode, coordinate_transformation_mode=place, nearest_mode=rounding)
    check(save(tmp_path, [node], inputs, constants, 17), inputs)


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
