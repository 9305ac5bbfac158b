"""LUTs, registers and depth of a constant matrix times a vector, fully unrolled: what the cost model asks for."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.accumulator import largest_multiple
from hwsim.core.formats import Format, Int, Minifloat
from hwsim.cost_models.adder_graph.build import Effort, Ranges, adder_graph, matrix_of
from hwsim.cost_models.adder_graph.digits import nonzero_digits
from hwsim.cost_models.adder_graph.expected import DigitStatistics, digit_statistics, expected_counts
from hwsim.cost_models.adder_graph.graph import width
from hwsim.cost_models.adder_graph.price import area
from hwsim.cost_models.adder_graph.stages import registers

MOST_PAIRS = 4_000_000  # of digits in one output, summed over outputs: searches above it take more than about 20 s
BEST_PAIRS = 400_000  # below it a search takes about a second, and two are made


@dataclass(frozen=True, slots=True)
class ConstantDotCost:
    """What a constant matrix costs.

    Attributes
    ----------
    lut : logic LUTs as synthesis counts them (LUT1 to LUT6).
    inverters : of single bits at carry chains. Synthesis lists them as INV cells beside the LUTs; a placed design
        takes a LUT for each that is not absorbed.
    adders : additions, subtractions and negations.
    depth : adders one behind another.
    ff, latency : flip-flops and clock cycles of the pipeline; 0 without registers.
    exact : whether the graph was built; otherwise the mean over matrices with such digits.
    """

    lut: float
    inverters: float
    adders: float
    depth: float
    ff: float
    latency: int
    exact: bool


def constant_dot_cost(
    weights: ArrayLike,
    input_ranges: Ranges,
    levels_per_stage: int = 0,
    max_depth: int | None = None,
    effort: Effort | None = None,
    most_pairs: int = MOST_PAIRS,
) -> ConstantDotCost:
    """Cost of `weights` (outputs x inputs, integers) times a vector.

    Parameters
    ----------
    input_ranges : smallest and largest value of each input (`format_range` gives that of a format).
    levels_per_stage : adder levels between registers; 0 for none.
    max_depth : adder levels at most.
    effort : see `adder_graph`; by default `best` for small matrices.
    most_pairs : where the matrix has more pairs of digits, the graph is not built and the cost is estimated from the
        digits it has; `max_depth` and `effort` then mean nothing.
    """
    matrix = matrix_of(weights, input_ranges)
    pairs = search_pairs(matrix)
    if pairs > most_pairs:
        bits = float(np.mean([width(low, high) for low, high in input_ranges]))
        signed = any(low < 0 for low, _ in input_ranges)
        outputs, inputs = matrix.shape
        return expected_cost(digit_statistics(matrix), outputs, inputs, bits, signed, levels_per_stage)
    chosen: Effort = effort or ("best" if pairs <= BEST_PAIRS else "fast")
    graph = adder_graph(matrix, input_ranges, max_depth, chosen)
    found = area(graph)
    if not levels_per_stage:
        return ConstantDotCost(found.lut, found.inverters, graph.adders, graph.depth, 0, 0, True)
    pipeline = registers(graph, levels_per_stage)
    return ConstantDotCost(found.lut, found.inverters, graph.adders, graph.depth, pipeline.ff, pipeline.latency, True)


def expected_cost(
    digits: DigitStatistics, outputs: int, inputs: int, input_bits: float, signed: bool, levels_per_stage: int = 0
) -> ConstantDotCost:
    """Mean cost over matrices with such digits: `format_statistics` of a format, `digit_statistics` of a matrix.

    Parameters
    ----------
    input_bits, signed : of the inputs in units of their smallest step.
    """
    found = expected_counts(digits, outputs, inputs, input_bits, signed, levels_per_stage)
    latency = ceil(found.depth / levels_per_stage) if levels_per_stage else 0
    counts = found.lut, found.inverters, found.adders, found.depth, found.ff
    return ConstantDotCost(*counts, latency, False)


def search_pairs(matrix: NDArray[np.int64]) -> int:
    """Pairs of nonzero digits within outputs, which the time of a search grows with."""
    digits = nonzero_digits(matrix).sum(axis=-1)
    return int((digits * (digits - 1) // 2).sum())


def format_range(fmt: Format) -> tuple[int, int]:
    """Smallest and largest value of a format, in units of its smallest step."""
    if isinstance(fmt, Int):
        return fmt.min_code, fmt.max_code
    top = largest_multiple(fmt)
    signed = not isinstance(fmt, Minifloat) or fmt.signed
    return (-top if signed else 0), top
