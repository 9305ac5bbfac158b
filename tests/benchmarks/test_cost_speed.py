"""How fast a network is priced: an exploration asks for thousands."""

from __future__ import annotations

import sys
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from hwsim.core.assignment import Policy, assign
from hwsim.cost_models import estimate, part

sys.path.insert(0, str(Path(__file__).parents[1] / "cost_models"))
from cost_networks import deep_residual

FORMATS = ("int3", "int4", "int6", "int8", "e2m1", "e3m2", "e4m3")


@pytest.mark.bench
@pytest.mark.parametrize("reuse", [1, 16])
def test_twenty_layers_in_three_milliseconds(benchmark: Any, reuse: int) -> None:
    workload = deep_residual(3)
    assert len(workload.layers) == 20
    board = part("zcu104")
    designs = cycle([assign(workload, Policy(w, a, scale="pow2")) for w in FORMATS for a in FORMATS])
    benchmark.pedantic(
        lambda: estimate(workload, next(designs), board, reuse=reuse),
        rounds=200,
        warmup_rounds=49,
    )
    assert benchmark.stats["median"] < 3e-3


@pytest.mark.bench
def test_the_choice_of_reuse_for_twenty_layers_in_a_second(benchmark: Any) -> None:
    workload, board = deep_residual(3), part("zcu104")
    designs = cycle([assign(workload, Policy(w, a, scale="pow2")) for w in FORMATS for a in FORMATS])
    benchmark.pedantic(lambda: estimate(workload, next(designs), board, reuse="auto"), rounds=10, warmup_rounds=1)
    assert benchmark.stats["max"] < 1.0
