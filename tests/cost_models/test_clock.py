"""The clock: an assumption that says so, and ranges from ratios computed by hand."""

from __future__ import annotations

import cost_networks as nets
import pytest

from hwsim.core.assignment import Policy, assign
from hwsim.cost_models import estimate, part
from hwsim.cost_models.clock import clock_ratios

WORKLOAD = nets.chain()


@pytest.mark.exact
@pytest.mark.parametrize(
    ("weights", "acts", "low", "high"),
    [
        ("int8", "int8", 1.0, 118 / 91),
        ("e2m1", "e2m1", 80 / 91, 113 / 98),
        ("e4m3", "e4m3", 45 / 91, 113 / 98),
        ("int4", "e4m3", 45 / 91, 113 / 98),  # the slower side decides
    ],
)
def test_the_range_is_the_measured_ratios(weights: str, acts: str, low: float, high: float) -> None:
    assert clock_ratios(assign(WORKLOAD, Policy(weights, acts))) == pytest.approx((low, high))


@pytest.mark.exact
def test_the_latency_says_that_its_clock_is_assumed_and_whence_its_range_comes() -> None:
    board = part("zcu102")
    made = estimate(WORKLOAD, assign(WORKLOAD, Policy("e4m3", "e4m3", scale="pow2")), board, reuse=4)
    assert made.latency_us.coverage is None
    assert made.latency_us.hi == pytest.approx(made.latency_us.mid / (45 / 91))
    (note,) = [note for note in made.notes if note.startswith("clock assumed")]
    assert f"{board.clock_mhz:g} MHz" in note and "nextpnr" in note
