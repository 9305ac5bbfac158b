"""Whole layers and small networks that no fit saw: the sum of their units against Yosys."""

from __future__ import annotations

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


def test_luts_are_within_a_tenth_where_multipliers_are_mapped_as_alone() -> None:
    """In six designs Yosys puts the operands of the additions inside integer multipliers the other way round, which
    depends on the names of wires and takes 4 LUTs more a product of 4 bits and 25 of 8 bits."""
    errors = {e.label: abs(e.share("lut")) for e in layer_errors()}
    far = {label for label, share in errors.items() if share > 0.10}
    assert len(far) <= 6 and all("int" in label for label in far)
    assert max(errors.values()) <= 0.25


def test_the_shipped_summary_is_that_of_the_shipped_table() -> None:
    assert layer_summary() == summary(layer_errors())
