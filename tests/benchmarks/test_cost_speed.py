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
from hwsim.cost_models.surface.shipped import FILE, read_surfaces
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
    """Of 20,000 distinct ones and more, tables of the surfaces included: they are read anew."""
    rng = np.random.default_rng(0)
    n = 500_000
    integers = {"w_bits": rng.integers(1, 17, n), "a_bits": rng.integers(1, 17, n), "a_signed": rng.integers(0, 2, n)}
    integers["acc_bits"] = integers["w_bits"] + integers["a_bits"] + rng.integers(0, 17, n)
    floats = {name: rng.integers(1, 6, n) for name in ("ew", "ea")} | {m: rng.integers(0, 8, n) for m in ("mw", "ma")}
    floats |= {"a_signed": rng.integers(0, 2, n), "guard_bits": rng.integers(0, 17, n)}
    distinct = sum(len(np.unique(np.stack(list(rows.values()), axis=1), axis=0)) for rows in (integers, floats))
    assert distinct >= 20_000

    def priced() -> float:
        known = read_surfaces(FILE)
        found = [
            known[name, "lut"].predict(rows).mid for name, rows in (("int_mac", integers), ("minifloat_mac", floats))
        ]
        return float(sum(values.sum() for values in found))

    benchmark.pedantic(priced, rounds=2)
    assert benchmark.stats["max"] < 10.0
