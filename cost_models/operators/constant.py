"""Dot products with constant weights: an adder graph over the codes, or its mean where they are not known.

Zeros and powers of two are wires and sub-expressions are shared, between inputs and outputs (see `adder_graph`). Above
`MOST_PAIRS` pairs of digits no graph is built: the cost is then the mean over matrices with the digits that the codes
have. LUTs are those that synthesis counts; inverters at carry chains, which it lists apart, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.core.codes import WeightCodes
from hwsim.core.formats import Format
from hwsim.cost_models.adder_graph.build import Effort
from hwsim.cost_models.adder_graph.cost import (
    ConstantDotCost,
    constant_dot_cost,
    expected_cost,
    format_range,
    search_pairs,
)
from hwsim.cost_models.adder_graph.digits import multiples_of_weight
from hwsim.cost_models.adder_graph.expected import DigitStatistics, digit_statistics, format_statistics
from hwsim.cost_models.adder_graph.graph import width
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.operators.operand import Operand
from hwsim.cost_models.operators.product import to_fixed_point_lut

LEVELS_A_STAGE = 4  # adder levels between two registers: an assumption
MOST_PAIRS = 400_000  # of digits within outputs, over a layer: a search of about 4 s
BEST_PAIRS = 40_000  # up to which two graphs are tried, in about half a second
# Interval ends over the middle. Of a graph: the largest error of the LUT rule over layers of several inputs that Yosys
# 0.70 synthesised (tests, constant_dot_yosys.csv). Of a mean over given digits: that and the p90 of `expected.json`.
# Of a mean over all codes of a format the low end is far, for weights of trained layers are mostly small: nine int4
# layers of a small ResNet took 0.61 to 0.89 times the mean.
GRAPH_ENDS, DIGITS_ENDS, FORMAT_ENDS = (0.97, 1.03), (0.89, 1.11), (0.60, 1.11)


@dataclass(frozen=True, slots=True)
class ConstantCounts:
    """The constant matrices of a layer, one a group.

    Attributes
    ----------
    groups, outputs, inputs : matrices, and the shape of each.
    digits : nonzero digits over all of them.
    matrices : the integers, shape (groups, outputs, inputs); None where codes are not known, `digits` then being
        those of codes that are all equally likely.
    key : the integers as bytes, which equality goes by.
    search : whether adder graphs are sought.
    """

    groups: int
    outputs: int
    inputs: int
    digits: DigitStatistics
    matrices: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    key: bytes = field(default=b"", repr=False)
    search: bool = True

    @property
    def exact(self) -> bool:
        """Whether it holds the actual codes."""
        return self.matrices is not None

    @property
    def multiplier_share(self) -> float:
        """Share of the adders, none being shared, that are within a weight and not between weights."""
        within = self.groups * self.outputs * self.inputs * self.digits.nonzero * (self.digits.digits - 1.0)
        used = self.inputs * self.digits.nonzero
        between = self.groups * self.outputs * max(0.0, used - 1.0 + float(np.exp(-used)))
        return within / (within + between) if within > 0 else 0.0


def expected_counts(weights: Format, inputs: int, outputs: int, fan_out: int) -> ConstantCounts:
    """When codes are not known: `inputs` inputs in all, each feeding `fan_out` of `outputs` outputs."""
    groups = outputs // fan_out
    return ConstantCounts(groups, fan_out, inputs // groups, format_statistics(weights))


def counts_of_codes(codes: WeightCodes, groups: int, transposed: bool, search: bool = True) -> ConstantCounts:
    """The matrices of a weight tensor: (out, in / groups, kernel), or (in, out / groups, kernel) if transposed."""
    multiples = multiples_of_weight(codes)
    found = multiples.reshape(groups, multiples.shape[0] // groups, -1)
    if transposed:
        found = found.transpose(0, 2, 1)
    found = np.ascontiguousarray(found)
    digits = digit_statistics(found.reshape(-1, found.shape[-1]))
    return ConstantCounts(*found.shape, digits, found, found.tobytes(), search)


def constant_dot(weights: Operand, acts: Operand, inputs: int, counts: ConstantCounts) -> Bill:
    """LUTs and registers of all outputs, one result a cycle; `inputs` counts the input lanes.

    The LUTs of a graph serve several purposes at once; they are shown as multipliers and tree in the proportion of
    the adders that either needs without sharing.
    """
    cost = constant_cost(acts, counts)
    ends = GRAPH_ENDS if cost.exact else DIGITS_ENDS if counts.exact else FORMAT_ENDS
    share = counts.multiplier_share
    parts = {"constant multipliers": share * cost.lut, "tree": (1.0 - share) * cost.lut}
    terms = [Term(label, "constant", lut, lut * ends[0], lut * ends[1]) for label, lut in parts.items()]
    if decode_lut := to_fixed_point_lut(acts):
        terms.append(Term("decoders", "mf_dec", float(inputs * decode_lut)))
    return Bill(tuple(terms), ff=cost.ff)


def constant_cost(acts: Operand, counts: ConstantCounts) -> ConstantDotCost:
    """The graphs of all groups, with a register after every `LEVELS_A_STAGE` adder levels."""
    low, high = format_range(acts.format)
    sought = counts.matrices if counts.search else None
    if sought is not None and sum(search_pairs(m) for m in sought) <= MOST_PAIRS:
        return _graphs(counts, low, high)
    one = expected_cost(counts.digits, counts.outputs, counts.inputs, float(width(low, high)), low < 0, LEVELS_A_STAGE)
    n = counts.groups
    return ConstantDotCost(n * one.lut, n * one.inverters, n * one.adders, one.depth, n * one.ff, one.latency, False)


@lru_cache(maxsize=256)
def _graphs(counts: ConstantCounts, low: int, high: int) -> ConstantDotCost:
    """All groups; those with fewer stages wait for the longest in registers of their outputs."""
    assert counts.matrices is not None
    pairs = sum(search_pairs(m) for m in counts.matrices)
    effort: Effort = "best" if pairs <= BEST_PAIRS else "fast"
    ranges = [(low, high)] * counts.inputs
    found = [constant_dot_cost(m, ranges, LEVELS_A_STAGE, effort=effort) for m in counts.matrices]
    latency = max(cost.latency for cost in found)
    waiting = sum(
        (latency - c.latency) * _output_bits(m, low, high) for c, m in zip(found, counts.matrices, strict=True)
    )
    return ConstantDotCost(
        sum(c.lut for c in found),
        sum(c.inverters for c in found),
        sum(c.adders for c in found),
        max(c.depth for c in found),
        sum(c.ff for c in found) + waiting,
        latency,
        True,
    )


def _output_bits(matrix: NDArray[np.int64], low: int, high: int) -> int:
    """Bits of all outputs of a matrix."""
    positive, negative = np.maximum(matrix, 0).sum(axis=1), np.minimum(matrix, 0).sum(axis=1)
    least, most = positive * low + negative * high, positive * high + negative * low
    return sum(width(int(a), int(b)) for a, b in zip(least, most, strict=True))
