"""Whole layers and small networks that no fit saw: the sum of their units against Yosys."""

from __future__ import annotations

from statistics import median

import pytest

from hwsim.cost_models.layer_errors import layer_errors, summary
from hwsim.cost_models.trust import layer_summary

pytestmark = pytest.mark.truth


def test_enough_designs_of_every_kind() -> None:
    labels = [e.label for e in layer_errors()]
    assert len(labels) >= 20
    for kind in (
        "dense int",
        "dense e",
        "convolution",
        "depthwise",
        "max pool",
        "dense-ReLU-dense",
        "residual",
        "DSPs",
    ):
        assert any(kind in label for label in labels), kind


@pytest.mark.parametrize("resource", ["dsp", "bram18"])
def test_dsps_and_block_rams_are_exact(resource: str) -> None:
    for e in layer_errors():
        assert e.share(resource) == 0, e.label


def test_flip_flops_are_within_two_hundredths() -> None:
    for e in layer_errors():
        assert abs(e.share("ff")) <= 0.02, e.label


def test_luts_are_within_a_tenth() -> None:
    errors = [abs(e.share("lut")) for e in layer_errors()]
    assert max(errors) <= 0.1 and median(errors) <= 0.01


def test_integer_layers_are_the_sums_of_their_units() -> None:
    for e in layer_errors():
        if not any(word in e.label for word in ("e2m1", "e4m3", "pool", "signed")):
            assert abs(e.share("lut")) <= 0.01, e.label


def test_intervals_hold_nine_in_ten() -> None:
    """The factor for what happens where units meet is taken from all designs but the one that is looked at."""
    found = layer_summary()
    assert found["lut_held"] >= 0.88 and 1.0 < found["lut_factor"] <= 1.05


def test_the_shipped_summary_is_that_of_the_shipped_table() -> None:
    assert layer_summary() == summary(layer_errors())
