"""Layers as matrix products, and the reuse factors that fold them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

from hwsim.core.errors import UnsupportedError
from hwsim.core.workload import Layer


@dataclass(frozen=True, slots=True)
class Product:
    """`positions` times a matrix of `outputs` x `inputs`, in `groups` independent blocks.

    `inputs` is the length of one dot product; a position costs inputs x outputs multiply-accumulates, whatever the
    groups.
    """

    positions: int
    inputs: int
    outputs: int
    groups: int

    @property
    def input_lanes(self) -> int:
        """Different input values of one position."""
        return self.inputs * self.groups


@dataclass(frozen=True, slots=True)
class Folding:
    """`reuse` cycles a position: `simd` products a dot product and `pe` dot products a cycle."""

    reuse: int
    simd: int
    pe: int

    @property
    def multipliers(self) -> int:
        return self.simd * self.pe


@lru_cache(maxsize=16384)
def products(layer: Layer) -> tuple[Product, ...]:
    """The matrix products of a layer, in the order in which data flow through them; none for other kinds.

    Raises
    ------
    UnsupportedError
        When shapes and multiply-accumulates do not agree.
    """
    if layer.kind in ("conv", "linear") and layer.weight_shape is None:
        raise UnsupportedError(
            "its weight is computed, not stored", where=f"layer {layer.name}", hint="write it as a matmul"
        )
    if layer.kind == "conv":
        found: tuple[Product, ...] = (_convolution(layer),)
    elif layer.kind == "linear":
        assert layer.weight_shape is not None
        out, inputs = layer.weight_shape[0], layer.weight_shape[-1]
        found = (Product(layer.out_elements // out, inputs, out, 1),)
    elif layer.kind == "matmul":
        rows = layer.out_elements // layer.out_shape[-1]
        found = (Product(rows, layer.in_shapes[0][-1], layer.out_shape[-1], 1),)
    elif layer.kind == "attention":
        query, key, value = layer.in_shapes[:3]
        rows = prod(query[:-1])
        found = (Product(rows, query[-1], key[-2], 1), Product(rows, key[-2], value[-1], 1))
    else:
        return ()
    macs = sum(p.positions * p.inputs * p.outputs for p in found)
    if macs != layer.macs:
        raise UnsupportedError(
            f"its shapes give {macs:,} multiply-accumulates, the workload says {layer.macs:,}",
            where=f"layer {layer.name}",
            hint=f"a {layer.op} whose operands broadcast is not modelled: write it as a plain {layer.kind}",
        )
    return found


def _convolution(layer: Layer) -> Product:
    assert layer.weight_shape is not None
    if layer.op.startswith("conv_transpose"):
        positions = prod(layer.in_shapes[0][2:])
        inputs = layer.weight_shape[0] // layer.groups
        return Product(positions, inputs, prod(layer.weight_shape[1:]) * layer.groups, layer.groups)
    positions = prod(layer.out_shape[2:])
    return Product(positions, prod(layer.weight_shape[1:]), layer.weight_shape[0], layer.groups)


@lru_cache(maxsize=16384)
def legal_reuse(inputs: int, outputs: int) -> tuple[int, ...]:
    """Reuse factors that divide the work evenly, rising: divisors of the dot product's length, then whole dot
    products times divisors of the outputs. These are the factors that hls4ml accepts for its resource strategy."""
    within = _divisors(inputs)
    return within + tuple(inputs * d for d in _divisors(outputs)[1:])


def nearest_reuse(wanted: int, inputs: int, outputs: int) -> int:
    """The legal factor nearest to `wanted`; the smaller one of two at equal distance, as hls4ml takes it."""
    return min(legal_reuse(inputs, outputs), key=lambda r: (abs(r - wanted), r))


def fold(reuse: int, inputs: int, outputs: int) -> Folding:
    """Spend a legal reuse on the dot product first, then on the outputs."""
    if reuse <= inputs:
        return Folding(reuse, inputs // reuse, outputs)
    return Folding(reuse, 1, ceil(outputs * inputs / reuse))


@lru_cache(maxsize=16384)
def _divisors(n: int) -> tuple[int, ...]:
    small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return tuple(sorted({*small, *(n // d for d in small)}))
