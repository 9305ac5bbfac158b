"""The pipeline that fits a part: legal, fast enough, no larger than it has to be."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import cost_networks as nets
import pytest

from hwsim.core.assignment import Assignment, Policy, assign
from hwsim.core.errors import InfeasibleError
from hwsim.core.workload import Workload
from hwsim.cost_models import estimate, part
from hwsim.cost_models.dataflow import Pipeline, build_pipeline
from hwsim.cost_models.fitting import fitted_pipeline
from hwsim.cost_models.folding_choice import RESOURCES
from hwsim.cost_models.geometry import legal_reuse, products

SMALL = part("zynq7020")


def formats(workload: Workload, name: str = "int4") -> Assignment:
    return assign(workload, Policy(name, name, scale="pow2"))


def used(pipeline: Pipeline) -> list[float]:
    return [sum(getattr(placed.bill, name) for placed in pipeline.placed) for name in RESOURCES]


def two_layers() -> Workload:
    shape = (1, 4, 6, 6)
    layers = [
        nets.conv("a", "x", shape, 4, k=1),
        nets.relu("a_relu", "a", shape),
        nets.max_pool("pool", "a_relu", shape),
        nets.conv("b", "pool", (1, 4, 3, 3), 6, k=1),
    ]
    return nets.network("two", shape, layers)


@pytest.mark.exact
@pytest.mark.parametrize("target", [36, 72, 100, 144, 576])
def test_the_smallest_design_of_all_combinations(target: int) -> None:
    workload = two_layers()
    assignment = formats(workload)
    found, notes = fitted_pipeline(workload, assignment, SMALL, "auto", None, target)
    assert found.ii_cycles <= target and not notes
    shares = []
    every = [legal_reuse(p.inputs, p.outputs) for layer in workload.compute for p in products(layer)]
    for factors in product(*every):
        reuse = dict(zip(("a", "b"), factors, strict=True))
        made = build_pipeline(workload, assignment, SMALL, reuse, "auto", None, target)
        if made.ii_cycles <= target:
            shares.append(share(made))
    assert share(found) == pytest.approx(min(shares))


def share(pipeline: Pipeline) -> float:
    return sum(value / getattr(SMALL, name) for name, value in zip(RESOURCES, used(pipeline), strict=True))


@pytest.mark.property
@pytest.mark.parametrize("name", ["int4", "int8", "e4m3"])
def test_the_fastest_design_fits_and_a_faster_one_does_not(name: str) -> None:
    workload = nets.deep_residual(2, 16, 16)
    assignment = formats(workload, name)
    found, notes = fitted_pipeline(workload, assignment, SMALL, "auto")
    assert not notes
    assert all(value <= getattr(SMALL, name) for value, name in zip(used(found), RESOURCES, strict=True))
    for placed in found.placed:
        for first in products(placed.layer)[:1]:
            assert placed.price.reuse in legal_reuse(first.inputs, first.outputs)
    with pytest.raises(InfeasibleError, match="fewer") as caught:
        fitted_pipeline(workload, assignment, SMALL, "auto", None, found.ii_cycles // 2)
    assert caught.value.hint and "the fastest that fits takes" in caught.value.hint


@pytest.mark.property
def test_a_slower_target_is_no_larger() -> None:
    workload = nets.small_residual()
    assignment = formats(workload, "int8")
    shares = [share(fitted_pipeline(workload, assignment, SMALL, "auto", None, t)[0]) for t in (64, 600, 5000, 50000)]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]


@pytest.mark.exact
def test_stalls_count_towards_the_target() -> None:
    workload = nets.small_residual()
    assignment = formats(workload)
    for target in (576, 577, 578, 580):
        assert fitted_pipeline(workload, assignment, SMALL, "auto", None, target)[0].ii_cycles <= target


@pytest.mark.exact
def test_the_fastest_design_of_all_combinations() -> None:
    """Windows with a stride wait for words: cycles a position times positions is not what such a layer takes."""
    shape = (1, 2, 7, 7)
    layers = [nets.conv("a", "x", shape, 2, stride=2), nets.conv("b", "a", (1, 2, 4, 4), 3, k=1)]
    workload = nets.network("strided", shape, layers)
    assignment = formats(workload)
    legal = [legal_reuse(p.inputs, p.outputs) for layer in workload.compute for p in products(layer)]
    every = []
    for factors in product(*legal):
        reuse = dict(zip(("a", "b"), factors, strict=True))
        every.append(build_pipeline(workload, assignment, SMALL, reuse, "auto"))
    for lut in (sorted(used(made)[0] for made in every)[n] for n in (0, len(every) // 3, len(every) // 2, -1)):
        device = replace(SMALL, lut=int(lut) + 1)
        wanted = min(made.ii_cycles for made in every if used(made)[0] <= device.lut)
        assert fitted_pipeline(workload, assignment, device, "auto")[0].ii_cycles == wanted


@pytest.mark.exact
def test_a_network_without_products_is_built_as_it_is() -> None:
    shape = (1, 8, 6, 6)
    workload = nets.network("pool", shape, [nets.max_pool("pool", "x", shape)])
    made = estimate(workload, formats(workload), SMALL, reuse="auto")
    assert made.ii_cycles.mid == 36


@pytest.mark.exact
def test_fifos_that_do_not_fit_are_set_aside_for() -> None:
    """A part whose LUTs hold the choice with FIFOs of two words, but not with the real ones."""
    workload = nets.deep_residual(1, 16, 32)
    assignment = formats(workload)
    roomy, _ = fitted_pipeline(workload, assignment, SMALL, "auto")
    exact = replace(SMALL, lut=int(used(roomy)[0]) - 1)
    tight, notes = fitted_pipeline(workload, assignment, exact, "auto")
    assert used(tight)[0] <= exact.lut and not notes
    assert tight.ii_cycles >= roomy.ii_cycles
