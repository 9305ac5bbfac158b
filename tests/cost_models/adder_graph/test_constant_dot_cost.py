"""The cost of constant matrices: what the cost model calls, beside da4ml, and the estimate for codes not known."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
from adder_matrices import Matrix

from hwsim.core.codes import WeightCodes
from hwsim.core.formats import Format, int_format, minifloat, uint_format
from hwsim.core.scaled import Scaled
from hwsim.cost_models.adder_graph import (
    adder_graph,
    area,
    constant_dot_cost,
    digit_statistics,
    expected_cost,
    format_range,
    format_statistics,
    multiples_of_weight,
    registers,
)
from hwsim.cost_models.adder_graph.expected import FILE, all_multiples

SIGNED4 = format_range(int_format(4))


def dense(outputs: int, inputs: int, bits: int, seed: int = 0) -> Matrix:
    top = (1 << (bits - 1)) - 1
    return np.random.default_rng(seed).integers(-top, top + 1, (outputs, inputs))


@pytest.mark.exact
def test_cost_is_that_of_the_graph() -> None:
    weights = dense(8, 12, 5)
    ranges = [SIGNED4] * 12
    graph = adder_graph(weights, ranges)
    found = constant_dot_cost(weights, ranges, levels_per_stage=2)
    pipeline = registers(graph, 2)
    assert (found.lut, found.inverters) == (area(graph).lut, area(graph).inverters)
    assert (found.adders, found.depth) == (graph.adders, graph.depth)
    assert (found.ff, found.latency, found.exact) == (pipeline.ff, pipeline.latency, True)
    alone = constant_dot_cost(weights, ranges)
    assert (alone.ff, alone.latency) == (0, 0)
    assert constant_dot_cost(weights, ranges, max_depth=graph.depth - 1).depth < graph.depth


@pytest.mark.exact
@pytest.mark.parametrize(
    ("fmt", "found"),
    [
        (int_format(4), (-7, 7)),
        (uint_format(4), (0, 15)),
        (minifloat(2, 1), (-12, 12)),
        (minifloat(2, 1, signed=False), (0, 12)),
    ],
)
def test_range_of_a_format(fmt: Format, found: tuple[int, int]) -> None:
    assert format_range(fmt) == found


@pytest.mark.exact
def test_weights_become_integers_less_their_zero_point() -> None:
    codes = np.array([[3, 0], [7, 5]])
    plain = WeightCodes(codes, Scaled(uint_format(4)), np.ones((1, 1)), np.zeros((1, 1)))
    np.testing.assert_array_equal(multiples_of_weight(plain), codes)
    floats = WeightCodes(np.array([[1, 15]]), Scaled(minifloat(2, 1)), np.ones((1, 1)), np.zeros((1, 1)))
    np.testing.assert_array_equal(multiples_of_weight(floats), [[1, -12]])


@pytest.mark.exact
def test_nothing_to_do_costs_nothing() -> None:
    for weights in (np.zeros((3, 4), dtype=np.int64), np.array([[4, 0], [0, 2]])):
        found = constant_dot_cost(weights, [SIGNED4] * weights.shape[1], levels_per_stage=1)
        assert (found.lut, found.adders, found.ff) == (0, 0, 0)


@pytest.mark.truth
@pytest.mark.skipif(find_spec("da4ml") is None, reason="da4ml is not installed")
@pytest.mark.parametrize(
    ("outputs", "inputs", "bits"), [(32, 16, 4), (32, 16, 6), (16, 32, 3), (5, 32, 4), (16, 16, 8), (64, 8, 4)]
)
def test_no_larger_than_da4ml(outputs: int, inputs: int, bits: int) -> None:
    """Against da4ml's own count of LUTs (default search), on matrices where both have the same task."""
    from da4ml.cmvm import solve

    weights = dense(outputs, inputs, bits, seed=7)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    ranges = [(float(low), float(high), 1.0)] * inputs
    other = solve(weights.T.astype(np.float32), qintervals=ranges, adder_size=1, carry_size=-1)
    found = constant_dot_cost(weights, [(low, high)] * inputs, effort="best")
    assert found.lut + found.inverters <= 1.02 * other.cost


@pytest.mark.property
@pytest.mark.parametrize("fmt", [int_format(4), int_format(7), minifloat(2, 1), minifloat(4, 3)])
def test_statistics_of_a_format_are_those_of_its_codes(fmt: Format) -> None:
    drawn = np.random.default_rng(0).choice(all_multiples(fmt), (200, 200))
    actual, expected = digit_statistics(drawn), format_statistics(fmt)
    assert (actual.nonzero, actual.digits) == pytest.approx((expected.nonzero, expected.digits), rel=0.02)
    assert actual.places == pytest.approx(expected.places, rel=0.02)


@pytest.mark.property
def test_estimate_is_near_the_graph() -> None:
    """On matrices that the fit has not seen; the errors over hundreds are in `expected.json`."""
    errors = []
    for seed, (fmt, outputs, inputs, acts) in enumerate(
        [
            (int_format(3), 40, 20, uint_format(4)),
            (int_format(4), 16, 32, int_format(4)),
            (int_format(6), 10, 50, uint_format(6)),
            (int_format(8), 24, 24, int_format(8)),
            (minifloat(2, 1), 32, 16, int_format(5)),
            (minifloat(3, 2), 20, 20, uint_format(6)),
            (minifloat(4, 3), 12, 30, uint_format(8)),
            (int_format(5), 64, 6, int_format(5)),
        ]
    ):
        weights = np.random.default_rng(seed).choice(all_multiples(fmt), (outputs, inputs))
        exact = constant_dot_cost(weights, [format_range(acts)] * inputs, effort="fast")
        guess = expected_cost(format_statistics(fmt), outputs, inputs, acts.bits, acts.signed)
        assert exact.exact and not guess.exact
        errors.append(guess.lut / exact.lut - 1.0)
    assert np.median(np.abs(errors)) < 0.05
    assert np.max(np.abs(errors)) < 0.15


@pytest.mark.exact
def test_large_matrices_are_estimated_from_their_digits() -> None:
    weights = dense(30, 30, 4)
    found = constant_dot_cost(weights, [SIGNED4] * 30, levels_per_stage=2, most_pairs=100)
    assert not found.exact
    assert found.latency == int(np.ceil(found.depth / 2))
    exact = constant_dot_cost(weights, [SIGNED4] * 30, levels_per_stage=2, effort="fast")
    assert found.lut == pytest.approx(exact.lut, rel=0.1)
    assert found.ff == pytest.approx(exact.ff, rel=0.3)


@pytest.mark.exact
def test_the_fit_states_its_errors() -> None:
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    median, p90, _ = stored["errors, held out (median, p90, worst)"]["lut"]
    assert median < 0.05
    assert p90 < 0.15
