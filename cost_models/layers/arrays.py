"""Arrays of multipliers with stored operands, and what feeds them: the structure of the units in `rtl`.

A vector comes as `words` words, is multiplied in words x folds cycles, and goes as `folds` words. Products and sums of
a cycle stand in registers of their own; a narrower cuts windows into words, a replay buffer keeps the words of the
first fold for the others, and a widener collects the words of the result.
"""

from __future__ import annotations

from math import ceil, log2, prod

from hwsim.core.workload import Layer
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.geometry import Folding, Product
from hwsim.cost_models.laws import controls
from hwsim.cost_models.laws.memories import dual_port_ram, replay_buffer
from hwsim.cost_models.layers.site import Site
from hwsim.cost_models.memory import of_counts
from hwsim.cost_models.operators.dot import dot_product
from hwsim.cost_models.operators.operand import Operand, is_exact
from hwsim.cost_models.operators.product import product

OUTPUT_STAGES = 2  # the accumulator and the register of the codes


def words_and_folds(matrix: Product, folding: Folding) -> tuple[int, int]:
    """Operand words a vector and groups of outputs."""
    return ceil(matrix.inputs / folding.simd), max(1, folding.reuse // ceil(matrix.inputs / folding.simd))


def stored_array(
    matrix: Product, folding: Folding, weights: Operand, acts: Operand, acc_bits: int, site: Site
) -> tuple[Bill, int]:
    """Multipliers, trees and accumulators of all processing elements with their control; and the pipeline's depth."""
    array = dot_product(weights, acts, folding.simd, acc_bits, site.dsp, site.dsp_type).times(folding.pe)
    exact = is_exact(weights, acts)
    width = product(weights, acts).width if exact else acc_bits
    stages = 3 if folding.simd > 1 else 2
    stages += 2 if array.dsp else 0 if exact else 4
    words, folds = words_and_folds(matrix, folding)
    bill = array + of_counts("control", "fold_control", controls.fold_control(words, folds, 3))
    columns = folding.simd * min(matrix.groups, folding.pe)
    decode = weights.decode_lut * folding.multipliers + acts.decode_lut * columns
    if decode:
        bill += Bill((Term("decoders", "none", float(decode)),))
    registers = 0 if array.dsp else folding.multipliers * width
    if folding.simd > 1:
        registers += folding.pe * (width + ceil(log2(folding.simd)))
    return bill + Bill(ff=registers), stages + OUTPUT_STAGES


def vector_feed(matrix: Product, folding: Folding, bits: int) -> Bill:
    """The words of one input vector, kept where they are read in more than one fold."""
    words, folds = words_and_folds(matrix, folding)
    width = folding.simd * min(matrix.groups, folding.pe) * bits
    if words == 1 or folds == 1:
        return Bill(ff=width)
    return of_counts("input buffer", "replay_buffer", replay_buffer(words, width))


def window_feed(layer: Layer, matrix: Product, folding: Folding, bits: int, reach: tuple[int, ...]) -> Bill:
    """Line buffers, the window that slides over them, and its cuts."""
    spatial = layer.in_shapes[0][2:]
    word = layer.in_shapes[0][1] * bits
    padding = layer.padding or (0,) * len(reach)
    stride = layer.stride or (1,) * len(reach)
    high = prod(spatial[:-1])
    control = controls.window_control(spatial[-1], high, max(reach), max(stride), max(padding))
    bill = of_counts("window control", "window_control", control)
    if any(padding):
        bill += of_counts("window control", "border_mask", controls.border_mask(word))
    padded = [n + 2 * p for n, p in zip(spatial, padding, strict=True)]
    for axis in range(len(reach) - 1):
        rows = prod(reach[:axis]) * (reach[axis] - 1)
        if rows:
            lines = dual_port_ram(prod(padded[axis + 1 :]), rows * word)
            bill += of_counts("line buffers", "dual_port_ram", lines)
    taps = prod(layer.kernel) * word
    bill += Bill(ff=taps)
    columns = folding.simd * min(matrix.groups, folding.pe)
    cuts = ceil(matrix.input_lanes / columns)
    if cuts > 1:
        bill += of_counts("input select", "narrower", controls.narrower(taps, cuts))
    return bill + vector_feed(matrix, folding, bits)
