"""Whether a quantized network's arithmetic is free of rounding in a floating-point type.

Every tensor of a power-of-two design is a whole multiple of a power of two. Sums of products, biases, residual sums and
averages stay exact in any order of summation while the largest magnitude is less than 2^bits of these multiples.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.core.accumulator import unit
from hwsim.core.formats import Binary, Int, Minifloat
from hwsim.core.workload import Layer

if TYPE_CHECKING:
    from hwsim.quant.model import QuantizedModel

_PASSES = frozenset({"relu", "getitem", "select", "slice", "constant_pad_nd", "pad"})


@dataclass(frozen=True, slots=True)
class _Grid:
    """Values are whole multiples of `step`, at most `bound` in magnitude."""

    step: float
    bound: float

    def fits(self, significand_bits: int) -> bool:
        return self.bound < self.step * 2.0**significand_bits


def is_exact(model: QuantizedModel, significand_bits: int) -> bool:
    """Whether no operation of the network rounds in a type with so many significand bits (24 or 53).

    False wherever it cannot be shown: scales that are no powers of two, block formats on activations, operators other
    than convolutions, linear layers, ReLU, pooling, sums, concatenations and views.
    """
    if any(not _is_dyadic(spec) for spec in model.assignment.edges.values()):
        return False
    grids: dict[str, _Grid] = {}
    for name in model.network.workload.inputs:
        if name not in model.assignment.edges:
            return False
        grids[name] = _edge(model, name)
    for layer in model.network.workload:
        found = _through(model, layer, [grids[name] for name in layer.inputs if name in grids])
        if found is None or not found.fits(significand_bits):
            return False
        grids[layer.name] = _edge(model, layer.name) if layer.name in model.assignment.edges else found
    return True


def _is_dyadic(spec: object) -> bool:
    fmt = getattr(spec, "format", None)
    known = isinstance(fmt, Int | Binary) or (isinstance(fmt, Minifloat) and fmt.bias == fmt.usual_bias)
    return known and getattr(spec, "scale", "") == "pow2"


def _edge(model: QuantizedModel, name: str) -> _Grid:
    quantizer = model.quantizer(name)
    fmt = quantizer.spec.format
    offset = 0.0 if quantizer.zero_point is None else float(quantizer.zero_point.abs().max())
    scale = quantizer.scale.double()
    bound = float(scale.max()) * (max(fmt.max, -fmt.min) + offset)
    return _Grid(float(scale.min()) * unit(fmt), bound)


def _through(model: QuantizedModel, layer: Layer, inputs: list[_Grid]) -> _Grid | None:
    """The grid of a layer's result before any quantizer, None where it cannot be said."""
    if not inputs:
        return None
    step, bound = min(g.step for g in inputs), max(g.bound for g in inputs)
    if layer.kind in ("conv", "linear"):
        return _products(model, layer, inputs[0])
    if layer.kind == "add":
        total = _Grid(step, sum(g.bound for g in inputs))
        return total if len(inputs) == len(layer.inputs) == 2 else None
    if layer.kind == "concat" or layer.value_preserving or layer.op in _PASSES:
        return _Grid(step, bound)
    if "avg_pool" in layer.op or layer.op == "mean":
        window = prod(layer.kernel) if layer.kernel else layer.in_elements // layer.out_elements
        if window & (window - 1):
            return None
        return _Grid(step / window, bound)
    return None


def _products(model: QuantizedModel, layer: Layer, data: _Grid) -> _Grid | None:
    codes = model.codes.get(layer.name)
    if codes is None or codes.spec.scale not in ("pow2", "e8m0"):
        return None
    rows = codes.codes.shape[0]
    values = np.abs(codes.dequantize()).reshape(rows, -1)
    scales = codes.scale.reshape(-1, 1) if codes.scale.size in (1, rows) else codes.scale.reshape(rows, -1)
    smallest: NDArray[np.float64] = np.broadcast_to(scales.min(axis=1), (rows,))
    steps = smallest * unit(codes.spec.format) * data.step
    bounds = values.sum(axis=1) * data.bound
    bias = _bias(model, layer)
    if bias is not None:
        if bool(np.any(np.rint(bias / steps) != bias / steps)):
            return None
        bounds = bounds + np.abs(bias)
    return _Grid(float(steps.min()), float(bounds.max()))


def _bias(model: QuantizedModel, layer: Layer) -> NDArray[np.float64] | None:
    if not layer.has_bias:
        return None
    node = next(n for n in model.module.graph.nodes if n.meta.get("layer") == layer.name)
    tensor: Tensor = getattr(model.module, str(node.args[2].target))
    return tensor.double().numpy()
