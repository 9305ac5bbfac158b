"""Convolutions, linear layers, products of activations and attention: arrays of multipliers and what feeds them."""

from __future__ import annotations

from math import ceil, prod

from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import uint_format
from hwsim.core.scaled import Scaled
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.geometry import Folding, Product, fold, nearest_reuse, products
from hwsim.cost_models.layers.arrays import stored_array, vector_feed, window_feed
from hwsim.cost_models.layers.site import Price, Site, Stream
from hwsim.cost_models.layers.windows import line_buffers, window_reach
from hwsim.cost_models.memory import storage
from hwsim.cost_models.operators.constant import constant_cost, constant_dot, expected_counts
from hwsim.cost_models.operators.dot import sum_bits
from hwsim.cost_models.operators.lanes import softmax
from hwsim.cost_models.operators.operand import Operand, is_exact, operand
from hwsim.cost_models.operators.requantize import encode


def price_weighted(site: Site) -> Price:
    """A convolution or linear layer with stored or constant weights."""
    layer, stream = site.layer, site.inputs[0]
    if site.weight is None:
        raise UnsupportedError("its weight has no format", hint="assign one")
    if site.acts[0].block == "channel" and not layer.is_depthwise:
        raise UnsupportedError(
            "activation scales that vary along the dot product", hint="use @tensor or mx activations"
        )
    (matrix,) = products(layer)
    weights, acts = operand(site.weight), operand(site.acts[0])
    folding = fold(nearest_reuse(site.reuse, matrix.inputs, matrix.outputs), matrix.inputs, matrix.outputs)
    acc_bits = sum_bits(layer.reduction, weights, acts)
    constant = folding.reuse == 1 and is_exact(weights, acts)
    if constant:
        bill, depth = _constant_array(site, matrix, weights, acts)
    else:
        bill, depth = stored_array(matrix, folding, weights, acts, acc_bits, site)
        width = ceil(folding.multipliers * site.weight.stored_bits)
        bill += storage(width, folding.reuse, "weights") if folding.reuse > 1 else Bill()
    bill += _feed(site, matrix, folding, stream.bits) + _bias(site, folding, acc_bits)
    words, channels = matrix.positions, matrix.outputs
    if layer.op.startswith("conv_transpose"):
        words, channels = prod(layer.out_shape[2:]), layer.out_shape[1]
        bill += _overlap(site, folding, acc_bits)
    out = _result(site, words, channels, min(folding.pe, channels), acc_bits, is_exact(weights, acts))
    cycles = ceil(matrix.positions * folding.reuse * layer.density)
    return Price(bill, out, cycles, depth, acc_bits, folding.reuse)


def price_matmul(site: Site) -> Price:
    """A product of two activations; the second one is held in a double buffer."""
    (matrix,) = products(site.layer)
    left, right = operand(site.acts[0]), operand(site.acts[1])
    folding = fold(nearest_reuse(site.reuse, matrix.inputs, matrix.outputs), matrix.inputs, matrix.outputs)
    acc_bits = sum_bits(matrix.inputs, right, left)
    bill, depth = stored_array(matrix, folding, right, left, acc_bits, site)
    batch = prod(site.layer.in_shapes[1][:-2])
    bill += _held(folding, site.inputs[1].bits, batch) + vector_feed(matrix, folding, site.inputs[0].bits)
    out = _result(site, matrix.positions, matrix.outputs, folding.pe, acc_bits, is_exact(right, left))
    return Price(bill, out, matrix.positions * folding.reuse, depth, acc_bits, folding.reuse)


def price_attention(site: Site) -> Price:
    """Scores, softmax and weighted values, one query a position. Probabilities have the bits of the query."""
    scores, mix = products(site.layer)
    query, key, value = (operand(spec) for spec in site.acts)
    spec = site.acts[0]
    if query.kind == "int":
        spec = Scaled(uint_format(spec.bits), "tensor", "pow2")
    chance = operand(spec)
    first = fold(nearest_reuse(site.reuse, scores.inputs, scores.outputs), scores.inputs, scores.outputs)
    second = fold(nearest_reuse(site.reuse, mix.inputs, mix.outputs), mix.inputs, mix.outputs)
    score_bits, acc_bits = sum_bits(scores.inputs, key, query), sum_bits(mix.inputs, value, chance)
    bill, depth = stored_array(scores, first, key, query, score_bits, site)
    tail, more = stored_array(mix, second, value, chance, acc_bits, site)
    heads = prod(site.layer.in_shapes[1][:-2])
    soft = softmax(score_bits, site.dsp, site.dsp_type) + encode(18, spec)
    bill += tail + soft.times(first.pe)
    bill += _held(first, site.inputs[1].bits, heads) + _held(second, site.inputs[2].bits, heads)
    bill += vector_feed(scores, first, site.inputs[0].bits) + vector_feed(mix, second, spec.bits)
    out = _result(site, mix.positions, mix.outputs, second.pe, acc_bits, is_exact(value, chance))
    cycles = scores.positions * max(first.reuse, second.reuse)
    return Price(bill, out, cycles, depth + more + 8, acc_bits, max(first.reuse, second.reuse))


def _constant_array(site: Site, matrix: Product, weights: Operand, acts: Operand) -> tuple[Bill, int]:
    fan_out = matrix.outputs // matrix.groups
    counts = site.counts or expected_counts(weights.format, matrix.input_lanes, matrix.outputs, fan_out)
    bill = constant_dot(weights, acts, matrix.input_lanes, counts)
    return bill, 1 + constant_cost(acts, counts).latency


def _feed(site: Site, matrix: Product, folding: Folding, bits: int) -> Bill:
    """How the array gets its inputs: a window with line buffers, or a vector."""
    layer = site.layer
    sliding = layer.kind == "conv" and prod(layer.kernel) > 1 and not layer.op.startswith("conv_transpose")
    if not sliding:
        return vector_feed(matrix, folding, bits)
    return window_feed(layer, matrix, folding, bits, window_reach(layer))


def _held(folding: Folding, bits: int, batch: int) -> Bill:
    """The second operand of a product of activations: `batch` matrices, twice."""
    return storage(folding.multipliers * bits, folding.reuse * batch, "operand buffer").times(2)


def _bias(site: Site, folding: Folding, acc_bits: int) -> Bill:
    if not site.layer.has_bias:
        return Bill()
    outputs = products(site.layer)[0].outputs
    depth = outputs // folding.pe
    stored = storage(folding.pe * acc_bits, depth, "bias") if depth > 1 else Bill()
    return stored + Bill((Term("bias", "load", float(folding.pe * acc_bits)),))


def _overlap(site: Site, folding: Folding, acc_bits: int) -> Bill:
    """A transposed convolution adds overlapping windows: an adder a processing element and rows of partial sums."""
    layer = site.layer
    stride = layer.stride or (1,) * len(layer.kernel)
    reach = tuple(max(k - s, 0) + 1 for k, s in zip(layer.kernel, stride, strict=True))
    rows = line_buffers(layer.out_shape[2:], reach, layer.out_shape[1] * acc_bits)
    return rows + Bill((Term("overlap adders", "none", float(folding.pe * acc_bits)),))


def _result(site: Site, words: int, channels: int, lanes: int, acc_bits: int, exact: bool) -> Stream:
    specs = (*site.acts, site.weight) if site.weight is not None else site.acts
    floats = any(spec.scale == "f32" for spec in specs)
    if not exact:
        return Stream(words, channels, acc_bits, lanes, "float", False)
    return Stream(words, channels, acc_bits, lanes, "fixed", floats)
