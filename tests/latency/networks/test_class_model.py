"""Times by class: shares that sum, monotone, recovered from networks that a known model made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.latency import device, kernels
from hwsim.latency.networks.class_model import ClassModel, network_us
from hwsim.latency.networks.fit_classes import Prior, fit_classes, log_time, row_weights
from hwsim.latency.networks.fit_network import fit_trees, scaled
from hwsim.latency.networks.likeness import Likeness, description
from hwsim.latency.networks.work_classes import LAUNCHES, TERMS, WEIGHTS, network_work, work_class
from hwsim.latency.published import published
from hwsim.latency.shapes import conv, linear, matmul, memory

NAMES = ("resnet18", "resnet50", "mobilenetv2_140", "efficientnet_b0", "vgg11", "densenet121", "resnext50_32x4d")


def sums(names: tuple[str, ...] = NAMES, batches: tuple[int, ...] = (1, 8, 64)) -> NDArray[np.float64]:
    gpu = device("v100")
    made = [kernels(published(name, 224), "eager") for name in names]
    return np.array([network_work(k, gpu, b).sums() for k in made for b in batches])


def truth(seed: int = 0, host_us: float = 12.0) -> ClassModel:
    rng = np.random.default_rng(seed)
    factors = np.exp(rng.normal(0.3, 0.3, len(TERMS)))
    factors[TERMS.index(LAUNCHES)], factors[TERMS.index(WEIGHTS)] = 2.0, 0.4
    return ClassModel(factors, host_us, 5.0)


@pytest.mark.exact
def test_classes_of_kernels() -> None:
    assert work_class("conv2d", conv(32, 32, (8, 8), (3, 3), groups=32)) == "depthwise3"
    assert work_class("conv2d", conv(32, 32, (16, 16), (9, 9), groups=32)) == "depthwise7"
    assert work_class("conv2d", conv(64, 64, (8, 8), (3, 3), groups=8)) == "grouped8"
    assert work_class("conv2d", conv(64, 64, (8, 8), (3, 3))) == "conv3x3"
    assert work_class("conv2d", conv(16, 64, (8, 8), (3, 3))) == "conv3x3_narrow"
    assert work_class("conv2d", conv(3, 64, (8, 8), (7, 7), 2)) == "first_conv"
    assert work_class("conv2d", conv(64, 64, (8, 8), (3, 3), 2)) == "conv"
    assert work_class("addmm", linear(4, 8, 8)) == "linear"
    assert work_class("scaled_dot_product_attention", matmul(2, 4, 4, 8)) == "attention"
    assert work_class("bmm", matmul(2, 4, 4, 8)) == "matmul"
    found = {
        name: work_class(name, memory(8, 8)) for name in ("native_batch_norm", "relu_", "_softmax", "clone", "fft")
    }
    assert list(found.values()) == ["batch_norm", "activation", "softmax", "copy", "other"]


@pytest.mark.exact
def test_kernels_sum_to_the_network() -> None:
    gpu, model = device("v100"), truth()
    for name in NAMES:
        for batch in (1, 32):
            work = network_work(kernels(published(name, 224), "eager"), gpu, batch)
            times = model.kernel_us(work)
            assert times.sum() == pytest.approx(model.network_us(work.sums()[None, :])[0], rel=1e-12)
            assert (times > 0).all()


@pytest.mark.exact
def test_counts_stand_for_repeated_kernels() -> None:
    gpu = device("v100")
    made = kernels(published("resnet50", 224), "eager")
    whole = network_work(made, gpu, 4).sums()
    kinds = list(dict.fromkeys((k.operator, k.shape) for k in made))
    first = [next(k for k in made if (k.operator, k.shape) == kind) for kind in kinds]
    counts = np.array([sum((k.operator, k.shape) == kind for k in made) for kind in kinds], dtype=float)
    assert network_work(first, gpu, 4).sums(counts) == pytest.approx(whole, rel=1e-12)


@pytest.mark.exact
def test_overlap_hides_the_shorter() -> None:
    assert network_us(300.0, 400.0, 2.0) == pytest.approx(500)
    assert network_us(300.0, 400.0, 60.0) == pytest.approx(400, rel=1e-3)
    assert network_us(1e300, 1e300, 4.0) == pytest.approx(1e300 * 2**0.25)


@pytest.mark.exact
def test_slopes_of_thelog_time() -> None:
    """Against differences, in every parameter."""
    rows = sums(batches=(1, 32))
    x = np.log([*truth().factors, 12.0, 4.0])
    _, slope = log_time(x, rows)
    step = 1e-6
    for j in range(len(x)):
        up, down = x.copy(), x.copy()
        up[j] += step
        down[j] -= step
        assert slope[:, j] == pytest.approx((log_time(up, rows)[0] - log_time(down, rows)[0]) / (2 * step), abs=1e-6)


@pytest.mark.property
def test_a_known_model_is_recovered() -> None:
    """Networks left out are predicted to a percent where the prior is far off, and few rows stay near the prior."""
    rows, model = sums(), truth()
    times = model.network_us(rows)
    held = np.arange(len(rows)) % 5 == 0
    prior = Prior.plain(30.0)
    found = fit_classes(rows[~held], times[~held], prior)
    error = np.abs(found.network_us(rows[held]) / times[held] - 1)
    assert error.max() < 0.05
    before = np.abs(fit_classes(rows[:0], times[:0], prior).network_us(rows) / times - 1)
    assert before.mean() > 5 * error.mean()


@pytest.mark.property
def test_an_outlier_changes_little() -> None:
    rows, model = sums(), truth()
    times = model.network_us(rows)
    wild = times.copy()
    wild[3] *= 30
    found = fit_classes(rows, wild, Prior.plain(30.0))
    assert np.median(np.abs(found.network_us(rows) / times - 1)) < 0.03


@pytest.mark.exact
def test_row_weights() -> None:
    weights = row_weights(np.array(["a"] * 9 + ["b"]))
    assert weights[:9].sum() == pytest.approx(3 * weights[9]) and weights.mean() == pytest.approx(1)


@pytest.mark.property
def test_the_scale_of_least_relative_error() -> None:
    rng = np.random.default_rng(1)
    rows, model = sums(), truth()
    times = model.network_us(rows) * np.exp(rng.exponential(0.3, len(rows)))
    best = scaled(model, times / model.network_us(rows))
    errors = [
        np.abs(replace(best, factors=best.factors * k, host_us=best.host_us * k).network_us(rows) / times - 1).mean()
        for k in (0.97, 1.0, 1.03)
    ]
    assert errors[1] == min(errors)


@pytest.mark.property
def test_trees_follow_medians_not_stalls() -> None:
    """In a quarter of the networks every fifth one stalls; steps elsewhere are a tenth as large."""
    rng = np.random.default_rng(0)
    x = rng.random((2000, 3))
    truth = 0.02 * (x[:, 1] > 0.5)
    stalls = 0.2 * ((x[:, 0] < 0.25) & (rng.random(2000) < 0.2))
    trees = fit_trees(x, truth + stalls + rng.normal(0, 0.003, 2000))
    assert np.abs(trees.predict(x) - truth).mean() < 0.003
    assert fit_trees(x, np.zeros(2000)).predict(x) == pytest.approx(0.0)


@pytest.mark.property
def test_unlike_networks_are_far() -> None:
    """ResNets from ResNets are near, a network of other classes is far."""
    model = truth()
    known = description(model, sums(("resnet18", "resnet34", "resnet50", "resnet101"), (16, 32, 64, 128)))
    likeness = Likeness.of(known)
    assert np.median(likeness.distance(known)) == pytest.approx(1)
    mobile = description(model, sums(("mobilenetv2_140",), (32,)))
    assert likeness.distance(mobile)[0] > 3
