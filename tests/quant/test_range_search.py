"""The scale search on few values, for many p at once, and over formats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.core.errors import InputError
from hwsim.core.formats import Int, minifloat
from hwsim.core.scaled import parse
from hwsim.quant.calibrate.float_search import float_formats, float_search, float_search_observed
from hwsim.quant.kernels import fake_quantize
from hwsim.quant.observers import MSE, Lp, MinMax, Observer, weight_scale
from hwsim.quant.ranges import power_sums, search_range, search_ranges

PS = (0.5, 1.0, 1.5, 2.0, 2.4, 2.5, 3.0, 3.5, 4.0)
SOME = (0.5, 1.0, 2.0, 2.4, 3.5)


@pytest.mark.exact
@pytest.mark.parametrize("p", PS)
def test_sums_of_powers(p: float) -> None:
    x = torch.randn(3, 1000, dtype=torch.float64)
    np.testing.assert_allclose(power_sums(x.clone(), (p,))[0], (np.abs(x.numpy()) ** p).sum(1), rtol=1e-13)
    assert torch.equal(power_sums(x.clone(), (2.4, p))[1], power_sums(x.clone(), (p,))[0])


@pytest.mark.property
@settings(max_examples=6)
@given(
    st.sampled_from(["int4", "uint4", "e4m3", "e2m1", "uint4+zp", "int8+zp", "int4:pow2", "e3m2:pow2", "pow4"]),
    st.sampled_from([(1, 300), (20, 16), (7, 72)]),
    st.integers(0, 1000),
)
def test_many_p_at_once_equal_one_by_one(name: str, shape: tuple[int, int], seed: int) -> None:
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) ** 3
    ends, spec = (rows.amin(1), rows.amax(1)), parse(name)
    together = search_ranges(rows, *ends, spec, SOME, 100)
    for p, (scale, zero) in zip(SOME, together, strict=True):
        alone, offset = search_range(rows, *ends, spec, p, 100)
        assert torch.equal(scale, alone)
        assert (zero is None) == (offset is None) and (zero is None or torch.equal(zero, offset))  # type: ignore[arg-type]


@pytest.mark.property
@pytest.mark.parametrize("name", ["int4", "int4@channel", "e4m3", "mxfp4", "nvfp4"])
def test_an_observer_gives_the_scales_of_many_p(name: str) -> None:
    observer = Observer()
    observer.update(torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    for p, (scale, _) in zip(PS, observer.scales(parse(name), PS), strict=True):
        assert torch.equal(scale, observer.scale(parse(name), Lp(p))[0])


@pytest.mark.property
@pytest.mark.parametrize("length, allowed", [(16, 1.10), (72, 1.03), (576, 1.01)])
@pytest.mark.parametrize("name", ["int4", "int8", "e2m1", "e3m2", "e4m3"])
def test_few_values_are_served_nearly_as_well_as_by_a_fine_scan(name: str, length: int, allowed: float) -> None:
    """The mean error over rows against 1,024 scales an octave from four octaves below to one above the range."""
    rows = torch.randn(12, length, generator=torch.Generator().manual_seed(length))
    spec = parse(name, block="channel")

    def errors(scale: torch.Tensor) -> torch.Tensor:
        return (fake_quantize(rows, spec, scale) - rows).double().square().sum(1)

    absmax = weight_scale(rows, spec, MinMax())[0]
    best = torch.stack([errors(absmax * 2.0 ** (k / 1024)) for k in range(-4096, 1025, 4)]).amin(0)
    assert float((errors(weight_scale(rows, spec, MSE())[0]) / best).mean()) <= allowed


@pytest.mark.property
@pytest.mark.parametrize("size", [2.0**-100, 2.0**-60, 2.0**60, 2.0**100])
@pytest.mark.parametrize("p", [1.0, 2.0, 2.4, 4.0])
def test_size_does_not_matter(p: float, size: float) -> None:
    rows = torch.randn(3, 200, generator=torch.Generator().manual_seed(0))
    spec = parse("int4@channel")
    plain = weight_scale(rows, spec, Lp(p))[0]
    assert torch.equal(weight_scale(rows * size, spec, Lp(p))[0], plain * size)


def heavy(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_t(4, (128, 128))).float()


def relative_error(x: torch.Tensor, name: str) -> float:
    spec = parse(name)
    return float((fake_quantize(x, spec, weight_scale(x, spec, MSE())[0]) - x).square().sum() / x.square().sum())


@pytest.mark.truth
def test_errors_after_the_search_of_normal_values() -> None:
    """Relative squared errors of 128 x 128 normal values, measured apart from this code (arXiv 2408.06995's search).

    Tolerance: 5 %, about two standard errors of the table's one sample, against the mean of four of ours. INT8 hangs on
    the largest value and is left out.
    """
    samples = [torch.from_numpy(np.random.default_rng(seed).standard_normal((128, 128))).float() for seed in range(4)]
    table = {"e2m1": 0.0123, "e3m0": 0.0377, "int4": 0.0124, "e2m5": 4.9e-5}
    for name, value in (table | {"e3m4": 1.7e-4, "e4m3": 6.9e-4, "e5m2": 2.7e-3}).items():
        assert np.mean([relative_error(x, name) for x in samples]) == pytest.approx(value, rel=0.05), name
    assert float_search(samples[0], 8)[0] == minifloat(2, 5) and float_search(samples[0], 4)[0] == minifloat(2, 1)


@pytest.mark.truth
def test_errors_after_the_search_of_heavy_tails() -> None:
    """The same of Student's t(4): what reaches over the tail within 5 %; what hangs on it lies among three samples."""
    for name, value in {"e3m0": 0.0376, "e3m4": 1.6e-4, "e4m3": 6.7e-4, "e5m2": 2.7e-3}.items():
        assert np.mean([relative_error(heavy(seed), name) for seed in range(3)]) == pytest.approx(value, rel=0.05), name
    for name, value in {"int4": 0.0534, "e2m1": 0.0329, "int8": 1.0e-3, "e2m5": 2.8e-4}.items():
        found = [relative_error(heavy(seed), name) for seed in range(3)]
        assert min(found) < value < max(found), name
    assert all(float_search(heavy(seed), 8)[0] == minifloat(3, 4) for seed in range(3))


@pytest.mark.property
def test_the_format_found_is_the_best_of_all() -> None:
    for x in (heavy(1), torch.rand(64, 64)):
        for bits in (4, 6, 8):
            fmt, scale = float_search(x, bits)
            found = float((fake_quantize(x, parse(str(fmt)), scale) - x).square().sum() / x.square().sum())
            assert found <= min(relative_error(x, str(f)) for f in float_formats(bits)) * (1 + 1e-6)
    fmt, _ = float_search(torch.rand(64, 64), 6, signed=False)
    assert fmt.min == 0.0 and fmt.bits == 6
    assert float_search(torch.rand(64, 64), 6, block="channel")[1].shape == (64, 1)


@pytest.mark.property
def test_the_search_on_a_stream() -> None:
    observer = Observer()
    x = heavy(0).view(16, 4, 16, 16)
    observer.update(x)
    fmt, scale = float_search_observed(observer, 8)
    assert (fmt, float(scale)) == (float_search(x, 8)[0], pytest.approx(float(float_search(x, 8)[1]), rel=1e-6))


@pytest.mark.exact
def test_all_splits() -> None:
    assert [str(f) for f in float_formats(4)] == ["int4", "e2m1", "e3m0"]
    assert float_formats(8)[0] == Int(8, True, True) and len(float_formats(8)) == 7
    assert [str(f) for f in float_formats(3, signed=False)] == ["uint3", "ue2m1", "ue3m0"]
    for bits in (2, 19):
        with pytest.raises(InputError, match="float search"):
            float_formats(bits)
