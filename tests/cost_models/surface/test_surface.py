"""Surfaces on made-up counts: they find them, stay monotone and positive, cover, flag, and survive a file."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.core.errors import InputError
from hwsim.cost_models.surface import FAMILIES, Surface, family, fit_surface
from hwsim.cost_models.surface.calibrate import folds_of
from hwsim.cost_models.surface.family import Axis, Columns, Family
from hwsim.cost_models.surface.fit import missing
from hwsim.cost_models.surface.monotone import is_monotone
from hwsim.cost_models.surface.shipped import read_surfaces, write_surfaces
from hwsim.cost_models.surface.synthesised_rows import shipped_rows

WIDTHS = tuple(float(v) for v in range(1, 17))


def law(c: Columns) -> Columns:
    return {"1": np.ones_like(c["w"]), "wa": c["w"] * c["a"], "w+a": c["w"] + c["a"]}


TOY = Family(
    "toy", (Axis("w", WIDTHS, scale="log2"), Axis("a", WIDTHS, scale="log2"), Axis("s", (0.0, 1.0), False)), law
)


def counts(w: np.ndarray, a: np.ndarray, s: np.ndarray, seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """A law with a bend that its features do not have, and the noise of a tool."""
    rng = np.random.default_rng(seed)
    smooth = (2.5 * w * a + 3 * (w + a) + 4) * (1 + 0.15 * np.sin(w / 2.5) + 0.2 * s)
    return np.maximum(np.rint(smooth * np.exp(noise * rng.standard_normal(len(w)))), 1)


def grid(high: int = 16) -> dict[str, np.ndarray]:
    w, a, s = np.meshgrid(np.arange(1, high + 1), np.arange(1, high + 1), [0, 1], indexing="ij")
    return {"w": w.ravel().astype(float), "a": a.ravel().astype(float), "s": s.ravel().astype(float)}


def some(columns: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[mask] for name, values in columns.items()}


@pytest.fixture(scope="module")
def fitted() -> tuple[Surface, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Fitted on 150 of 512 units."""
    columns = grid()
    y = counts(**columns)
    known = np.random.default_rng(1).permutation(len(y)) < 150
    return fit_surface(TOY, some(columns, known), y[known]), columns, y, known


Fitted = tuple[Surface, dict[str, np.ndarray], np.ndarray, np.ndarray]


@pytest.mark.property
def test_units_not_seen_are_predicted_and_covered(fitted: Fitted) -> None:
    surface, columns, y, known = fitted
    p = surface.predict(some(columns, ~known))
    error = np.abs(p.mid / y[~known] - 1)
    assert np.median(error) < 0.025 and np.quantile(error, 0.9) < 0.06
    base = surface.law.values(TOY, some(columns, ~known))
    assert np.median(np.abs(base / y[~known] - 1)) > 2 * np.median(error)
    assert 0.85 < np.mean((y[~known] >= p.low) & (y[~known] <= p.high)) < 0.96
    assert p.out_of_domain.mean() < 0.05


@pytest.mark.property
def test_it_is_monotone_and_positive(fitted: Fitted) -> None:
    surface, *_ = fitted
    mid = surface.predict(TOY.lattice()).mid.reshape(TOY.shape)
    assert is_monotone(mid, (0, 1), 1e-9) and (mid > 0).all()
    between = {"w": np.linspace(1, 16, 200), "a": np.full(200, 5.5), "s": np.zeros(200)}
    assert (np.diff(surface.predict(between).mid) >= -1e-9).all()


@pytest.mark.property
def test_intervals_hold_the_middle_and_widen_away_from_data() -> None:
    columns = grid(14)
    y = counts(**columns)
    known = (columns["w"] <= 10) & (columns["a"] <= 10)
    surface = fit_surface(TOY, some(columns, known), y[known])
    p = surface.predict(columns)
    assert (p.low <= p.mid).all() and (p.mid <= p.high).all() and (p.low >= 0).all()
    assert np.array_equal(p.out_of_domain, ~known)
    width = np.log(p.high / p.low)  # along w the law misses a bend, along a it is right
    assert np.median(width[columns["w"] > 10]) > 2 * np.median(width[known])
    assert np.median(width[columns["w"] > 10]) > 1.5 * np.median(width[(columns["w"] <= 10) & ~known])
    assert np.mean((y >= p.low) & (y <= p.high)) > 0.85


@pytest.mark.property
def test_outside_the_lattice_it_grows_with_the_law(fitted: Fitted) -> None:
    surface, *_ = fitted
    p = surface.predict({"w": np.array([16.0, 32.0]), "a": 16.0, "s": 0.0})
    assert p.out_of_domain.tolist() == [False, True]
    assert 1.7 < p.mid[1] / p.mid[0] < 2.3


@pytest.mark.exact
def test_an_exact_law_needs_no_correction() -> None:
    columns = grid(6)
    y = 3 * columns["w"] * columns["a"] + 2 * (columns["w"] + columns["a"]) + 1
    surface = fit_surface(TOY, columns, y, "ff")
    p = surface.predict(grid(8))
    assert surface.process is None
    assert p.mid[0] == pytest.approx(y[0]) and np.array_equal(p.low, p.high)
    assert p.out_of_domain.sum() == 2 * (64 - 36)


@pytest.mark.exact
def test_counts_of_zero() -> None:
    columns = grid(6)
    p = fit_surface(TOY, columns, np.zeros(72)).predict(columns)
    assert p.mid == pytest.approx(0, abs=1e-6) and p.high == pytest.approx(0, abs=1e-6)
    y = np.where(columns["w"] > 2, counts(**columns), 0)
    p = fit_surface(TOY, columns, y).predict(columns)
    assert (p.mid >= 0).all() and p.mid[columns["w"] == 1].max() < p.mid[columns["w"] == 6].min()


@pytest.mark.exact
def test_it_survives_a_file(fitted: Fitted, tmp_path: Path) -> None:
    surface, columns, *_ = fitted
    data = json.loads(json.dumps(surface.as_dict(), allow_nan=False))
    again = Surface.from_dict(TOY, data)
    for ours, theirs in zip(vars_of(surface, columns), vars_of(again, columns), strict=True):
        assert np.allclose(ours, theirs, rtol=1e-6)
    with pytest.raises(InputError, match="a surface of toy"):
        Surface.from_dict(family("int_mul"), data)
    with pytest.raises(InputError, match="refit"):
        Surface.from_dict(TOY, {**data, "coefficients": {"1": 1.0}}).predict(columns)
    path = tmp_path / "surfaces.json"
    mul = fit_surface(family("int_mul"), int_mul_columns(), counts(**grid(7)))
    write_surfaces(path, [mul])
    assert list(read_surfaces(path)) == [("int_mul", "lut")]
    path.write_text("[{}]")
    with pytest.raises(InputError, match="not a file of surfaces"):
        read_surfaces(path)
    with pytest.raises(InputError, match="no surfaces"):
        read_surfaces(tmp_path / "none.json")


def vars_of(surface: Surface, columns: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    p = surface.predict(columns)
    return p.mid, p.low, p.high, p.out_of_domain


def int_mul_columns() -> dict[str, np.ndarray]:
    c = grid(7)
    return {"w_bits": c["w"], "a_bits": c["a"], "a_signed": c["s"]}


@pytest.mark.exact
def test_bad_rows_are_refused() -> None:
    columns = grid(6)
    with pytest.raises(InputError, match="5 rows"):
        fit_surface(TOY, {k: v[:5] for k, v in columns.items()}, np.ones(5))
    with pytest.raises(InputError, match="least count -1"):
        fit_surface(TOY, columns, np.where(columns["w"] == 1, -1, 5))
    with pytest.raises(InputError, match="no parameter 'a'"):
        fit_surface(TOY, {"w": columns["w"]}, np.ones(72))
    with pytest.raises(InputError, match="did you mean 'int_mul'"):
        family("int_mull")


@pytest.mark.exact
def test_accumulators_count_from_the_exact_product() -> None:
    mac = family("int_mac").axis_columns({"w_bits": 4, "a_bits": np.array([4, 8]), "a_signed": 0, "acc_bits": [14, 18]})
    assert mac["guard_bits"].tolist() == [6, 6]
    dot = family("int_dot").axis_columns(
        {"lanes": 8, "w_bits": 4, "a_bits": 4, "a_signed": 0, "acc_bits": np.array([17])}
    )
    assert dot["guard_bits"].tolist() == [6]
    pair = family("minifloat_mac").axis_columns(
        {"ew": 2, "mw": 1, "ea": 2, "ma": np.array([1, 3]), "acc_bits": [15, 17], "a_signed": 1}
    )
    assert pair["guard_bits"].tolist() == [6, 6]
    for signed, acc in ((0, 15), (1, 14)):
        mixed = family("minifloat_int_mac").axis_columns(
            {"ew": 2, "mw": 1, "a_bits": 4, "a_signed": signed, "acc_bits": np.array([acc])}
        )
        assert mixed["guard_bits"].tolist() == [6]


@pytest.mark.property
@pytest.mark.slow
def test_a_million_rows_in_seconds() -> None:
    """10^6 rows with more than 20,000 different units, the table included."""
    minifloats = FAMILIES["minifloat_mac"]
    rng = np.random.default_rng(0)
    lattice = minifloats.lattice()
    picked = rng.permutation(len(lattice["ew"]))[:150]
    columns = {k: v[picked] for k, v in lattice.items()}
    names, features = minifloats.feature_matrix(columns)
    y = np.rint(features @ rng.uniform(0.2, 1, len(names)) * np.exp(0.03 * rng.standard_normal(150))) + 3
    surface = fit_surface(minifloats, columns, y)
    rows = rng.integers(0, len(lattice["ew"]), 1_000_000)
    many = {k: v[rows] for k, v in lattice.items()}
    many["guard_bits"] = rng.integers(0, 17, 1_000_000).astype(float)
    assert len(np.unique(rows)) > 20_000
    start = time.process_time()
    p = surface.predict(many)
    assert time.process_time() - start < 10
    assert np.isfinite(p.mid).all() and (p.low <= p.high).all()


@pytest.mark.exact
def test_counts_of_units_among_the_data_are_kept(fitted: Fitted) -> None:
    surface, columns, y, known = fitted
    for i in (*np.flatnonzero(known)[:5], *np.flatnonzero(~known)[:5]):
        unit = {name: values[i] for name, values in columns.items()}
        assert surface.counted(unit) == (y[i] if known[i] else None)
    one, other = np.flatnonzero(known)[:2]
    twice = {name: np.append(values[known], values[one]) for name, values in columns.items()}
    again = fit_surface(TOY, twice, np.append(y[known], y[one] + 1))
    assert again.counted({name: values[one] for name, values in columns.items()}) is None
    assert again.counted({name: values[other] for name, values in columns.items()}) == y[other]


@pytest.mark.exact
def test_predictions_are_whole_numbers_inside_whole_ends(fitted: Fitted) -> None:
    surface, columns, _, _ = fitted
    p = surface.predict(columns)
    for values in (p.mid, p.low, p.high):
        np.testing.assert_array_equal(values, np.rint(values))
    assert np.all((p.low <= p.mid) & (p.mid <= p.high))


def plain(c: Columns) -> Columns:
    return {"1": np.ones_like(c["w"]), "wa": c["w"] * c["a"], "wide": np.maximum(c["a"] - 4, 0) ** 2}


@pytest.mark.property
def test_kin_teach_the_law_where_a_family_has_no_rows() -> None:
    """Units with a <= 4 say nothing of wider ones; those of a kin, whose counts obey the same law, do."""
    narrow = Family("narrow", (Axis("w", WIDTHS), Axis("a", WIDTHS)), plain, kin={"wide": lambda c: {**c}})
    w, a = (grid.ravel() for grid in np.meshgrid(np.arange(1.0, 17), np.arange(1.0, 17)))

    def truth(w: np.ndarray, a: np.ndarray) -> np.ndarray:
        return np.asarray(np.rint((3 * w * a + 2 * np.maximum(a - 4, 0) ** 2 + 5) * (1 + 0.08 * np.sin(3 * w + a))))

    near, far = a <= 4, a > 8
    known = {"w": w[near], "a": a[near]}
    alone = fit_surface(narrow, known, truth(**known))
    taught = fit_surface(narrow, known, truth(**known), kin={"wide": ({"w": w, "a": a}, truth(w, a))})
    errors = []
    for surface in (alone, taught):
        mid = surface.predict({"w": w[far], "a": a[far]}).mid
        errors.append(float(np.median(np.abs(mid / truth(w[far], a[far]) - 1))))
    assert errors[1] < 0.1 < errors[0]
    again = Surface.from_dict(narrow, json.loads(json.dumps(taught.as_dict())))
    assert np.array_equal(again.predict({"w": w, "a": a}).high, taught.predict({"w": w, "a": a}).high)


@pytest.mark.property
def test_ends_widen_past_where_calibration_went() -> None:
    """Twice as far beyond the data as the rows that calibration left out, ends are at least twice as wide in logs."""
    line = Family("line", (Axis("w", tuple(float(v) for v in range(1, 65))),), lambda c: {"1": c["w"] * 0 + 1})
    w = np.repeat(np.arange(1.0, 9), 6)
    surface = fit_surface(line, {"w": w}, np.rint(1e6 * np.exp(0.02 * np.random.default_rng(0).standard_normal(48))))
    went = surface.reach.past["above w"]
    assert went in (1, 2, 3)  # of eight values, a tenth and three tenths of the rows are left out
    times = surface.reach.times("above w", np.array([0.5, 1, 2, 4]) * went)
    assert times.tolist() == [1, 1, 2, 4]
    p = surface.predict({"w": 8 + np.array([1, 2, 4]) * went})
    wide = np.log(p.high / p.mid)
    assert 2 < wide[1] / wide[0] < 4 and 4 < wide[2] / wide[0] < 8  # the process is less sure there, too
    assert p.out_of_domain.all()


@pytest.mark.property
def test_laws_that_could_bend_to_any_counts_are_refused() -> None:
    """Units as many as terms meet any law, and one unit many times teaches nothing."""
    rows = shipped_rows()["minifloat_mac"]
    picked = np.zeros(len(rows), dtype=bool)
    picked[np.random.default_rng(0).permutation(len(rows))[:16]] = True
    few = rows.take(picked)
    with pytest.raises(InputError, match="16 different units in 16 rows") as raised:
        fit_surface(few.family, few.parameters, few.counts["lut"])
    assert "at least 23 different units" in str(raised.value.hint)
    assert missing(replace(few, kin={})) == 7 and missing(few) == 0  # units of its kin obey the same law
    with pytest.raises(InputError, match="1 different units in 12 rows"):
        fit_surface(TOY, {name: np.ones(12) for name in ("w", "a", "s")}, np.full(12, 7.0))


@pytest.mark.exact
def test_twins_are_left_out_together() -> None:
    """E2M1 x E4M3 is E4M3 x E2M1: one key, one fold, and gone with all units of E4."""
    mul = family("minifloat_mul")
    columns = {"ew": [2, 4, 4], "mw": [1, 3, 3], "ea": [4, 2, 4], "ma": [3, 1, 3], "a_signed": [1, 1, 1]}
    rows = {name: np.array(values, dtype=float) for name, values in columns.items()}
    keys = mul.keys(rows)
    assert keys[0] == keys[1] != keys[2]
    assert mul.with_twin("ew") == ("ew", "ea") and mul.with_twin("a_signed") == ("a_signed",)
    data = mul.counted(rows, np.ones(3))
    assert data.between(mul.with_twin("ew"), 4, 5)[0].tolist() == [True, True, True]
    fold = folds_of([0, 1, 0, 2, 1], 3, 0)
    assert fold[0] == fold[2] and fold[1] == fold[4] and set(fold) == {0, 1, 2}
