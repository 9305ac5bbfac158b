"""Every imported ONNX operator against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_files import NODE, Arrays, check, draw, positive, save, whole

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
