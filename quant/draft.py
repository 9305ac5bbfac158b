"""A quantization in progress: the quantized graph that round and correct steps change before it becomes a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from hwsim.capture.graph import Network, copy_graph
from hwsim.core.accumulator import unit
from hwsim.core.assignment import Assignment, Policy, layer_formats
from hwsim.core.codes import WeightCodes
from hwsim.core.errors import InputError
from hwsim.core.scaled import Scaled
from hwsim.core.workload import Layer
from hwsim.quant.block_kernels import block_scales
from hwsim.quant.calibration import Calibration, NearestWeight
from hwsim.quant.kernels import to_codes
from hwsim.quant.layers import Quantizer, rows_to_weight, sqnr_db, weight_rows
from hwsim.quant.model import QuantizedLayer, QuantizedModel
from hwsim.quant.observers import Method, weight_scale
from hwsim.quant.recipe import Recipe

_CASTS = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(slots=True, eq=False)
class DraftWeight:
    """The weight of one layer while its codes are still open.

    Attributes
    ----------
    layer : in the workload.
    float_values : as the float network has it.
    spec : its format.
    scale, zero_point, codes : as quantized so far; None for machine formats, whose values are casts.
    """

    layer: Layer
    float_values: Tensor
    spec: Scaled
    scale: Tensor | None = None
    zero_point: Tensor | None = None
    codes: WeightCodes | None = None

    @property
    def rows(self) -> Tensor:
        """The float weight with output channels first."""
        return weight_rows(self.layer, self.float_values)


class Draft:
    """The quantized graph of a network while steps change it.

    Parameters
    ----------
    assignment : the format of every weight and edge; steps may change single formats.
    seed : of what steps draw at random.
    progress : called with (what, done, in all) by steps that take long.

    Attributes
    ----------
    module : the graph, quantizers behind tensor edges, quantized weights and biases as buffers.
    weights : by layer, what has a quantized weight (`none` is left out).
    quantizers : by tensor, the module on its edge.
    floats : by name of a buffer of `module`, the float value that it stands for.
    notes : what steps found out, by step.
    """

    def __init__(
        self,
        calibration: Calibration,
        assignment: Assignment,
        policy: Policy,
        recipe: Recipe,
        *,
        seed: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.calibration, self.policy, self.recipe = calibration, policy, recipe
        self.seed = seed
        self.notes: dict[str, Any] = {}
        self.say: Callable[[str, int, int], None] = progress or (lambda what, done, total: None)
        self.network: Network = calibration.network
        self.module: GraphModule = copy_graph(self.network.module)
        self.nodes: dict[str, Node] = {
            node.meta["layer"]: node for node in self.module.graph.nodes if node.meta.get("layer") is not None
        }
        self.weights: dict[str, DraftWeight] = {}
        self.quantizers: dict[str, Quantizer] = {}
        self.floats: dict[str, Tensor] = {}
        self._assigned = {name: formats.weight for name, formats in assignment.layers.items()}
        for layer in self.network.workload.weighted:
            spec = assignment.weight(layer.name)
            if str(spec) != "none":
                self._open_weight(layer, spec)
        for index, (name, spec) in enumerate(assignment.edges.items()):
            self._insert_quantizer(index, name, spec)
        self.module.recompile()

    def choose_scales(self) -> None:
        """Scales of all weights and tensors as the recipe says, and every weight to its nearest grid point."""
        method = self.recipe.weight_method
        for name, weight in self.weights.items():
            if weight.spec.is_native:
                continue
            key = (name, str(weight.spec), repr(method))
            if key not in self.calibration.weights:
                scale, zero_point = _weight_scale(weight, method)
                codes = to_codes(weight.rows, weight.spec, scale, zero_point)
                self.calibration.weights[key] = NearestWeight(codes, quantized_values(weight, codes), scale, zero_point)
            found = self.calibration.weights[key]
            weight.codes, weight.scale, weight.zero_point = found.codes, found.scale, found.zero_point
            self._set_buffer(name, _weight_position(weight.layer), found.values)
        for name, quantizer in self.quantizers.items():
            spec = quantizer.spec
            if not spec.is_native and spec.mx_name is None:
                self.set_step(name, *self.calibration.act_scale(name, spec, self.recipe.range_method))

    def set_codes(self, name: str, rows: Tensor, spec: Scaled, scale: Tensor, zero_point: Tensor | None) -> None:
        """Give a layer the nearest codes of rows (output channels first), which may differ from its float weight.

        Rows that lie on the grid already stay as they are.
        """
        weight = self.weights[name]
        weight.spec, weight.scale, weight.zero_point = spec, scale, zero_point
        weight.codes = to_codes(rows, spec, scale, zero_point)
        self._set_buffer(name, _weight_position(weight.layer), quantized_values(weight, weight.codes))

    def set_step(self, tensor: str, scale: Tensor, zero_point: Tensor | None) -> None:
        """Give the quantizer of a tensor a new scale and zero point."""
        quantizer = self.quantizers[tensor]
        quantizer.scale, quantizer.zero_point = scale, zero_point

    @contextmanager
    def activations_off(self) -> Iterator[None]:
        """The network with quantized weights alone, for as long as the context lasts."""
        for quantizer in self.quantizers.values():
            quantizer.active = False
        try:
            yield
        finally:
            for quantizer in self.quantizers.values():
                quantizer.active = True

    @property
    def activations_on(self) -> bool:
        return all(quantizer.active for quantizer in self.quantizers.values())

    def quantizer_target(self, tensor: str) -> str:
        """The submodule name of a tensor's quantizer."""
        return next(name for name, module in self.module.named_children() if module is self.quantizers[tensor])

    def act_specs(self, name: str) -> tuple[Scaled, ...]:
        """Formats of a layer's quantized data inputs."""
        workload = self.network.workload
        origins = [workload.origin(source) for source in workload[name].inputs]
        return tuple(self.quantizers[origin].spec for origin in origins if origin in self.quantizers)

    def bias(self, name: str) -> Tensor | None:
        """The bias of a layer, None where it has none."""
        node = self.nodes[name]
        source = node.args[2] if len(node.args) > 2 else None
        return getattr(self.module, str(source.target)) if isinstance(source, Node) else None

    def set_bias(self, name: str, bias: Tensor) -> None:
        """Give a layer another bias.

        Raises
        ------
        InputError
            For a layer without one (rewrite with `add_biases` first).
        """
        if self.bias(name) is None:
            raise InputError("no bias to change", where=f"layer {name}", hint="add biases before calibration")
        self._set_buffer(name, 2, bias)

    def attribute(self, name: str) -> str:
        """The buffer of `module` that holds a layer's quantized weight."""
        source = self.nodes[name].args[_weight_position(self.weights[name].layer)]
        assert isinstance(source, Node)
        return str(source.target)

    def finish(self) -> QuantizedModel:
        """The model as it stands: biases of power-of-two designs go to the grid of their accumulator."""
        for name, weight in self.weights.items():
            if weight.layer.has_bias and weight.codes is not None:
                self._quantize_bias(name, weight.codes)
        self.module.graph.lint()
        self.module.recompile()
        specs = self._assigned | {name: weight.spec for name, weight in self.weights.items()}
        edges = {name: quantizer.spec for name, quantizer in self.quantizers.items()}
        assignment = Assignment(layer_formats(self.network.workload, specs, edges), edges)
        layers = tuple(
            QuantizedLayer(name, self.network.workload[name].kind, formats.weight, formats.acts, self._noise(name))
            for name, formats in assignment.layers.items()
        )
        codes = {name: weight.codes for name, weight in self.weights.items() if weight.codes is not None}
        return QuantizedModel(self.network, self.module, assignment, self.policy, self.recipe, codes, layers)

    def _open_weight(self, layer: Layer, spec: Scaled) -> None:
        """Give a layer a weight buffer of its own, in machine formats with the values cast already."""
        node = self.nodes[layer.name]
        source = node.args[_weight_position(layer)]
        assert isinstance(source, Node)
        value = getattr(self.network.module, str(source.target))
        if not torch.isfinite(value).all():
            raise InputError("NaN or infinite weights", where=f"layer {layer.name}", hint="repair the checkpoint")
        self.weights[layer.name] = DraftWeight(layer, value, spec)
        cast = _CASTS.get(str(spec), torch.float32)
        values = value.to(cast).to(value.dtype) if spec.is_native else value
        self._set_buffer(layer.name, _weight_position(layer), values)

    def _insert_quantizer(self, index: int, name: str, spec: Scaled) -> None:
        """Put a quantizer behind an edge; all readers see its output."""
        node, target = self.nodes[name], f"quantize_{index}"
        axis = self.calibration.observers[name].axis
        self.quantizers[name] = Quantizer(spec, torch.ones(()), None, axis)
        self.module.add_submodule(target, self.quantizers[name])
        with self.module.graph.inserting_after(node):
            quantized = self.module.graph.call_module(target, (node,))
        quantized.meta = {"val": node.meta.get("val"), "quantizes": name}
        node.replace_all_uses_with(quantized)
        quantized.update_arg(0, node)

    def _set_buffer(self, name: str, position: int, value: Tensor) -> None:
        """Point an operand of a layer at a buffer of the layer's own with this value."""
        node = self.nodes[name]
        source = node.args[position]
        assert isinstance(source, Node)
        old = str(source.target)
        if source.meta.get("owner") == (name, position):
            delattr(self.module, old)
            self.module.register_buffer(old, value)
            return
        fresh = f"{old}_quantized"
        while hasattr(self.module, fresh):
            fresh += "_"
        self.floats[fresh] = getattr(self.module, old)
        self.module.register_buffer(fresh, value)
        with self.module.graph.inserting_before(node):
            replacement = self.module.graph.get_attr(fresh)
        replacement.meta = {**source.meta, "owner": (name, position)}
        node.update_arg(position, replacement)
        if not source.users:
            self.module.graph.erase_node(source)
            delattr(self.module, old)

    def _noise(self, name: str) -> float | None:
        weight = self.weights.get(name)
        if weight is None or weight.codes is None:
            return None
        return sqnr_db(weight.float_values, getattr(self.module, self.attribute(name)))

    def _quantize_bias(self, name: str, codes: WeightCodes) -> None:
        """Put the bias of a power-of-two design on the grid of its accumulator, where hardware adds it."""
        layer = self.network.workload[name]
        edge = self.network.workload.origin(layer.inputs[0]) if layer.inputs else ""
        if edge not in self.quantizers or isinstance(codes.spec.block, int):
            return
        act, act_scale = self.quantizers[edge].spec, self.quantizers[edge].scale
        if codes.spec.scale != "pow2" or act.scale != "pow2" or act.block != "tensor" or act.is_native:
            return
        weight_step = codes.scale.reshape(codes.scale.shape[0], -1)[:, 0] * unit(codes.spec.format)
        step = torch.from_numpy(np.broadcast_to(weight_step, codes.codes.shape[:1]).copy())
        step = step * float(act_scale) * unit(act.format)
        bias = self.bias(name)
        assert bias is not None
        self._set_buffer(name, 2, (torch.round(bias.double() / step) * step).to(bias.dtype))


def quantized_values(weight: DraftWeight, codes: WeightCodes) -> Tensor:
    """The real weight that codes stand for, in the layout of the operator."""
    values = torch.from_numpy(codes.dequantize()).to(weight.float_values.dtype)
    return rows_to_weight(weight.layer, values.reshape(weight.rows.shape)).contiguous()


def _weight_position(layer: Layer) -> int:
    return 0 if layer.kind == "embedding" else 1


def _weight_scale(weight: DraftWeight, method: Method) -> tuple[Tensor, Tensor | None]:
    rows = weight.rows
    if weight.spec.mx_name is not None:
        return block_scales(rows.flatten(1), weight.spec), None
    return weight_scale(rows, weight.spec, method)
