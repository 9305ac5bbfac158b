"""How fast a network is priced: an exploration asks for thousands."""

from __future__ import annotations

import sys
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.core.assignment import Policy, assign
from hwsim.cost_models import estimate, part
from hwsim.cost_models.surface.catalogue import family
from hwsim.cost_models.surface.shipped import FILE, read_surfaces, shipped_surfaces
from hwsim.cost_models.sweep import format_table

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


@pytest.mark.bench
def test_five_thousand_networks_a_second(benchmark: Any) -> None:
    """Twenty layers, a format of its own for the weights of each; the table is made before."""
    workload, board = deep_residual(3), part("zcu104")
    policy = Policy("int8", "int8", scale="pow2")
    cost = estimate(workload, assign(workload, policy), board, reuse=16)
    compute = {layer.name for layer in workload.compute}
    reuse = {layer.name: layer.reuse for layer in cost.layers if layer.name in compute}
    table = format_table(workload, policy, FORMATS, FORMATS, board, reuse=reuse)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, len(FORMATS), (5000, len(table.layers)))
    acts = rng.integers(0, len(FORMATS), 5000)
    benchmark(lambda: table.estimate(weights, acts))
    assert benchmark.stats["median"] < 1.0


@pytest.mark.bench
def test_a_million_operators_in_ten_seconds(benchmark: Any) -> None:
    """Of all families, 20,000 distinct ones and more, tables of the surfaces included: they are read anew."""
    rng = np.random.default_rng(0)
    names = sorted(name for name, resource in shipped_surfaces() if resource == "lut")
    rows = -(-1_000_000 // len(names))
    asked = {
        name: {a.name: rng.integers(int(min(a.nodes)), int(max(a.nodes)) + 1, rows) for a in family(name).axes}
        for name in names
    }
    distinct = sum(len(np.unique(np.stack(list(columns.values()), axis=1), axis=0)) for columns in asked.values())
    assert distinct >= 20_000 and len(names) >= 20

    def priced() -> float:
        known = read_surfaces(FILE)
        return float(sum(known[name, "lut"].predict(columns).mid.sum() for name, columns in asked.items()))

    benchmark.pedantic(priced, rounds=2)
    assert benchmark.stats["max"] < 10.0
