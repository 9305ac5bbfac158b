"""Every code and every rounding against ml_dtypes, gfloat and an enumerated grid."""

from __future__ import annotations

import gfloat
import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracle import probes, round_by_table, table, value_of

from hwsim.core.codes import decode, encode, round_to
from hwsim.core.errors import InputError
from hwsim.core.formats import Minifloat, Native, default_grid, int_format, minifloat, uint_format
from hwsim.core.scaled import parse_format

pytestmark = pytest.mark.exact

ML_DTYPES = {
    "e4m3fn": ml_dtypes.float8_e4m3fn,
    "e4m3ieee": ml_dtypes.float8_e4m3,
    "e5m2ieee": ml_dtypes.float8_e5m2,
    "e3m4ieee": ml_dtypes.float8_e3m4,
    "e4m3b11fnuz": ml_dtypes.float8_e4m3b11fnuz,
    "e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
}
# Every split that the grammar names: 2..9 bits, all specials, signed and not; wider ones are spot checks.
SPLITS = [
    Minifloat(e, m, float(2 ** (e - 1) - (0 if specials == "fnuz" else 1)), specials, signed)
    for e in range(1, 8)
    for m in range(0, 9 - e)
    for specials in ("none", "fn", "ieee", "fnuz")
    for signed in (True, False)
    if not (specials == "fnuz" and not signed)
    and not (specials == "ieee" and e < 2)
    and not (specials == "fn" and e + m < 2)
] + [minifloat(5, 10), minifloat(7, 3), minifloat(1, 9), minifloat(3, 8, signed=False)]


def ml_codes(x: np.ndarray, name: str) -> np.ndarray:
    """Codes that ml_dtypes gives after saturation (its own casts overflow to NaN or Inf)."""
    top = parse_format(name).max
    return np.clip(x, -top, top).astype(ML_DTYPES[name]).view(np.uint8).astype(np.int64)


@pytest.mark.parametrize("name", ML_DTYPES)
def test_every_code_decodes_as_in_ml_dtypes(name: str) -> None:
    fmt = parse_format(name)
    codes = np.arange(2**fmt.bits)
    theirs = codes.astype(np.uint8).view(ML_DTYPES[name]).astype(np.float64)
    ours = decode(codes, fmt)
    assert_array_equal(ours, theirs)
    assert_array_equal(np.signbit(ours[~np.isnan(ours)]), np.signbit(theirs[~np.isnan(theirs)]))


@pytest.mark.parametrize("name", ML_DTYPES)
def test_rounding_agrees_with_ml_dtypes_on_ties_ends_and_a_million_values(name: str) -> None:
    fmt = parse_format(name)
    rng = np.random.default_rng(7)
    normal = rng.standard_normal(500_000) * fmt.max / 3
    wide = rng.choice([-1.0, 1.0], 500_000) * 2.0 ** rng.uniform(
        np.log2(fmt.smallest) - 2, np.log2(fmt.max) + 1, 500_000
    )
    x = np.concatenate([probes(fmt.values()), normal, wide]).astype(np.float32)
    assert x.size >= 1_000_000
    expected = ml_codes(x, name)
    assert_array_equal(encode(x, fmt), expected)
    assert_array_equal(round_to(x, fmt), decode(expected, fmt))


@pytest.mark.parametrize("name", ["e4m3fn", "e5m2ieee", "e4m3fnuz", "e2m1"])
def test_float16_and_float64_inputs_are_rounded_once(name: str) -> None:
    fmt = parse_format(name)
    x = probes(fmt.values())
    x = x[np.abs(x) < 60000]
    assert_array_equal(encode(x.astype(np.float16), fmt), ml_codes(x.astype(np.float16), name))
    assert_array_equal(round_to(x, fmt), round_by_table(x, fmt))


@pytest.mark.parametrize("fmt", SPLITS, ids=str)
def test_every_split_agrees_with_the_enumerated_grid(fmt: Minifloat) -> None:
    rows = table(fmt)
    values = np.array([float(v) for v, _ in rows])
    assert_array_equal(fmt.values(), values)
    assert (fmt.max, fmt.min) == (values[-1], values[0])
    assert fmt.smallest == values[values > 0][0]
    codes = np.arange(2**fmt.bits)
    assert_array_equal(decode(codes, fmt), [float(value_of(int(c), fmt)) for c in codes])
    x = probes(values)
    expected = round_by_table(x, fmt)
    assert_array_equal(round_to(x, fmt), expected)
    code_of = {float(v): c for v, c in rows}
    ours = encode(x, fmt)
    nonzero = expected != 0
    assert_array_equal(ours[nonzero], [code_of[v] for v in expected[nonzero]])
    assert_array_equal(decode(ours, fmt), expected)


@pytest.mark.parametrize("fmt", SPLITS, ids=str)
def test_every_split_agrees_with_gfloat(fmt: Minifloat) -> None:
    nans = {"none": 0, "fn": 1, "fnuz": 0, "ieee": 2**fmt.mantissa - 1}[fmt.specials]
    theirs = gfloat.FormatInfo(
        name=str(fmt),
        k=fmt.bits,
        precision=fmt.mantissa + 1,
        bias=int(fmt.bias),
        is_signed=fmt.signed,
        domain=gfloat.Domain.Extended if fmt.specials == "ieee" else gfloat.Domain.Finite,
        has_nz=fmt.signed and fmt.specials != "fnuz",
        num_high_nans=nans,
        has_subnormals=True,
        is_twos_complement=False,
    )
    assert_array_equal(decode(np.arange(2**fmt.bits), fmt), gfloat.decode_ndarray(theirs, np.arange(2**fmt.bits)))
    x = probes(fmt.values())
    x = np.clip(x, fmt.min, None) if not fmt.signed else x
    assert_array_equal(round_to(x, fmt), gfloat.round_ndarray(theirs, x, sat=True))


def test_ties_of_an_empty_mantissa_go_to_the_even_code() -> None:
    assert_array_equal(round_to([0.5, 1.5, 3.0, -1.5, -3.0, 0.49, 3.01], minifloat(2, 0)), [0, 2, 2, -2, -2, 0, 4])


@pytest.mark.parametrize("bits", range(2, 10))
def test_e1_is_the_narrow_integer(bits: int) -> None:
    """E1M(b-2) holds k 2^(1-y) for k = -(2^(b-1)-1)..2^(b-1)-1 (facts on 2311.12359): the same rounding, scaled."""
    for fmt, integer in (
        (minifloat(1, bits - 2), int_format(bits)),
        (minifloat(1, bits - 1, signed=False), uint_format(bits)),
    ):
        step = fmt.smallest
        assert step == 2.0 ** (1 - fmt.mantissa)
        assert_array_equal(fmt.values(), integer.values() * step)
        x = probes(integer.values())
        assert_array_equal(round_to(x * step, fmt), round_to(x, integer) * step)


@pytest.mark.parametrize("name", ["fp16", "fp32", "bf16"])
def test_native_formats_round_as_the_machine_does(name: str) -> None:
    dtype = {"fp16": np.float16, "fp32": np.float32, "bf16": ml_dtypes.bfloat16}[name]
    fmt = Native(name)
    info = ml_dtypes.finfo(dtype)
    assert fmt.max == float(info.max)
    assert fmt.smallest == float(info.smallest_subnormal)
    rng = np.random.default_rng(3)
    x = rng.choice([-1.0, 1.0], 100_000) * 2.0 ** rng.uniform(np.log2(fmt.smallest) - 3, np.log2(fmt.max), 100_000)
    x = x.astype(np.float32) if name != "fp32" else x  # one rounding: ml_dtypes casts float64 by way of float32
    assert_array_equal(round_to(x, fmt), x.astype(dtype).astype(np.float64))
    assert_array_equal(round_to([np.inf, -np.inf, 1e300], fmt), [fmt.max, -fmt.max, fmt.max])
    assert np.isnan(round_to(np.nan, fmt))
    assert str(fmt) == name
    with pytest.raises(InputError):
        encode([1.0], fmt)


def test_grid_of_default_exploration() -> None:
    names = [str(f) for f in default_grid()]
    assert len(names) == len(set(names)) == 24
    assert [n for n in names if n.endswith("m0")] == ["e2m0", "e3m0", "e4m0", "e5m0"]
    assert {"int3", "int8", "e4m3", "e5m2", "e2m1"} <= set(names)
    assert not any(n.startswith("e1") for n in names)
