"""Fake quantization against ml_dtypes, enumerated grids and the float64 reference of core/codes.py."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.core.codes import encode, round_to
from hwsim.core.errors import InputError, MissingToolError
from hwsim.core.formats import Binary, Format, Int, Minifloat, int_format, minifloat, uint_format
from hwsim.core.scaled import Scaled, parse, parse_format
from hwsim.quant import sweep
from hwsim.quant.compiled import compiled_fake_quantize
from hwsim.quant.kernels import fake_quantize, to_codes

ONE = torch.ones(())
OCP = {
    "e4m3fn": ml_dtypes.float8_e4m3fn,
    "e5m2ieee": ml_dtypes.float8_e5m2,
    "e4m3ieee": ml_dtypes.float8_e4m3,
    "e3m4ieee": ml_dtypes.float8_e3m4,
    "e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "e4m3b11fnuz": ml_dtypes.float8_e4m3b11fnuz,
    "e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
}
SPLITS = [
    minifloat(e, bits - int(signed) - e, signed=signed)
    for bits in range(3, 9)
    for signed in (True, False)
    for e in range(1, 6)
    if bits - int(signed) - e >= 0
]
NAMES = (
    "int2 int4 int8 int4.full uint1 uint4 uint8.narrow int16 int24 uint32 e2m1 e4m3 e4m3fn e5m2ieee e3m0 e1m2 ue2m2 "
    "e5m0 ue4m0~bias=2 e7m10 e4m3b11fnuz e4m3~bias=9 e2m1~bias=2.5 e3m2~bias=-0.3 pow4 pow4~exp=0.4 pow8~exp=0.63 "
    "binary fp32 fp16 bf16 none"
)


def probes(fmt: Format, random: int = 20_000, seed: int = 0) -> NDArray[np.float32]:
    """Values, ties between neighbours and their float32 neighbours, beyond the range, and random numbers."""
    values = fmt.values()
    ties = (values[1:] + values[:-1]) / 2
    points = np.concatenate([values, ties]).astype(np.float32)
    near = [np.nextafter(points, np.float32(side)) for side in (-np.inf, np.inf)]
    rng = np.random.default_rng(seed)
    spread = rng.choice([-1.0, 1.0], random) * np.exp(
        rng.uniform(np.log(fmt.smallest / 8), np.log(fmt.max * 4), random)
    )
    flat = rng.uniform(-1.1 * fmt.max, 1.1 * fmt.max, random)
    beyond = fmt.max * np.array([1.01, -1.01, 1e6, -1e6])
    return np.concatenate([points, *near, spread, flat, beyond, [0.0, -0.0]]).astype(np.float32)


def quantized(x: NDArray[np.floating], fmt: Format, scale: float = 1.0) -> NDArray[np.floating]:
    t = torch.from_numpy(x)
    return fake_quantize(t, Scaled(fmt), torch.tensor(scale, dtype=t.dtype)).numpy()


def nearest_value(x: NDArray[np.floating], fmt: Minifloat) -> NDArray[np.float64]:
    """The enumerated-grid oracle: nearest magnitude, ties to the even code."""
    grid = fmt.values()[fmt.values() >= 0]
    a = np.minimum(np.abs(x.astype(np.float64)), grid[-1])
    if not fmt.signed:
        a = np.where(x < 0, 0.0, a)
    above = np.clip(np.searchsorted(grid, a), 1, len(grid) - 1)
    left, right = a - grid[above - 1], grid[above] - a
    code = np.where((right < left) | ((right == left) & (above % 2 == 0)), above, above - 1)
    return np.where(x < 0, -grid[code], grid[code])


@pytest.mark.exact
@pytest.mark.parametrize("name", OCP)
def test_ocp_formats_equal_ml_dtypes(name: str) -> None:
    fmt = parse_format(name)
    assert isinstance(fmt, Minifloat)
    stored = np.arange(1 << fmt.bits, dtype=np.uint8).view(OCP[name]).astype(np.float32)
    codes = stored[np.isfinite(stored)]
    assert np.array_equal(np.unique(codes), fmt.values().astype(np.float32))
    assert np.array_equal(quantized(codes, fmt), codes)
    x = np.concatenate([probes(fmt, random=500_000), np.float32([np.inf, -np.inf])])
    expected = np.clip(x, -fmt.max, fmt.max).astype(OCP[name])  # ml_dtypes overflows to NaN or Inf: clamp first
    assert np.array_equal(quantized(x, fmt), expected.astype(np.float32))
    written = to_codes(torch.from_numpy(x), Scaled(fmt), ONE).codes
    assert np.array_equal(written, expected.view(np.uint8))


@pytest.mark.exact
@pytest.mark.parametrize("fmt", SPLITS, ids=str)
def test_every_split_equals_its_enumerated_grid(fmt: Minifloat) -> None:
    x = probes(fmt)
    expected = nearest_value(x, fmt)
    assert np.array_equal(quantized(x, fmt), expected.astype(np.float32))
    assert np.array_equal(quantized(x.astype(np.float64), fmt), expected)


@pytest.mark.exact
@pytest.mark.parametrize("bits", range(3, 9))
@pytest.mark.parametrize("signed", [True, False])
def test_one_exponent_bit_is_an_integer(bits: int, signed: bool) -> None:
    fmt = minifloat(1, bits - 1 - int(signed), signed=signed)
    integer = int_format(bits) if signed else uint_format(bits)
    x = probes(fmt)
    for scale in (1.0, 0.0371, 3.3):
        scaled = (x * np.float32(scale)).astype(np.float32)
        unit = float(np.float32(scale)) * fmt.smallest
        assert np.array_equal(quantized(scaled, fmt, scale), quantized(scaled, integer, unit))


@pytest.mark.exact
@pytest.mark.parametrize("name", NAMES.split())
def test_equals_the_float64_reference(name: str) -> None:
    fmt = parse_format(name)
    rng = np.random.default_rng(3)
    x = rng.standard_normal(20_000) * np.exp(4 * rng.standard_normal(20_000))
    x = np.concatenate([x, [0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 3e38]])
    if fmt.bits < 32:
        x = np.concatenate([x, rng.uniform(-1.1, 1.1, 20_000) * fmt.max, np.arange(-40, 40) / 2])
    with np.errstate(over="ignore"):
        both = x, x.astype(np.float32)
    for typed in both:
        expected = round_to(typed, fmt).astype(typed.dtype)
        if "~" in name and fmt.bits < 8 and typed.dtype == np.float32 and isinstance(fmt, Minifloat):
            np.testing.assert_allclose(quantized(typed, fmt), expected, rtol=2e-7)  # a real bias is rounded to float32
        else:
            np.testing.assert_array_equal(quantized(typed, fmt), expected)


@pytest.mark.exact
@pytest.mark.parametrize("dtype, reference", [("fp16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_machine_formats_round_once_and_saturate(dtype: str, reference: type) -> None:
    fmt = parse_format(dtype)
    x = np.random.default_rng(0).standard_normal(100_000) * 2.0 ** np.random.default_rng(1).integers(-30, 16, 100_000)
    x = np.concatenate([x, [1e300, -np.inf, 65519.0, 65520.0]])
    with np.errstate(over="ignore"):
        typed = x.astype(np.float32)
    expected = np.clip(typed, -fmt.max, fmt.max).astype(reference).astype(np.float32)
    assert np.array_equal(quantized(typed, fmt), expected)
    halfway = np.array([1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-11 + 2.0**-40])  # through float32 these would fall on ties
    assert (quantized(halfway, fmt) == round_to(halfway, fmt)).all()
    assert quantized(halfway, fmt)[0 if dtype == "bf16" else 1] > 1


finite = st.floats(-1e6, 1e6, allow_nan=False)
arrays = st.lists(finite, min_size=1, max_size=40).map(np.array)
specs = st.sampled_from([parse_format(n) for n in NAMES.split() if n not in ("fp32", "fp16", "bf16", "none")])
scales = st.one_of(st.floats(1e-4, 1e4), st.integers(-12, 12).map(lambda k: 2.0**k))


@pytest.mark.property
@given(arrays, specs, scales)
def test_float64_is_exact(x: NDArray[np.float64], fmt: Format, scale: float) -> None:
    u = x if isinstance(fmt, Binary) else x / scale  # a quotient can underflow and lose its sign
    np.testing.assert_array_equal(quantized(x, fmt, scale), round_to(u, fmt) * scale)


@pytest.mark.property
@example(np.array([-(2.0**-149)]), parse_format("binary"), 1)
@given(arrays, specs, st.integers(-12, 12))
def test_float32_is_exact_with_a_power_of_two(x: NDArray[np.float64], fmt: Format, k: int) -> None:
    if isinstance(fmt, Minifloat) and not float(fmt.bias).is_integer():
        return
    x32 = x.astype(np.float32)
    expected = round_to(x32.astype(np.float64) / 2.0**k, fmt) * 2.0**k
    if str(fmt).startswith("pow"):
        np.testing.assert_allclose(quantized(x32, fmt, 2.0**k), expected, rtol=2e-7)
    else:
        np.testing.assert_array_equal(quantized(x32, fmt, 2.0**k), expected.astype(np.float32))


@pytest.mark.exact
@pytest.mark.parametrize("k", [-20, -1, 3, 20])
@pytest.mark.parametrize("fmt", [*SPLITS, int_format(4), int_format(8), uint_format(8), Int(3, True, False)], ids=str)
def test_a_power_of_two_only_shifts(fmt: Format, k: int) -> None:
    x = probes(fmt, random=500)
    assert np.array_equal(quantized(x * np.float32(2.0**k), fmt, 2.0**k), quantized(x, fmt) * np.float32(2.0**k))


@pytest.mark.property
@given(arrays, specs, scales)
def test_idempotent_monotone_saturating_symmetric(x: NDArray[np.float64], fmt: Format, scale: float) -> None:
    y = quantized(np.sort(x), fmt, scale)
    assert (np.diff(y) >= 0).all()
    tolerance = 0.0 if np.log2(scale).is_integer() and "~" not in str(fmt) else 1e-12
    np.testing.assert_allclose(quantized(y, fmt, scale), y, rtol=tolerance)
    assert y.max() <= fmt.max * scale * (1 + 1e-15) and y.min() >= fmt.min * scale * (1 + 1e-15)
    top = quantized(np.array([1e30, -1e30]), fmt, scale)
    np.testing.assert_allclose(top, [fmt.max * scale, fmt.min * scale], rtol=1e-15)
    if fmt.min == -fmt.max and str(fmt) != "binary":
        assert np.array_equal(quantized(-x, fmt, scale), -quantized(x, fmt, scale))


def by_element(x: torch.Tensor, spec: Scaled, scale: torch.Tensor, zero: torch.Tensor | None = None) -> torch.Tensor:
    """The reference with scales of the shape of `x`."""
    s = scale.double().expand(x.shape).numpy()
    z = 0.0 if zero is None else zero.double().expand(x.shape).numpy()
    return torch.from_numpy((round_to(x.double().numpy() / s + z, spec.format) - z) * s)


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "permuted": lambda x: x.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0),
    "gaps": lambda x: torch.stack([x, x], -1)[..., 0],
}


@pytest.mark.exact
@pytest.mark.parametrize("piece", [5, 64, 1 << 17])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (6, 1, 1, 1), (1, 4, 1, 1), (6, 4, 1, 1), (1, 1, 1, 7), (7,)], ids=str)
def test_granularities_and_memory_orders(
    shape: tuple[int, ...], layout: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "PIECE", piece)
    torch.manual_seed(0)
    x = LAYOUTS[layout](torch.randn(6, 4, 5, 7, dtype=torch.float64))
    kept = x.clone()
    scale = torch.rand(shape, dtype=torch.float64) * 0.3 + 0.1
    zero = torch.randint(0, 15, shape).double()
    for name in ("int4", "e2m1", "pow4", "binary"):
        spec = parse(name)
        y = fake_quantize(x, spec, scale)
        assert torch.equal(y, by_element(x, spec, scale)) and torch.equal(x, kept)
        assert y.stride() == x.stride() or layout == "gaps"
        live = fake_quantize(x, spec, scale, relu=True)
        assert torch.equal(live, by_element(x.relu(), spec, scale))
    spec = parse("uint4+zp")
    assert torch.equal(fake_quantize(x, spec, scale, zero), by_element(x, spec, scale, zero))
    assert torch.equal(fake_quantize(x, spec, scale, zero, relu=True), by_element(x.relu(), spec, scale, zero))
    assert torch.equal(fake_quantize(x, spec, scale, zero.flatten()[0]), by_element(x, spec, scale, zero.flatten()[0]))
    expected = by_element(x, spec, scale, zero)
    result = fake_quantize(x, spec, scale, zero, inplace=True)
    assert result is x and torch.equal(x, expected)


@pytest.mark.exact
@pytest.mark.parametrize("size", [1, 8, 9, 27, 100])
@pytest.mark.parametrize("name", ["int4", "e2m1", "uint4+zp"])
def test_groups_with_a_short_last_one(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PIECE", 16)
    torch.manual_seed(0)
    w = torch.randn(6, 3, 3, 3, dtype=torch.float64)
    spec = parse(name, block=size)
    scale = torch.rand(6, -(-27 // size), dtype=torch.float64) + 0.1
    zero = torch.randint(0, 15, scale.shape).double() if spec.zero_point else None
    each = [f.repeat_interleave(size, 1)[:, :27].reshape(w.shape) for f in (scale, zero) if f is not None]
    y = fake_quantize(w, spec, scale, zero)
    assert torch.equal(y, by_element(w, spec, *each))
    assert torch.equal(fake_quantize(w.transpose(1, 3), spec, scale, zero), by_element(w.transpose(1, 3), spec, *each))
    codes = to_codes(w, spec, scale, zero)
    assert np.array_equal(codes.dequantize(), y.numpy()) and codes.scale.shape == tuple(scale.shape)
    assert fake_quantize(w, spec, scale, zero, inplace=True) is w and torch.equal(w, y)


@pytest.mark.exact
@pytest.mark.parametrize("name", [n for n in NAMES.split() if n not in ("fp32", "fp16", "bf16", "none")] + ["uint4+zp"])
@pytest.mark.parametrize("shape", [(), (5, 1, 1)], ids=str)
def test_codes_give_the_values_back(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    spec = parse(name)
    w = torch.randn(5, 4, 9, dtype=torch.float64) * 3
    scale = torch.rand(shape, dtype=torch.float64) + 0.05
    zero = torch.full(shape, 7.0, dtype=torch.float64) if spec.zero_point else None
    exact = to_codes(w, spec, scale, zero)
    assert np.array_equal(exact.dequantize(), fake_quantize(w, spec, scale, zero).numpy())
    assert exact.scale.shape == (shape or (1, 1, 1)) and exact.codes.shape == (5, 4, 9)
    assert np.array_equal(
        exact.codes, encode(w.numpy() / scale.numpy() + (7.0 if zero is not None else 0.0), spec.format)
    )
    single = to_codes(w.float(), spec, scale.float(), None if zero is None else zero.float())
    values = fake_quantize(w.float(), spec, scale.float(), None if zero is None else zero.float())
    last_rounding = 2.0**-23 if "~" in name else 2.0**-24
    np.testing.assert_allclose(single.dequantize(), values.double().numpy(), rtol=last_rounding)


@pytest.mark.exact
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    x = torch.randn(1000).to(dtype)
    y = fake_quantize(x, parse("e4m3"), torch.tensor(0.01))
    assert y.dtype == dtype and torch.equal(y, fake_quantize(x.float(), parse("e4m3"), torch.tensor(0.01)).to(dtype))
    assert fake_quantize(x, parse("e4m3"), torch.tensor(0.01), inplace=True) is x and torch.equal(x, y)


@pytest.mark.exact
@pytest.mark.parametrize("scale", [2.0**-140, 2.0**-20, 0.37, 2.0**100])
@pytest.mark.parametrize("name", ["int4", "int24", "e2m1", "e5m2", "e7m10"])
def test_extreme_scales(name: str, scale: float) -> None:
    """Scales at which folding a power of two into the grid would leave float32."""
    spec = parse(name)
    x = torch.linspace(-1.5, 1.5, 301) * float(
        np.float32(spec.format.max * scale if spec.format.max * scale < 1e38 else 1e38)
    )
    expected = round_to(x.double().numpy() / scale, spec.format) * scale
    np.testing.assert_allclose(fake_quantize(x, spec, torch.tensor(scale)).numpy(), expected, rtol=1e-6, atol=2.0**-149)


@pytest.mark.property
def test_a_signed_tensor_with_an_unsigned_format_is_relu() -> None:
    x = torch.randn(1000)
    for name in ("uint4", "ue2m2"):
        y = fake_quantize(x, parse(name), torch.tensor(0.1))
        assert torch.equal(y, fake_quantize(x.relu(), parse(name), torch.tensor(0.1)))


def test_errors_name_what_is_wrong() -> None:
    x = torch.randn(4, 3)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="scale of"):
            fake_quantize(x, parse("int4"), torch.tensor(bad))
    with pytest.raises(InputError, match="scale of shape"):
        fake_quantize(x, parse("int4"), torch.ones(4))
    with pytest.raises(InputError, match="groups of 2"):
        fake_quantize(x, parse("int4@group2"), torch.ones(4, 3))
    with pytest.raises(InputError, match="int64"):
        fake_quantize(torch.arange(4), parse("int4"), ONE)
    with pytest.raises(InputError, match="not coded"):
        to_codes(x, parse("fp16"), ONE)
    with pytest.raises(InputError, match="NaN"):
        to_codes(x * float("nan"), parse("int4"), ONE)
    assert isinstance(parse("int4").format, Int)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,)])
def test_small_shapes(shape: tuple[int, ...]) -> None:
    x = torch.full(shape, 0.74)
    assert torch.equal(fake_quantize(x, parse("int4"), ONE * 0.5), torch.full(shape, 0.5))
    assert torch.equal(fake_quantize(x, parse("e2m1"), ONE * 0.5), torch.full(shape, 0.75))


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    compiled_fake_quantize.cache_clear()
    with pytest.raises(MissingToolError, match="C\\+\\+"):
        compiled_fake_quantize(parse("e4m3"))
    with pytest.raises(InputError, match="not compiled"):
        compiled_fake_quantize(parse("uint4+zp"))


@pytest.mark.slow
@pytest.mark.exact
@pytest.mark.parametrize("name", ["int4", "uint4", "e4m3", "e2m1", "ue2m2", "e2m1~bias=2.5"])
def test_compiled_equals_eager(name: str) -> None:
    spec = parse(name)
    x = torch.from_numpy(np.concatenate([probes(spec.format), np.float32([np.nan, np.inf, -np.inf])]))
    for relu in (False, True):
        run = compiled_fake_quantize(spec, relu=relu)
        for scale in (torch.tensor(1.0), torch.tensor(0.37)):
            expected = fake_quantize(x, spec, scale, relu=relu)
            assert torch.equal(run(x, scale).nan_to_num(7), expected.nan_to_num(7))
