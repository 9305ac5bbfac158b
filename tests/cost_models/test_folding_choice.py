"""The choice of reuse factors: exact, against every combination; legal; and what is said when nothing fits."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import cost_networks as nets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.core.devices import Part
from hwsim.core.errors import InfeasibleError, InputError
from hwsim.core.workload import Layer, Workload
from hwsim.cost_models.catalogue import part
from hwsim.cost_models.folding_choice import (
    RESOURCES,
    FoldingChoice,
    Option,
    choose_folding,
    layer_cycles,
    least_folding,
    legal_factor,
    undominated,
)
from hwsim.cost_models.geometry import legal_reuse, products

PART = part("zcu102")


def three_layers() -> Workload:
    shape = (1, 2, 4, 4)
    layers = [
        nets.conv("a", "x", shape, 2, k=1),
        nets.conv("b", "a", shape, 3, k=1, stride=1),
        nets.conv("c", "b", (1, 3, 4, 4), 2, k=1),
    ]
    return nets.network("three", shape, layers)


def legal(layer: Layer) -> tuple[int, ...]:
    first = products(layer)[0]
    return legal_reuse(first.inputs, first.outputs)


class Drawn:
    """Resources of layers that shrink with reuse, with noise that makes some factors useless."""

    def __init__(self, workload: Workload, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.table = {
            (layer.name, r): tuple(float(x) for x in np.ceil(rng.integers(1, 60, 4) / r + rng.integers(0, 12, 4)))
            for layer in workload.compute
            for r in legal(layer)
        }

    def __call__(self, layer: Layer, reuse: int) -> tuple[float, ...]:
        return self.table[layer.name, reuse]


def small_part(budget: tuple[int, ...]) -> Part:
    return replace(PART, **dict(zip(RESOURCES, budget, strict=True)))  # type: ignore[arg-type]


def best_of_all(workload: Workload, price: Drawn, device: Part, most: int | None) -> tuple[int, float] | None:
    """Interval and utilisation of the best of all combinations."""
    budget = np.array([getattr(device, name) for name in RESOURCES], dtype=float)
    found = []
    for factors in product(*(legal(layer) for layer in workload.compute)):
        used = np.sum([price(x, r) for x, r in zip(workload.compute, factors, strict=True)], axis=0)
        interval = max(layer_cycles(x, r) for x, r in zip(workload.compute, factors, strict=True))
        if np.all(used <= budget) and (most is None or interval <= most):
            share = float(np.sum(used / np.maximum(budget, 1.0)))
            found.append((interval if most is None else 0, share, interval))
    return min(found)[1:] if found else None


@pytest.mark.exact
@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    budget=st.tuples(*(st.integers(10, 160) for _ in RESOURCES)),
    most=st.one_of(st.none(), st.integers(16, 130)),
)
def test_against_every_combination(seed: int, budget: tuple[int, ...], most: int | None) -> None:
    workload = three_layers()
    price, device = Drawn(workload, seed), small_part(budget)
    wanted = best_of_all(workload, price, device, most)
    if wanted is None:
        with pytest.raises(InfeasibleError):
            choose_folding(workload, device, price, interval_cycles=most)
        return
    found = choose_folding(workload, device, price, interval_cycles=most)
    share, interval = wanted
    assert found.utilisation == pytest.approx(share, rel=1e-12)
    assert all(found.reuse[layer.name] in legal(layer) for layer in workload.compute)
    if most is None:
        assert found.interval_cycles == interval
    else:
        assert found.interval_cycles <= most


@pytest.mark.exact
def test_a_budget_that_is_met_exactly_is_met() -> None:
    workload = nets.chain(6, 1)
    need = {r: (60.0 / r, 7.0, 0.0, 0.0) for r in legal(workload["fc"])}
    found = choose_folding(workload, small_part((20, 7, 0, 0)), lambda layer, r: need[r])
    assert found == FoldingChoice({"fc": 3}, 3, (20.0, 7.0, 0.0, 0.0), 2.0)
    assert choose_folding(workload, small_part((19, 7, 0, 0)), lambda layer, r: need[r]).reuse == {"fc": 6}


@pytest.mark.exact
def test_the_rest_of_the_design_counts() -> None:
    workload = nets.chain(6, 1)

    def price(layer: Layer, reuse: int) -> tuple[float, ...]:
        return 60.0 / reuse, 0.0, 0.0, 0.0

    alone = choose_folding(workload, small_part((60, 1, 1, 1)), price)
    shared = choose_folding(workload, small_part((60, 1, 1, 1)), price, rest=lambda t: (60.0 / t, 0.0, 0.0, 0.0))
    assert alone.interval_cycles == 1 and shared.interval_cycles == 2 and shared.resources[0] == 60.0
    half = choose_folding(workload, small_part((60, 1, 1, 1)), price, share=0.5)
    assert half.interval_cycles == 2
    slow = choose_folding(workload, small_part((60, 1, 1, 1)), price, floor_cycles=4)
    assert slow.reuse == {"fc": 3} and slow.interval_cycles == 4  # no faster than its input, so no larger


@pytest.mark.exact
def test_an_illegal_factor_is_refused_with_the_nearest_legal_ones() -> None:
    workload = nets.chain(12, 5)
    with pytest.raises(InputError) as caught:
        choose_folding(workload, PART, lambda layer, r: (1, 1, 1, 1), fixed={"fc": 7})
    assert caught.value.where == "layer fc" and caught.value.hint == "nearest legal: 6 and 12"
    with pytest.raises(InputError, match="no layer 'fx'"):
        choose_folding(workload, PART, lambda layer, r: (1, 1, 1, 1), fixed={"fx": 6})
    for reuse, hint in ((0, "nearest legal: 1"), (61, "nearest legal: 60"), (True, "nearest legal: 1")):
        with pytest.raises(InputError) as caught:
            legal_factor(workload["fc"], reuse)
        assert caught.value.hint == hint
    fixed = choose_folding(workload, PART, lambda layer, r: (1, 1, 1, 1), fixed={"fc": 60})
    assert fixed.reuse == {"fc": 60} and fixed.interval_cycles == 60


@pytest.mark.exact
def test_what_is_nearest_when_nothing_fits() -> None:
    workload = nets.chain(6, 1)

    def price(layer: Layer, reuse: int) -> tuple[float, ...]:
        return 60.0 / reuse, 0.0, 0.0, 0.0

    with pytest.raises(InfeasibleError) as caught:
        choose_folding(workload, small_part((30, 1, 1, 1)), price, interval_cycles=1)
    assert caught.value.hint == "the fastest that fits takes 2"
    with pytest.raises(InfeasibleError) as caught:
        choose_folding(workload, small_part((9, 1, 1, 1)), price)
    assert caught.value.hint == "the nearest takes 10 LUT of 9"


@pytest.mark.exact
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_the_nearest_to_fitting_is_that_of_all_combinations(seed: int) -> None:
    workload = three_layers()
    price, budget = Drawn(workload, seed), np.array([7.0, 5.0, 6.0, 4.0])
    found = least_folding(workload, small_part((7, 5, 6, 4)), price)
    shares = [
        np.max(np.sum([price(x, r) for x, r in zip(workload.compute, factors, strict=True)], axis=0) / budget)
        for factors in product(*(legal(layer) for layer in workload.compute))
    ]
    assert np.max(np.array(found.resources) / budget) == pytest.approx(min(shares), rel=1e-6)


@pytest.mark.exact
def test_what_need_not_be_large_is_small_even_where_nothing_fits() -> None:
    need = {1: (9.0, 8.0, 0.0, 0.0), 2: (9.0, 1.0, 0.0, 0.0), 3: (9.5, 0.0, 0.0, 0.0), 6: (9.0, 4.0, 0.0, 0.0)}
    found = least_folding(nets.chain(6, 1), small_part((3, 4, 1, 1)), lambda layer, r: need[r])
    assert found.reuse == {"fc": 2} and found.resources == (9.0, 1.0, 0.0, 0.0)


@pytest.mark.exact
def test_cycles_of_a_layer() -> None:
    assert layer_cycles(nets.conv("c", "x", (1, 8, 6, 6), 4), 9) == 36 * 9
    half = replace(nets.conv("c", "x", (1, 8, 6, 6), 4), density=0.5)
    assert layer_cycles(half, 9) == 18 * 9


@pytest.mark.exact
def test_dominated_options_go() -> None:
    options = [Option(1, 1, (9.0, 1.0)), Option(2, 2, (9.0, 1.0)), Option(4, 4, (3.0, 2.0)), Option(8, 8, (4.0, 2.0))]
    assert [o.reuse for o in undominated(options)] == [1, 4]


@pytest.mark.property
def test_no_layers_to_choose_for() -> None:
    shape = (1, 8, 6, 6)
    pool = nets.network("pool", shape, [nets.max_pool("pool", "x", shape)])
    assert choose_folding(pool, PART, lambda layer, r: (1, 1, 1, 1)).reuse == {}
