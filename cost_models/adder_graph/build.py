"""From a constant matrix to an adder graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.errors import InputError
from hwsim.cost_models.adder_graph.assembly import Assembly
from hwsim.cost_models.adder_graph.differences import differences, spanning_links
from hwsim.cost_models.adder_graph.digits import checked, signed_digits
from hwsim.cost_models.adder_graph.graph import ZERO, Graph, Output
from hwsim.cost_models.adder_graph.price import graph_lut
from hwsim.cost_models.adder_graph.subexpressions import PairSearch, Terms, term
from hwsim.cost_models.adder_graph.trees import sum_terms

Effort = Literal["fast", "best"]
Ranges = Sequence[tuple[int, int]]


def adder_graph(
    weights: ArrayLike, input_ranges: Ranges, max_depth: int | None = None, effort: Effort = "best"
) -> Graph:
    """The cheapest graph found for `weights` (outputs x inputs) times a vector.

    Parameters
    ----------
    input_ranges : smallest and largest value of each input.
    max_depth : adder levels at most.
    effort : `fast` searches once; `best` also tries rows as differences of other rows (not with `max_depth`), which
        pays for matrices with more rows than columns, and takes the cheaper graph.

    Raises
    ------
    InputError
        For a matrix of another shape, for constants that are not integers within 2^60, where `max_depth` is below
        `shallowest`.
    """
    matrix = matrix_of(weights, input_ranges)
    if max_depth is not None and max_depth < shallowest(matrix):
        raise InputError(
            f"{max_depth} adder levels do not do",
            where="adder graph",
            hint=f"allowed: {shallowest(matrix)} and up",
        )
    core, places = _distinct(matrix, max_depth is None)
    plain = _plain(core, places, input_ranges, max_depth)
    if effort == "fast" or max_depth is not None:
        return plain
    linked = _linked(core, places, input_ranges)
    return min(plain, linked, key=graph_lut)


def matrix_of(weights: ArrayLike, input_ranges: Ranges) -> NDArray[np.int64]:
    """The weights as integers, zero for inputs that are always zero.

    Raises
    ------
    InputError
        For another shape than (outputs, inputs), and for ranges that are none.
    """
    matrix = checked(weights)
    if matrix.ndim != 2 or matrix.shape[1] != len(input_ranges):
        raise InputError(
            f"weights of shape {matrix.shape}, {len(input_ranges)} input ranges",
            where="adder graph",
            hint="weights are (outputs, inputs), one range an input",
        )
    if any(low > high for low, high in input_ranges):
        raise InputError("an input range whose low end is above its high end", where="adder graph")
    return matrix * np.array([(low, high) != (0, 0) for low, high in input_ranges], dtype=np.int64)


def shallowest(weights: NDArray[np.int64]) -> int:
    """Adder levels that the deepest output needs at least, from the digits of its row."""
    digits = signed_digits(weights)
    needed = np.abs(digits).sum(axis=(1, 2)) + ((digits < 0).any(axis=(1, 2)) & ~(digits > 0).any(axis=(1, 2)))
    return max((int(n - 1).bit_length() for n in needed if n), default=0)


class Place(NamedTuple):
    """Which distinct row an output is, times `sign 2^shift`; `row` is -1 for zero."""

    row: int
    shift: int
    negative: bool


def _distinct(matrix: NDArray[np.int64], up_to_sign: bool) -> tuple[NDArray[np.int64], list[Place]]:
    """Rows that differ by more than a shift (and a sign), and where each output finds its own."""
    known: dict[tuple[int, ...], int] = {}
    places = []
    for row in matrix:
        joined = int(np.bitwise_or.reduce(row)) if row.size else 0
        if not joined:
            places.append(Place(-1, 0, False))
            continue
        shift = (joined & -joined).bit_length() - 1
        key = tuple((row >> shift).tolist())
        opposite = tuple(-w for w in key)
        negative = up_to_sign and key not in known and opposite in known
        places.append(Place(known.setdefault(opposite if negative else key, len(known)), shift, negative))
    return np.array(list(known), dtype=np.int64).reshape(len(known), matrix.shape[1]), places


def _plain(core: NDArray[np.int64], places: list[Place], ranges: Ranges, max_depth: int | None) -> Graph:
    """Every row from its own digits."""
    assembly = Assembly(ranges)
    sums = _sums(assembly, core, None if max_depth is None else 1 << max_depth)
    return _placed(assembly, sums, places)


def _linked(core: NDArray[np.int64], places: list[Place], ranges: Ranges) -> Graph:
    """Rows as another row plus a difference, where that has fewer digits."""
    assembly = Assembly(ranges)
    links = spanning_links(core)
    built: dict[int, Output] = {}
    for link, gap in zip(links, _sums(assembly, differences(core, links), None), strict=True):
        if link.parent < 0:
            built[link.row] = gap
            continue
        parent = built[link.parent]
        shift = min(gap.shift, parent.shift)
        operands = gap.node, gap.shift - shift, parent.node, parent.shift - shift
        built[link.row] = Output(assembly.combine(*operands, link.sign < 0), shift)
    return _placed(assembly, [built[row] for row in range(len(core))], places)


def _sums(assembly: Assembly, matrix: NDArray[np.int64], ceiling: int | None) -> list[Output]:
    rows: list[Terms] = []
    for digits in signed_digits(matrix):
        inputs, shifts = np.nonzero(digits)
        signs = digits[inputs, shifts] < 0
        rows.append({term(i, s): int(n) for i, s, n in zip(inputs.tolist(), shifts.tolist(), signs, strict=True)})
    own = [dict(terms) for terms in rows]
    PairSearch(assembly, rows, ceiling).run()
    sums = []
    for terms, digits_alone in zip(rows, own, strict=True):
        found = sum_terms(assembly, terms, ceiling)
        if found is None:  # what is left of a row is all negative, and a negation more is too deep
            found = sum_terms(assembly, digits_alone, ceiling)
        assert found is not None
        sums.append(found)
    return sums


def _placed(assembly: Assembly, sums: list[Output], places: list[Place]) -> Graph:
    outputs = []
    for place in places:
        if place.row < 0:
            outputs.append(Output(ZERO, 0))
            continue
        root = sums[place.row]
        node = assembly.negate(root.node) if place.negative else root.node
        outputs.append(Output(node, root.shift + place.shift))
    return assembly.graph(outputs)
