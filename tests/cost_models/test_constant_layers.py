"""Constant weights of fully parallel layers: matrices of a weight tensor, and what they cost."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cost_networks as nets
import numpy as np
import pytest

from hwsim.core.assignment import Policy, assign
from hwsim.core.codes import WeightCodes
from hwsim.core.errors import UnsupportedError
from hwsim.core.scaled import parse
from hwsim.core.workload import Workload
from hwsim.cost_models import estimate, part
from hwsim.cost_models.adder_graph import constant_dot_cost
from hwsim.cost_models.operators.constant import (
    LEVELS_A_STAGE,
    constant_cost,
    constant_dot,
    counts_of_codes,
    expected_counts,
)
from hwsim.cost_models.operators.operand import operand

INT4 = operand(parse("int4", scale="pow2"))
TRAINED = json.loads((Path(__file__).parent / "adder_graph" / "trained_layers.json").read_text(encoding="utf-8"))
ACTS = (INT4.format.min_code, INT4.format.max_code)  # type: ignore[union-attr]


def weight(codes: np.ndarray) -> WeightCodes:
    return WeightCodes(codes, parse("int4"), np.ones((1, 1)), np.zeros((1, 1)))


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-7, 8, shape)


@pytest.mark.exact
def test_a_dense_layer_is_its_graph() -> None:
    codes = drawn(8, 3, 2, 2)
    counts = counts_of_codes(weight(codes), 1, False)
    graph = constant_dot_cost(codes.reshape(8, 12), [ACTS] * 12, LEVELS_A_STAGE)
    bill = constant_dot(INT4, INT4, 12, counts)
    assert constant_cost(INT4, counts) == graph
    assert bill.lut == pytest.approx(graph.lut) and bill.ff == graph.ff
    assert set(bill.by_label()) == {"constant multipliers", "tree"}


@pytest.mark.exact
def test_groups_are_graphs_of_their_own_that_end_together() -> None:
    codes = drawn(6, 1, 3, 3)
    codes[0] = 0
    codes[0, 0, 0, :2] = 1  # one adder: it waits for the others
    each = [constant_dot_cost(row.reshape(1, 9), [ACTS] * 9, LEVELS_A_STAGE) for row in codes]
    found = constant_cost(INT4, counts_of_codes(weight(codes), 6, False))
    assert (found.lut, found.adders) == (sum(c.lut for c in each), sum(c.adders for c in each))
    assert found.latency == max(c.latency for c in each) > each[0].latency
    assert found.ff >= sum(c.ff for c in each) + 5 * (found.latency - each[0].latency)


@pytest.mark.exact
def test_a_transposed_weight_has_inputs_first() -> None:
    codes = drawn(4, 3, 2, 2)
    counts = counts_of_codes(weight(codes), 2, True)
    assert (counts.groups, counts.outputs, counts.inputs) == (2, 12, 2)
    assert counts.matrices is not None
    np.testing.assert_array_equal(counts.matrices[1], codes[2:].reshape(2, 12).T)


@pytest.mark.exact
def test_zeros_and_powers_of_two_are_free() -> None:
    codes = np.array([[4, 0], [0, -4], [0, 0]])
    bill = constant_dot(INT4, INT4, 2, counts_of_codes(weight(np.abs(codes)), 1, False))
    assert (bill.lut, bill.ff) == (0, 0)


@pytest.mark.property
def test_expected_counts_are_near_the_mean_over_codes() -> None:
    expected = constant_cost(INT4, expected_counts(INT4.format, 24, 16, 16))
    found = [constant_cost(INT4, counts_of_codes(weight(drawn(16, 24, seed=s)), 1, False)) for s in range(4)]
    assert not expected.exact and all(c.exact for c in found)
    assert np.mean([c.lut for c in found]) == pytest.approx(expected.lut, rel=0.05)


@pytest.mark.property
def test_large_layers_are_priced_at_once_from_their_digits() -> None:
    counts = counts_of_codes(weight(drawn(64, 576)), 1, False)
    start = time.process_time()
    found = constant_cost(INT4, counts)
    assert time.process_time() - start < 1.0
    assert not found.exact
    mean = constant_cost(INT4, expected_counts(INT4.format, 576, 64, 64))
    assert found.lut == pytest.approx(mean.lut, rel=0.05)


@pytest.mark.exact
def test_intervals_widen_with_what_is_not_known() -> None:
    counts = counts_of_codes(weight(drawn(8, 12)), 1, False)
    large = counts_of_codes(weight(drawn(64, 576)), 1, False)
    mean = expected_counts(INT4.format, 12, 8, 8)
    spans = []
    for found in (counts, large, mean):
        (term, *_) = constant_dot(INT4, INT4, found.inputs, found).terms
        assert term.low is not None and term.high is not None
        assert term.low < term.lut < term.high
        spans.append((term.high - term.low) / term.lut)
    assert spans == sorted(spans)


@pytest.mark.truth
@pytest.mark.parametrize("row", TRAINED["layers"], ids=lambda row: row["layer"])
def test_trained_layers_as_synthesised(row: dict[str, Any]) -> None:
    """Same flow as `adder_graph/constant_dot_cases.py`: LUTs within 5 %, fewer than da4ml counts in its own graph."""
    codes = np.array(row["weights"])
    unsigned = operand(parse("uint4", scale="pow2"))
    counts = counts_of_codes(weight(codes), 1, False)
    found = constant_cost(unsigned, counts)
    assert found.exact and found.lut == pytest.approx(row["yosys_lut"], rel=0.05)
    assert found.lut + found.inverters < row["da4ml_cost"]


@pytest.mark.exact
def test_formats_too_wide_for_constants_are_refused_by_layer() -> None:
    layer = nets.linear("fc", "x", (1, 8), 4)
    workload = Workload("one", (layer,), ("x",), ((1, 8),), ("fc",))
    with pytest.raises(UnsupportedError, match=r"layer fc.*e6m2 spans more than 60 bits") as raised:
        estimate(workload, assign(workload, Policy("e6m2", "int4")), part("kv260"))
    assert "--reuse 2" in str(raised.value.hint)
    notes = estimate(workload, assign(workload, Policy("e6m2", "e4m3")), part("kv260"), reuse=4).notes
    assert any(note.startswith("out of domain") and "fc (multipliers" in note for note in notes)
    known = estimate(workload, assign(workload, Policy("e2m1", "e4m3")), part("kv260"), reuse=4).notes
    assert not any("out of domain" in note for note in known)
