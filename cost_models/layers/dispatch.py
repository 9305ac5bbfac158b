"""The price of any layer: its kind decides the hardware, its output edge the quantizer behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from hwsim.core.errors import UnsupportedError
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.layers.pointwise import (
    price_activation,
    price_add,
    price_concat,
    price_elementwise,
    price_embedding,
    price_norm,
    price_softmax,
)
from hwsim.cost_models.layers.products import price_attention, price_matmul, price_weighted
from hwsim.cost_models.layers.site import Price, Site, Stream
from hwsim.cost_models.layers.windows import price_pool, price_reduce
from hwsim.cost_models.memory import storage
from hwsim.cost_models.operators.floating import FLOAT_SCALE_BITS
from hwsim.cost_models.operators.lanes import adder
from hwsim.cost_models.operators.requantize import requantize

PRICES: dict[str, Callable[[Site], Price]] = {
    "conv": price_weighted,
    "linear": price_weighted,
    "matmul": price_matmul,
    "attention": price_attention,
    "embedding": price_embedding,
    "norm": price_norm,
    "activation": price_activation,
    "softmax": price_softmax,
    "pool": price_pool,
    "add": price_add,
    "concat": price_concat,
    "elementwise": price_elementwise,
    "reduce": price_reduce,
}
FLOAT_ALIGN_LUT = 25 * 3  # a significand of 25 bits through five shifter stages


@lru_cache(maxsize=1 << 16)
def price(site: Site) -> Price:
    """Resources, cycles and output of a layer.

    Raises
    ------
    UnsupportedError
        Naming the layer, for a kind, operator or format without a formula.
    """
    layer = site.layer
    try:
        if layer.kind == "reshape":
            return _reshape(site)
        kind = PRICES.get(layer.kind)
        if kind is None:
            raise UnsupportedError(f"a layer of kind {layer.kind!r}", hint=f"modelled: {', '.join(PRICES)}, reshape")
        return _quantize(site, kind(site))
    except UnsupportedError as error:
        where = error.where or f"layer {layer.name}"
        raise UnsupportedError(error.message, where=where, hint=error.hint) from None


def folded(stream: Stream) -> Price:
    """A layer that another one absorbs: batch norm behind a convolution."""
    return Price(Bill(), stream, 0, 0, buffered=False)


def _quantize(site: Site, made: Price) -> Price:
    """Add the quantizer of the output edge, one a lane."""
    if site.edge is None or made.quantized:
        return made
    out, target = made.out, site.edge
    if out.kind == "float" and target.is_native:
        return replace(made, out=out.coded(target))
    multiply = (out.float_scale or target.scale == "f32") and not target.is_native
    bits = out.fixed_bits
    if out.kind == "float":
        bits = FLOAT_SCALE_BITS + 1
    lane = requantize(bits, target, multiply, site.dsp, site.dsp_type)
    if out.kind == "float":
        lane += Bill((Term("requantize", "none", float(FLOAT_ALIGN_LUT)),))
    if out.decode_lut:
        lane += Bill((Term("decoders", "mf_dec", float(out.decode_lut)),))
    lane += Bill(ff=target.bits)
    bill = made.bill + lane.times(out.lanes)
    if multiply and out.word_cycles > 1:
        bill += storage(out.lanes * FLOAT_SCALE_BITS, out.word_cycles, "requantize")
    return replace(made, bill=bill, out=out.coded(target), depth=made.depth + (4 if multiply else 1))


def _reshape(site: Site) -> Price:
    """Moving elements is wiring and addressing of buffers that are paid for elsewhere; interpolation is not."""
    layer = site.layer
    if not site.inputs:  # a constant
        return folded(Stream(1, max(1, layer.out_elements), 1, max(1, layer.out_elements), "fixed", False))
    stream = site.inputs[0]
    if layer.op == "upsample_bilinear2d":
        unit = adder(stream.fixed_bits + 2).times(3)
        scale = layer.out_elements // max(1, layer.in_elements)
        row = storage(stream.word_bits, layer.in_shapes[0][-1], "line buffers")
        out = replace(stream.carried(stream.fixed_bits + 4), words=stream.words * scale)
        made = Price(unit.times(stream.lanes) + row, out, out.words * out.word_cycles, 3)
        return _quantize(site, made)
    words, channels = stream.words, stream.channels
    if layer.op in ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"):
        words = max(1, layer.out_elements // channels)
    elif layer.out_elements != layer.in_elements:  # a slice, a pad, a repeat
        words, channels = _resized(layer.out_elements, words, channels)
    out = replace(stream, words=words, channels=channels, lanes=min(stream.lanes, channels))
    return _quantize(site, folded(out)) if site.edge is not None else folded(out)


def _resized(elements: int, words: int, channels: int) -> tuple[int, int]:
    if elements % channels == 0:
        return max(1, elements // channels), channels
    if elements % words == 0:
        return words, max(1, elements // words)
    return 1, max(1, elements)
