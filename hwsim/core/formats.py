"""Number formats: which real numbers exist. How a tensor uses them is `Scaled` (core/scaled.py).

A format is a literal: a frozen dataclass without a name of its own. `bits`, `max`, `smallest`, `values()` and
`str()` follow from its fields. All values are exact in float64, those of powers and real biases to its last bit.

Sources: minifloats without Inf/NaN as in arXiv 2311.12359, section 3; OCP variants as in the OCP 8-bit Floating
Point Specification 1.0 and Microscaling Formats 1.0; fnuz variants as in arXiv 2206.02915; power formats as
in PowerQuant (arXiv 2301.09858, eq. 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError

Specials = Literal["none", "fn", "ieee", "fnuz"]
MAX_ENUMERATED_BITS = 16


@dataclass(frozen=True, slots=True)
class Int:
    """Integers. Signed narrow is -(2^(b-1)-1)..2^(b-1)-1, signed full starts at -2^(b-1), unsigned at 0.

    Unsigned narrow leaves out the largest code (0..2^b-2).
    """

    bits: int
    signed: bool
    narrow: bool

    def __post_init__(self) -> None:
        least = 2 if self.signed else 1
        if not least <= self.bits <= 32:
            raise InputError(f"{self.bits} bits for an integer", where="format", hint=f"allowed: {least}..32 bits")
        if self.min_code == self.max_code:
            raise InputError(f"{self} has a single value", where="format", hint="take one bit more, or .full")

    @property
    def max_code(self) -> int:
        top = (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1
        return top - 1 if self.narrow and not self.signed else top

    @property
    def min_code(self) -> int:
        if not self.signed:
            return 0
        return -self.max_code if self.narrow else -self.max_code - 1

    @property
    def max(self) -> float:
        return float(self.max_code)

    @property
    def min(self) -> float:
        return float(self.min_code)

    @property
    def smallest(self) -> float:
        return 1.0

    def values(self) -> NDArray[np.float64]:
        _enumerable(self, self.bits)
        return np.arange(self.min_code, self.max_code + 1, dtype=np.float64)

    def __str__(self) -> str:
        name = f"{'int' if self.signed else 'uint'}{self.bits}"
        if self.narrow == self.signed:
            return name
        return name + (".narrow" if self.narrow else ".full")


@dataclass(frozen=True, slots=True)
class Minifloat:
    """Floating point with `exponent` and `mantissa` bits, subnormals, round half to even, saturation.

    Parameters
    ----------
    exponent, mantissa : field widths; exponent 1..7, mantissa 0..10.
    bias : exponent bias, any real number; `minifloat()` fills in the usual one.
    specials : codes given up. `none`: all finite; `fn`: one NaN a sign (all ones); `ieee`: the top exponent is
        Inf and NaN; `fnuz`: one NaN at the code of -0.
    signed : False drops the sign bit and negative values.
    """

    exponent: int
    mantissa: int
    bias: float
    specials: Specials
    signed: bool

    def __post_init__(self) -> None:
        if not (1 <= self.exponent <= 7 and 0 <= self.mantissa <= 10):
            raise InputError(
                f"e{self.exponent}m{self.mantissa} is outside what is built",
                where="format",
                hint="allowed: exponent 1..7 bits, mantissa 0..10 bits; for exponent 0 use intN",
            )
        if not np.isfinite(self.bias) or abs(self.bias) > 128:
            raise InputError(f"bias {self.bias}", where="format", hint="allowed: a real number in -128..128")
        if self.specials == "ieee" and self.exponent < 2:
            raise InputError("ieee specials need two exponent bits", where="format", hint="e.g. e5m2ieee")
        if self.specials == "fn" and self.exponent + self.mantissa < 2:
            raise InputError("no code left for a number", where="format", hint="e.g. e4m3fn")
        if self.specials == "fnuz" and not self.signed:
            raise InputError("fnuz puts NaN at the code of -0", where="format", hint="unsigned: use ueXmY")

    @property
    def bits(self) -> int:
        return self.exponent + self.mantissa + int(self.signed)

    @property
    def usual_bias(self) -> int:
        return (1 << (self.exponent - 1)) - (0 if self.specials == "fnuz" else 1)

    @property
    def emin(self) -> int:
        """Exponent of the smallest normal binade under the usual bias (also that of the subnormals)."""
        return 1 - self.usual_bias

    @property
    def stretch(self) -> float:
        """Factor by which an unusual bias multiplies every value: 2^(usual bias - bias)."""
        return float(2.0 ** (self.usual_bias - self.bias))

    @property
    def max_magnitude_code(self) -> int:
        """The largest finite code without its sign bit."""
        top = (1 << (self.exponent + self.mantissa)) - 1
        if self.specials == "fn":
            return top - 1
        if self.specials == "ieee":
            return (((1 << self.exponent) - 1) << self.mantissa) - 1
        return top

    @property
    def max(self) -> float:
        return _minifloat_magnitude(self, self.max_magnitude_code)

    @property
    def min(self) -> float:
        return -self.max if self.signed else 0.0

    @property
    def smallest(self) -> float:
        """Smallest positive value: the smallest subnormal, or the smallest normal when the mantissa is empty."""
        return _minifloat_magnitude(self, 1)

    @property
    def max_multiple(self) -> int:
        """`max` in units of `smallest`, exact also where it exceeds 2^53."""
        field, mantissa = divmod(self.max_magnitude_code, 1 << self.mantissa)
        return (mantissa + (1 << self.mantissa)) << (field - 1) if field else mantissa

    @property
    def significand_bits(self) -> int:
        """Bits of a magnitude written as an integer multiple of `smallest`."""
        return self.max_multiple.bit_length()

    def values(self) -> NDArray[np.float64]:
        """All distinct finite values in rising order, both zeros as one."""
        half = np.array([_minifloat_magnitude(self, c) for c in range(self.max_magnitude_code + 1)])
        return np.concatenate([-half[:0:-1], half]) if self.signed else half

    def __str__(self) -> str:
        suffix = {"none": "", "fn": "fn", "ieee": "ieee", "fnuz": "fnuz"}[self.specials]
        name = f"{'' if self.signed else 'u'}e{self.exponent}m{self.mantissa}{suffix}"
        return name if self.bias == self.usual_bias else f"{name}~bias={_number(self.bias)}"


@dataclass(frozen=True, slots=True)
class Power:
    """Signed powers of equally spaced codes: sign(q) (|q|/L)^(1/a), q = -L..L, L = 2^(b-1)-1, largest value 1.

    Rounding is to the nearest code in the power domain, RN(L |x|^a), as PowerQuant defines it, which is not the
    nearest value. a = 1/2 squares the codes, so products stay integers.
    """

    bits: int
    exponent: float

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise InputError(f"{self.bits} bits for a power format", where="format", hint="allowed: 2..16 bits")
        if not 0.05 <= self.exponent <= 4:
            raise InputError(f"exponent {self.exponent}", where="format", hint="allowed: 0.05..4; usual: 0.5")

    @property
    def max_code(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def max(self) -> float:
        return 1.0

    @property
    def min(self) -> float:
        return -1.0

    @property
    def smallest(self) -> float:
        return float((1.0 / self.max_code) ** (1.0 / self.exponent))

    def values(self) -> NDArray[np.float64]:
        q = np.arange(-self.max_code, self.max_code + 1, dtype=np.float64)
        return np.sign(q) * (np.abs(q) / self.max_code) ** (1.0 / self.exponent)

    def __str__(self) -> str:
        name = f"pow{self.bits}"
        return name if self.exponent == 0.5 else f"{name}~exp={_number(self.exponent)}"


@dataclass(frozen=True, slots=True)
class Binary:
    """-1 and +1; zero rounds to +1."""

    @property
    def bits(self) -> int:
        return 1

    @property
    def max(self) -> float:
        return 1.0

    @property
    def min(self) -> float:
        return -1.0

    @property
    def smallest(self) -> float:
        return 1.0

    def values(self) -> NDArray[np.float64]:
        return np.array([-1.0, 1.0])

    def __str__(self) -> str:
        return "binary"


@dataclass(frozen=True, slots=True)
class Native:
    """Machine floating point, used without a scale; `none` leaves a tensor as it is."""

    name: Literal["fp32", "fp16", "bf16", "none"]

    @property
    def bits(self) -> int:
        return 16 if self.name in ("fp16", "bf16") else 32

    @property
    def max(self) -> float:
        return {"fp16": 65504.0, "bf16": 3.3895313892515355e38}.get(self.name, 3.4028234663852886e38)

    @property
    def min(self) -> float:
        return -self.max

    @property
    def smallest(self) -> float:
        return float(2.0 ** {"fp16": -24, "bf16": -133}.get(self.name, -149))

    def values(self) -> NDArray[np.float64]:
        raise InputError(f"{self.name} has too many values to list", where="format", hint="list formats up to 10 bits")

    def __str__(self) -> str:
        return self.name


Format = Int | Minifloat | Power | Binary | Native


def int_format(bits: int) -> Int:
    """Signed narrow integers: the usual choice for weights and signed activations."""
    return Int(bits, True, True)


def uint_format(bits: int) -> Int:
    """Unsigned full-range integers: the usual choice for non-negative activations."""
    return Int(bits, False, False)


def minifloat(
    exponent: int,
    mantissa: int,
    *,
    bias: float | None = None,
    specials: Specials = "none",
    signed: bool = True,
) -> Minifloat:
    """A minifloat with the usual bias (2^(e-1)-1, fnuz 2^(e-1)) unless one is given."""
    if bias is None:
        bias = 2.0 ** (min(max(exponent, 1), 8) - 1) - (0 if specials == "fnuz" else 1)  # refused beyond 7 bits
    return Minifloat(exponent, mantissa, float(bias), specials, signed)


def canonical(fmt: Format) -> Format:
    """The one name of a set of equally spaced values: E1M(b-2) is the narrow symmetric INT_b (scaled by 2^-m)."""
    if isinstance(fmt, Minifloat) and fmt.exponent == 1 and fmt.specials == "none":
        return int_format(fmt.bits) if fmt.signed else uint_format(fmt.bits)
    return fmt


def default_grid(bits: range = range(3, 9), max_exponent: int = 5) -> tuple[Format, ...]:
    """The exploration grid: INT_b and every E2..E5 split of each width (24 formats for 3..8 bits)."""
    grid: list[Format] = []
    for b in bits:
        grid.append(int_format(b))
        grid.extend(minifloat(e, b - 1 - e) for e in range(2, min(max_exponent, b - 1) + 1))
    return tuple(grid)


@lru_cache(maxsize=4096)
def _minifloat_magnitude(fmt: Minifloat, code: int) -> float:
    exponent, mantissa = code >> fmt.mantissa, code & ((1 << fmt.mantissa) - 1)
    if exponent:
        mantissa += 1 << fmt.mantissa
    return float(mantissa * 2.0 ** (max(exponent, 1) - fmt.usual_bias - fmt.mantissa)) * fmt.stretch


def _number(x: float) -> str:
    return str(int(x)) if float(x).is_integer() else repr(float(x))


def _enumerable(fmt: Format, bits: int) -> None:
    if bits > MAX_ENUMERATED_BITS:
        raise InputError(f"{fmt} has too many values to list", where="format", hint="list formats up to 16 bits")
