"""Units that convert, round, compare and scale: their Verilog, simulated, against `hwsim.core` and exact numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from hwsim.core.codes import decode, encode
from hwsim.core.errors import InputError
from hwsim.core.formats import Int, minifloat
from hwsim.core.scaled import parse_format
from hwsim.cost_models.rtl.block_dot import ELEMENTS, BlockScaleDot
from hwsim.cost_models.rtl.block_scale import BlockScaler, ScaleFormat
from hwsim.cost_models.rtl.compare import Kind, MaxOfTwo, MaxPool, larger
from hwsim.cost_models.rtl.decode import MinifloatDecoder
from hwsim.cost_models.rtl.elementwise import Relu, ResidualAdd
from hwsim.cost_models.rtl.encode import MinifloatEncoder
from hwsim.cost_models.rtl.exact_float import odd_float
from hwsim.cost_models.rtl.float_add import FloatAccumulator, FloatAdder, from_code, to_code
from hwsim.cost_models.rtl.requantize import MultiplyRequantizer, ShiftRequantizer
from hwsim.cost_models.rtl.simulation import mismatches, simulate
from hwsim.cost_models.rtl.thresholds import ThresholdUnit
from hwsim.cost_models.rtl.unit import Unit, Vectors, as_vectors

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
SIGNS = (True, False)
KINDS: tuple[Kind, ...] = ("int", "uint", "minifloat")
SCALES: tuple[ScaleFormat, ...] = ("e8m0", "e4m3")
FLOATS = ((3, 2), (4, 1), (4, 5), (5, 10), (8, 7), (8, 23))

FEW: dict[str, Sequence[Unit]] = {
    "decode": [MinifloatDecoder(e, m, s) for (e, m), s in product([(1, 2), (2, 1), (3, 0), (4, 3), (5, 2)], SIGNS)],
    "encode": [
        MinifloatEncoder(b, d, e, m, s)
        for (b, d, e, m), s in product([(10, 3, 2, 1), (11, 1, 3, 0), (9, -2, 4, 3), (28, 8, 4, 3)], SIGNS)
    ],
    "shift": [
        ShiftRequantizer(b, s, o, *kind)
        for (b, s, o), kind in product([(10, 4, 4), (9, 9, 2), (8, -1, 6), (24, 10, 8)], product(SIGNS, SIGNS))
    ],
    "multiply": [MultiplyRequantizer(7, 5, 6, 4, *kind) for kind in product(SIGNS, SIGNS)]
    + [MultiplyRequantizer(20, 8, 14, 8, True, True)],
    "thresholds": [ThresholdUnit(8, 3, True, 1), ThresholdUnit(3, 3, True), ThresholdUnit(12, 3, False)],
    "max_of_two": [MaxOfTwo(5, kind) for kind in KINDS],
    "max_pool": [MaxPool(3, 4, kind) for kind in KINDS] + [MaxPool(9, 8, "minifloat")],
    "elementwise": [Relu(8), Relu(20), ResidualAdd(5, 7, 3), ResidualAdd(20, 24, -2)],
    "float_add": [FloatAdder(3, 2), FloatAdder(8, 23), FloatAccumulator(8, 23)],
    "block_scale": [BlockScaler(14, "e8m0", -2), BlockScaler(42, "e8m0", -18), BlockScaler(13, "e4m3", -2)],
    "block_dot": [BlockScaleDot("e2m1", "e2m1", 16, "e4m3"), BlockScaleDot("int8", "int8", 4, "e8m0")],
}

MANY: dict[str, Callable[[], Sequence[Unit]]] = {
    "decode": lambda: [MinifloatDecoder(e, m, s) for e in range(1, 7) for m in range(6) for s in SIGNS],
    "encode": lambda: [
        MinifloatEncoder(b, d, e, m, s)
        for (b, d), e, m, s in product(
            [(4, 0), (9, -3), (10, 3), (13, 5), (13, 13), (24, 8), (40, 6), (70, 20)], range(1, 6), (0, 1, 3), SIGNS
        )
    ],
    "shift": lambda: [
        ShiftRequantizer(b, s, o, *kind)
        for (b, s), o, kind in product(
            [(5, 0), (6, 5), (8, 9), (8, -3), (12, 1), (12, 4), (13, 12), (20, 8), (32, 12), (48, 30)],
            (2, 4, 8),
            product(SIGNS, SIGNS),
        )
    ],
    "multiply": lambda: [
        MultiplyRequantizer(b, c, s, o, *kind)
        for (b, c, s), o, kind in product(
            [(4, 4, 5), (8, 5, 3), (8, 8, 9), (12, 3, 0), (16, 8, 12), (24, 16, 24)], (3, 8), product(SIGNS, SIGNS)
        )
    ],
    "thresholds": lambda: [
        ThresholdUnit(b, n, constant, seed)
        for b, n, (constant, seed) in product((6, 8, 12, 16, 24), (1, 2, 3, 4), ((False, 0), (True, 0), (True, 7)))
    ],
    "max_of_two": lambda: [MaxOfTwo(b, kind) for b in range(2, 9) for kind in KINDS] + [MaxOfTwo(1, "uint")],
    "max_pool": lambda: [MaxPool(taps, b, k) for taps, b, k in product((2, 3, 4, 5, 9, 16), (3, 4, 6, 8), KINDS)],
    "elementwise": lambda: [
        *(Relu(b) for b in (2, 3, 4, 6, 8, 12, 16, 20, 24, 32)),
        *(ResidualAdd(a, b, s) for a, b, s in product((4, 8, 20), (6, 8, 24), (-5, -1, 0, 1, 4))),
    ],
    "float_add": lambda: [
        *(FloatAdder(e, m) for e, m in product(range(2, 7), (1, 2, 3, 5, 8, 10, 13))),
        *(kind(e, m) for kind in (FloatAdder, FloatAccumulator) for e, m in FLOATS),
    ],
    "block_scale": lambda: [
        BlockScaler(b, s, u) for b, s, u in product((2, 8, 13, 24, 25, 26, 42, 72), SCALES, (-30, -2, 5))
    ],
    "block_dot": lambda: [
        *(
            BlockScaleDot(w, a, p, "e8m0")
            for w, a in product(ELEMENTS, ELEMENTS)
            if w != "int8" or a == "int8"
            for p in (2, 8)
        ),
        *(BlockScaleDot("e2m1", "e2m1", p, s) for p in (1, 4, 16, 32) for s in SCALES),
    ],
}


def assert_same(unit: Unit, inputs: Mapping[str, Any]) -> None:
    """The simulated Verilog of a unit gives, for these inputs, what numpy gives."""
    given = {port.name: as_vectors(port, inputs[port.name]) for port in unit.inputs}
    simulated = simulate([unit], [given])[0]
    for name, expected in unit.respond(given).items():
        assert simulated[name] == [int(v) for v in expected], (unit.name, name)


@needs_icarus
@pytest.mark.exact
@pytest.mark.parametrize("family", FEW)
def test_verilog_computes_what_numpy_does(family: str) -> None:
    found, compared = mismatches(FEW[family], vectors=300)
    assert not found, found[:3]
    assert compared >= 300


@needs_icarus
@pytest.mark.exact
@pytest.mark.slow
@pytest.mark.parametrize("family", MANY)
def test_verilog_computes_what_numpy_does_over_many_parameters(family: str) -> None:
    units = MANY[family]()
    found, compared = mismatches(units, vectors=600 if family == "block_dot" else 2000)
    assert not found, found[:3]
    assert compared >= 100 * len(units) or family in ("decode", "elementwise")


@pytest.mark.exact
@pytest.mark.parametrize("unit", [MinifloatDecoder(e, m, s) for e, m, s in product(range(1, 6), (0, 1, 3), SIGNS)])
def test_decoder_times_the_smallest_step_is_the_value(unit: MinifloatDecoder) -> None:
    codes = np.arange(1 << unit.format.bits)
    x = unit.respond({"code": codes})["x"].astype(np.float64)
    np.testing.assert_array_equal(x * unit.format.smallest, decode(codes, unit.format))


@needs_icarus
@pytest.mark.exact
@pytest.mark.parametrize(("e", "m"), [(2, 1), (3, 2), (4, 3), (5, 2), (3, 0)])
@pytest.mark.parametrize("signed", SIGNS)
def test_encoder_rounds_every_tie_to_the_even_code(e: int, m: int, signed: bool) -> None:
    fmt, drop = minifloat(e, m, signed=signed), 3
    steps = sorted({int(v / fmt.smallest) for v in fmt.values() if v >= 0})
    unit = MinifloatEncoder(fmt.significand_bits + drop + 3, drop, e, m, signed)
    ties = [(low + high) << (drop - 1) for low, high in pairwise(steps)]
    near = [t + d for t in [*ties, steps[-1] << drop, unit.inputs[0].high - 1] for d in (-1, 0, 1)]
    x = [*near, *(-v for v in near)]
    assert_same(unit, {"x": x})
    codes = unit.respond({"x": as_vectors(unit.inputs[0], ties)})["code"]
    assert all(code % 2 == 0 for code in codes)


@pytest.mark.exact
def test_encoder_is_exact_for_accumulators_wider_than_float64() -> None:
    unit = MinifloatEncoder(70, 30, 5, 2)
    tie = 5 << 29  # halfway between two and three smallest steps
    x = as_vectors(unit.inputs[0], [tie - 1, tie, tie + 1, (5 << 60) + 1, -(9 << 60) - 1, (1 << 69) - 1])
    exact = [Fraction(int(v), 1 << 30) * Fraction(unit.format.smallest) for v in x]
    values = [Fraction(v) for v in sorted(unit.format.values())]
    for code, wanted in zip(unit.respond({"x": x})["code"], exact, strict=True):
        best = min(abs(v - wanted) for v in values)
        assert abs(Fraction(float(decode(code, unit.format))) - wanted) == best


@needs_icarus
@pytest.mark.exact
@pytest.mark.parametrize("kind", list(product(SIGNS, SIGNS)))
def test_requantizer_near_ties_and_limits(kind: tuple[bool, bool]) -> None:
    unit = ShiftRequantizer(30, 12, 8, *kind)
    ties = [(2 * level + 1) << 11 for level in range(unit.format.min_code - 3, unit.format.max_code + 3)]
    assert_same(unit, {"x": [t + d for t in ties for d in (-1, 0, 1)]})


@pytest.mark.exact
@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_larger_code_has_the_larger_value_whatever_the_exponent_width(bits: int) -> None:
    a, b = (v.ravel() for v in np.meshgrid(np.arange(1 << bits), np.arange(1 << bits)))
    y = larger(a, b, bits, "minifloat")
    for e in range(1, bits):
        fmt = minifloat(e, bits - 1 - e)
        np.testing.assert_array_equal(decode(y, fmt), np.maximum(decode(a, fmt), decode(b, fmt)))


@needs_icarus
@pytest.mark.exact
def test_max_pool_of_negative_codes() -> None:
    codes = np.random.default_rng(5).integers(128, 256, (9, 500))
    assert_same(MaxPool(9, 8, "minifloat"), {f"x{i}": codes[i] for i in range(9)})


@pytest.mark.property
@pytest.mark.parametrize(("in_bits", "out_bits"), [(4, 4), (12, 3), (24, 4), (32, 6)])
def test_constant_thresholds_rise_and_belong_to_the_seed(in_bits: int, out_bits: int) -> None:
    unit = ThresholdUnit(in_bits, out_bits, True, 3)
    constants = unit.constants
    assert len(constants) == (1 << out_bits) - 1
    assert all(low < high for low, high in pairwise(constants))
    assert -(1 << (in_bits - 1)) < constants[0] and constants[-1] < 1 << (in_bits - 1)
    assert constants == ThresholdUnit(in_bits, out_bits, True, 3).constants


def float_pairs(count: int, seed: int) -> tuple[Vectors, Vectors]:
    """Finite float32 codes: any two, and pairs close enough to cancel."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 1 << 32, count)
    near = (a + rng.integers(-(1 << 25), 1 << 25, count)) ^ (rng.integers(0, 2, count) << 31)
    b = np.where(rng.random(count) < 0.7, near, rng.integers(0, 1 << 32, count)) % (1 << 32)
    tiny = rng.random(count) < 0.2  # subnormals and the smallest binades
    a, b = (np.where(tiny, v & ~np.int64(0x7C << 24), v) for v in (a, b))
    finite = ((a >> 23 & 255) < 255) & ((b >> 23 & 255) < 255)
    return a[finite], b[finite]


@pytest.mark.exact
@pytest.mark.parametrize(("e", "m", "kind"), [(8, 23, np.float32), (5, 10, np.float16)])
def test_float_addition_is_that_of_numpy(e: int, m: int, kind: type[Any]) -> None:
    a, b = float_pairs(20000, 1)
    if m == 10:
        a, b = a >> 16, b >> 16
    codes = [v.astype(np.uint32 if m == 23 else np.uint16).view(kind) for v in (a, b)]
    with np.errstate(all="ignore"):
        exact = codes[0] + codes[1]
    inside = np.isfinite(exact) & np.isfinite(codes[0]) & np.isfinite(codes[1])
    y = FloatAdder(e, m).respond({"a": a, "b": b})["y"]
    assert inside.sum() > 10000
    np.testing.assert_array_equal(y[inside], exact.view(np.uint32 if m == 23 else np.uint16)[inside])


@needs_icarus
@pytest.mark.exact
def test_float_adder_with_cancellation_and_subnormals() -> None:
    a, b = float_pairs(3000, 2)
    assert_same(FloatAdder(8, 23), {"a": a, "b": b})


@pytest.mark.exact
@pytest.mark.parametrize(("e", "m"), FLOATS)
def test_float_codes_and_values_agree(e: int, m: int) -> None:
    codes = np.random.default_rng(0).integers(0, 1 << (1 + e + m), 2000)
    codes = codes[(codes >> m) & ((1 << e) - 1) < (1 << e) - 1]
    np.testing.assert_array_equal(to_code(from_code(codes, e, m), e, m), codes)


@pytest.mark.exact
def test_integers_rounded_to_odd() -> None:
    values = np.array([0, 5, -5, (1 << 60) + 1, -(1 << 60) - 1, 1 << 80], dtype=object)
    assert list(odd_float(values, 8)) == [0, 5, -5, 129 * 2.0**53, -129 * 2.0**53, 2.0**80]


@needs_icarus
@pytest.mark.exact
@pytest.mark.parametrize("scale", SCALES)
def test_blocks_of_similar_size_add_up(scale: ScaleFormat) -> None:
    unit = BlockScaleDot("e2m1", "e2m1", 8, scale)
    rng = np.random.default_rng(3)
    rows = 1000
    inputs = {port.name: rng.integers(0, 1 << port.bits, rows) for port in unit.inputs}
    middle = 122 if scale == "e8m0" else 40
    inputs |= {name: rng.integers(middle, middle + 10, rows) for name in ("scale_w", "scale_a")}
    inputs["clear"] = (np.arange(rows) % 50 == 0).astype(np.int64)
    assert_same(unit, inputs)


@pytest.mark.exact
@pytest.mark.parametrize(("element", "scale"), [*((name, "e8m0") for name in ELEMENTS), ("e2m1", "e4m3")])
def test_block_dot_product_is_the_rounded_exact_one(element: str, scale: ScaleFormat) -> None:
    """One block from zero, in fractions, against the code that is left in the accumulator."""
    unit, fmt = BlockScaleDot(element, element, 4, scale), parse_format(element)
    rng = np.random.default_rng(4)
    rows = 200
    inputs = {p.name: rng.integers(p.low, p.high, rows, endpoint=True) for p in unit.inputs}
    inputs["clear"] = np.ones(rows, dtype=np.int64)
    low, high = (90, 160) if scale == "e8m0" else (0, 128)
    inputs |= {name: rng.integers(low, high, rows) for name in ("scale_w", "scale_a")}
    acc = from_code(unit.respond(inputs)["acc"], 8, 23)

    def value(side: str, i: int) -> list[Fraction]:
        codes = (inputs[side] >> (i * fmt.bits)) & ((1 << fmt.bits) - 1)
        if isinstance(fmt, Int):
            return [Fraction(int(c) - (256 if c >= 128 else 0), 64) for c in codes]
        return [Fraction(v) for v in decode(codes, fmt)]

    def scale_of(code: int) -> Fraction:
        return Fraction(2) ** (code - 127) if scale == "e8m0" else Fraction(float(decode(code, minifloat(4, 3))))

    lanes = [[w * a for w, a in zip(value("w", i), value("a", i), strict=True)] for i in range(4)]
    for row in range(rows):
        scales = scale_of(int(inputs["scale_w"][row])) * scale_of(int(inputs["scale_a"][row]))
        exact = sum((lane[row] for lane in lanes), Fraction(0)) * scales
        error = abs(Fraction(float(acc[row])) - exact)
        assert error <= abs(exact) / (1 << 24)


@needs_icarus
@pytest.mark.exact
@pytest.mark.parametrize(("bits", "unit"), [(14, -2), (30, -18)])
def test_block_scale_near_the_limits_of_float32(bits: int, unit: int) -> None:
    scaler = BlockScaler(bits, "e8m0", unit)
    rng = np.random.default_rng(6)
    rows = 4000
    x = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), rows) >> rng.integers(0, bits, rows)
    limits = np.where(rng.random(rows) < 0.5, -126, 127)
    shift = np.clip(limits - unit + 254 - rng.integers(0, bits + 2, rows), 0, 510)  # of both scales together
    scale_w = np.minimum(rng.integers(0, 256, rows), shift)
    scale_w = np.maximum(scale_w, shift - 255)
    assert_same(scaler, {"x": x, "scale_w": scale_w, "scale_a": shift - scale_w})


@pytest.mark.exact
def test_block_scale_saturates_and_flushes() -> None:
    unit = BlockScaler(8, "e8m0", 0)
    ends = {"x": np.array([-3, 3, 1, 1]), "scale_w": np.array([250, 0, 1, 0]), "scale_a": np.array([250, 0, 127, 127])}
    values = from_code(unit.respond(ends)["y"], 8, 23)
    assert list(values) == [-float(np.finfo(np.float32).max), 0.0, 2.0**-126, 0.0]


@pytest.mark.exact
def test_nearest_code_of_zero_keeps_the_sign_of_what_was_rounded() -> None:
    unit = MinifloatEncoder(8, 6, 4, 3)
    x = np.array([-1, 0, 1])
    assert list(unit.respond({"x": x})["code"]) == [128, 0, 0]
    assert list(encode(x * 2.0**-6 * unit.format.smallest, unit.format)) == [128, 0, 0]


@pytest.mark.exact
@pytest.mark.parametrize(
    "make",
    [
        lambda: BlockScaleDot("int8", "e4m3", 4, "e8m0"),
        lambda: BlockScaleDot("e9m9", "e4m3", 4, "e8m0"),
        lambda: BlockScaler(12, "f32", 0),  # type: ignore[arg-type]
        lambda: ThresholdUnit(3, 4, True),
        lambda: MaxOfTwo(1, "minifloat"),
        lambda: MaxPool(1, 8, "int"),
        lambda: FloatAdder(1, 3),
        lambda: MultiplyRequantizer(48, 16, 3, 8, True, True).respond({}),
    ],
)
def test_what_is_not_built_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        make()
