"""From pairs of counts to a file of factors, and from it to scaled estimates."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.cost import Cost, Interval, LayerCost
from hwsim.core.errors import InputError
from hwsim.cost_models import UnitCost, part
from hwsim.cost_models.vendor import (
    VendorCalibration,
    VendorScale,
    fit_calibration,
    read_calibration,
    scaled_by,
    scaled_unit_by,
)
from hwsim.cost_models.vendor.calibration import one_stage, scale_errors, write_calibration
from hwsim.cost_models.vendor.estimates import Pair
from hwsim.cost_models.vendor.reports import ReportRow
from hwsim.cost_models.vendor.scaled import scaled_interval_by

counts = st.one_of(st.just(0.0), st.floats(0.01, 1e6))


def pairs_of(ratios: list[float]) -> list[Pair]:
    return [
        Pair(f"d{k}", {"lut": 100.0, "ff": 50.0, "dsp": 0.0}, {"lut": 100 * r, "ff": 50.0, "dsp": 3.0, "bram18": None})
        for k, r in enumerate(ratios)
    ]


def rows_of(pairs: list[Pair], **changes: object) -> list[ReportRow]:
    row = ReportRow("d", 1.0, 1.0, 1.0, 1.0, None, "post_route", "vivado")
    return [replace(row, design=p.design, **changes) for p in pairs]  # type: ignore[arg-type]


def calibration(ratios: list[float], **changes: object) -> VendorCalibration:
    pairs = pairs_of(ratios)
    return fit_calibration(rows_of(pairs, **changes), pairs)


def cost(lut: float = 1000.0) -> Cost:
    def interval(mid: float, unit: str) -> Interval:
        return Interval(0.9 * mid, mid, 1.2 * mid, unit, "formula")

    layer = LayerCost("fc", "dense", lut, 500.0, 2.0, 4.0, 10, "int8", "int8", 20, 1, {"adders": 0.25 * lut})
    counts = (interval(lut, "LUT"), interval(500.0, "FF"), interval(2.0, "DSP"), interval(4.0, "BRAM18"))
    times = (Interval.exact(1.0, "us"), Interval.exact(10.0, "cycles"))
    return Cost("kv260", *counts, *times, 200.0, "yes", (layer,), ("uncalibrated: x", "another"))


@pytest.mark.property
def test_factors_are_found_in_noise() -> None:
    noise = np.exp(0.1 * np.random.default_rng(0).standard_normal(40))
    found = calibration([0.7 * float(n) for n in noise])
    scale = found.scales["lut"]
    assert scale.factor == pytest.approx(0.7, rel=0.05)
    assert scale.rows == 40
    assert 0.85 <= (found.held["lut"] or 0) <= 1
    assert (found.scales["dsp"].rows, found.held["dsp"]) == (0, None)
    errors = scale_errors(found.pairs)
    assert np.median(errors["before"]["lut"]) > 0.3 and np.median(errors["after"]["lut"]) < 0.12
    assert np.median(errors["before"]["ff"]) == 0 and "dsp" not in errors["after"]


@pytest.mark.property
def test_one_wild_report_moves_little() -> None:
    plain, wild = calibration([0.8] * 10), calibration([0.8] * 9 + [80.0])
    assert wild.scales["lut"].factor == pytest.approx(plain.scales["lut"].factor, rel=0.1)
    assert (plain.scales["lut"].outliers, wild.scales["lut"].outliers) == (0, 1)
    assert wild.scales["lut"].raw > 1.2


@pytest.mark.exact
def test_errors_after_are_of_designs_left_out() -> None:
    """With two designs, each is scaled by the other's factor, which one report draws part of the way only."""
    pairs = pairs_of([0.5, 0.5])
    one = calibration([0.5]).scales["lut"].factor
    assert scale_errors(pairs)["after"]["lut"] == pytest.approx([abs(2 * one - 1)] * 2)
    assert calibration([0.5]).held["lut"] is None


@pytest.mark.exact
def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    found, path = calibration([0.8, 0.9, 0.7]), tmp_path / "deep" / "mine.json"
    write_calibration(path, found)
    assert read_calibration(path) == found


@pytest.mark.exact
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 1', '"version": 2'),
        ('"what": "hwsim vendor calibration"', '"what": "weights"'),
        ('"stage"', '"stages"'),
        ('"lut": {', '"luts": {'),
        ('"rows": 3', '"rows": -1'),
        ('"low"', '"lower"'),
        ("}", ""),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "mine.json"
    write_calibration(path, calibration([0.8, 0.9, 0.7]))
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=r"mine\.json") as caught:
        read_calibration(path)
    assert "hwsim calibrate fpga" in caught.value.hint or "allowed" in caught.value.hint


@pytest.mark.exact
def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_calibration(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_calibration(tmp_path / "file" / "mine.json", calibration([1.0]))


@pytest.mark.exact
def test_stages_and_units_are_not_mixed() -> None:
    pairs = pairs_of([0.8, 0.9])
    rows = rows_of(pairs)
    with pytest.raises(InputError, match="2 stages: hls, post_route"):
        fit_calibration([rows[0], replace(rows[1], stage="hls")], pairs)
    with pytest.raises(InputError, match="ALM and LUT"):
        fit_calibration([rows[0], replace(rows[1], logic_unit="ALM")], pairs)
    mixed = [("a", rows[0]), ("b", replace(rows[1], stage="hls"))]
    assert [where for where, _ in one_stage(mixed, "hls")] == ["b"]
    assert len(one_stage(mixed, None)) == 2
    with pytest.raises(InputError, match="no report of stage 'route'"):
        one_stage(mixed, "route")


@pytest.mark.exact
def test_a_cost_is_scaled_everywhere() -> None:
    known = calibration([0.8] * 20)
    factor = known.scales["lut"].factor
    found = scaled_by(cost(), known, part("kv260"))
    assert found.lut.mid == pytest.approx(1000 * factor) and found.layers[0].lut == pytest.approx(found.lut.mid)
    assert found.layers[0].terms["adders"] == pytest.approx(250 * factor)
    assert (found.lut.stage, found.lut.unit, found.lut.coverage) == ("post_route", "LUT", 1.0)
    assert (found.bram18, found.latency_us, found.layers[0].bram18) == (cost().bram18, cost().latency_us, 4.0)
    assert found.dsp == cost().dsp  # no design had DSPs on both sides
    assert "another" in found.notes and not any(n.startswith("uncalibrated") for n in found.notes)
    assert any("LUT x 0.8" in n and "20 designs" in n for n in found.notes)
    assert any("DSP, BRAM18" in n for n in found.notes)
    assert found.fits == "yes"
    assert scaled_by(cost(200_000.0), known, part("kv260")).fits == "no"


@pytest.mark.exact
def test_logic_of_another_kind_leaves_open_what_fits() -> None:
    before = replace(cost(), available={"lut": 117_120, "ff": 234_240})
    found = scaled_by(before, calibration([0.4] * 5, logic_unit="ALM", tool="quartus"), part("kv260"))
    assert found.available == {"ff": 234_240}
    assert scaled_by(before, calibration([0.4] * 5), part("kv260")).available == before.available
    assert (found.lut.unit, found.fits) == ("ALM", "uncertain")
    assert any("ALM" in note for note in found.notes)


@dataclass(frozen=True)
class Operator:
    """The figures of an operator's cost that are scaled."""

    lut: Interval
    ff: Interval
    dsp: Interval
    terms: dict[str, float]
    notes: tuple[str, ...]


@pytest.mark.exact
def test_an_operator_is_scaled_with_its_terms() -> None:
    whole = cost()
    known = calibration([0.8] * 20)
    before = Operator(whole.lut, whole.ff, whole.dsp, {"adders": 30.0}, ("uncalibrated: x",))
    found = scaled_unit_by(cast(UnitCost, before), known)
    factor = known.scales["lut"].factor
    assert found.lut.mid == 1000 * factor and found.terms == {"adders": 30 * factor}
    assert found.dsp == whole.dsp and found.notes[0].startswith("scaled by vivado reports (post_route): LUT x 0.8")


@pytest.mark.property
@given(st.lists(st.floats(0.2, 5.0), min_size=1, max_size=8), counts, st.floats(0, 0.9), st.floats(1, 9))
def test_intervals_hold_both_sources_of_doubt(ratios: list[float], mid: float, low: float, high: float) -> None:
    known = calibration(ratios)
    scale: VendorScale = known.scales["lut"]
    found = scaled_interval_by(Interval(low * mid, mid, high * mid, "LUT", "formula"), "lut", known)
    assert found.mid == mid * scale.factor
    assert found.lo <= low * found.mid + 1e-9 and found.lo <= mid * scale.low
    assert found.hi >= high * found.mid * (1 - 1e-9) and found.hi >= mid * scale.high
    json.dumps(found.as_dict(), allow_nan=False)
