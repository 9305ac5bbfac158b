"""Graphs compute their matrix, with exact ranges, for any matrix and any inputs."""

from __future__ import annotations

from itertools import product
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from adder_matrices import Matrix, matrices, ranges, vectors
from hypothesis import given

from hwsim.core.errors import InputError
from hwsim.core.formats import Format, minifloat
from hwsim.cost_models.adder_graph.build import Effort, adder_graph, shallowest
from hwsim.cost_models.adder_graph.digits import multiples, nonzero_digits
from hwsim.cost_models.adder_graph.graph import ZERO, Graph, coefficients, evaluate, is_wiring

EFFORTS: tuple[Effort, ...] = ("fast", "best")


def check_form(graph: Graph) -> None:
    """Topological order, one shift zero, depths, no node unused, none twice."""
    seen = set()
    used = {out.node for out in graph.outputs}
    for index, node in enumerate(graph.nodes):
        if node.operation == "input":
            assert node.left == index < graph.inputs
            continue
        operands = [node.left] + ([] if node.operation == "neg" else [node.right])
        assert all(0 <= operand < index for operand in operands)
        assert min(node.left_shift, node.right_shift) == 0
        deepest = max(graph.nodes[operand].depth for operand in operands)
        assert node.depth == deepest + (not is_wiring(node, graph.nodes))
        what = (node.operation, node.left, node.left_shift, node.right, node.right_shift)
        assert what not in seen
        seen.add(what)
        used |= set(operands)
    assert set(range(graph.inputs, len(graph.nodes))) <= used


@pytest.mark.property
@given(st.data())
def test_a_graph_is_its_matrix(data: Any) -> None:
    matrix: Matrix = data.draw(matrices())
    given_ranges = data.draw(ranges(matrix.shape[1]))
    graph = adder_graph(matrix, given_ranges, effort=data.draw(st.sampled_from(EFFORTS)))
    check_form(graph)
    used = np.array([(low, high) != (0, 0) for low, high in given_ranges])
    np.testing.assert_array_equal(np.array(coefficients(graph)), matrix * used)
    x = vectors(given_ranges, 20)
    np.testing.assert_array_equal(evaluate(graph, x), x @ matrix.T)


@pytest.mark.property
@given(st.data())
def test_ranges_are_reached_and_never_left(data: Any) -> None:
    matrix: Matrix = data.draw(matrices(most=4, largest=20))
    given_ranges = [(low, min(high, low + 3)) for low, high in data.draw(ranges(matrix.shape[1]))]
    graph = adder_graph(matrix, given_ranges)
    every = np.array(list(product(*(range(low, high + 1) for low, high in given_ranges))))
    y = evaluate(graph, every)
    for place in range(len(matrix)):
        assert graph.output_range(place) == (y[:, place].min(), y[:, place].max())


@pytest.mark.property
@given(st.data())
def test_depth_stays_within_its_limit(data: Any) -> None:
    matrix: Matrix = data.draw(matrices())
    limit = shallowest(matrix) + data.draw(st.integers(0, 2))
    graph = adder_graph(matrix, [(-8, 7)] * matrix.shape[1], max_depth=limit)
    check_form(graph)
    assert graph.depth <= limit
    np.testing.assert_array_equal(np.array(coefficients(graph)), matrix)


@pytest.mark.property
@given(matrices())
def test_no_more_adders_than_digits_need(matrix: Matrix) -> None:
    graph = adder_graph(matrix, [(-8, 7)] * matrix.shape[1], effort="fast")
    alone = np.maximum(nonzero_digits(matrix).sum(axis=1) - 1, 0).sum()
    assert graph.adders <= alone + len(matrix)  # and a negation a row


@pytest.mark.exact
def test_zeros_and_powers_of_two_are_wires() -> None:
    graph = adder_graph([[0, 4, 0], [0, 0, 0], [1, 0, 0], [0, 1024, 0]], [(-8, 7)] * 3)
    assert graph.adders == 0
    assert graph.outputs[1].node == ZERO
    assert coefficients(graph) == [[0, 4, 0], [0, 0, 0], [1, 0, 0], [0, 1024, 0]]


@pytest.mark.exact
def test_operands_side_by_side_are_wires() -> None:
    for signed, adders in ((False, 0), (True, 1)):
        low = -8 if signed else 0
        graph = adder_graph([[1, 16]], [(low, low + 15)] * 2)
        assert (graph.adders, graph.depth) == (adders, adders)
        assert coefficients(graph) == [[1, 16]]


@pytest.mark.exact
def test_equal_rows_are_built_once() -> None:
    row = [3, -5, 11]
    alone = adder_graph([row], [(-8, 7)] * 3)
    same = adder_graph([row, [4 * w for w in row], row], [(-8, 7)] * 3)
    assert same.adders == alone.adders
    opposite = adder_graph([row, [-w for w in row]], [(-8, 7)] * 3)
    assert opposite.adders <= alone.adders + 1


@pytest.mark.exact
def test_a_shared_pair_is_built_once() -> None:
    graph = adder_graph([[1, 1, 1, 0], [2, 2, 0, 1], [-1, -1, 4, 0]], [(-8, 7)] * 4)
    assert graph.adders == 4


@pytest.mark.exact
@pytest.mark.parametrize("fmt", [minifloat(2, 1), minifloat(3, 2), minifloat(4, 3), minifloat(5, 2)])
def test_minifloat_weights_and_wide_inputs(fmt: Format) -> None:
    rng = np.random.default_rng(3)
    weights = multiples(rng.integers(0, 1 << fmt.bits, (6, 9)), fmt)
    wide = [(-(1 << 40), (1 << 40) - 1)] * 9
    graph = adder_graph(weights, wide)
    x = rng.integers(-(1 << 40), 1 << 40, (30, 9))
    np.testing.assert_array_equal(evaluate(graph, x), x.astype(object) @ weights.T.astype(object))


@pytest.mark.exact
def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(InputError, match="ranges"):
        adder_graph([[1, 2]], [(0, 1)])
    with pytest.raises(InputError, match="low end"):
        adder_graph([[1]], [(1, 0)])
    with pytest.raises(InputError, match="adder levels"):
        adder_graph([[1, 1, 1]], [(0, 1)] * 3, max_depth=1)
    with pytest.raises(InputError, match="integers"):
        adder_graph([[0.5]], [(0, 1)])
    with pytest.raises(InputError, match="vectors"):
        evaluate(adder_graph([[1]], [(0, 1)]), [[1, 2]])
