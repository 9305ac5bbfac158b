"""Many networks at once against one network at a time."""

from __future__ import annotations

from dataclasses import replace

import cost_networks as nets
import numpy as np
import pytest

from hwsim.core.assignment import Policy, assign
from hwsim.core.errors import InputError
from hwsim.core.workload import Workload
from hwsim.cost_models import estimate, part
from hwsim.cost_models.sweep import format_table

PART = part("zcu102")
WEIGHTS, ACTS = ("int4", "int8", "e2m1"), ("int4", "e3m2")
POLICY = Policy("int8", "int8", scale="pow2")


def folding(workload: Workload) -> dict[str, int]:
    """The legal reuse factors nearest to 4."""
    compute = {layer.name for layer in workload.compute}
    cost = estimate(workload, assign(workload, POLICY), PART, reuse=4)
    return {layer.name: layer.reuse for layer in cost.layers if layer.name in compute}


@pytest.mark.exact
def test_sums_are_the_estimates_of_single_networks() -> None:
    workload = nets.deep_residual(1, 8, 8)
    reuse = folding(workload)
    table = format_table(workload, POLICY, WEIGHTS, ACTS, PART, reuse=reuse, dsp="never")
    pairs = [(w, a) for w in range(len(WEIGHTS)) for a in range(len(ACTS))]
    found = table.estimate([[w] * len(table.layers) for w, _ in pairs], [a for _, a in pairs])
    for row, (w, a) in enumerate(pairs):
        assignment = assign(workload, replace(POLICY, weights=WEIGHTS[w], acts=ACTS[a]))
        one = estimate(workload, assignment, PART, reuse=reuse, dsp="never")
        assert found["lut"][row] == pytest.approx(one.lut.mid)
        assert (found["lut_low"][row], found["lut_high"][row]) == pytest.approx((one.lut.lo, one.lut.hi))
        assert (found["ff"][row], found["bram18"][row]) == pytest.approx((one.ff.mid, one.bram18.mid))


@pytest.mark.exact
def test_a_layer_of_another_format_changes_the_sum_by_its_own_difference() -> None:
    workload = nets.deep_residual(1, 8, 8)
    reuse = folding(workload)
    table = format_table(workload, POLICY, WEIGHTS, ACTS, PART, reuse=reuse, dsp="never")
    choices = np.zeros((2, len(table.layers)), dtype=int)
    choices[1, 1] = 1
    name = table.layers[1]
    mixed = assign(workload, replace(POLICY, weights="int4", acts="int4", overrides=((name, "int8,"),)))
    one = estimate(workload, mixed, PART, reuse=reuse, dsp="never")
    assert table.estimate(choices, [0, 0])["lut"][1] == pytest.approx(one.lut.mid)


@pytest.mark.exact
def test_what_is_no_choice_is_refused() -> None:
    workload = nets.chain(8, 4)
    table = format_table(workload, POLICY, WEIGHTS, ACTS, PART, reuse={"fc": 4})
    with pytest.raises(InputError, match="1 layers"):
        table.estimate([[0, 0]], [0])
    with pytest.raises(InputError, match="without a format"):
        table.estimate([[3]], [0])
