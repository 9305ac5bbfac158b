"""Scales: the rules, the search against brute force and Max's quantizers, and the streaming observer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.errors import InputError
from hwsim.core.scaled import parse
from hwsim.quant.block_kernels import block_scales
from hwsim.quant.kernels import fake_quantize
from hwsim.quant.observers import MSE, Lp, Method, MinMax, Observer, Percentile, weight_scale

METHODS: list[Method] = [MinMax(), Percentile(99.9), MSE(), Lp()]


def error(x: torch.Tensor, name: str, scale: torch.Tensor, zero: torch.Tensor | None = None, p: float = 2.0) -> float:
    return float((fake_quantize(x, parse(name), scale, zero) - x).abs().double().pow(p).sum())


@pytest.mark.exact
@pytest.mark.parametrize("name", ["int4", "int8.full", "e2m1", "e4m3", "e4m3fn", "e2m1~bias=2.5", "pow4"])
def test_absmax_over_the_largest_value(name: str) -> None:
    w = torch.randn(8, 3, 5, 5, dtype=torch.float64)
    top = parse(name).format.max
    scale, zero = weight_scale(w, parse(name), MinMax())
    assert zero is None and scale.shape == () and float(scale) == float(w.abs().max()) / top
    scale, _ = weight_scale(w, parse(name, block="channel"), MinMax())
    assert scale.shape == (8, 1, 1, 1) and torch.equal(scale.flatten(), w.abs().amax((1, 2, 3)) / top)
    scale, _ = weight_scale(w, parse(name, block=8), MinMax())
    assert scale.shape == (8, 10)
    assert float(scale[3, 9]) == float(w[3].flatten()[72:].abs().max()) / top  # the short last group
    assert weight_scale(w.half(), parse(name), MinMax())[0].dtype == torch.float32


@pytest.mark.exact
def test_unsigned_formats_look_at_the_top_only() -> None:
    w = torch.tensor([-5.0, 0.5, 3.0])
    assert float(weight_scale(w, parse("uint4"), MinMax())[0]) == pytest.approx(3 / 15)
    assert float(weight_scale(w, parse("ue2m2"), MinMax())[0]) == pytest.approx(3 / 7)
    assert float(weight_scale(-w.abs(), parse("uint4"), MinMax())[0]) == 1.0


@pytest.mark.property
@given(st.floats(-30, 30), st.booleans())
def test_powers_of_two_are_the_next_above(exponent: float, exact: bool) -> None:
    top = 2.0 ** (round(exponent) if exact else exponent)
    scale = float(weight_scale(torch.tensor([top * 7, -top], dtype=torch.float64), parse("int4:pow2"), MinMax())[0])
    assert math.frexp(scale)[0] == 0.5 and scale / 2 < top <= scale


@pytest.mark.property
@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.sampled_from(["uint4+zp", "int8+zp", "uint8+zp:pow2"])
)
def test_zero_points_keep_zero_and_the_range(values: list[float], name: str) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    spec = parse(name)
    scale, zero = weight_scale(x, spec, MinMax())
    assert zero is not None and float(zero).is_integer() and spec.format.min <= float(zero) <= spec.format.max
    assert float(fake_quantize(torch.zeros(1, dtype=torch.float64), spec, scale, zero)) == 0.0
    live = x[x.abs() > 1e-30]
    step = float(scale)
    assert ((fake_quantize(live, spec, scale, zero) - live).abs() <= step * (1 + 1e-9)).all()


@pytest.mark.exact
@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize(
    "name", ["int4@channel", "e2m1@channel:pow2", "uint4+zp@channel", "int4@group4", "mxfp4", "nvfp4"]
)
def test_dead_channels_give_zeros(name: str, method: Method) -> None:
    w = torch.randn(4, 10)
    w[2] = 0
    spec = parse(name)
    scale, zero = weight_scale(w, spec, method)
    if spec.mx_name is None:
        assert (scale[2] == 1).all()
    y = fake_quantize(w, spec, scale, zero)
    assert (y[2] == 0).all() and torch.isfinite(y).all() and (y[0] != 0).any()


@pytest.mark.exact
def test_block_and_machine_formats_have_their_own_rule() -> None:
    w = torch.randn(4, 3, 5, 5)
    for method in METHODS:
        for name in ("mxfp4", "mxint8", "nvfp4"):
            assert torch.equal(weight_scale(w, parse(name), method)[0], block_scales(w.view(4, -1), parse(name)))
        assert float(weight_scale(w, parse("fp16"), method)[0]) == 1.0


@pytest.mark.exact
@pytest.mark.parametrize("percent", [50.0, 99.0, 99.9, 99.999, 100.0])
def test_percentiles_of_weights(percent: float) -> None:
    w = torch.randn(3, 5000, dtype=torch.float64)
    scale, _ = weight_scale(w, parse("int4@channel"), Percentile(percent))
    expected = np.percentile(w.abs().numpy(), percent, axis=1, method="higher") / 7
    assert np.array_equal(scale.flatten().numpy(), expected)
    scale, zero = weight_scale(w, parse("uint8+zp@channel"), Percentile(percent))
    high, low = (np.percentile(sign * w.numpy(), percent, axis=1, method="higher") for sign in (1, -1))
    np.testing.assert_allclose(scale.flatten().numpy() * 255, np.maximum(high, 0) + np.maximum(low, 0), rtol=1e-12)
    assert zero is not None


@pytest.mark.property
@pytest.mark.parametrize("draw", ["normal", "laplace", "t3", "uniform"])
@pytest.mark.parametrize(
    "name", ["int3", "int4", "e2m1", "e3m0", "e3m2", "e4m3", "uint4", "pow4", "binary", "uint4+zp"]
)
def test_the_search_finds_what_brute_force_finds(name: str, draw: str) -> None:
    rng = np.random.default_rng(0)
    sampler = {
        "normal": rng.standard_normal,
        "laplace": lambda n: rng.laplace(size=n),
        "uniform": lambda n: rng.uniform(-1, 1, n),
    }
    x = torch.from_numpy(rng.standard_t(3, 4000) if draw == "t3" else sampler[draw](4000))
    spec = parse(name)
    for method, p in ((MSE(), 2.0), (Lp(), 2.4)):
        found = error(x, name, *weight_scale(x, spec, method), p=p)
        assert found <= error(x, name, *weight_scale(x, spec, MinMax()), p=p)
        if spec.zero_point:
            continue
        absmax = weight_scale(x, spec, MinMax())[0]
        best = min(error(x, name, absmax * 2.0**k, p=p) for k in np.linspace(-7, 1.5, 600))
        assert found <= best * 10**0.01  # 0.1 dB


@pytest.mark.property
def test_the_search_works_row_by_row() -> None:
    torch.manual_seed(0)
    w = torch.randn(5, 300) * torch.tensor([1e-3, 1.0, 30.0, 1.0, 1.0])[:, None]
    w[3, 0] = 50.0
    for name in ("int4", "e2m1", "uint4+zp", "int4:pow2"):
        together, zeros = weight_scale(
            w, parse(name, block="channel", scale="pow2" if "pow2" in name else "f32"), MSE()
        )
        for i in range(5):
            alone, zero = weight_scale(w[i], parse(name), MSE())
            assert float(alone) == float(together[i]) and (zero is None or float(zero) == float(zeros[i]))  # type: ignore[index]


@pytest.mark.property
def test_pow2_searches_all_powers() -> None:
    x = torch.randn(3000, dtype=torch.float64)
    x[0] = 40.0
    scale = float(weight_scale(x, parse("int4:pow2"), MSE())[0])
    assert scale == min((2.0**k for k in range(-8, 6)), key=lambda s: error(x, "int4", torch.tensor(s).double()))


@pytest.mark.truth
def test_optimal_quantizers_of_a_gaussian() -> None:
    """Max, "Quantizing for minimum distortion", IRE Trans. Inf. Theory 1960, table I.

    N = 2 has error 0.3634 and outputs at 0.798; N = 3 has error 0.1902 and outputs at 1.224. Tolerance: the sampling
    error of 400,000 values and the spacing of the candidates.
    """
    x = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name, step, distortion in (("binary", 0.7980, 0.3634), ("int2", 1.224, 0.1902)):
        scale, _ = weight_scale(x, parse(name), MSE())
        assert float(scale) == pytest.approx(step, rel=0.01)
        assert error(x, name, scale) / len(x) == pytest.approx(distortion, rel=0.005)


def stream(observer: Observer, x: torch.Tensor, batch: int) -> Observer:
    for part in x.split(batch):
        observer.update(part)
    return observer


@pytest.mark.exact
@pytest.mark.parametrize(
    "name", ["int4", "uint8", "e2m1", "uint4+zp", "int4@channel", "uint8+zp@channel:pow2", "e4m3@channel"]
)
@pytest.mark.parametrize("axis, shape", [(1, (40, 3, 6, 6)), (-1, (40, 7, 5)), (-1, (40, 5))], ids=str)
def test_observed_extremes_equal_those_of_the_whole(name: str, axis: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape) + 0.3
    spec = parse(name)
    scale, zero = stream(Observer(axis=axis), x, 7).scale(spec, MinMax())
    rows = x.movedim(axis, 0).reshape(shape[axis], -1)
    expected, offset = weight_scale(rows, spec, MinMax())
    assert torch.equal(scale.flatten(), expected.flatten())
    assert (zero is None) == (offset is None) and (zero is None or torch.equal(zero.flatten(), offset.flatten()))  # type: ignore[union-attr]
    wanted = tuple(n if i == axis % len(shape) else 1 for i, n in enumerate(shape)) if spec.block == "channel" else ()
    assert scale.shape == wanted and fake_quantize(x, spec, scale, zero).shape == x.shape


@pytest.mark.exact
@pytest.mark.parametrize("percent", [99.0, 99.9, 99.999])
def test_observed_percentiles_are_exact(percent: float) -> None:
    """One percent of 200,000 values is fewer than the tail keeps."""
    x = torch.distributions.StudentT(3.0).sample((50, 4, 20, 50))
    observer = stream(Observer(), x, 9)
    everything = x.double().flatten().numpy()
    scale, _ = observer.scale(parse("int8"), Percentile(percent))
    magnitude = np.percentile(np.abs(everything), percent, method="higher")
    assert float(scale) == np.float32(magnitude / 127)
    scale, _ = observer.scale(parse("uint8"), Percentile(percent))
    assert float(scale) == np.float32(np.percentile(everything, percent, method="higher") / 255)
    scale, _ = observer.scale(parse("uint8+zp"), Percentile(percent))
    low, high = (
        -np.percentile(-everything, percent, method="higher"),
        np.percentile(everything, percent, method="higher"),
    )
    assert float(scale) == np.float32((high - low) / 255)


@pytest.mark.exact
@pytest.mark.parametrize("shift", [-10.0, 0.0, 10.0])
def test_percentiles_of_short_streams(shift: float) -> None:
    """So few values that both tails hold the same ones."""
    x = (torch.randn(30, 3, 10, 5) + shift).round(decimals=1)
    observer = stream(Observer(), x, 4)
    for percent in (10.0, 50.0, 90.0):
        scale, _ = observer.scale(parse("int8"), Percentile(percent))
        top = np.percentile(x.abs().double().numpy(), percent, method="higher")
        assert float(scale) == (np.float32(top / 127) if top else 1.0)


@pytest.mark.property
def test_percentiles_beyond_the_tails_come_from_the_sample() -> None:
    x = torch.randn(100, 4, 30, 30)
    observer = stream(Observer(samples=60_000), x, 20)
    for name in ("int8", "int8@channel"):
        scale, _ = observer.scale(parse(name), Percentile(90.0))
        assert torch.allclose(scale * 127, torch.tensor(1.6449), rtol=0.03)
    extremes, _ = observer.scale(parse("int8@channel"), Percentile(100.0))
    assert torch.equal(extremes.flatten() * 127, (x.abs().amax((0, 2, 3)) / 127) * 127)


@pytest.mark.property
def test_the_sample_is_bounded_fair_and_seeded() -> None:
    x = torch.arange(100_000, dtype=torch.float64).reshape(100_000, 1).repeat(1, 4) + torch.tensor([0.0, 0.1, 0.2, 0.3])
    samples = [stream(Observer(axis=-1, samples=20_000, seed=seed), x, 777).sample for seed in (0, 0, 1)]
    assert torch.equal(samples[0], samples[1]) and not torch.equal(samples[0], samples[2])
    assert samples[0].shape == (5000, 4) and torch.allclose(samples[0][:, 1] - 0.1, samples[0][:, 0])
    quartiles = np.quantile(samples[0][:, 0].numpy(), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [25_000, 50_000, 75_000], atol=2500)  # 4 standard errors
    assert len(samples[0][:, 0].unique()) == 5000


@pytest.mark.property
@pytest.mark.parametrize("name", ["int4", "e2m1", "uint4", "uint4+zp", "int4@channel"])
@pytest.mark.parametrize("method", [MSE(), Lp()], ids=repr)
def test_a_streamed_search_is_near_that_of_the_whole(name: str, method: Method) -> None:
    torch.manual_seed(0)
    x = torch.randn(300, 4, 20, 20)
    x = x.relu() if name == "uint4" else x
    spec = parse(name)
    p = 2.0 if isinstance(method, MSE) else 2.4
    plain = parse(name.removesuffix("@channel"))
    rows = x.movedim(1, 0).reshape(4, -1) if spec.block == "channel" else [x]
    best = sum(error(r, str(plain), *weight_scale(r, plain, method), p=p) for r in rows)
    found = error(x, name, *stream(Observer(), x, 50).scale(spec, method), p=p)
    assert found <= best * 1.02


@pytest.mark.exact
def test_signs_are_remembered() -> None:
    observer = Observer()
    assert not observer.non_negative
    observer.update(torch.rand(4, 3, 2, 2))
    assert observer.non_negative and observer.low >= 0 and observer.elements == 48
    observer.update(torch.full((1, 3, 2, 2), -1e-9))
    assert not observer.non_negative


@pytest.mark.exact
def test_formats_without_static_scales() -> None:
    observer = stream(Observer(), torch.randn(10, 3, 4, 4), 5)
    assert float(observer.scale(parse("mxfp4"), MSE())[0]) == 1.0
    assert float(observer.scale(parse("none"), MSE())[0]) == 1.0
    reach = max(-observer.low, observer.high)
    assert float(observer.scale(parse("nvfp4"), MinMax())[0]) == pytest.approx(reach / (6 * 448), rel=1e-6)


def test_inference_mode_leaves_ordinary_tensors_behind() -> None:
    observer = Observer()
    with torch.inference_mode():
        observer.update(torch.randn(8, 3, 4, 4))
    scale, _ = observer.scale(parse("int4@channel"), MSE())
    assert not scale.is_inference() and not observer.sample.is_inference()


def test_errors_name_the_tensor() -> None:
    observer = Observer(name="layer2.relu")
    with pytest.raises(InputError, match="nothing was observed") as raised:
        observer.scale(parse("int4"), MinMax())
    assert raised.value.where == "layer2.relu"
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(InputError, match="NaN or infinite"):
            observer.update(torch.tensor([[1.0, bad]]))
        with pytest.raises(InputError, match="NaN or infinite"):
            weight_scale(torch.tensor([[1.0, bad]]), parse("int4"), MinMax())
    with pytest.raises(InputError, match="int64"):
        observer.update(torch.arange(4))
    observer.update(torch.randn(2, 3, 4))
    with pytest.raises(InputError, match="5 channels, 3 before"):
        observer.update(torch.randn(2, 5, 4))
    with pytest.raises(InputError, match="on an activation"):
        observer.scale(parse("int4@group8"), MinMax())
    with pytest.raises(InputError, match="empty"):
        weight_scale(torch.zeros(0, 3), parse("int4"), MinMax())


@pytest.mark.exact
@pytest.mark.parametrize("shape", [(40, 3, 30, 30), (64, 700), (7, 5, 13, 11), (1, 3, 96, 96), (64, 40, 16), (9000,)])
@pytest.mark.parametrize("kind", ["normal", "relu", "rounded", "channels last", "growing"])
def test_tails_are_those_of_the_whole_stream(shape: tuple[int, ...], kind: str) -> None:
    """Also with ties, zeros and any order of axes in memory."""
    torch.manual_seed(0)
    parts = [torch.randn(shape) for _ in range(4)]
    if kind == "channels last" and len(shape) == 4:
        parts = [x.to(memory_format=torch.channels_last) for x in parts]
    change = {"relu": torch.relu, "rounded": lambda x: x.round(decimals=1)}.get(kind, lambda x: x)
    parts = [change(x * (1 + i if kind == "growing" else 1)) for i, x in enumerate(parts)]
    observer = Observer()
    for part in parts:
        observer.update(part)
    everything = np.sort(torch.cat([p.flatten() for p in parts]).numpy())
    kept = min(4096, len(everything))
    assert np.array_equal(np.sort(observer._tails.top), everything[-kept:])
    assert np.array_equal(np.sort(observer._tails.bottom), everything[:kept])
    if len(shape) > 1:
        rows = torch.cat([p.movedim(1, 0).flatten(1) for p in parts], 1)
        assert np.array_equal(observer._low, rows.amin(1)) and np.array_equal(observer._high, rows.amax(1))
