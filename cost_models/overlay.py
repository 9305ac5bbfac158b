"""The overlay architecture: one array of multiply-accumulates runs all layers one after the other.

Weights stream from DRAM into double-buffered registers of a weight-stationary array of `pe` x `simd` units; inputs and
partial sums are in block RAM; a vector unit of `pe` lanes quantizes, adds and pools. A layer takes the larger of its
compute and its memory cycles. Formats share one integer array as wide as the widest of them; every other pair of
formats has an array of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from hwsim.core.accumulator import accumulator_bits
from hwsim.core.assignment import Assignment
from hwsim.core.devices import Part
from hwsim.core.errors import InputError
from hwsim.core.formats import Int
from hwsim.core.scaled import Scaled
from hwsim.core.workload import COMPUTE, Layer, Workload
from hwsim.cost_models.bill import Bill, Term, total
from hwsim.cost_models.dataflow import build_pipeline, formats_of
from hwsim.cost_models.geometry import Product, products
from hwsim.cost_models.layers.pointwise import CURVES
from hwsim.cost_models.layers.products import ARRAY_CONTROL_LUT, ARRAY_GLUE
from hwsim.cost_models.memory import fifo, storage
from hwsim.cost_models.operators.dot import dot_product, sum_bits
from hwsim.cost_models.operators.lanes import COEFFICIENT_BITS, adder, larger_of_two, multiplier, softmax, table
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.cost_models.operators.operand import Operand, is_exact, operand
from hwsim.cost_models.operators.requantize import requantize

PARTIAL_SUMS = 512  # positions that a tile of outputs covers
BUFFER_SHARE = 0.5  # of the part's block RAM for activations
BURST_WORDS = 512  # depth of the DRAM read FIFO


@dataclass(frozen=True, slots=True)
class OverlayLayer:
    """A layer on the shared array: its cycles and what bounds them."""

    layer: Layer
    cycles: int
    accumulator_bits: int


@dataclass(frozen=True, slots=True)
class Overlay:
    """The shared hardware, and the layers that run on it."""

    pe: int
    simd: int
    bill: Bill
    layers: tuple[OverlayLayer, ...]
    activations_on_chip: bool

    @property
    def latency_cycles(self) -> int:
        return sum(layer.cycles for layer in self.layers)


def build_overlay(
    workload: Workload, assignment: Assignment, part: Part, dsp: DspPolicy, array: tuple[int, int] | None
) -> Overlay:
    """An overlay of `array` = (pe, simd), or of the largest power-of-two array whose hardware fits the part.

    Raises
    ------
    InputError
        For an array below 1 x 1.
    """
    if array is not None and min(array) < 1:
        raise InputError(f"an array of {array[0]} x {array[1]}", where="array", hint="PE and SIMD of at least 1")
    build_pipeline(workload, assignment, part, dict.fromkeys((x.name for x in workload.compute), 2), dsp)  # supported?
    pairs = _pairs(workload, assignment)
    pe, simd = array or _largest(pairs, workload, assignment, part, dsp)
    bill = _hardware(pairs, workload, assignment, part, dsp, pe, simd)
    on_chip = _activation_bits(workload, assignment) <= _buffer_bits(part)
    layers = tuple(_run(layer, assignment, part, pe, simd, on_chip) for layer in workload)
    return Overlay(pe, simd, bill, layers, on_chip)


def _largest(
    pairs: tuple[tuple[Operand, Operand, int], ...],
    workload: Workload,
    assignment: Assignment,
    part: Part,
    dsp: DspPolicy,
) -> tuple[int, int]:
    """PE = SIMD or 2 SIMD, no wider than the layers can use."""
    widest = max((p.outputs for layer in workload.compute for p in products(layer)), default=1)
    longest = max((p.inputs for layer in workload.compute for p in products(layer)), default=1)
    best = (1, 1)
    for size in range(1, 18):
        pe, simd = 2 ** ceil(size / 2), 2 ** (size // 2)
        if pe >= 2 * widest or simd >= 2 * longest:
            break
        bill = _hardware(pairs, workload, assignment, part, dsp, pe, simd)
        if bill.lut > part.lut or bill.ff > part.ff or bill.dsp > part.dsp or bill.bram18 > part.bram18:
            break
        best = (pe, simd)
    return best


def _pairs(workload: Workload, assignment: Assignment) -> tuple[tuple[Operand, Operand, int], ...]:
    """(weights, activations, accumulator bits) of each array: one for all integers, one for every other pair."""
    integers: list[tuple[Operand, Operand, int]] = []
    others: dict[tuple[Operand, Operand], int] = {}
    for layer in workload.compute:
        formats = formats_of(layer, assignment)
        acts = operand(formats.acts[0])
        for second in (formats.weight,) if formats.weight is not None else formats.acts[1:]:
            assert second is not None
            weights = operand(second)
            bits = sum_bits(layer.reduction, weights, acts)
            if weights.kind == acts.kind == "int" and is_exact(weights, acts):
                integers.append((weights, acts, bits))
            else:
                others[weights, acts] = max(bits, others.get((weights, acts), 0))
    found = [(w, a, bits) for (w, a), bits in others.items()]
    if integers:
        found.append(_merged(integers, max(layer.reduction for layer in workload.compute)))
    return tuple(found)


def _merged(pairs: list[tuple[Operand, Operand, int]], longest: int) -> tuple[Operand, Operand, int]:
    def widest(sides: list[Operand]) -> Operand:
        signed = any(s.signed for s in sides)
        bits = max(s.significand + int(signed and not s.signed) for s in sides)
        return operand(Scaled(Int(bits, signed, signed and bits > 1)))

    weights, acts = widest([w for w, _, _ in pairs]), widest([a for _, a, _ in pairs])
    needed = max(bits for _, _, bits in pairs)
    return weights, acts, min(needed, accumulator_bits(longest, weights.format, acts.format))


def _hardware(
    pairs: tuple[tuple[Operand, Operand, int], ...],
    workload: Workload,
    assignment: Assignment,
    part: Part,
    dsp: DspPolicy,
    pe: int,
    simd: int,
) -> Bill:
    bills = []
    for weights, acts, acc_bits in pairs:
        array = dot_product(weights, acts, simd, acc_bits, dsp, part.dsp_type).times(pe)
        decode = weights.decode_lut * pe * simd + acts.decode_lut * simd
        stored = 2 * pe * simd * weights.format.bits
        terms = [Term("control", "none", ARRAY_CONTROL_LUT + ARRAY_GLUE * array.lut)]
        if decode:
            terms.append(Term("decoders", "none", float(decode)))
        bills += [array, Bill(tuple(terms), ff=stored), storage(pe * acc_bits, PARTIAL_SUMS, "partial sums")]
    bills.append(_vector_unit(pairs, workload, assignment, part.dsp_type, dsp).times(pe))
    bills.append(_buffers(workload, assignment, part, simd))
    return total(bills)


def _vector_unit(
    pairs: tuple[tuple[Operand, Operand, int], ...],
    workload: Workload,
    assignment: Assignment,
    dsp_type: str,
    dsp: DspPolicy,
) -> Bill:
    """One lane: a quantizer for each activation format, an adder, a comparator, and what other layers need."""
    acc_bits = max((bits for _, _, bits in pairs), default=COEFFICIENT_BITS)
    specs = dict.fromkeys(assignment.edges.values())
    weights = [f.weight for f in assignment.layers.values() if f.weight is not None]
    floats = any(spec.scale == "f32" and not spec.is_native for spec in (*specs, *weights))
    lane = [requantize(acc_bits, spec, floats, dsp, dsp_type) for spec in specs]
    lane += [adder(acc_bits), larger_of_two(acc_bits), Bill(ff=acc_bits)]
    kinds = {layer.kind for layer in workload}
    if "softmax" in kinds or "attention" in kinds:
        lane.append(softmax(acc_bits, dsp, dsp_type))
    if "norm" in kinds or "elementwise" in kinds:
        lane.append(multiplier(acc_bits, COEFFICIENT_BITS, dsp, dsp_type))
    if any(layer.op in CURVES for layer in workload):
        lane.append(table(acc_bits))
    return total(lane)


def _buffers(workload: Workload, assignment: Assignment, part: Part, simd: int) -> Bill:
    """The activation buffer, as wide as the array reads, and the FIFO behind the DRAM, as wide as it delivers."""
    wanted = min(_activation_bits(workload, assignment), _buffer_bits(part))
    width = simd * _act_bits(assignment)
    burst = ceil(part.dram_gbps * 8e3 / part.clock_mhz)
    return storage(width, max(1, ceil(wanted / width)), "activations") + fifo(burst, BURST_WORDS)


def _buffer_bits(part: Part) -> int:
    return int(part.bram18 * 18 * 1024 * BUFFER_SHARE)


def _act_bits(assignment: Assignment) -> int:
    return max((spec.bits for spec in assignment.edges.values()), default=32)


def _activation_bits(workload: Workload, assignment: Assignment) -> int:
    """Bits of the input and output of the layer that has the most."""
    bits = _act_bits(assignment)
    return max((bits * (layer.in_elements + layer.out_elements) for layer in workload), default=0)


def _run(layer: Layer, assignment: Assignment, part: Part, pe: int, simd: int, on_chip: bool) -> OverlayLayer:
    formats = formats_of(layer, assignment)
    bytes_a_cycle = part.dram_gbps * 1e3 / part.clock_mhz
    weight_bits = layer.weight_elements * formats.weight.stored_bits if formats.weight is not None else 0.0
    moved = weight_bits + 32 * (layer.params - layer.weight_elements if layer.params else 0)
    if not on_chip and layer.kind != "reshape":
        moved += _act_bits(assignment) * (layer.in_elements + layer.out_elements)
    memory = ceil(moved / 8 / bytes_a_cycle)
    if layer.kind in COMPUTE:
        compute = sum(_tiles(p, pe, simd) for p in products(layer))
        weights = operand(formats.weight if formats.weight is not None else formats.acts[1])
        bits = sum_bits(max(1, layer.reduction), weights, operand(formats.acts[0]))
    elif layer.kind == "embedding":  # only the rows that are read
        compute, bits = ceil(layer.out_elements / pe), 0
        memory = ceil(layer.out_elements * (formats.weight.stored_bits if formats.weight else 32) / 8 / bytes_a_cycle)
    else:
        compute, bits = 0 if layer.kind == "reshape" else ceil(max(layer.in_elements, layer.out_elements) / pe), 0
    return OverlayLayer(layer, max(ceil(compute * layer.density), memory), bits)


def _tiles(product: Product, pe: int, simd: int) -> int:
    """Cycles of a matrix product; groups run one after the other unless each is a single output."""
    outputs = product.outputs // product.groups
    if outputs == 1:  # depthwise: every processing element has inputs of its own
        return product.positions * ceil(product.groups / pe) * ceil(product.inputs / simd)
    return product.positions * product.groups * ceil(outputs / pe) * ceil(product.inputs / simd)
