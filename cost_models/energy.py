"""Energy of one inference, by layer and by cause: operations by format, and bits that move.

What is counted, with the coefficients of `energy_table`:

- A product of integers: a pair of bits each. Of minifloats: the pairs of bits of the significands, an addition of the
  exponents, and a shift of the exact product for every bit of the largest shift. Of native floats: the table's own 16-
  or 32-bit product. Floats of 16 bits and less count as 16, wider ones as 32.
- A sum: an addition as wide as the accumulator, once a product; of native floats the table's own. Block formats add
  inside the block as integers, then scale (a 32-bit product) and add in 32 bits once a block.
- A layer without products: an addition as wide as its operands, for the larger of its inputs and outputs.
- Weights: one read a product where an array is folded; nothing where constants are wired in. An overlay reads them
  from DRAM once for every block of positions.
- Activations: one read of every input and one write of every output of a layer that does not just move them; on
  chip, or in DRAM where an overlay's buffer is too small.

Not counted: clock trees, control, idle cycles, leakage, input and output of the network.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import ceil

from hwsim.core.assignment import Assignment, LayerFormats
from hwsim.core.cost import Cost, Energy
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Native
from hwsim.core.scaled import Scaled
from hwsim.core.workload import COMPUTE, Layer, Workload
from hwsim.cost_models.energy_table import EnergyTable, shipped_table
from hwsim.cost_models.geometry import products
from hwsim.cost_models.operators.dot import sum_bits
from hwsim.cost_models.operators.operand import Operand, is_exact, operand
from hwsim.cost_models.overlay import PARTIAL_SUMS

UNQUANTIZED_BITS = 32  # of a tensor without a format of its own


def with_energy(
    cost: Cost,
    workload: Workload,
    assignment: Assignment,
    table: EnergyTable | None = None,
    *,
    activations_on_chip: bool = True,
) -> Cost:
    """The cost with its energy an inference; the shipped table by default.

    Parameters
    ----------
    cost : of this workload and assignment; its reuse factors say which weights are constants.
    activations_on_chip : whether an overlay keeps activations on chip between layers; a dataflow design always does.
    """
    overlay = any(layer.kind == "overlay" for layer in cost.layers)
    reuse = None if overlay else {layer.name: layer.reuse for layer in cost.layers}
    constant = {layer.name for layer in cost.layers if layer.terms.get("constant multipliers")}
    used = table or shipped_table()
    layers = {}
    for layer in workload:
        causes = _arithmetic(layer, assignment, used)
        causes["weight reads"] = _weight_reads(
            layer, assignment, used, None if reuse is None else layer.name in constant
        )
        causes["activations"] = _activations(layer, assignment, used, activations_on_chip or not overlay)
        layers[layer.name] = {cause: value for cause, value in causes.items() if value}
    return replace(cost, energy=Energy(used.unit, used.label, used.name, layers))


def multiply_energy(weights: Scaled, acts: Scaled, table: EnergyTable | None = None) -> float:
    """Energy of one product, without its sum, in the table's unit."""
    return _multiply(operand(weights), operand(acts), table or shipped_table())


def _multiply(w: Operand, a: Operand, table: EnergyTable) -> float:
    if "float" in (w.kind, a.kind):
        return table[f"float{_float_bits(w, a)}_multiply"]
    if w.kind == a.kind == "binary":
        return table["integer_multiply_bit_pair"]
    energy = table["integer_multiply_bit_pair"] * w.significand * a.significand
    if "minifloat" in (w.kind, a.kind):
        width = w.magnitude + a.magnitude
        energy += table["integer_add_bit"] * (max(w.exponent, a.exponent) + 1 if w.exponent and a.exponent else 0)
        energy += table["shift_bit"] * width * (w.shift + a.shift).bit_length()
    return energy


def _float_bits(w: Operand, a: Operand) -> int:
    formats = [side.format for side in (w, a) if isinstance(side.format, Native)]
    return 16 if all(fmt.bits <= 16 for fmt in formats) else 32


def _accumulate(w: Operand, a: Operand, length: int, table: EnergyTable) -> float:
    """Energy of one sum of `length` products, a product."""
    if is_exact(w, a):
        return table["integer_add_bit"] * sum_bits(length, w, a)
    if "float" in (w.kind, a.kind):
        return table[f"float{_float_bits(w, a)}_add"]
    block = min(size for size in (w.block, a.block) if size)
    inside = sum_bits(min(block, length), _without_block(w), _without_block(a))
    outside = table["float32_add"] + (table["float32_multiply"] if w.scale_bits + a.scale_bits else 0.0)
    return table["integer_add_bit"] * inside + outside / block


@lru_cache(maxsize=4096)
def _without_block(side: Operand) -> Operand:
    return replace(side, block=0, scale_bits=0)


def _arithmetic(layer: Layer, assignment: Assignment, table: EnergyTable) -> dict[str, float]:
    if layer.kind not in COMPUTE:
        if layer.kind in ("reshape", "embedding", "concat"):
            return {}
        elements = max(layer.in_elements, layer.out_elements)
        return {"other arithmetic": table["integer_add_bit"] * elements * _bits_before(layer, assignment)}
    formats = _formats(layer, assignment)
    a = operand(formats.acts[0])
    w = operand(formats.weight if formats.weight is not None else formats.acts[-1])
    macs = layer.macs * layer.density
    return {
        "multiply": macs * _multiply(w, a, table),
        "accumulate": macs * _accumulate(w, a, max(1, layer.reduction), table),
    }


def _weight_reads(layer: Layer, assignment: Assignment, table: EnergyTable, constant: bool | None) -> float:
    """Of stored weights; `constant` None is an overlay."""
    if not layer.weight_elements or constant:
        return 0.0
    formats = _formats(layer, assignment)
    assert formats.weight is not None
    bits = formats.weight.stored_bits
    if layer.kind == "embedding":
        return layer.out_elements * bits * table["dram_bit" if constant is None else "on_chip_bit"]
    if constant is None:
        blocks = ceil(products(layer)[0].positions / PARTIAL_SUMS)
        return blocks * layer.weight_elements * bits * table["dram_bit"]
    return layer.macs * layer.density * bits * table["on_chip_bit"]


def _activations(layer: Layer, assignment: Assignment, table: EnergyTable, on_chip: bool) -> float:
    if layer.kind == "reshape":
        return 0.0
    moved = layer.in_elements * _bits_before(layer, assignment) + layer.out_elements * _bits_behind(layer, assignment)
    return moved * table["on_chip_bit" if on_chip else "dram_bit"]


def _bits_before(layer: Layer, assignment: Assignment) -> float:
    """The widest input as its layer reads it."""
    formats = assignment.layers.get(layer.name)
    if formats is not None and formats.acts:
        return max(spec.bits for spec in formats.acts)
    found = [assignment.edges[name].bits for name in layer.inputs if name in assignment.edges]
    return max(found, default=UNQUANTIZED_BITS)


def _bits_behind(layer: Layer, assignment: Assignment) -> float:
    spec = assignment.edges.get(layer.name)
    return spec.bits if spec is not None else UNQUANTIZED_BITS


def _formats(layer: Layer, assignment: Assignment) -> LayerFormats:
    found = assignment.layers.get(layer.name)
    if found is None:
        raise UnsupportedError(
            "it has no formats", where=f"layer {layer.name}", hint="assign formats to every layer that multiplies"
        )
    return found
