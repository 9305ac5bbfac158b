"""The explanation of a cost: shares that sum to one, and sentences that say what the figures say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hwsim.core.cost import Cost, Energy, Interval, LayerCost
from hwsim.core.explain import explain

pytestmark = pytest.mark.property


def layer(name: str, cycles: int, terms: dict[str, float], dsp: float = 0.0, kind: str = "conv") -> LayerCost:
    lut = sum(terms.values())
    return LayerCost(name, kind, lut, lut / 2, dsp, 1.0, cycles, "int4", "int4", 16, 4, terms)


LAYERS = (
    layer("first", 100, {"multipliers": 600.0, "tree": 200.0}, dsp=3.0),
    layer("second", 400, {"multipliers": 150.0, "control": 50.0}, dsp=1.0),
)
COST = Cost(
    "p",
    Interval(800, 1000, 1300, "LUT", "formula"),
    Interval.exact(500, "FF"),
    Interval(2, 4, 4, "DSP", "formula", 0.9),
    Interval.exact(2, "BRAM18"),
    Interval(2, 2.5, 5, "us", "formula"),
    Interval.exact(400, "cycles"),
    200,
    "yes",
    LAYERS,
    (),
    {"lut": 2000, "ff": 4000, "dsp": 5, "bram18": 100},
)


def test_terms_are_sorted_and_their_shares_sum_to_one() -> None:
    found = explain(COST)
    assert [(row.layer, row.term) for row in found.terms] == [
        ("first", "multipliers"),
        ("first", "tree"),
        ("second", "multipliers"),
        ("second", "control"),
    ]
    assert sum(row.share for row in found.terms) == pytest.approx(1)
    assert found.terms[0].share == pytest.approx(0.6)
    assert found.causes == {"multipliers": 750, "tree": 200, "control": 50}


def test_layers_hold_their_share_of_each_resource_and_of_the_interval() -> None:
    first, second = explain(COST).layers
    assert (first.lut, first.ff, first.dsp, first.bram18) == pytest.approx((0.8, 0.8, 0.75, 0.5))
    assert (first.interval, second.interval) == pytest.approx((0.25, 1.0))


def test_the_tightest_resource_and_the_slowest_layer_are_named() -> None:
    found = explain(COST)
    assert found.utilisation["lut"] == pytest.approx((0.4, 0.5, 0.65))
    text = "\n".join(found.sentences)
    assert "DSP limits the part: 80 % of 5 in p (40 % to 80 %); fits: yes." in text
    assert "An inference every 400 cycles (2 us): second (conv) is busy all of them at reuse 4." in text
    assert "LUT -20 % to +30 %" in text and "such intervals held 90 % of outside measurements" in text
    assert "FF -" not in text, "an exact figure has no width"


def test_a_resource_that_the_part_lacks_is_said() -> None:
    cost = replace(COST, available={"lut": 2000, "ff": 4000, "dsp": 0, "bram18": 100})
    assert "p has no DSP, which the design needs." in explain(cost).sentences
    assert "dsp" not in explain(cost).utilisation


def test_arriving_words_and_an_overlay_limit_the_interval_too() -> None:
    paced = replace(COST, ii_cycles=Interval.exact(1000, "cycles"))
    assert any("the arriving words set the pace. The busiest is second" in text for text in explain(paced).sentences)
    shared = replace(
        COST,
        layers=(layer("(array)", 0, {"tree": 1.0}, kind="overlay"), *LAYERS),
        ii_cycles=Interval.exact(500, "cycles"),
    )
    assert any("one after the other; second takes the most, 80 %" in text for text in explain(shared).sentences)


def test_energy_is_named_with_its_label() -> None:
    energy = Energy("pJ", "relative", "a table", {"first": {"multiply": 30.0}, "second": {"weight reads": 10.0}})
    cost = replace(COST, energy=energy)
    assert energy.total == 40
    assert explain(cost).sentences[-1] == (
        "Energy (relative, table a table): 40 pJ an inference: multiply 75 %, weight reads 25 %."
    )
    assert cost.as_dict()["energy"]["label"] == "relative" and "energy" not in COST.as_dict()


def test_an_explanation_is_json_and_an_empty_cost_has_one() -> None:
    found = json.loads(json.dumps(COST.explain().as_dict()))
    assert found["utilisation"]["dsp"] == {"lo": 0.4, "mid": 0.8, "hi": 0.8}
    nothing = Interval.exact(0, "LUT")
    empty = Cost("p", nothing, nothing, nothing, nothing, nothing, nothing, 200, "yes", ())
    assert empty.explain().terms == () and empty.explain().sentences == ()
