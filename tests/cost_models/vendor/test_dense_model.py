"""Predictions of HLS reports for dense layers: held-out errors, structure, intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.errors import InputError
from hwsim.cost_models.vendor import DenseDesigns, dense_model
from hwsim.cost_models.vendor.dense_model import FILE, DenseModel, fit_dense, held_out_predictions
from hwsim.cost_models.vendor.dense_rows import RESOURCES, dense_failures, dense_reports
from hwsim.cost_models.vendor.dense_structure import REGIMES, dsp_count, hats, least_ff, regime, weight_bram18
from hwsim.cost_models.vendor.evaluate import error_table

layers = st.tuples(st.integers(32, 256), st.integers(32, 256), st.integers(2, 14), st.integers(1, 1280))


@pytest.mark.truth
@pytest.mark.data
def test_held_out_errors_by_layer_shape(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the table. Medians on all 987 reports are at most 4, 1, 1 and 5 % of LUT, DSP, FF and BRAM18."""
    designs, reports = dense_reports(shared / "fpga")
    assert len(designs) == 987
    with capsys.disabled():
        print("\n" + error_table(designs, reports))
    most = {"lut": 0.04, "dsp": 0.01, "ff": 0.01, "bram18": 0.05}
    for resource, predicted in held_out_predictions(designs, reports).items():
        offset = 0 if resource in ("lut", "ff") else 1
        error = np.abs(predicted - reports[resource]) / (reports[resource] + offset)
        assert np.median(error) <= most[resource]


@pytest.mark.truth
@pytest.mark.data
def test_the_shipped_coefficients_are_the_refitted_ones(shared: Path) -> None:
    fitted = fit_dense(*dense_reports(shared / "fpga"))
    shipped = dense_model()
    assert set(fitted.coefficients) == set(shipped.coefficients)
    designs, _ = dense_reports(shared / "fpga")
    for resource in RESOURCES:
        assert np.allclose(fitted.predict(designs)[resource].mid, shipped.predict(designs)[resource].mid, rtol=1e-3)


@pytest.mark.truth
@pytest.mark.data
def test_failed_designs_are_read(shared: Path) -> None:
    failed = dense_failures(shared / "fpga")
    assert len(failed) == 1700 and failed.latency.sum() == 1263


@pytest.mark.truth
def test_reports_of_four_layers() -> None:
    """Four of the 987 reports (Apache-2.0): LUT, FF, DSP, BRAM18."""
    designs = DenseDesigns.of([64, 128, 256, 192], [64, 96, 256, 192], [14, 14, 8, 14], [512, 1024, 512, 1152])
    truth = {
        "lut": [10623, 19446, 24329, 59768],
        "ff": [1259, 1837, 5267, 3694],
        "dsp": [8, 12, 128, 32],
        "bram18": [5, 11, 29, 39],
    }
    for resource, prediction in dense_model().predict(designs).items():
        assert np.allclose(prediction.mid, truth[resource], rtol=0.03)
        assert not prediction.out_of_domain.any()


@pytest.mark.property
@given(st.lists(layers, min_size=1, max_size=20), st.sampled_from(["resource", "latency"]))
def test_intervals_hold_predictions_and_nothing_is_negative(rows: list[tuple[int, ...]], strategy: str) -> None:
    designs = DenseDesigns.of(*np.array(rows).T, strategy)
    for prediction in dense_model().predict(designs).values():
        assert (prediction.low >= 0).all()
        assert (prediction.low <= prediction.mid).all() and (prediction.mid <= prediction.high).all()
        assert np.isfinite(prediction.mid).all()


@pytest.mark.exact
def test_designs_outside_the_reports_are_flagged() -> None:
    designs = DenseDesigns.of([64, 784, 64, 64], [64, 64, 64, 64], [8, 8, 16, 8], [512, 1568, 512, 128])
    flags = [p.out_of_domain.tolist() for p in dense_model().predict(designs).values()]
    assert flags == [[False, True, True, True]] * 4  # the last one has more multipliers than any paired report


@pytest.mark.exact
def test_regimes_and_memory() -> None:
    designs = DenseDesigns.of(
        [64, 256, 32, 64], [64, 256, 32, 64], 8, [512, 512, 1, 512], ["resource"] * 3 + ["latency"]
    )
    assert regime(designs).tolist() == ["steered", "paired", "unrolled", "unrolled"]
    assert set(regime(designs)) == set(REGIMES)
    # 8 products of 8 bits, 512 deep: two blocks of 36 bits, and the table of indices: 512 x 3 bits >= 1,024;
    # 128 of 8 bits: 28.4 blocks; the table of one bit an index stays in LUTs
    assert weight_bram18(designs).tolist() == [3.0, 29.0, 0.0, 0.0]


@pytest.mark.exact
def test_multipliers_that_wait_and_registers_that_always_are() -> None:
    designs = DenseDesigns.of(32, 64, [8, 8, 8, 6], [1, 512, 1024, 1024], "latency")
    assert dsp_count(designs).tolist() == [2048.0, 4.0, 3.0, 0.0]
    assert least_ff(designs).tolist() == [512.0] * 4
    assert least_ff(DenseDesigns.of(64, 64, 8, 512)).tolist() == [0.0]


@pytest.mark.truth
@pytest.mark.data
def test_no_unrolled_report_has_fewer_registers(shared: Path) -> None:
    designs, reports = dense_reports(shared / "fpga")
    assert (reports["ff"] >= least_ff(designs)).all()


@pytest.mark.property
@given(st.integers(1, 20))
def test_hats_sum_to_one(bits: int) -> None:
    assert sum(float(h[0]) for h in hats(np.array([bits]))) == pytest.approx(1.0)


@pytest.mark.exact
def test_the_model_survives_json() -> None:
    model = dense_model()
    again = DenseModel.from_dict(json.loads(json.dumps(model.as_dict(), allow_nan=False)))
    assert again == model
    assert FILE.stat().st_size < 20_000


@pytest.mark.exact
def test_bad_designs_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="strategy"):
        DenseDesigns.of(32, 32, 8, 1, "fast")
    with pytest.raises(InputError, match="at least 1"):
        DenseDesigns.of(32, 0, 8, 1)
    monkeypatch.setenv("HWSIM_SHARED", str(tmp_path))
    with pytest.raises(InputError, match="no such file"):
        dense_reports()
    monkeypatch.delenv("HWSIM_SHARED")
    with pytest.raises(InputError, match="not set"):
        dense_reports()
