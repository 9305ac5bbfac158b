"""The overlay architecture: one array of multiply-accumulates runs all layers one after the other.

Weights stream from DRAM into double-buffered registers of a weight-stationary array of `pe` x `simd` units; inputs and
partial sums are in block RAM; a vector unit of `pe` lanes quantizes, adds and pools. Formats share one integer array as
wide as the widest of them; every other pair of formats has an array of its own.

Partial sums hold a block of positions, so each block reads all weights again; the second operand of a product of two
activations is read from the activation buffer, `simd` elements a cycle. A layer takes the largest of its compute, its
memory and its operand cycles; the first tile of weights comes before it, the last tile and the registers of the array
after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, prod

from hwsim.core.accumulator import accumulator_bits
from hwsim.core.assignment import Assignment, LayerFormats
from hwsim.core.devices import Part
from hwsim.core.errors import InputError
from hwsim.core.formats import Int
from hwsim.core.scaled import Scaled
from hwsim.core.workload import COMPUTE, Layer, Workload
from hwsim.cost_models.bill import Bill, Term, total
from hwsim.cost_models.dataflow import formats_of, priced
from hwsim.cost_models.geometry import Product, products
from hwsim.cost_models.layers.pointwise import CURVES
from hwsim.cost_models.memory import fifo, storage
from hwsim.cost_models.operators.dot import dot_product, sum_bits
from hwsim.cost_models.operators.lanes import COEFFICIENT_BITS, adder, larger_of_two, multiplier, softmax, table
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.cost_models.operators.operand import Operand, is_exact, operand
from hwsim.cost_models.operators.requantize import requantize

PARTIAL_SUMS = 512  # positions that a tile of outputs covers
BUFFER_SHARE = 0.5  # of the part's block RAM for activations
BURST_WORDS = 512  # depth of the DRAM read FIFO
ARRAY_CONTROL_LUT = 300.0  # FINN's constant for a matrix-vector unit
ARRAY_GLUE = 0.1  # and its 10 % on the array
LEVELS_A_STAGE = 2  # adder levels between two registers: an assumption
ARRAY_REGISTERS = 5  # of an input, a product (three, as a DSP has) and an accumulator: an assumption
VECTOR_REGISTERS = 4  # of a lane with a quantizer that multiplies


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
    priced(workload, assignment, part, dict.fromkeys((x.name for x in workload.compute), 2), dsp)  # supported?
    pairs = _pairs(workload, assignment)
    pe, simd = array or _largest(pairs, workload, assignment, part, dsp)
    bill = _hardware(pairs, workload, assignment, part, dsp, pe, simd)
    on_chip = holds_activations(workload, assignment, part)
    layers = tuple(_run(layer, assignment, part, pe, simd, on_chip) for layer in workload)
    return Overlay(pe, simd, bill, layers, on_chip)


def holds_activations(workload: Workload, assignment: Assignment, part: Part) -> bool:
    """Whether an overlay keeps the activations on chip between layers."""
    return activation_bits(workload, assignment) <= _buffer_bits(part)


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
    wanted = min(activation_bits(workload, assignment), _buffer_bits(part))
    width = simd * _act_bits(assignment)
    burst = ceil(part.dram_gbps * 8e3 / part.clock_mhz)
    return storage(width, max(1, ceil(wanted / width)), "activations") + fifo(burst, BURST_WORDS)


def _buffer_bits(part: Part) -> int:
    return int(part.bram18 * 18 * 1024 * BUFFER_SHARE)


def _act_bits(assignment: Assignment) -> int:
    return max((spec.bits for spec in assignment.edges.values()), default=32)


def activation_bits(workload: Workload, assignment: Assignment) -> int:
    """Bits of the activations that are held at once, the most at any layer: what it reads and writes, and what a later
    layer still reads. A reshaped tensor is the one it was."""
    held: dict[str, str] = {name: name for name in workload.inputs}
    size = {name: prod(shape) for name, shape in zip(workload.inputs, workload.input_shapes, strict=True)}
    for layer in workload:
        moved = layer.kind == "reshape" and layer.inputs and layer.inputs[0] in held
        held[layer.name] = held[layer.inputs[0]] if moved else layer.name
        size[layer.name] = layer.out_elements
    last = {held[name]: at for at, layer in enumerate(workload) for name in (*layer.inputs, layer.name) if name in held}
    last |= {held[name]: len(workload.layers) for name in workload.outputs if name in held}
    most, live = 0, set(workload.inputs)
    for at, layer in enumerate(workload):
        live.add(held[layer.name])
        most = max(most, sum(size[name] for name in live))
        live = {name for name in live if last.get(name, -1) > at}
    return _act_bits(assignment) * most


def _run(layer: Layer, assignment: Assignment, part: Part, pe: int, simd: int, on_chip: bool) -> OverlayLayer:
    formats = formats_of(layer, assignment)
    bits_a_cycle = part.dram_gbps * 8e3 / part.clock_mhz
    act_bits = _act_bits(assignment)
    moved: float = 32 * (layer.params - layer.weight_elements if layer.params else 0)
    if not on_chip and layer.kind != "reshape":
        moved += act_bits * (layer.in_elements + layer.out_elements)
    if layer.kind not in COMPUTE:
        return OverlayLayer(layer, _vector_cycles(layer, formats, moved / bits_a_cycle, bits_a_cycle, pe), 0)
    compute, loads, first, last = 0, 0, 0, 0
    for index, product in enumerate(products(layer)):
        work = _work(layer, index, product, pe, simd)
        compute += work.compute
        if formats.weight is not None:
            moved += work.blocks * layer.weight_elements * formats.weight.stored_bits
            first += ceil(work.tile_elements * formats.weight.stored_bits / bits_a_cycle)
        else:
            loads += work.blocks * work.operand_loads
            first += work.tile_loads
            if not on_chip:  # the first reading is among the inputs
                moved += (work.blocks - 1) * act_bits * prod(layer.in_shapes[1 + index])
        last = work.last_tile
    busy = first + ceil(compute * layer.density)
    arriving = max(ceil(moved / bits_a_cycle), loads) + last
    weights = operand(formats.weight if formats.weight is not None else formats.acts[1])
    acc_bits = sum_bits(max(1, layer.reduction), weights, operand(formats.acts[0]))
    return OverlayLayer(layer, max(busy, arriving) + _registers(simd), acc_bits)


def _vector_cycles(layer: Layer, formats: LayerFormats, memory: float, bits_a_cycle: float, pe: int) -> int:
    """Cycles of a layer that only the vector unit works on; a table is read by the rows that are wanted."""
    if layer.kind == "reshape":
        return 0
    elements = max(layer.in_elements, layer.out_elements)
    if layer.kind == "embedding":
        elements = layer.out_elements
        memory = elements * (formats.weight.stored_bits if formats.weight else 32) / bits_a_cycle
    return max(ceil(ceil(elements / pe) * layer.density), ceil(memory)) + VECTOR_REGISTERS


def _registers(simd: int) -> int:
    """Cycles from the last input word of a layer to its last output word."""
    levels = ceil(log2(simd)) if simd > 1 else 0
    return ARRAY_REGISTERS + ceil(levels / LEVELS_A_STAGE) + VECTOR_REGISTERS


@dataclass(frozen=True, slots=True)
class _Work:
    """A matrix product on the array.

    Attributes
    ----------
    blocks : times that all its weights are read, once for every block of positions.
    compute : cycles of all tiles.
    operand_loads : cycles to read all weights once from the activation buffer, a row of `simd` a cycle.
    tile_elements, tile_loads : weights of the first tile, and cycles to read them from the activation buffer.
    last_tile : cycles of the last tile.
    """

    blocks: int
    compute: int
    operand_loads: int
    tile_elements: int
    tile_loads: int
    last_tile: int


def _work(layer: Layer, index: int, product: Product, pe: int, simd: int) -> _Work:
    matrices = prod(layer.in_shapes[1 + index][:-2]) if layer.kind in ("matmul", "attention") else 1
    rows = product.positions // matrices  # that share a matrix
    blocks = ceil(rows / PARTIAL_SUMS)
    outputs = product.outputs // product.groups
    used = min(pe, product.groups if outputs == 1 else outputs)
    return _Work(
        blocks,
        _tiles(product, pe, simd),
        matrices * product.outputs * ceil(product.inputs / simd),
        used * min(simd, product.inputs),
        used,
        rows - (blocks - 1) * PARTIAL_SUMS,
    )


def _tiles(product: Product, pe: int, simd: int) -> int:
    """Cycles of a matrix product; groups run one after the other unless each is a single output."""
    outputs = product.outputs // product.groups
    if outputs == 1:  # depthwise: every processing element has inputs of its own
        return product.positions * ceil(product.groups / pe) * ceil(product.inputs / simd)
    return product.positions * product.groups * ceil(outputs / pe) * ceil(product.inputs / simd)
