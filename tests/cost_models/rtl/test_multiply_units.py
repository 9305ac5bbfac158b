"""Multiplying and accumulating units: Verilog against Python, and Python against decoded values."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import pytest

from hwsim.core.accumulator import accumulator_bits, unit
from hwsim.core.codes import decode, encode
from hwsim.core.errors import InputError
from hwsim.core.formats import Int, Power, minifloat
from hwsim.cost_models.rtl.adder_tree import AdderTree
from hwsim.cost_models.rtl.dot import IntDot, MinifloatDot, MinifloatIntDot
from hwsim.cost_models.rtl.float_accumulate import FloatAccumulateMac, multiple_of_code, nearest_code
from hwsim.cost_models.rtl.minifloat import MinifloatMac, MinifloatMultiplier
from hwsim.cost_models.rtl.mixed import MinifloatIntMac, MinifloatIntMultiplier
from hwsim.cost_models.rtl.multiply import Wire, multiplied
from hwsim.cost_models.rtl.partial_binary import PartialBinaryMac
from hwsim.cost_models.rtl.power import PowerMac, squared_codes
from hwsim.cost_models.rtl.simulation import mismatches, simulate
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, module

simulated = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")

Fields = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Product:
    """`p = x * y` by `multiplied`, for tests of it alone."""

    family: ClassVar[str] = "product"
    x: Wire
    y: Wire

    @property
    def name(self) -> str:
        return "product_" + "_".join(f"{'s' if f.signed else 'u'}{f.bits}" for f in (self.x, self.y))

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("x", self.x.bits, self.x.signed), Port("y", self.y.bits, self.y.signed)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("p", self.x.bits + self.y.bits, self.x.signed or self.y.signed),)

    def verilog(self) -> str:
        return module(self, multiplied(self.x, self.y, "found", self.outputs[0].bits) + "  assign p = found;")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"p": inputs["x"] * inputs["y"]}


def integer_products(widths: range) -> list[Unit]:
    factors = list(product(widths, (False, True)))
    return [Product(Wire("x", *x), Wire("y", *y)) for x, y in product(factors, repeat=2)]


def few_products() -> list[Unit]:
    return [*integer_products(range(1, 4)), *integer_products(range(5, 6))]


def minifloat_units(w: Fields, a: Fields, a_signed: bool) -> list[Unit]:
    bits = accumulator_bits(64, minifloat(*w), minifloat(*a, signed=a_signed))
    return [MinifloatMultiplier(*w, *a, a_signed), MinifloatMac(*w, *a, bits, a_signed)]


def mixed_units(w: Fields, a_bits: int, a_signed: bool) -> list[Unit]:
    bits = accumulator_bits(64, minifloat(*w), Int(max(a_bits, 2), a_signed, False))
    return [MinifloatIntMultiplier(*w, a_bits, a_signed), MinifloatIntMac(*w, a_bits, a_signed, bits)]


def few_minifloats() -> list[Unit]:
    pairs: list[tuple[Fields, Fields, bool]] = [
        ((2, 1), (2, 1), True),
        ((1, 0), (1, 2), True),
        ((3, 0), (3, 2), False),
        ((4, 1), (2, 2), True),
    ]
    return [u for pair in pairs for u in minifloat_units(*pair)] + [
        MinifloatMac(5, 7, 5, 7, 90),
        MinifloatMac(4, 3, 4, 3, 12),
    ]


def few_mixed() -> list[Unit]:
    sides: list[tuple[Fields, int, bool]] = [
        ((2, 1), 4, False),
        ((2, 1), 4, True),
        ((3, 0), 5, True),
        ((1, 3), 1, False),
    ]
    return [u for side in sides for u in mixed_units(*side)] + [MinifloatIntMac(4, 3, 8, True, 33)]


def few_sums() -> list[Unit]:
    return [
        AdderTree(3, 4, True),
        AdderTree(5, 3, False),
        AdderTree(16, 8, True),
        IntDot(1, 4, 4, True, 8),
        IntDot(5, 3, 4, False, 10),
        IntDot(8, 8, 8, True, 22),
        MinifloatDot(4, 2, 1, 2, 1, 17),
        MinifloatDot(3, 5, 2, 4, 1, 64),
        MinifloatDot(2, 3, 0, 2, 2, 16, False),
        MinifloatIntDot(3, 2, 1, 4, True, 14),
        MinifloatIntDot(4, 4, 3, 8, False, 34),
    ]


def few_others() -> list[Unit]:
    return [
        PowerMac(2, 3, "signed", 10),
        PowerMac(4, 4, "power", 18),
        PowerMac(5, 6, "power", 26),
        PowerMac(8, 8, "unsigned", 28),
        PartialBinaryMac(8, 4, False, 11, 18),
        PartialBinaryMac(8, 8, True, 15, 22),
        PartialBinaryMac(2, 1, False, 5, 6),
    ]


def few_floats() -> list[Unit]:
    return [
        FloatAccumulateMac(2, 1, 2, 1, 4, 3),
        FloatAccumulateMac(4, 3, 4, 3, 8, 7),
        FloatAccumulateMac(5, 2, 4, 3, 5, 10),
        FloatAccumulateMac(1, 0, 3, 1, 2, 1, False),
        FloatAccumulateMac(4, 3, 2, 1, 8, 23),
    ]


def many_minifloats() -> list[Unit]:
    fields = [(1, 0), (1, 3), (2, 0), (2, 1), (2, 3), (2, 5), (3, 0), (3, 2), (3, 4), (4, 0), (4, 3), (5, 0), (5, 2)]
    units = [u for w, a in product(fields, repeat=2) for u in minifloat_units(w, a, (sum(w) + sum(a)) % 2 == 0)]
    units += [u for f in fields for signed in (True, False) for u in minifloat_units(f, f, signed)]
    widest = [(e, m) for e in (1, 3, 5) for m in (6, 7)]
    return units + [u for w in widest for u in minifloat_units(w, (5, 7), True)]


def many_mixed() -> list[Unit]:
    fields = [(1, 0), (1, 4), (2, 0), (2, 1), (2, 3), (3, 0), (3, 2), (4, 3), (5, 0), (5, 2), (5, 7)]
    return [u for w, n, s in product(fields, (1, 2, 3, 4, 6, 8, 16), (True, False)) for u in mixed_units(w, n, s)]


def many_sums() -> list[Unit]:
    units: list[Unit] = []
    for lanes in (1, 2, 3, 4, 5, 7, 8, 11, 16):
        units += [AdderTree(lanes, n, s) for n in (1, 2, 5, 12) for s in (True, False)]
        units += [IntDot(lanes, w, a, s, w + a + 9) for w, a in ((1, 3), (4, 4), (8, 3)) for s in (True, False)]
        for w in ((2, 1), (3, 0), (4, 3), (5, 2)):
            units += [MinifloatDot(lanes, *w, 2, 1, 60), MinifloatDot(lanes, *w, *w, 80, False)]
            units += [MinifloatIntDot(lanes, *w, 6, s, 60) for s in (True, False)]
    return units


def many_others() -> list[Unit]:
    units: list[Unit] = []
    for bits, a_bits in product(range(2, 9), repeat=2):
        units += [PowerMac(bits, a_bits, kind, 2 * (bits + a_bits) + 6) for kind in ("unsigned", "signed", "power")]
    for w, a, s in product((2, 4, 8), (1, 2, 4, 8), (True, False)):
        units.append(PartialBinaryMac(w, a, s, a + 7, w + a + 6))
    return units


def many_products() -> list[Unit]:
    return integer_products(range(1, 9)) + integer_products(range(15, 17))


FEW = [few_products, few_minifloats, few_mixed, few_sums, few_others, few_floats]
MANY = [many_products, many_minifloats, many_mixed, many_sums, many_others]


@simulated
@pytest.mark.exact
@pytest.mark.parametrize("units", FEW, ids=lambda f: f.__name__)
def test_verilog_computes_what_python_says(units: Callable[[], list[Unit]]) -> None:
    found, compared = mismatches(units(), 300)
    assert found == []
    assert compared >= sum(min(300, 1 << sum(port.bits for port in u.inputs)) for u in units())


@simulated
@pytest.mark.exact
@pytest.mark.slow
@pytest.mark.parametrize("units", MANY, ids=lambda f: f.__name__)
def test_verilog_computes_what_python_says_for_many_parameters(units: Callable[[], list[Unit]]) -> None:
    swept = units()
    assert len({u.name for u in swept}) >= 60
    for start in range(0, len(swept), 40):
        found, _ = mismatches(list({u.name: u for u in swept[start : start + 40]}.values()), 2000, seed=start)
        assert found == []


@pytest.mark.exact
@pytest.mark.parametrize(("w", "a", "a_signed"), [((2, 1), (3, 2), True), ((3, 0), (2, 2), False)])
def test_minifloat_products_are_products_of_decoded_values(w: Fields, a: Fields, a_signed: bool) -> None:
    left, right = minifloat(*w), minifloat(*a, signed=a_signed)
    rows = np.array(list(product(range(1 << left.bits), range(1 << right.bits))), dtype=np.int64)
    values = decode(rows[:, 0], left) * decode(rows[:, 1], right)
    found = MinifloatMultiplier(*w, *a, a_signed).respond({"w": rows[:, 0], "a": rows[:, 1]})["p"]
    np.testing.assert_array_equal(found * unit(left) * unit(right), values)


@pytest.mark.exact
@pytest.mark.parametrize("bits", range(2, 11))
def test_squared_codes_are_power_values(bits: int) -> None:
    power = Power(bits, 0.5)
    codes = np.arange(-power.max_code, power.max_code + 1)
    np.testing.assert_allclose(squared_codes(codes, bits) * unit(power), decode(codes, power), rtol=1e-15)
    assert squared_codes(np.array([-power.max_code - 1]), bits)[0] == 0


@pytest.mark.exact
def test_dot_products_sum_their_lanes() -> None:
    w, a = np.array([[3, -2, 1], [-4, 3, -1]]), np.array([[7, 1, 0], [2, 15, 9]])
    packed = {
        "clear": np.array([1, 0, 1]),
        "w": (w[0] & 7) + ((w[1] & 7) << 3),
        "a": a[0] + (a[1] << 4),
    }
    sums = (w * a).sum(axis=0)
    assert IntDot(2, 3, 4, False, 12).respond(packed)["acc"].tolist() == [sums[0], sums[0] + sums[1], sums[2]]


@pytest.mark.exact
def test_partially_binary_sums_are_kept_apart() -> None:
    inputs = {
        "clear": np.array([1, 0, 0, 1]),
        "salient": np.array([0, 1, 0, 1]),
        "w": np.array([0, -100, 1, 3]),
        "a": np.array([5, 7, 2, 4]),
    }
    found = PartialBinaryMac(8, 4, False, 11, 18).respond(inputs)
    assert found["acc_binary"].tolist() == [-5, -5, -3, 0]
    assert found["acc_salient"].tolist() == [0, -700, -700, 12]


@pytest.mark.exact
def test_accumulators_wrap_at_their_width() -> None:
    largest = np.full(4, 0b0111, dtype=np.int64)  # 12 steps
    found = MinifloatMac(2, 1, 2, 1, 9).respond({"clear": np.array([1, 0, 0, 0]), "w": largest, "a": largest})["acc"]
    assert found.tolist() == [144, 288 - 512, 432 - 512, 576 - 512]


@pytest.mark.exact
@pytest.mark.parametrize(("exponent", "mantissa"), [(2, 1), (3, 4), (4, 3), (5, 10)])
def test_float_rounding_is_that_of_minifloats(exponent: int, mantissa: int) -> None:
    """Python integers against the float64 reference of `hwsim.core`, ties and saturation included."""
    fmt = minifloat(exponent, mantissa, specials="ieee")
    finer = 3
    rng = np.random.default_rng(0)
    top = 3 * fmt.max_multiple << finer >> 1
    values = np.concatenate([np.arange(-4000, 4000), rng.integers(-top, top, 4000), (1 << rng.integers(0, 40, 4000))])
    codes = np.array([nearest_code(int(v), finer, exponent, mantissa) for v in values])
    reals = values * (fmt.smallest / (1 << finer))
    expected = encode(reals, fmt)
    expected = np.where(expected == 1 << (exponent + mantissa), 0, expected)  # no -0
    np.testing.assert_array_equal(codes, expected)
    multiples = [multiple_of_code(int(c), exponent, mantissa) for c in codes]
    np.testing.assert_array_equal(np.array(multiples) * fmt.smallest, decode(codes, fmt))


def long_sums(mac: FloatAccumulateMac, count: int, seed: int) -> dict[str, Vectors]:
    """Codes for long sums: some of one sign, which saturate, some of small and of large magnitudes."""
    rng = np.random.default_rng(seed)
    w = rng.integers(0, 1 << mac.weight.bits, count)
    a = rng.integers(0, 1 << mac.activation.bits, count)
    phase = np.arange(count) // 100 % 4
    positive = (1 << (mac.ew + mac.mw)) - 1, (1 << (mac.ea + mac.ma)) - 1
    w, a = np.where(phase == 1, w & positive[0], w), np.where(phase == 1, a & positive[1], a)
    small = (2 << mac.mw) - 1
    w = np.where((phase == 2) & (rng.random(count) < 0.9), w & (small | 1 << (mac.ew + mac.mw)), w)
    clear = (rng.random(count) < 0.01).astype(np.int64)
    clear[0] = 1
    return {"clear": clear, "w": w, "a": a}


@pytest.mark.exact
@pytest.mark.parametrize(("w", "a"), [((2, 1), (2, 1)), ((4, 3), (2, 3)), ((3, 0), (3, 2))])
@pytest.mark.parametrize(("eacc", "macc"), [(5, 10), (4, 3), (3, 5)])
def test_float_accumulation_rounds_once_a_step(w: Fields, a: Fields, eacc: int, macc: int) -> None:
    mac = FloatAccumulateMac(*w, *a, eacc, macc)
    inputs = long_sums(mac, 500, 0)
    held, fmt = 0.0, minifloat(eacc, macc, specials="ieee")
    terms = decode(inputs["w"], minifloat(*w)) * decode(inputs["a"], minifloat(*a))
    for code, term, clear in zip(mac.respond(inputs)["acc"], terms, inputs["clear"], strict=True):
        expected = int(encode((0.0 if clear else held) + term, fmt))
        assert code == (0 if expected == 1 << (eacc + macc) else expected)
        held = float(decode(code, fmt))


@pytest.mark.exact
@pytest.mark.parametrize(("eacc", "macc"), [(1, 3), (9, 7), (5, 0), (8, 24)])
def test_float_accumulators_out_of_range_are_refused(eacc: int, macc: int) -> None:
    with pytest.raises(InputError, match="accumulator"):
        FloatAccumulateMac(2, 1, 2, 1, eacc, macc)


def float_macs() -> list[FloatAccumulateMac]:
    fields = [(1, 0), (1, 2), (2, 1), (2, 3), (2, 5), (3, 0), (3, 2), (4, 3), (5, 2)]
    accumulators = [(2, 3), (3, 1), (4, 3), (5, 10), (6, 5), (8, 7), (8, 23)]
    same = [FloatAccumulateMac(*f, *f, *acc) for f in fields for acc in accumulators]
    mixed = [FloatAccumulateMac(*w, *a, 8, 7, False) for w, a in zip(fields, fields[3:], strict=False)]
    return same + mixed


@simulated
@pytest.mark.exact
@pytest.mark.slow
@pytest.mark.parametrize("mac", float_macs(), ids=lambda m: m.name)
def test_float_accumulation_is_bit_exact_in_long_sums(mac: FloatAccumulateMac) -> None:
    inputs = long_sums(mac, 20_000, 1)
    (found,) = simulate([mac], [inputs])
    assert found["acc"] == mac.respond(inputs)["acc"].tolist()
