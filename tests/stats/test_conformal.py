"""Ranks by definition, coverage on exchangeable data, and intervals that widen where the scale says so."""

from __future__ import annotations

import json
from fractions import Fraction
from math import ceil, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.errors import InputError
from hwsim.stats import ConformalBand, conformal_quantile, coverage, hierarchical_quantile, scores_of
from hwsim.stats.conformal import group_folds


def rank_by_definition(scores: list[float], share: Fraction) -> float:
    """The smallest t among scores and inf with #{score <= t} >= (n + 1) share, counted in exact arithmetic."""
    for t in sorted(scores):
        if sum(s <= t for s in scores) >= (len(scores) + 1) * share:
            return t
    return inf


def hierarchical_by_definition(scores: list[float], groups: list[int], share: Fraction) -> float:
    """Lee, Barber and Willett: the weighted quantile with mass 1 / (K + 1) a group and as much at infinity."""
    names = sorted(set(groups))
    for t in sorted(scores):
        mass = Fraction(0)
        for name in names:
            own = [s for s, g in zip(scores, groups, strict=True) if g == name]
            mass += Fraction(sum(s <= t for s in own), len(own)) / (len(names) + 1)
        if mass >= share:
            return t
    return inf


@pytest.mark.property
@given(st.lists(st.integers(-9, 9), min_size=0, max_size=60), st.integers(1, 99))
def test_rank_is_the_definition(scores: list[int], percent: int) -> None:
    expected = rank_by_definition([float(s) for s in scores], Fraction(percent, 100))
    assert conformal_quantile(scores, percent / 100) == expected


@pytest.mark.exact
def test_ninety_percent_needs_nine_scores() -> None:
    assert conformal_quantile(range(8), 0.9) == inf
    assert conformal_quantile(range(9), 0.9) == 8
    assert conformal_quantile(range(99), 0.9) == 89
    assert conformal_quantile(range(19), 0.95) == 18


@pytest.mark.property
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 6)), min_size=1, max_size=40), st.integers(1, 99))
def test_hierarchical_rank_is_the_definition(rows: list[tuple[int, int]], percent: int) -> None:
    scores, groups = [float(s) for s, _ in rows], [g for _, g in rows]
    expected = hierarchical_by_definition(scores, groups, Fraction(percent, 100))
    assert hierarchical_quantile(scores, groups, percent / 100) == expected


@pytest.mark.property
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=40), st.integers(1, 99))
def test_groups_of_one_row_are_rows(scores: list[int], percent: int) -> None:
    own = list(range(len(scores)))
    assert hierarchical_quantile(scores, own, percent / 100) == conformal_quantile(scores, percent / 100)


@pytest.mark.exact
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("n", [19, 30, 57])
def test_expected_coverage_is_what_ranks_promise(n: int, symmetric: bool) -> None:
    """Over all positions of one new score among n + 1 different ones, the share inside is the exact coverage."""
    rng = np.random.default_rng(n)
    inside = 0
    values = rng.permutation(np.linspace(-1, 1.3, n + 1))
    for i in range(n + 1):
        band = ConformalBand.fit(np.delete(values, i), 0.9, symmetric=symmetric, residual="absolute")
        low, high = band.interval(0.0)
        inside += int(low <= values[i] <= high)
    share = inside / (n + 1)
    step = 1 / (n + 1) if symmetric else 2 / (n + 1)
    assert 0.9 - 1e-12 <= share < 0.9 + step + 1e-12


@pytest.mark.property
@pytest.mark.parametrize("residual", ["absolute", "relative", "log"])
def test_coverage_on_exchangeable_data(residual: str) -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        scale = rng.uniform(0.5, 2, 120)
        truth = 100 * np.exp(0.1 * scale * rng.standard_normal(120))
        scores = scores_of(truth, np.full(120, 100.0), scale, residual)  # type: ignore[arg-type]
        band = ConformalBand.fit(scores[:60], 0.9, residual=residual)  # type: ignore[arg-type]
        low, high = band.interval(np.full(60, 100.0), scale[60:])
        shares.append(coverage(truth[60:], low, high).share)
    exact = (ceil(61 * 0.95) * 2 - 61) / 61  # of two ends, each at rank ceil(61 * 0.95) of 60
    assert abs(np.mean(shares) - exact) < 4 * np.std(shares) / np.sqrt(len(shares))


@pytest.mark.property
def test_rows_of_new_groups_are_covered_only_when_groups_weigh_the_same() -> None:
    """Large quiet groups and small loud ones: pooled rows promise too much for a row of a new group."""
    rng = np.random.default_rng(1)
    kept: dict[str, list[float]] = {"rows": [], "groups": []}
    for _ in range(500):
        sizes = np.where(rng.random(41) < 0.7, 30, 2)
        groups = np.repeat(np.arange(41), sizes)
        spread = np.where(sizes == 2, 5.0, 1.0)
        scores = np.abs(rng.standard_normal(len(groups))) * spread[groups]
        seen, new = groups < 40, groups == 40
        for by, shares in kept.items():
            band = ConformalBand.fit(
                scores[seen],
                0.9,
                groups=groups[seen],
                by=by,
                symmetric=True,
                residual="absolute",  # type: ignore[arg-type]
            )
            low, high = band.interval(np.zeros(int(new.sum())))
            shares.append(coverage(scores[new], low, high).share)
    assert np.mean(kept["rows"]) < 0.86
    assert 0.89 < np.mean(kept["groups"]) < 0.95


@pytest.mark.property
def test_strata_are_calibrated_apart() -> None:
    rng = np.random.default_rng(2)
    strata = np.repeat(["near", "far"], 2000)
    scores = rng.standard_normal(4000) * np.repeat([1.0, 10.0], 2000)
    pooled = ConformalBand.fit(scores, 0.9, residual="absolute")
    split = ConformalBand.fit(scores, 0.9, strata=strata, residual="absolute")
    new = rng.standard_normal(4000) * np.repeat([1.0, 10.0], 2000)
    for label in ("near", "far"):
        rows = strata == label
        apart = coverage(new[rows], *split.interval(np.zeros(2000), strata=strata[rows])).share
        together = coverage(new[rows], *pooled.interval(np.zeros(2000))).share
        assert abs(apart - 0.9) < 0.03
        assert abs(together - 0.9) > 0.05
    assert split.interval(0.0, strata="unheard of") == split.interval(0.0, strata="far")


@pytest.mark.property
@given(st.lists(st.floats(-3, 3), min_size=20, max_size=50), st.floats(0.1, 5), st.floats(1.0, 4))
def test_intervals_hold_the_middle_ranks_and_grow_with_the_scale(
    scores: list[float], scale: float, factor: float
) -> None:
    band = ConformalBand.fit(scores, 0.9, symmetric=True)
    low, high = band.interval(7.0, scale)
    wider_low, wider_high = band.interval(7.0, scale * factor)
    assert wider_low <= low * (1 + 1e-12) and low <= 7.0 <= high <= wider_high * (1 + 1e-12)


@pytest.mark.exact
def test_scores_and_intervals_are_inverse() -> None:
    y, p, s = np.array([90.0, 130.0]), np.array([100.0, 100.0]), np.array([0.5, 2.0])
    for residual in ("absolute", "relative", "log"):
        band = ConformalBand({"": (-1.0, 1.0)}, residual, 0.9)  # type: ignore[arg-type]
        score = scores_of(y, p, s, residual)  # type: ignore[arg-type]
        low, high = band.interval(p, s * np.abs(score))
        ends = np.where(score < 0, low, high)
        assert np.allclose(ends, y, rtol=1e-14)


@pytest.mark.exact
def test_band_survives_json() -> None:
    band = ConformalBand.fit(np.arange(5.0), 0.9, strata=["a"] * 5)
    assert band.ends["a"] == (-inf, inf)
    assert ConformalBand.from_dict(json.loads(json.dumps(band.as_dict(), allow_nan=False))) == band


@pytest.mark.exact
def test_coverage_counts_by_group() -> None:
    found = coverage([1, 2, 3, 4], [0, 0, 5, 4], [1, 1, 6, 4], groups=["a", "a", "b", "b"])
    assert (found.share, found.rows, found.worst_group) == (0.5, 4, 0.5)
    assert found.by_group == {"a": 0.5, "b": 0.5}
    assert found.standard_error == 0.0


@pytest.mark.exact
def test_folds_are_the_groups() -> None:
    masks = group_folds(["x", "y", "x"])
    assert [m.tolist() for m in masks] == [[True, False, True], [False, True, False]]


@pytest.mark.exact
def test_bad_calibrations_are_refused() -> None:
    with pytest.raises(InputError, match="coverage"):
        ConformalBand.fit([1.0], 1.0)
    with pytest.raises(InputError, match="positive"):
        scores_of([1.0], [0.0])
    with pytest.raises(InputError, match="positive"):
        scores_of([1.0], [1.0], [0.0])
