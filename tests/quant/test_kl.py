"""Kullback-Leibler calibration against a plain reading of its definition, and against onnxruntime's search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hwsim.core.codes import round_to
from hwsim.core.errors import InputError
from hwsim.core.scaled import Scaled, parse
from hwsim.quant.calibrate.kl import KL, Variant, kl_range
from hwsim.quant.kernels import fake_quantize
from hwsim.quant.observers import MSE, MinMax, Observer, weight_scale

Array = NDArray[np.float64]
BINS = 128


def draw(name: str, n: int = 20_000, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    if name == "bimodal":
        return np.concatenate([rng.normal(0.0, 0.3, n // 2), rng.normal(4.0, 0.5, n - n // 2)])
    samplers = {
        "normal": lambda: rng.standard_normal(n),
        "laplace": lambda: rng.laplace(size=n),
        "t3": lambda: rng.standard_t(3, n),
        "half-normal": lambda: np.abs(rng.standard_normal(n)),
        "relu": lambda: np.maximum(rng.standard_normal(n), 0.0),
    }
    return np.asarray(samplers[name]())


def plain_divergence(counts: Array, kept: int, spec: Scaled, clipped: bool) -> float:
    """One threshold, bin by bin, without running sums."""
    p = counts[:kept].copy()
    outliers = counts[kept:].sum()
    if not clipped:
        p[-1] += outliers
    level = round_to((np.arange(kept) + 0.5) * spec.format.max / kept, spec.format)  # ties come out exact
    q = np.zeros(kept)
    for value in set(level):
        inside = level == value
        q[inside & (p > 0)] = counts[:kept][inside].sum() / max(1, (inside & (p > 0)).sum())
    if q.sum() == 0 or ((q == 0) & (p > 0)).any():
        return np.inf
    penalty = -np.log(p.sum() / counts.sum()) if clipped else 0.0
    p, q = p / p.sum(), q / q.sum()
    return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum() + penalty)


@pytest.mark.exact
@pytest.mark.parametrize("variant", ["tensorrt", "clipped", "positive"])
@pytest.mark.parametrize("data", ["normal", "laplace", "half-normal", "bimodal", "relu", "t3"])
@pytest.mark.parametrize("name", ["int4", "uint4", "e2m1", "e3m2", "pow4"])
def test_brute_force_over_all_thresholds_agrees(name: str, data: str, variant: Variant) -> None:
    x, spec = draw(data), parse(name)
    used = np.maximum(x, 0.0) if spec.format.min == 0.0 else np.abs(x)
    if variant == "positive" and (spec.format.min == 0.0 or x.min() >= 0.0):
        used = x[x > 0]
    top = used.max()
    counts, _ = np.histogram(used, BINS, (0.0, top))
    first = int((spec.format.values() >= 0).sum())
    found = {
        kept: plain_divergence(counts.astype(float), kept, spec, variant == "clipped")
        for kept in range(first, BINS + 1)
    }
    ends = [torch.tensor([end]).double() for end in (x.min(), x.max())]
    low, high = kl_range([(x, np.ones(len(x)))], *ends, spec, KL(BINS, variant))
    reach = float(high) if spec.format.min == 0.0 else max(float(high), -float(low))
    kept = round(reach / top * BINS)
    assert reach == pytest.approx(kept * top / BINS, rel=1e-12)
    assert found[kept] == pytest.approx(min(found.values()), rel=1e-9, abs=1e-12)


@pytest.mark.truth
@pytest.mark.parametrize("data", ["normal", "laplace", "t3"])
def test_near_the_threshold_of_onnxruntime(data: str) -> None:
    """`HistogramCollector.get_entropy_threshold` of onnxruntime 1.31: 15 levels of equal width over both signs.

    There the outermost levels are as wide as the others (a range of 7.5 steps, not 7: 7 % of the threshold), spread
    counts are truncated to whole numbers, and empty bins get 1e-4 (a bin or two: 3 %). Tolerance: 10 %.
    """
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    x = draw(data, 200_000)
    top = np.abs(x).max()
    bins = 513
    histogram = np.histogram(np.concatenate([x, -x]), bins, (-top, top))
    collector = calibrate.HistogramCollector("entropy", True, bins, 15, 99.99, "same")
    theirs = float(collector.get_entropy_threshold((*histogram, -top, top), 15)[1])
    low, high = (torch.tensor([sign * top]).double() for sign in (-1, 1))
    _, ours = kl_range([(x, np.ones(len(x)))], low, high, parse("int4"), KL(bins // 2, "tensorrt"))
    assert float(ours) == pytest.approx(theirs, rel=0.1)


def observed(x: torch.Tensor) -> Observer:
    observer = Observer()
    for part in x.split(16):
        observer.update(part)
    return observer


def sqnr_db(x: torch.Tensor, name: str, scale: tuple[torch.Tensor, torch.Tensor | None]) -> float:
    y = fake_quantize(x, parse(name), *scale)
    return float(10 * torch.log10(x.square().sum() / (x - y).square().sum()))


@pytest.mark.property
@pytest.mark.parametrize(
    "name, data",
    [(n, d) for n in ("int4", "e2m1", "pow4", "int4:pow2") for d in ("laplace", "t3")]
    + [("int8", "laplace"), ("uint8+zp", "laplace")],
)
def test_heavy_tails_are_clipped(name: str, data: str) -> None:
    """Better than the full range, where every value counts, and never better than the least squared error."""
    x = torch.from_numpy(draw(data, 64 * 3 * 32 * 32)).float().view(64, 3, 32, 32)
    observer, spec = observed(x), parse(name)
    for variant in ("tensorrt", "clipped", "positive"):
        method = KL(512, variant)  # type: ignore[arg-type]
        scale = observer.scale(spec, method)
        assert float(scale[0]) <= float(observer.scale(spec, MinMax())[0])
        assert sqnr_db(x, name, observer.scale(spec, MinMax())) <= sqnr_db(x, name, scale)
        assert sqnr_db(x, name, scale) <= sqnr_db(x, name, observer.scale(spec, MSE())) + 0.2


@pytest.mark.property
def test_zeros_after_relu_do_not_count_among_positive_values() -> None:
    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)).relu()
    observer, spec = observed(x), parse("uint8")
    plain, positive = (observer.scale(spec, KL(variant=v)) for v in ("tensorrt", "positive"))
    assert sqnr_db(x, "uint8", positive) > sqnr_db(x, "uint8", plain) + 20
    values = x.double().numpy().ravel()
    ends = torch.zeros(1).double(), x.max().double().view(1)
    without = kl_range([(v := values[values > 0], np.ones(len(v)))], *ends, spec, KL(variant="tensorrt"))
    assert torch.equal(without[1], kl_range([(values, np.ones(len(values)))], *ends, spec, KL(variant="positive"))[1])


@pytest.mark.exact
def test_the_weighted_sample_has_exact_tails() -> None:
    x = torch.distributions.StudentT(3.0).sample((64, 4, 40, 40))
    values, counts = observed(x).weighted_sample()
    assert counts.sum() == pytest.approx(x.numel(), rel=1e-12) and len(values) < 150_000
    everything = np.sort(x.double().numpy().ravel())
    ordered = np.sort(values)
    assert np.array_equal(ordered[-4096:], everything[-4096:]) and np.array_equal(ordered[:4096], everything[:4096])
    assert np.average(np.abs(values) < 1, weights=counts) == pytest.approx((np.abs(everything) < 1).mean(), abs=0.01)


@pytest.mark.exact
def test_short_streams_are_taken_whole() -> None:
    x = torch.randn(10, 3, 5, 5)
    values, counts = observed(x).weighted_sample()
    assert np.array_equal(np.sort(values), np.sort(x.double().numpy().ravel())) and (counts == 1).all()


@pytest.mark.exact
def test_where_there_is_nothing_to_compare() -> None:
    w = torch.randn(4, 3000)
    spec = parse("int4@channel")
    assert torch.equal(weight_scale(w, spec, KL())[0], weight_scale(w, spec, MSE())[0])
    assert (weight_scale(w, spec, KL(weights=True))[0] > weight_scale(w, spec, MSE())[0]).all()
    short = w[:, :100]  # fewer elements than bins
    assert torch.equal(weight_scale(short, spec, KL(weights=True))[0], weight_scale(short, spec, MSE())[0])
    observer = observed(torch.randn(32, 3, 40, 40))
    for name in ("int12", "int24", "uint16"):  # as many levels as bins
        assert torch.equal(observer.scale(parse(name), KL())[0], observer.scale(parse(name), MinMax())[0])
    assert observer.scale(parse("int4@channel"), KL())[0].shape == (1, 3, 1, 1)
    for name in ("int4", "uint4", "uint4+zp"):
        assert float(observed(torch.zeros(20, 3, 40, 40)).scale(parse(name), KL())[0]) == 1.0
    assert float(observed(-torch.rand(20, 3, 40, 40)).scale(parse("uint4"), KL())[0]) == 1.0


@pytest.mark.parametrize("settings", [{"variant": "other"}, {"bins": 2}])
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match="kl"):
        KL(**settings)  # type: ignore[arg-type]
