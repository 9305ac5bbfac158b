"""Small ONNX files and their outputs by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from hwsim.capture.onnx_import import OnnxModule, import_onnx

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
