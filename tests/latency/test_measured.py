"""Measured tables as rows, their folds, and what is known of their faults."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from hwsim.core.errors import InputError
from hwsim.latency.conformal import errors_of, group_weights, score, student_factor, weighted_quantiles
from hwsim.latency.measured.drift import drift_us
from hwsim.latency.measured.kernel_rows import deepbench_products, neusight_convolutions, neusight_products
from hwsim.latency.measured.own_rows import own_kernels, own_networks
from hwsim.latency.measured.tables import data_folder, fold_of, gpus, read
from hwsim.latency.published import PUBLISHED, published

needs_data = pytest.mark.skipif("HWSIM_SHARED" not in os.environ, reason="HWSIM_SHARED names no folder")
# timm's counter, rounded to 10 million, adds normalisation (two operations an element) to the products; parameters are
# exact up to the biases of squeeze-and-excite, class tokens, position tables and layer scales
PRODUCTS, ROUNDING, NORM_OPERATIONS, PARAMETERS = 0.01, 0.0055, 2, 0.015


@pytest.fixture(scope="module")
def folder() -> Path:
    return data_folder(Path(os.environ["HWSIM_SHARED"]))


@needs_data
@pytest.mark.data
@pytest.mark.truth
def test_published_networks_have_the_published_size(folder: Path) -> None:
    """MACs and parameters of timm's own counts (huggingface/pytorch-image-models @ aa4b585)."""
    listed = read(folder, "timm_infer").drop_duplicates(["model", "img_size"])
    compared = 0
    for row in listed[listed.model.isin(list(PUBLISHED))].itertuples():
        workload = published(row.model, int(row.img_size))
        missing = row.gmacs - workload.macs / 1e9
        assert missing >= -PRODUCTS * row.gmacs - ROUNDING, row.model
        assert missing <= PRODUCTS * row.gmacs + ROUNDING + NORM_OPERATIONS * row.macts_m / 1e3, row.model
        if row.model not in ("vit_tiny_patch16_384", "vit_large_patch32_224"):  # position table; a variant with a neck
            assert workload.params / 1e6 == pytest.approx(row.params_m, rel=PARAMETERS), row.model
        compared += 1
    assert compared > 90


@pytest.mark.exact
def test_folds_are_a_hash_of_the_shape() -> None:
    shapes = [(3, 64, 7), (3, 64, 7), (64, 64, 3)]
    assert fold_of(iter(shapes)).tolist() == [crc32(b"3-64-7") % 10] * 2 + [crc32(b"64-64-3") % 10]
    many = fold_of(iter((cin, cout) for cin in range(100) for cout in range(100)))
    assert np.bincount(many, minlength=10).min() > 850


@pytest.mark.exact
def test_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="timm_infer"):
        read(tmp_path, "timm_infer")


@pytest.mark.exact
def test_student_factor() -> None:
    """t(0.95, 3) = 2.353; the largest of four normal values is expected at the 3.625 / 4.25 quantile, 1.049."""
    assert student_factor(4) == pytest.approx(2.353 * 1.25**0.5 / 1.049, rel=1e-3)
    assert student_factor(100000) == pytest.approx(1, abs=1e-3)


@pytest.mark.exact
def test_group_weights_and_quantiles() -> None:
    group = np.array(["a", "a", "a", "b"])
    assert group_weights(group) == pytest.approx([1 / 3] * 3 + [1])
    values = np.linspace(0, 1, 2001)
    found = weighted_quantiles(values, np.ones(2001), (0.05, 0.5, 0.95))
    assert found == pytest.approx([0.05, 0.5, 0.95], abs=1e-3)


@pytest.mark.property
def test_intervals_cover_fresh_groups() -> None:
    """Six groups with a common shift each: nine of ten fresh groups are held, where raw quantiles hold fewer."""
    rng = np.random.default_rng(7)
    held, raw = [], []
    for _ in range(400):
        shift = rng.normal(size=7)
        residual = np.repeat(shift, 5) + 0.2 * rng.normal(size=35)
        names = np.repeat(np.arange(7).astype(str), 5)
        known = names != "6"
        errors = errors_of(residual[known], names[known])
        held.append(errors.held(residual[~known]))
        low, high = np.quantile(residual[known], [0.05, 0.95])
        raw.append(np.mean((residual[~known] >= low) & (residual[~known] <= high)))
    assert 0.86 < np.mean(held) < 0.97
    assert np.mean(raw) < 0.85


@pytest.mark.exact
def test_score_by_hand() -> None:
    measured = np.array([100.0, 200.0, 400.0])
    residual = np.log(measured / np.array([105.0, 230.0, 600.0]))
    figures = score(residual, measured, None)
    assert figures["mape_pct"] == pytest.approx((5 + 15 + 50) / 3)
    assert figures["within10_pct"] == pytest.approx(100 / 3)
    assert figures["within20_pct"] == pytest.approx(200 / 3)
    assert figures["spearman"] == pytest.approx(1)
    alike = score(residual, measured, None, np.array(["a", "a", "b"]))
    assert alike["mape_pct"] == pytest.approx((10 + 50) / 2)


@pytest.mark.property
def test_drift_is_found_and_absence_of_it_too() -> None:
    rng = np.random.default_rng(3)
    place = np.linspace(0, 1, 4000)
    own = 40 + np.exp(rng.normal(4, 1.5, 4000))
    assert drift_us(place, own + 250 * place) == pytest.approx(250, rel=0.1)
    assert drift_us(place, own) < 10


@needs_data
@pytest.mark.data
@pytest.mark.truth
def test_convolutions_of_neusight_drift(folder: Path) -> None:
    """The smallest times of a table's tenths rise along a line on every GPU: the V100's from 88 to 333 us."""
    found = {rows.device: drift_us(rows.place, rows.latency_us) for rows in neusight_convolutions(folder)}
    assert len(found) == 5 and all(value > 150 for value in found.values())
    assert found["v100-pcie"] == pytest.approx(260, rel=0.1)


@needs_data
@pytest.mark.data
@pytest.mark.truth
def test_products_are_read_as_their_kernels_tiled_them(folder: Path) -> None:
    """Rows and columns against the grids of the kernels that ran: ceil(columns / R) by ceil(rows / C) tiles."""
    listed = read(folder, "neusight_matmul_fp32")
    grids = dict(list(listed.groupby("device", sort=False)))
    compared = 0
    for rows, told in zip(neusight_products(folder), grids.values(), strict=True):
        sides = told.kernel.str.extract(r"sgemm_(\d+)x(\d+)_[a-z]+$").astype(float).to_numpy()
        plain = np.isfinite(sides).all(axis=1)
        r, c = sides[plain].T
        of_table = rows.table[plain]
        assert np.mean(told.grid_x[plain] == np.ceil(of_table.cols / r)) > 0.999
        assert np.mean(told.grid_y[plain] == np.ceil(of_table.rows / c)) > 0.999
        assert of_table.macs == pytest.approx((told.B * told.M * told.N * told.K)[plain].to_numpy(float))
        compared += int(plain.sum())
    assert compared > 80_000


@needs_data
@pytest.mark.data
@pytest.mark.truth
def test_products_of_deepbench_stay_below_the_peak(folder: Path) -> None:
    cards = gpus(folder)
    found = list(deepbench_products(folder))
    assert len(found) == 10 and {rows.precision for rows in found} == {"fp32", "fp16"}
    for rows in found:
        reached = 2 * rows.table.macs / rows.latency_us / 1e6 / cards[rows.device].peak_tflops[rows.precision]
        assert 0.5 < reached.max() < 1.1, rows.device


@pytest.mark.exact
def test_own_rows_ship() -> None:
    kernels = list(own_kernels())
    assert {rows.precision for _, rows in kernels} == {"fp32", "tf32", "fp16"}
    assert {layout for layout, _ in kernels} == {"nchw", "nhwc"}
    assert sum(len(rows) for _, rows in kernels) > 10_000 and all((rows.latency_us > 1).all() for _, rows in kernels)
    networks = list(own_networks())
    assert len(networks) > 100 and {row.precision for row in networks} == {"fp16", "fp32"}
