"""Enumeration: every combination once, keys that tell apart all that decides a result, a budget that draws fairly."""

from __future__ import annotations

from typing import Any

import pytest
from studies import study

from hwsim.search.plan import Plan, make_plan, targets_of

pytestmark = pytest.mark.exact

IDENTITY: dict[str, Any] = {
    "network": "n",
    "weights": "w",
    "calibration": {"0": "c0", "1": "c1"},
    "evaluation": "e",
    "recipes": {"rtn": "steps", "rtn-mse": "other steps"},
}


def plan(identity: dict[str, Any] | None = None, **changes: Any) -> Plan:
    config = study(**changes)
    return make_plan(config, identity or IDENTITY, targets_of(config))


def ids(of: Plan) -> set[str]:
    return {id for job in of.jobs for id in job.ids}


def formats(**changes: Any) -> dict[str, dict[str, Any]]:
    return {"formats": {"weights": ["int4"], "acts": ["int4"]} | changes}


def test_every_combination_once_with_the_scale_type_of_its_target() -> None:
    made = plan(quant={"recipes": ["rtn", "rtn-mse"], "seeds": [0, 1]}, fpga={"parts": ["zu3eg", "kv260"]})
    assert made.designs == 6 * 4 * 3
    assert len(ids(made)) == made.designs
    assert (made.merged, made.dropped, made.notes) == (0, 0, ())
    for job in made.jobs:  # parts share an evaluation, the GPU has its own
        names = [target.name for target in job.targets]
        assert names == (["zu3eg", "kv260"] if job.candidate.scale == "pow2" else ["v100"])


def test_default_grid_is_the_issue_of_24_by_24() -> None:
    made = plan(formats={"weights": "default", "acts": "default"})
    assert made.designs == 2 * 24 * 24
    assert len({job.key for job in made.jobs}) == 2 * 24 * 24


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("e1m2", "int4", True),
        ("int4@channel", "int4", True),
        ("e1m2~bias=3", "int4", True),
        ("e1m2~bias=0.5", "int4", False),
        ("int4.full", "int4", False),
        ("int4@tensor", "int4", False),
        ("e2m1", "int4", False),
    ],
)
def test_one_design_for_two_spellings(a: str, b: str, same: bool) -> None:
    made = plan(**formats(weights=[b, a]))
    assert made.designs == (2 if same else 4)
    assert made.merged == int(same)
    assert bool(made.notes) == same
    if same:
        assert ids(plan(**formats(weights=[a]))) == ids(plan(**formats(weights=[b])))


def test_pairs_of_equal_formats() -> None:
    config = {"weights": ["int4", "e2m1"], "acts": ["int4", "e2m1"], "pairs": "same"}
    pairs = {(job.candidate.weights, job.candidate.acts) for job in plan(formats=config).jobs}
    assert pairs == {("int4", "int4"), ("e2m1", "e2m1")}


@pytest.mark.parametrize(
    "changes",
    [
        formats(edge="int8"),
        formats(overrides={"head": "int8"}),
        formats(acts_signed=True),
        formats(unsigned_minifloat=True),
        formats(weights=["int4@group4"]),
        formats() | {"quant": {"recipes": ["rtn-mse"]}},
        formats() | {"quant": {"seeds": [1]}},
        formats() | {"fpga": {"reuse": 8}, "gpu": {"batch": 8}},
        formats() | {"fpga": {"dsp": "auto"}, "gpu": {"precision": "fp16"}},
        formats() | {"fpga": {"arch": "overlay"}, "gpu": {"runtime": "compiled"}},
        formats() | {"fpga": {"parts": ["kv260"]}, "gpu": {"devices": ["rtx3090"]}},
    ],
)
def test_ids_tell_apart_what_the_configuration_decides(changes: dict[str, Any]) -> None:
    assert not ids(plan(**formats())) & ids(plan(**changes))


@pytest.mark.parametrize("key", ["network", "weights", "evaluation"])
def test_ids_tell_apart_network_weights_and_data(key: str) -> None:
    assert not ids(plan(**formats())) & ids(plan(IDENTITY | {key: "another"}, **formats()))


def test_ids_tell_apart_calibration_rows_and_recipe_steps() -> None:
    for change in ({"calibration": {"0": "x"}}, {"recipes": {"rtn": "x"}}):
        assert not ids(plan(**formats())) & ids(plan(IDENTITY | change, **formats()))


def test_ids_do_not_depend_on_what_else_is_asked_for() -> None:
    few = plan(**formats())
    many = plan(formats={"weights": ["e2m1", "int4", "int8"], "acts": ["int8", "int4"]}, quant={"seeds": [1, 0]})
    assert ids(few) < ids(many)


def test_budget_draws_whole_cells_and_a_larger_one_keeps_them() -> None:
    grid = {"weights": "3..5", "acts": "3..5"}
    whole = plan(formats=grid)
    small, large = plan(formats=grid, search={"budget": 20}), plan(formats=grid, search={"budget": 61})
    assert (small.designs, small.dropped) == (20, whole.designs - 20)
    assert large.designs == 61
    assert ids(small) < ids(large) < ids(whole)
    assert "20 of" in small.notes[-1]
    cells = [(job.candidate.weights, job.candidate.acts) for job in small.jobs]
    assert all(cells.count(cell) == 2 for cell in cells)  # part and GPU of a drawn pair
    other = plan(formats=grid, search={"budget": 20}, quant={"seeds": [1]})
    assert {(j.candidate.weights, j.candidate.acts) for j in other.jobs} != set(cells)


def test_a_budget_above_the_grid_changes_nothing() -> None:
    assert plan(search={"budget": 1000}) == plan()
