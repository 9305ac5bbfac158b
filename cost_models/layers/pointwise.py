"""Layers that work element by element, or word by word: activations, sums, norms, softmax, concatenation, tables."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2

from hwsim.core.errors import UnsupportedError
from hwsim.cost_models.bill import Bill, Term, total
from hwsim.cost_models.layers.site import Price, Site, Stream
from hwsim.cost_models.memory import storage
from hwsim.cost_models.operators.floating import FLOAT_SCALE_BITS, FP32, float_adder, float_product_lut, scale_step
from hwsim.cost_models.operators.lanes import (
    COEFFICIENT_BITS,
    TABLE_BITS,
    adder,
    larger_of_two,
    multiplier,
    softmax,
    table,
)

CLIPS = frozenset("relu relu6 hardtanh clamp clamp_min clamp_max threshold".split())
SLOPES = frozenset("leaky_relu prelu".split())
CURVES = frozenset(
    "elu selu celu gelu silu mish sigmoid tanh hardsigmoid hardswish softplus softsign logsigmoid log_sigmoid exp exp2 "
    "expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan sinh cosh erf erfc square pow "
    "rsub_pow _softmax_exp log_sigmoid_forward".split()
)
SUMS = frozenset("add sub rsub".split())
PRODUCTS = frozenset("mul div true_divide floor_divide remainder".split())
BITWISE = frozenset(
    "abs neg sign sgn floor ceil round trunc frac maximum minimum fmax fmin eq ne lt le gt ge logical_and logical_or "
    "logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor where masked_fill isnan isinf nan_to_num "
    "positive clone".split()
)


def price_activation(site: Site) -> Price:
    """Clips are free inside a requantizer, slopes are a product, curves are a table that writes the next codes."""
    op, stream = site.layer.op, site.inputs[0]
    if op in CLIPS:
        bill = Bill()
        if site.edge is None:  # no quantizer to clip in
            steps = 1 if op == "relu" else 2
            bill = Bill((Term("clip", "none", float(steps * stream.bits)),)).times(stream.lanes)
        return Price(bill, stream, 0, 0, buffered=False)
    if op in SLOPES:
        unit = _scaled(stream, site) + Bill((Term("clip", "none", float(stream.bits)),))
        return _through(site, unit.times(stream.lanes), stream.carried(stream.fixed_bits), 3)
    if op in CURVES:
        return _curve(site)
    raise UnsupportedError(f"an activation {op!r}", hint=f"modelled: {', '.join(sorted(CLIPS | SLOPES | CURVES))}")


def price_elementwise(site: Site) -> Price:
    """Any other pointwise arithmetic."""
    op, inputs = site.layer.op, site.inputs
    if op in CLIPS or op in SLOPES:
        return price_activation(site)
    if op in CURVES:
        return _curve(site)
    stream = _widest(inputs)
    bits = max(s.fixed_bits for s in inputs)
    floating = any(s.kind == "float" for s in inputs)
    if op in SUMS:
        return price_add(site)
    if op in BITWISE:
        unit = larger_of_two(stream.bits)
        return _through(site, unit.times(stream.lanes), stream.carried(bits), 1)
    if op in PRODUCTS:
        unit = _float_product() if floating else _product_lane(site)
        if op != "mul":
            unit += table(bits)
        wide = bits + (min(s.fixed_bits for s in inputs) if len(inputs) > 1 else COEFFICIENT_BITS)
        return _through(site, unit.times(stream.lanes), stream.carried(wide), 4)
    raise UnsupportedError(
        f"an element-wise {op!r}", hint=f"modelled: {', '.join(sorted(CURVES | SUMS | PRODUCTS | BITWISE))}"
    )


def price_add(site: Site) -> Price:
    """A sum of tensors (or of a tensor and a constant); bare operands with float scales are rescaled first."""
    inputs = site.inputs
    stream = _widest(inputs)
    floating = any(s.kind == "float" for s in inputs)
    bits = max(s.fixed_bits for s in inputs)
    unit = adder(bits, floating).times(max(1, len(inputs) - 1))
    for s in inputs:
        if s.decode_lut:
            unit += Bill((Term("decoders", "mf_dec", float(s.decode_lut)),))
        if s.float_scale and s.kind != "float" and len(inputs) > 1:
            unit += scale_step(s.fixed_bits, site.dsp, site.dsp_type)
    unit += Bill(ff=bits + 1)
    out = replace(stream.carried(bits + 1), float_scale=any(s.float_scale for s in inputs))
    if floating:
        out = replace(stream, bits=32, kind="float", spec=None, float_scale=False)
    return _through(site, unit.times(stream.lanes), out, 1)


def price_concat(site: Site) -> Price:
    """A multiplexer among the inputs, at the width of the widest; the lanes of all inputs are side by side."""
    inputs = site.inputs
    stream = _widest(inputs)
    bits = max(s.fixed_bits if len({x.spec for x in inputs}) > 1 else s.bits for s in inputs)
    unit = Bill((Term("multiplexer", "none", float(bits * max(1, ceil((len(inputs) - 1) / 3)))),))
    if any(s.spec != inputs[0].spec for s in inputs):
        for s in inputs:
            if s.decode_lut:
                unit += Bill((Term("decoders", "mf_dec", float(s.decode_lut)),))
    channels = max(1, site.layer.out_elements // stream.words)
    same = all(s.spec == inputs[0].spec and s.kind == inputs[0].kind for s in inputs)
    out = stream if same else stream.carried(bits)
    lanes = min(channels, sum(s.lanes for s in inputs))
    out = replace(out, channels=channels, lanes=lanes, bits=max(bits, out.bits))
    return _through(site, unit.times(lanes), out, 1)


def price_norm(site: Site) -> Price:
    """A multiply and an add a lane; normalisations that measure their input also sum it, square it and look up 1/root.

    Batch norm right behind a convolution or linear layer is folded before this is called.
    """
    layer, stream = site.layer, site.inputs[0]
    bits = stream.fixed_bits
    unit = _scaled(stream, site) + adder(bits + COEFFICIENT_BITS, stream.kind == "float")
    unit += Bill(ff=bits + COEFFICIENT_BITS)
    out = stream.carried(bits + COEFFICIENT_BITS)
    memory = (
        storage(2 * COEFFICIENT_BITS * stream.lanes, stream.word_cycles, "coefficients") if layer.params else Bill()
    )
    if layer.op == "batch_norm":
        return _through(site, unit.times(stream.lanes) + memory, out, 4)
    total_bits = 2 * bits + ceil(log2(max(2, layer.in_elements)))
    unit += multiplier(bits, bits, site.dsp, site.dsp_type) + adder(total_bits) + adder(total_bits)
    unit += multiplier(bits, TABLE_BITS, site.dsp, site.dsp_type)
    across = layer.op in ("group_norm", "instance_norm")  # their statistics span all words
    held = storage(stream.lanes * stream.bits, stream.word_cycles * (stream.words if across else 1), "tensor buffer")
    bill = unit.times(stream.lanes) + held.times(2) + table(total_bits) + memory
    return _through(site, bill, out, 10 + stream.word_cycles)


def price_softmax(site: Site) -> Price:
    """See `lanes.softmax`; a word is held until its sum is known."""
    stream = site.inputs[0]
    unit = softmax(stream.fixed_bits, site.dsp, site.dsp_type)
    held = storage(stream.lanes * TABLE_BITS, stream.word_cycles, "tensor buffer").times(2)
    out = replace(stream.carried(TABLE_BITS), float_scale=False)
    return _through(site, unit.times(stream.lanes) + held, out, 8 + 2 * stream.word_cycles)


def price_embedding(site: Site) -> Price:
    """A table of rows, read a row a word."""
    layer = site.layer
    assert layer.weight_shape is not None and site.weight is not None
    rows, channels = layer.weight_shape[0], layer.weight_shape[-1]
    words = layer.out_elements // channels
    bill = storage(ceil(channels * site.weight.stored_bits), rows, "weights")
    bill += Bill((Term("control", "none", float(ceil(log2(max(2, rows))))),), ff=channels * site.weight.bits)
    out = Stream(words, channels, site.weight.bits, channels, "fixed", False).coded(site.weight)
    return Price(bill, out, words, 2, buffered=False)


def _curve(site: Site) -> Price:
    stream = site.inputs[0]
    out_bits = site.edge.bits if site.edge is not None else TABLE_BITS
    bill = table(stream.bits, out_bits).times(stream.lanes)
    bill += Bill((Term("tables", "none", float(stream.bits)),)).times(stream.lanes)  # clip to the table's range
    out = stream.coded(site.edge) if site.edge is not None else replace(stream.carried(out_bits), float_scale=False)
    return replace(_through(site, bill, out, 2), quantized=site.edge is not None)


def _scaled(stream: Stream, site: Site) -> Bill:
    if stream.kind == "float":
        return _float_product()
    return multiplier(stream.fixed_bits, COEFFICIENT_BITS, site.dsp, site.dsp_type)


def _product_lane(site: Site) -> Bill:
    first = site.inputs[0].fixed_bits
    second = site.inputs[1].fixed_bits if len(site.inputs) > 1 else COEFFICIENT_BITS
    decode = sum(s.decode_lut for s in site.inputs)
    bill = multiplier(first, second, site.dsp, site.dsp_type)
    return bill + Bill((Term("decoders", "mf_dec", float(decode)),)) if decode else bill


def _float_product() -> Bill:
    lut = float_product_lut(FLOAT_SCALE_BITS, FLOAT_SCALE_BITS, FP32[0], FP32[0])
    return Bill((Term("multipliers", "mf_fmac", lut), float_adder("multipliers")))


def _widest(inputs: tuple[Stream, ...]) -> Stream:
    if not inputs:
        raise UnsupportedError("a layer without data inputs", hint="fold constants before costing")
    most = max(inputs, key=lambda s: (s.words * s.channels, s.fixed_bits))
    return replace(most, lanes=max(s.lanes for s in inputs))


def _through(site: Site, bill: Bill, out: Stream, depth: int) -> Price:
    cycles = ceil(out.words * out.word_cycles * site.layer.density)
    return Price(total((bill,)), out, cycles, depth)
