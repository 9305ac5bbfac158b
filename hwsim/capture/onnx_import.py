"""ONNX and QONNX files as torch modules.

Nodes with constant weights become the torch layers that they were exported from, under the names of the file; the
rest of the graph runs as plain tensor calls. What depends on constants alone is computed once, at import.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.capture.onnx_layers import linear
from hwsim.capture.onnx_names import attach, free_name, layer_path
from hwsim.capture.onnx_operators import HOST_INPUTS, SCALAR_INPUTS, builder_of, check_supported, operator_of
from hwsim.capture.onnx_read import OnnxGraph, read_graph
from hwsim.capture.onnx_values import HOST_LIMIT, Host, OnnxNode, Operator, Value, tensor
from hwsim.core.errors import HwsimError, InputError


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the graph.

    Attributes
    ----------
    node : what it came from.
    layer : dotted path of the layer to call, or "" to call `function` with the node first.
    arguments : name of a value; (name,) of a tensor of the module; a host array; None for an input left out.
    done : values that no later step reads.
    """

    node: OnnxNode
    layer: str
    function: Operator | None
    arguments: tuple[str | tuple[str] | Host | None, ...]
    outputs: tuple[str, ...]
    done: tuple[str, ...]


class OnnxModule(nn.Module):
    """An ONNX graph.

    Attributes
    ----------
    input_names, input_shapes : of the data inputs; None for axes of any size.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        super().__init__()
        self.input_names = graph.input_names
        self.input_shapes = graph.input_shapes
        self.output_names = graph.output_names
        self.steps: tuple[Step, ...] = ()
        self.constant_outputs: dict[str, tuple[str]] = {}

    def forward(self, *inputs: Tensor) -> Any:
        values: dict[str, Value] = dict(zip(self.input_names, inputs, strict=True))
        for step in self.steps:
            arguments = [self._value(values, a) for a in step.arguments]
            if step.layer:
                result = self.get_submodule(step.layer)(*[tensor(a) for a in arguments])
            else:
                assert step.function is not None
                result = step.function(step.node, *arguments)
            results = result if isinstance(result, tuple) else (result,)
            values.update(zip(step.outputs, results, strict=False))
            for name in step.done:
                values.pop(name, None)
        found = tuple(tensor(self._value(values, self.constant_outputs.get(n, n))) for n in self.output_names)
        return found[0] if len(found) == 1 else found

    def _value(self, values: dict[str, Value], argument: Any) -> Any:
        if isinstance(argument, str):
            return values[argument]
        return getattr(self, argument[0]) if isinstance(argument, tuple) else argument


def import_onnx(path: Path | str) -> OnnxModule:
    """Read an `.onnx` file as a module in eval mode; its inputs are those of the graph, in order.

    Raises
    ------
    InputError
        The file is missing or damaged.
    UnsupportedError
        An operator, or a use of one, that has no counterpart: named with its node.
    MissingToolError
        The `onnx` package is not installed.
    """
    graph = read_graph(Path(path))
    check_supported(graph)
    with torch.no_grad():
        return _Importer(graph).run()


class _Importer:
    """The state of one import: constants known so far, layers and tensors made so far."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.constants: dict[str, Host] = dict(graph.initializers)
        self.module = OnnxModule(graph)
        self.stored: dict[str, tuple[str]] = {}
        self.steps: list[Step] = []
        self.joined: set[str] = set()  # outputs of bias additions that became part of a layer

    def run(self) -> OnnxModule:
        readers: dict[str, list[OnnxNode]] = {}
        for node in self.graph.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        for node in self.graph.nodes:
            if node.outputs[0] in self.joined:
                continue
            try:
                self._add(node, readers)
            except HwsimError:
                raise
            except Exception as error:
                raise InputError(
                    f"operator {node.op} cannot be imported: {error}",
                    where=f"node {node.name!r}",
                    hint="check the file with onnx.checker",
                ) from error
        outputs = [name for name in self.graph.output_names if name in self.constants]
        self.module.constant_outputs = {name: self._stored(name) for name in outputs}
        self.module.steps = self._with_lifetimes()
        return self.module.eval()

    def _add(self, node: OnnxNode, readers: dict[str, list[OnnxNode]]) -> None:
        known = [self.constants.get(name) if name else None for name in node.inputs]
        constant = all(k is not None for k, name in zip(known, node.inputs, strict=True) if name)
        if self._join_bias(node, known, readers):
            return
        rank = self.graph.ranks.get(node.inputs[0]) if node.inputs else None
        build = builder_of(node)
        layer = build(node, known, rank) if build else None
        if constant:
            self._fold(node, layer)
        elif layer is not None:
            path = attach(self.module, layer_path(node), layer)
            data = node.inputs[1] if isinstance(layer, nn.Embedding) else node.inputs[0]
            self._step(node, path, None, (data,), node.outputs)
        else:
            arguments = tuple(self._argument(node, i, name) for i, name in enumerate(node.inputs))
            self._step(node, "", operator_of(node), arguments, node.outputs)

    def _step(
        self, node: OnnxNode, layer: str, function: Any, arguments: tuple[Any, ...], out: tuple[str, ...]
    ) -> None:
        self.steps.append(Step(node, layer, function, arguments, out, ()))

    def _fold(self, node: OnnxNode, layer: nn.Module | None) -> None:
        """Compute a node of constants now."""
        if layer is not None:
            data = node.inputs[1] if isinstance(layer, nn.Embedding) else node.inputs[0]
            result: Any = layer.eval()(torch.from_numpy(np.array(self.constants[data])))
        else:
            values = [
                None if not name else self._host_or_tensor(node, i, self.constants[name])
                for i, name in enumerate(node.inputs)
            ]
            result = operator_of(node)(node, *values)
        for name, value in zip(node.outputs, result if isinstance(result, tuple) else (result,), strict=False):
            self.constants[name] = _as_array(value)

    def _join_bias(self, node: OnnxNode, known: list[Any], readers: dict[str, list[OnnxNode]]) -> bool:
        """MatMul by a matrix and the Add of a vector behind it are one linear layer."""
        if node.op != "MatMul" or known[1] is None or known[0] is not None or known[1].ndim != 2:
            return False
        after = readers.get(node.outputs[0], [])
        if len(after) != 1 or after[0].op != "Add" or node.outputs[0] in self.graph.output_names:
            return False
        add = after[0]
        bias = self.constants.get(add.inputs[1 if add.inputs[0] == node.outputs[0] else 0])
        if bias is None or bias.shape != (known[1].shape[1],):
            return False
        path = attach(self.module, layer_path(node), linear(known[1].T, bias))
        self._step(node, path, None, (node.inputs[0],), add.outputs)
        self.joined.add(add.outputs[0])
        return True

    def _argument(self, node: OnnxNode, index: int, name: str) -> Any:
        if not name:
            return None
        if name not in self.constants:
            return name
        host = self._host_or_tensor(node, index, self.constants[name])
        return host if isinstance(host, np.ndarray) else self._stored(name)

    def _host_or_tensor(self, node: OnnxNode, index: int, value: Host) -> Value:
        """Shapes, axes and scalars stay host arrays; everything else is a tensor."""
        small = value.dtype.kind in "iub" and value.ndim <= 1 and value.size <= HOST_LIMIT
        scalar = value.size == 1 and node.op in SCALAR_INPUTS
        if index in HOST_INPUTS.get(node.op, ()) or small or scalar:
            return value
        return torch.from_numpy(np.array(value))

    def _stored(self, name: str) -> tuple[str]:
        if name not in self.stored:
            path = free_name(self.module, name)
            value = torch.from_numpy(np.array(self.constants[name]))
            if name in self.graph.initializers and value.is_floating_point():
                self.module.register_parameter(path, nn.Parameter(value, requires_grad=False))
            else:
                self.module.register_buffer(path, value)
            self.stored[name] = (path,)
        return self.stored[name]

    def _with_lifetimes(self) -> tuple[Step, ...]:
        """Steps with the values that each reads last; what nothing reads is dropped."""
        needed, steps = set(self.graph.output_names), []
        for step in reversed(self.steps):
            if not needed.intersection(step.outputs):
                continue
            read = {a for a in step.arguments if isinstance(a, str)}
            done = tuple(sorted(read - needed))
            needed |= read
            steps.append(Step(step.node, step.layer, step.function, step.arguments, step.outputs, done))
        return tuple(reversed(steps))


def _as_array(value: Value) -> Host:
    if isinstance(value, np.ndarray):
        return value
    plain = value.float() if value.dtype == torch.bfloat16 else value
    return plain.detach().numpy()
