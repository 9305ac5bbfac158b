"""QuantizedModel: a network whose weights are on their grids and whose tensors pass through quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from hwsim.capture.graph import Network, copy_graph
from hwsim.core.accumulator import accumulator_bits, accumulator_bits_of_weights, unit
from hwsim.core.assignment import Assignment, Policy, assign
from hwsim.core.codes import WeightCodes
from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Int, Minifloat
from hwsim.core.scaled import Scaled
from hwsim.core.workload import Layer
from hwsim.quant.block_kernels import block_scales
from hwsim.quant.calibration import Calibration, layer_outputs
from hwsim.quant.kernels import to_codes
from hwsim.quant.layers import Quantizer, rows_to_weight, sqnr_db, weight_rows
from hwsim.quant.metrics import predictions
from hwsim.quant.observers import MinMax, Percentile, weight_scale
from hwsim.quant.recipe import Recipe


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """What became of one layer that holds weights or multiplies.

    Attributes
    ----------
    weight, acts : formats as resolved; weight None for products of activations.
    weight_sqnr_db : signal-to-noise of the weights, None without weights.
    """

    name: str
    kind: str
    weight: Scaled | None
    acts: tuple[Scaled, ...]
    weight_sqnr_db: float | None


class QuantizedModel:
    """A quantized network, runnable and inspectable.

    Attributes
    ----------
    network : the float network it was made from, batch normalisation folded.
    module : the quantized graph; calling the model runs its fast form.
    assignment : the format of every weight and tensor.
    policy, recipe : what was asked for.
    codes : by layer, the integer codes and scales of its weight (None entries: unquantized layers are left out).
    layers : per-layer record.
    """

    def __init__(
        self,
        network: Network,
        module: GraphModule,
        assignment: Assignment,
        policy: Policy,
        recipe: Recipe,
        codes: Mapping[str, WeightCodes],
        layers: tuple[QuantizedLayer, ...],
    ) -> None:
        self.network = network
        self.module = module
        self.assignment = assignment
        self.policy = policy
        self.recipe = recipe
        self.codes = codes
        self.layers = layers
        self._fast: dict[torch.dtype, GraphModule] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        """Run without gradients, in float64 when the first floating-point input is float64, else in float32."""
        floating = [x.dtype for x in inputs if x.is_floating_point()]
        dtype = torch.float64 if floating[:1] == [torch.float64] else torch.float32
        if dtype not in self._fast:
            from hwsim.quant.fast_graph import fast_graph

            self._fast[dtype] = fast_graph(self.module, dtype)
        with torch.inference_mode():
            return self._fast[dtype](*inputs)

    @property
    def evaluation_dtype(self) -> torch.dtype:
        """float32, or float64 for a power-of-two design whose accumulators outgrow float32's significand."""
        if self.policy.scale == "pow2" and not self.is_exact_in(torch.float32):
            return torch.float64
        return torch.float32

    def decisions(self, x: Tensor, batch: int = 256) -> Tensor:
        """Class decisions for inputs (rows, ...), in `evaluation_dtype`."""
        if x.is_floating_point():
            x = x.to(self.evaluation_dtype)
        return predictions(self, x, batch=batch, fixed_batch=self.network.fixed_batch)

    def quantizer(self, tensor: str) -> Quantizer:
        """The quantizer on the tensor of a layer or network input."""
        for node in self.module.graph.nodes:
            if node.op == "call_module" and node.meta.get("quantizes") == tensor:
                module = self.module.get_submodule(str(node.target))
                assert isinstance(module, Quantizer)
                return module
        raise InputError(f"tensor {tensor!r} has no quantizer", where=self.network.name)

    @property
    def memory_bits(self) -> int:
        return self.assignment.memory_bits(self.network.workload)

    def accumulator_bits(self, layer: Layer) -> int | None:
        """Signed bits that hold every dot product of a layer for these weights; None without an exact format."""
        formats = self.assignment.layers[layer.name]
        acts = formats.acts[0].format
        if not isinstance(acts, Int | Minifloat | Binary):
            return None
        offset = int(any(spec.zero_point for spec in formats.acts))  # |code - zero point| is below 2^bits
        if layer.name in self.codes:
            codes = self.codes[layer.name]
            if not isinstance(codes.spec.format, Int | Minifloat | Binary):
                return None
            zero_point = codes.zero_point if codes.spec.zero_point else 0.0
            return offset + accumulator_bits_of_weights(codes.codes, codes.spec.format, acts, zero_point)
        other = formats.acts[-1].format
        if not isinstance(other, Int | Minifloat | Binary):
            return None
        return 2 * offset + accumulator_bits(layer.reduction, other, acts)

    def is_exact_in(self, dtype: torch.dtype) -> bool:
        """Whether float32 or float64 computes the network without any rounding, whatever the order of summation."""
        from hwsim.quant.exactness import is_exact

        return is_exact(self, {torch.float32: 24, torch.float64: 53}[dtype])

    def layer_sqnr_db(self, calibration: Calibration) -> dict[str, float]:
        """Signal-to-noise of every compute layer's output against the float network on the calibration sample."""
        quantized = Network.__new__(Network)
        quantized.module, quantized.workload = self.module, self.network.workload
        outputs = layer_outputs(quantized, calibration.sample)
        return {name: sqnr_db(calibration.reference[name], outputs[name]) for name in outputs}

    def save(self, folder: Path | str) -> Path:
        """Write model.safetensors and model.json; see `QuantizedModel.load`."""
        from hwsim.quant.storage import save_model

        return save_model(self, Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> QuantizedModel:
        """Read what `save` wrote; needs neither the original model nor its source."""
        from hwsim.quant.storage import load_model

        return load_model(Path(folder))


def quantize_network(calibration: Calibration, policy: Policy, recipe: Recipe) -> QuantizedModel:
    """Quantize a calibrated network.

    Raises
    ------
    InputError
        For formats that do not parse, overrides that match nothing, weights with NaN (the layer is named).
    """
    network = calibration.network
    assignment = assign(network.workload, policy, calibration.non_negative)
    module = copy_graph(network.module)
    codes: dict[str, WeightCodes] = {}
    noise: dict[str, float] = {}
    for layer in network.workload.weighted:
        found = _quantize_weight(calibration, module, layer, assignment.weight(layer.name), recipe)
        if found is not None:
            codes[layer.name], noise[layer.name] = found
    scales = _insert_quantizers(calibration, module, assignment, recipe)
    for layer in network.workload.weighted:
        if layer.has_bias and layer.name in codes:
            _quantize_bias(module, network, layer, assignment, codes[layer.name], scales)
    module.graph.lint()
    module.recompile()
    layers = tuple(
        QuantizedLayer(name, network.workload[name].kind, formats.weight, formats.acts, noise.get(name))
        for name, formats in assignment.layers.items()
    )
    return QuantizedModel(network, module, assignment, policy, recipe, codes, layers)


def _quantize_weight(
    calibration: Calibration, module: GraphModule, layer: Layer, spec: Scaled, recipe: Recipe
) -> tuple[WeightCodes, float] | None:
    """Replace a weight by its quantized values; the work is shared by designs that ask for the same."""
    if str(spec) == "none":
        return None
    node = _node_of(module, layer.name)
    source = node.args[0 if layer.kind == "embedding" else 1]
    name = str(source.target)  # type: ignore[union-attr]
    weight = getattr(calibration.network.module, name)
    key = (layer.name, str(spec), recipe.describe())
    if key not in calibration.weights:
        if not torch.isfinite(weight).all():
            raise InputError("NaN or infinite weights", where=f"layer {layer.name}", hint="repair the checkpoint")
        calibration.weights[key] = _weight_values(layer, weight, spec, recipe)
    codes, values = calibration.weights[key]
    fresh = f"{name}_quantized"
    while hasattr(module, fresh):
        fresh += "_"
    module.register_buffer(fresh, values)
    with module.graph.inserting_before(node):
        replacement = module.graph.get_attr(fresh)
    replacement.meta = copy(source.meta)  # type: ignore[union-attr]
    node.replace_input_with(source, replacement)  # type: ignore[arg-type]
    if not source.users:  # type: ignore[union-attr]
        module.graph.erase_node(source)  # type: ignore[arg-type]
        delattr(module, name)
    return None if codes is None else (codes, sqnr_db(weight, values))


def _weight_values(layer: Layer, weight: Tensor, spec: Scaled, recipe: Recipe) -> tuple[WeightCodes | None, Tensor]:
    rows = weight_rows(layer, weight)
    if spec.is_native:
        cast = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(str(spec), torch.float32)
        return None, weight.to(cast).to(weight.dtype)
    if spec.mx_name is not None:
        scale, zero_point = block_scales(rows.flatten(1), spec), None
    else:
        method = recipe.range_method
        scale, zero_point = weight_scale(rows, spec, MinMax() if isinstance(method, Percentile) else method)
    codes = to_codes(rows, spec, scale, zero_point)
    values = torch.from_numpy(codes.dequantize()).to(weight.dtype)
    return codes, rows_to_weight(layer, values).contiguous()


def _insert_quantizers(
    calibration: Calibration, module: GraphModule, assignment: Assignment, recipe: Recipe
) -> dict[str, tuple[Scaled, Tensor]]:
    """Put a quantizer behind every edge of the assignment; all readers see its output."""
    scales: dict[str, tuple[Scaled, Tensor]] = {}
    for index, (name, spec) in enumerate(assignment.edges.items()):
        observer = calibration.observers[name]
        if spec.is_native or spec.mx_name is not None:
            scale, zero_point = torch.ones(()), None
        else:
            scale, zero_point = calibration.act_scale(name, spec, recipe.range_method)
        scales[name] = (spec, scale)
        node = _node_of(module, name)
        target = f"quantize_{index}"
        module.add_submodule(target, Quantizer(spec, scale, zero_point, observer.axis))
        with module.graph.inserting_after(node):
            quantized = module.graph.call_module(target, (node,))
        quantized.meta = {"val": node.meta.get("val"), "quantizes": name}
        node.replace_all_uses_with(quantized)
        quantized.update_arg(0, node)
    return scales


def _quantize_bias(
    module: GraphModule,
    network: Network,
    layer: Layer,
    assignment: Assignment,
    codes: WeightCodes,
    scales: Mapping[str, tuple[Scaled, Tensor]],
) -> None:
    """Put the bias of a power-of-two design on the grid of its accumulator, where hardware adds it."""
    edge = network.workload.origin(layer.inputs[0]) if layer.inputs else ""
    if edge not in scales or isinstance(codes.spec.block, int):
        return
    act_spec, act_scale = scales[edge]
    if codes.spec.scale != "pow2" or act_spec.scale != "pow2" or act_spec.block != "tensor" or act_spec.is_native:
        return
    weight_step = codes.scale.reshape(codes.scale.shape[0], -1)[:, 0] * unit(codes.spec.format)
    step = torch.from_numpy(np.broadcast_to(weight_step, codes.codes.shape[:1]).copy())
    step = step * float(act_scale) * unit(act_spec.format)
    node = _node_of(module, layer.name)
    name = str(node.args[2].target)  # type: ignore[union-attr]
    bias = getattr(module, name)
    rounded = (torch.round(bias.double() / step) * step).to(bias.dtype)
    fresh = f"{name}_quantized"
    module.register_buffer(fresh, rounded)
    with module.graph.inserting_before(node):
        replacement = module.graph.get_attr(fresh)
    replacement.meta = copy(node.args[2].meta)  # type: ignore[union-attr]
    node.update_arg(2, replacement)


def _node_of(module: GraphModule, layer: str) -> Node:
    return next(node for node in module.graph.nodes if node.meta.get("layer") == layer)
