"""Which format each weight and each tensor edge of a workload has: the policy of section "formats" in the README.

A quantizer sits where values are made: on the tensor that a compute layer reads, seen through value-preserving
layers, once for all its readers. A residual sum therefore reads the quantized branch. Everything else (accumulators,
sums, logits) stays as wide as it is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import ceil, prod
from typing import get_args

from hwsim.core.errors import InputError, nearest
from hwsim.core.formats import Int, Minifloat, uint_format
from hwsim.core.scaled import Scaled, ScaleType, parse
from hwsim.core.workload import COMPUTE, WEIGHTED, Layer, Workload

UNQUANTIZED = parse("none")
COARSE = ".coarse"
"""Suffix of the layer that holds the coarse part of a split weight; it belongs to the layer without it."""


@dataclass(frozen=True, slots=True)
class LayerFormats:
    """Formats of one compute layer: its weight (None for products of activations) and each data input."""

    weight: Scaled | None
    acts: tuple[Scaled, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Formats of a whole network.

    Attributes
    ----------
    layers : by name, each layer that holds weights or multiplies.
    edges : by name of the producing layer or network input, each quantized tensor. A tensor that is not listed keeps
        the width it was computed with.
    """

    layers: Mapping[str, LayerFormats]
    edges: Mapping[str, Scaled]

    def weight(self, name: str) -> Scaled:
        return self.layers[name].weight or UNQUANTIZED

    def memory_bits(self, workload: Workload) -> int:
        """Bits of all weights with their block scales, plus 32 bits a bias."""
        total = 0
        for layer in workload.weighted:
            spec = self.weight(layer.name)
            # a weight shared with an earlier layer is stored once: this one owns its bias at most
            elements = layer.weight_elements if layer.params >= layer.weight_elements else 0
            total += elements * spec.bits + 32 * (layer.params - elements)
            if isinstance(spec.block, int) and elements:
                reduction = layer.reduction or prod((layer.weight_shape or ())[1:])  # an embedding's row
                total += elements // reduction * ceil(reduction / spec.block) * spec.block_bits
        return total


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user asked for; `assign` turns it into formats for every layer.

    Attributes
    ----------
    weights, acts : format strings; granularity defaults to @channel and @tensor.
    edge : `same`, or `FMT` or `FMT,FMT` (weights, activations) for the first and the last compute layer.
    overrides : (glob over layer names, `FMT` or `FMT,FMT`), the last match wins; `FMT,` and `,FMT` leave the other
        side as it was.
    scale : the scale type of formats that do not name one.
    acts_signed : keep signed integers on non-negative tensors.
    unsigned_minifloat : turn eXmY into ueXm(Y+1) on non-negative tensors.
    """

    weights: str
    acts: str
    edge: str = "same"
    overrides: tuple[tuple[str, str], ...] = ()
    scale: ScaleType = "f32"
    acts_signed: bool = False
    unsigned_minifloat: bool = False

    def check(self) -> None:
        """Raise InputError for formats that do not parse or cannot hold weights or activations, and unknown scales."""
        if self.scale not in get_args(ScaleType):
            hint = nearest(str(self.scale), get_args(ScaleType))
            raise InputError(f"scale {self.scale!r}", where="scale", hint=hint)
        self.weight_spec(self.weights)
        self.act_spec(self.acts)

    def weight_spec(self, text: str) -> Scaled:
        return parse(text, block="channel", scale=self.scale)

    def act_spec(self, text: str) -> Scaled:
        spec = parse(text, block="tensor", scale=self.scale)
        if isinstance(spec.block, int) and spec.mx_name is None:
            raise InputError(
                f"groups of {spec.block} on an activation", where=f"format {text!r}", hint="use @tensor, @channel or mx"
            )
        return spec


def assign(workload: Workload, policy: Policy, non_negative: Iterable[str] = ()) -> Assignment:
    """Formats for every layer and edge under a policy.

    Parameters
    ----------
    non_negative : tensors (by producer) seen to be non-negative in calibration, beyond those provably so.

    Raises
    ------
    InputError
        For a format that does not parse or an override that matches no layer.
    """
    known = set(non_negative) | {layer.name for layer in workload if layer.non_negative}
    choices = _choices(workload, policy)
    edges: dict[str, Scaled] = {}
    for layer in workload:
        if layer.kind not in COMPUTE:
            continue
        for name in _data_inputs(layer):
            source = workload.origin(name)
            wanted = resolve_sign(choices[layer.name][1], source in known, policy)
            if source not in edges or _finer(wanted, edges[source]):
                edges[source] = wanted
    edges = {name: spec for name, spec in edges.items() if str(spec) != "none"}
    weights = {layer.name: choices[layer.name][0] for layer in workload.weighted}
    return Assignment(layer_formats(workload, weights, edges), edges)


def layer_formats(
    workload: Workload, weights: Mapping[str, Scaled | None], edges: Mapping[str, Scaled]
) -> dict[str, LayerFormats]:
    """The formats of each layer that holds weights or multiplies, from those of its weight and of tensor edges."""
    found: dict[str, LayerFormats] = {}
    for layer in workload:
        if layer.kind in WEIGHTED or layer.kind in COMPUTE:
            acts = tuple(edges.get(workload.origin(n), UNQUANTIZED) for n in _data_inputs(layer))
            found[layer.name] = LayerFormats(weights.get(layer.name), acts)
    return found


def resolve_sign(spec: Scaled, non_negative: bool, policy: Policy) -> Scaled:
    """The format of a tensor once it is known whether it has negative values."""
    fmt = spec.format
    if not non_negative or spec.zero_point or spec.mx_name:
        return spec
    if isinstance(fmt, Int) and fmt.signed and not policy.acts_signed:
        return replace(spec, format=uint_format(fmt.bits))
    if isinstance(fmt, Minifloat) and fmt.signed and fmt.specials != "fnuz" and policy.unsigned_minifloat:
        return replace(spec, format=replace(fmt, mantissa=fmt.mantissa + 1, signed=False))
    return spec


def _choices(workload: Workload, policy: Policy) -> dict[str, tuple[Scaled, Scaled]]:
    base = (policy.weight_spec(policy.weights), policy.act_spec(policy.acts))
    targets = [layer for layer in workload if layer.kind in WEIGHTED or layer.kind in COMPUTE]
    choices = {layer.name: base for layer in targets}
    if policy.edge != "same":
        compute = [layer for layer in targets if layer.kind in ("conv", "linear")]
        ends = {compute[0].name, compute[-1].name} if compute else set()
        for layer in compute:
            if layer.name in ends or layer.name.removesuffix(COARSE) in ends:
                choices[layer.name] = _pair(policy, policy.edge, base)
    for glob, text in policy.overrides:
        hits = [layer.name for layer in targets if fnmatchcase(layer.name, glob)]
        if not hits:
            raise InputError(
                f"override {glob!r} matches no layer", where=workload.name, hint=nearest(glob, list(choices))
            )
        for name in hits:
            choices[name] = _pair(policy, text, choices[name])
    return choices


def _pair(policy: Policy, text: str, base: tuple[Scaled, Scaled]) -> tuple[Scaled, Scaled]:
    first, comma, second = text.partition(",")
    if "," in second:
        raise InputError(f"{text!r}", where="formats of a layer", hint="FMT for both, FMT,FMT, FMT, or ,FMT")
    weight = policy.weight_spec(first) if first else base[0]
    if not comma:
        second = first
    return weight, policy.act_spec(second) if second else base[1]


def _data_inputs(layer: Layer) -> tuple[str, ...]:
    if layer.kind == "embedding":
        return ()
    return layer.inputs[: {"attention": 3, "matmul": 2}.get(layer.kind, 1)]


def _finer(a: Scaled, b: Scaled) -> bool:
    """Whether a tensor read under two formats takes `a`: the one with more bits, unquantized above all."""
    return (str(a) == "none", a.bits) > (str(b) == "none", b.bits)
