"""What HLS refuses: ranking held out by layer shape, and the plain rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.cost_models.vendor import refusal_probability
from hwsim.cost_models.vendor.evaluate import refusal_table
from hwsim.cost_models.vendor.legality import (
    area_under_curve,
    fit_legality,
    held_out_refusal,
    legality_model,
    legality_rows,
    unrolled_products,
)


@pytest.mark.truth
@pytest.mark.data
def test_ranking_held_out_by_layer_shape(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    designs, failed = legality_rows(shared / "fpga")
    assert (len(failed), failed.sum()) == (2687, 1700)
    with capsys.disabled():
        print("\n" + refusal_table(designs, failed))
    probability = held_out_refusal(designs, failed)
    assert area_under_curve(failed, probability) > 0.95
    assert np.mean((probability - failed) ** 2) < 0.03
    assert np.mean((probability > 0.5) != failed) < 0.03


@pytest.mark.truth
@pytest.mark.data
def test_the_rule_of_4096_products(shared: Path) -> None:
    designs, failed = legality_rows(shared / "fpga")
    products = unrolled_products(designs)
    assert failed[products >= 4096].all()
    assert not ((products > 128) & (products < 1024)).any()
    below = failed[products < 4096]
    assert below.sum() == 48 and len(below) == 1035


@pytest.mark.truth
@pytest.mark.data
def test_the_shipped_coefficients_are_the_refitted_ones(shared: Path) -> None:
    fitted, shipped = fit_legality(*legality_rows(shared / "fpga")), legality_model()
    assert fitted.intercept == pytest.approx(shipped.intercept, abs=0.01)
    assert dict(fitted.coefficients) == pytest.approx(dict(shipped.coefficients), abs=0.01)


@pytest.mark.truth
def test_refusals_of_plain_cases() -> None:
    p = refusal_probability([256, 256, 64, 32, 64], [256, 256, 32, 32, 64], 8, [512, 1, 1, 1, 512])
    assert (p[[0, 2, 3]] < 0.1).all() and p[1] > 0.95 and p[4] < 0.1
    assert refusal_probability(256, 256, 8, 512, "latency")[0] > 0.95


@pytest.mark.exact
def test_area_under_curve_counts_pairs() -> None:
    failed = np.array([True, True, False, False, False])
    p = np.array([0.9, 0.4, 0.4, 0.1, 0.5])
    assert area_under_curve(failed, p) == pytest.approx((3 + 1 + 0.5) / 6)
