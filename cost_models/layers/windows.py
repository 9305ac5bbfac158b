"""Sliding windows: line buffers in front of convolutions and pools, and the pools and reductions themselves."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2, prod

from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Minifloat, canonical
from hwsim.core.workload import Layer, Shape
from hwsim.cost_models.bill import Bill, Term, total
from hwsim.cost_models.laws.controls import pool_control, window_control
from hwsim.cost_models.layers.site import Price, Site, Stream
from hwsim.cost_models.memory import of_counts, storage
from hwsim.cost_models.operators.lanes import Order, adder, larger_of_two, largest, multiplier, table
from hwsim.cost_models.operators.priced import integer_multiplier

RECIPROCAL_BITS = 8  # of one over the size of a window, where sizes differ: an assumption, within 0.4 %


def line_buffers(spatial: Shape, reach: tuple[int, ...], word_bits: int) -> Bill:
    """Rows kept for a window: one memory a row, `reach` - 1 rows deep along each axis but the last."""
    bills = []
    for axis in range(len(reach) - 1):
        rows = prod(reach[:axis]) * (reach[axis] - 1)
        if rows > 0:
            bills.append(storage(word_bits, prod(spatial[axis + 1 :]), "line buffers").times(rows))
    return total(bills)


def window_reach(layer: Layer) -> tuple[int, ...]:
    """Input positions that a window spans on each axis, dilation included."""
    dilation = layer.dilation or (1,) * len(layer.kernel)
    return tuple((k - 1) * d + 1 for k, d in zip(layer.kernel, dilation, strict=True))


def price_pool(site: Site) -> Price:
    """Max pools compare codes; average pools add and leave the division to the next scale."""
    layer, stream = site.layer, site.inputs[0]
    spatial = layer.in_shapes[0][2:]
    out_spatial = layer.out_shape[2:]
    out_words = prod(out_spatial)
    kernel, stride = (layer.kernel, layer.stride or layer.kernel) if layer.kernel else _divided(spatial, out_spatial)
    taps = prod(kernel)
    if "max" not in layer.op and "avg" not in layer.op:
        raise UnsupportedError(f"a pool {layer.op!r}", hint="max and average pools are modelled")
    greatest = "max" in layer.op
    if taps == 1:  # some words are passed on, others dropped
        return Price(Bill(), replace(stream, words=out_words), stream.words * stream.word_cycles, 0)
    bits = stream.bits if greatest else _sum_bits(stream, taps)
    out = stream if greatest else stream.carried(bits)
    reach = window_reach(layer) if layer.kernel else kernel
    if any(s < r for s, r in zip(stride, reach, strict=True)):  # windows overlap
        bill = _window_unit(stream, bits, taps, greatest).times(stream.lanes)
        bill += line_buffers(spatial, reach, stream.word_bits)
        control = window_control(spatial[-1], prod(spatial[:-1]), max(kernel), max(stride), 0)
        bill += of_counts("window control", "window_control", control) + Bill(ff=taps * stream.word_bits)
        if not greatest and any(i % o for i, o in zip(spatial, out_spatial, strict=True)) and not layer.kernel:
            sizes = integer_multiplier("window sizes", bits, RECIPROCAL_BITS, False)  # each sum over a size of its own
            bill += Bill((sizes,)).times(stream.lanes)
    else:  # one running result for each that is begun before another is whole
        first = next((axis for axis, k in enumerate(kernel) if k > 1), len(kernel))
        running = prod(out_spatial[first + 1 :]) * stream.word_cycles
        bill = _running(stream, bits, kernel, spatial[-1], greatest)
        bill += storage(stream.lanes * bits, running, "line buffers")
    out = Stream(out_words, stream.channels, bits, stream.lanes, out.kind, stream.float_scale, out.spec)
    return Price(bill, out, stream.words * stream.word_cycles, 2)


def _divided(spatial: Shape, out_spatial: Shape) -> tuple[Shape, Shape]:
    """The largest window and the least distance of windows of a pool named by its output size.

    Window j of o over i inputs spans floor(j i / o) up to ceil((j + 1) i / o), as torch's adaptive pools have it.

    Raises
    ------
    UnsupportedError
        Where the output is larger than the input.
    """
    pairs = list(zip(spatial, out_spatial, strict=True))
    if any(o > i for i, o in pairs):
        sizes = " to ".join(" x ".join(map(str, shape)) for shape in (spatial, out_spatial))
        raise UnsupportedError(f"a pool that enlarges, {sizes}", hint="upsample, or choose a smaller output size")
    kernel = tuple(max(-((j + 1) * i // -o) - j * i // o for j in range(o)) for i, o in pairs)
    return kernel, tuple(i // o for i, o in pairs)


def price_reduce(site: Site) -> Price:
    """Sums, means, extremes and variances over any axes, one accumulator a channel."""
    layer, stream = site.layer, site.inputs[0]
    count = max(1, layer.in_elements // max(1, layer.out_elements))
    over_words = count % stream.words == 0 and stream.words > 1
    bits = _sum_bits(stream, count)
    if layer.op in ("mean", "sum", "cumsum"):
        unit, out = _pool_unit(stream, bits, False), stream.carried(bits)
    elif layer.op in ("amax", "amin", "max", "min"):
        unit, out = _pool_unit(stream, stream.bits, True), stream
    elif layer.op == "argmax":
        index = max(1, ceil(log2(max(2, count))))
        unit = larger_of_two(stream.bits) + Bill((Term("comparators", "none", float(index)),), ff=index)
        out = stream.carried(index)
    elif layer.op in ("var", "std", "norm"):
        square = multiplier(stream.fixed_bits, stream.fixed_bits, site.dsp, site.dsp_type)
        unit = square + _pool_unit(stream, bits, False) + adder(2 * bits) + table(2 * bits)
        out = stream.carried(bits)
    else:
        raise UnsupportedError(f"a reduction {layer.op!r}", hint="mean, sum, cumsum, max, min, argmax, var, std, norm")
    words = 1 if over_words else stream.words
    channels = max(1, layer.out_elements // words)
    lanes = min(stream.lanes, channels)
    held = storage(stream.lanes * bits, stream.word_cycles, "accumulators")
    result = Stream(words, channels, out.bits, lanes, out.kind, stream.float_scale, out.spec)
    return Price(unit.times(stream.lanes) + held, result, stream.words * stream.word_cycles, 2)


def _sum_bits(stream: Stream, count: int) -> int:
    return 32 if stream.kind == "float" else stream.fixed_bits + ceil(log2(max(count, 1)))


def _pool_unit(stream: Stream, bits: int, greatest: bool) -> Bill:
    """What brings one element into a running maximum or sum."""
    if greatest:
        return largest(2, stream.bits, _order(stream))
    decode = Bill((Term("decoders", "mf_dec", float(stream.decode_lut)),)) if stream.decode_lut else Bill()
    return decode + adder(bits, stream.kind == "float") + Bill(ff=bits)


def _window_unit(stream: Stream, bits: int, taps: int, greatest: bool) -> Bill:
    """The maximum or the sum of a whole window at once, of one channel."""
    if greatest:
        return largest(taps, stream.bits, _order(stream))
    return _pool_unit(stream, bits, False).times(taps - 1)


def _running(stream: Stream, bits: int, kernel: Shape, width: int, greatest: bool) -> Bill:
    """What brings elements into results as they come.

    The maximum of squares is that of `rtl.pool`: across two columns, then down on the row above, and the registers
    between; both comparisons of a channel are one unit.
    """
    axes = sum(k > 1 for k in kernel)
    if not greatest or axes < 2:
        return _pool_unit(stream, bits, greatest).times(stream.lanes)
    held = stream.lanes * bits
    left = Bill(ff=held) if stream.word_cycles == 1 else storage(held, stream.word_cycles, "line buffers")
    control = of_counts("pool control", "pool_control", pool_control(width))
    return largest(1 + axes, bits, _order(stream)).times(stream.lanes) + left + control + Bill(ff=held)


def _order(stream: Stream) -> Order:
    """How codes of a stream compare."""
    if stream.kind != "code" or stream.spec is None:
        return "int"
    format_ = canonical(stream.spec.format)
    if not getattr(format_, "signed", True):
        return "uint"
    return "minifloat" if isinstance(format_, Minifloat) else "int"
