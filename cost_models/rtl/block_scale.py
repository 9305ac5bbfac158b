"""Block scales: from the exact sum of a block of products to a float32 that the scales have multiplied.

MX (OCP Microscaling Formats 1.0) scales by powers of two (E8M0), so that the scaling is an addition of exponents.
NVFP4 scales by E4M3 numbers without a sign, so that two significands of 4 bits multiply the sum first. NVFP4's float32
scale of the whole tensor belongs to what follows the accumulation.

The float32 is rounded half to even; below 2^-126 it is +0 (no subnormals), above the largest finite number it is that
number. All codes of the scales are read as numbers, also those reserved for NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.core.codes import decode
from hwsim.core.errors import InputError
from hwsim.core.formats import minifloat
from hwsim.cost_models.rtl.exact_float import odd_float
from hwsim.cost_models.rtl.factor import MinifloatFactor
from hwsim.cost_models.rtl.float_add import to_code
from hwsim.cost_models.rtl.multiply import Wire, multiplied
from hwsim.cost_models.rtl.unit import Port, Vectors, module

ScaleFormat = Literal["e8m0", "e4m3"]
SCALE_BITS = {"e8m0": 8, "e4m3": 7}
_E8M0_BIAS = 127
_UE4M3 = minifloat(4, 3, signed=False)
_BIAS, _MANTISSA = 127, 23


@dataclass(frozen=True, slots=True)
class BlockScaler:
    """`y = float32(x scale_w scale_a 2^unit)`, combinational.

    Attributes
    ----------
    sum_bits : of the signed block sum x.
    scale : format of both scales.
    unit : the power of two that x counts.
    """

    family: ClassVar[str] = "block_scale"
    sum_bits: int
    scale: ScaleFormat
    unit: int

    def __post_init__(self) -> None:
        if self.scale not in SCALE_BITS:
            raise InputError(f"scale {self.scale!r}", where="block scale", hint=f"allowed: {', '.join(SCALE_BITS)}")

    @property
    def name(self) -> str:
        unit = f"m{-self.unit}" if self.unit < 0 else str(self.unit)
        return f"block_scale_b{self.sum_bits}_{self.scale}_unit{unit}"

    @property
    def clocked(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("x", self.sum_bits, True), *scale_ports(self.scale)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("y", 32),)

    def verilog(self) -> str:
        return module(self, scaled("x", self.sum_bits, self.scale, self.unit) + "  assign y = b_float;")

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return {"y": scaled_code(inputs["x"], inputs["scale_w"], inputs["scale_a"], self.scale, self.unit)}


def scale_ports(scale: ScaleFormat) -> tuple[Port, Port]:
    return Port("scale_w", SCALE_BITS[scale]), Port("scale_a", SCALE_BITS[scale])


def scale_value(codes: Vectors, scale: ScaleFormat) -> NDArray[np.float64]:
    """Values of scale codes."""
    if scale == "e8m0":
        return np.ldexp(1.0, np.asarray(codes, dtype=np.int64) - _E8M0_BIAS)
    return decode(codes, _UE4M3)


def scaled_code(x: Vectors, scale_w: Vectors, scale_a: Vectors, scale: ScaleFormat, unit: int) -> Vectors:
    """Codes of float32(x scale_w scale_a 2^unit)."""
    exact = np.ldexp(odd_float(x) * scale_value(scale_w, scale) * scale_value(scale_a, scale), unit)
    fraction, exponent = np.frexp(exact)
    rounded = np.ldexp(np.rint(np.ldexp(fraction, _MANTISSA + 1)), exponent - _MANTISSA - 1)
    return to_code(np.where(np.abs(rounded) < 2.0 ** (1 - _BIAS), 0.0, rounded), 8, _MANTISSA)


def scaled(x: str, bits: int, scale: ScaleFormat, unit: int, carry: str = "1'b0") -> str:
    """Verilog of the wire `b_float` from the signed number x + carry of `bits` bits; all its wires start with `b_`.

    The magnitude is x + carry, or ~x + ~carry where x is negative. Where x + carry is 0, so is either.
    """
    top = bits - 1
    body = f"""  wire b_sign = {x}[{top}];
  wire [{top}:0] b_size = ({x} ^ {{{bits}{{b_sign}}}}) + (b_sign ^ {carry});
"""
    if scale == "e8m0":
        width, unit = bits, unit - 2 * _E8M0_BIAS
        body += f"  wire [{top}:0] b_product = b_size;\n  wire [8:0] b_shift = scale_w + scale_a;\n"
    else:
        width, unit = bits + 8, unit - 2 * (_UE4M3.usual_bias + _UE4M3.mantissa)
        factor = MinifloatFactor(4, 3, False)
        body += f"""{factor.fields("scale_w", "b_w")}{factor.fields("scale_a", "b_a")}\
{multiplied(Wire("b_w_sig", 4), Wire("b_a_sig", 4), "b_scales", 8)}\
{multiplied(Wire("b_size", bits), Wire("b_scales", 8), "b_product", width)}\
  wire [4:0] b_shift = b_w_shift + b_a_shift;
"""
    return body + _normalised(width) + _packed(width, unit + width - 1 + _BIAS)


def _normalised(width: int) -> str:
    """`b_l0`, the product with its leading one on top, moved left by `b_left`."""
    stages = max(1, (width - 1).bit_length())
    lines = [f"  wire [{width - 1}:0] b_l{stages} = b_product;\n  wire [{stages - 1}:0] b_left;\n"]
    for k in reversed(range(stages)):
        step, before = 1 << k, f"b_l{k + 1}"
        rest = f"{{{before}[{width - step - 1}:0], {step}'d0}}" if step < width else before
        lines.append(f"""  assign b_left[{k}] = ~|{before}[{width - 1}:{max(0, width - step)}];
  wire [{width - 1}:0] b_l{k} = b_left[{k}] ? {rest} : {before};
""")
    return "".join(lines)


def _packed(width: int, exponent: int) -> str:
    """`b_float`; `exponent` is the exponent field of a number without leading zeros and shifts."""
    kept, below = _MANTISSA + 1, width - _MANTISSA - 1
    if below > 0:
        sticky = f" | |b_l0[{below - 2}:0]" if below > 1 else ""
        mantissa = f"b_l0[{width - 2}:{below}]"
        up = f"b_l0[{below - 1}] & (b_l0[{below}]{sticky})"
    else:
        mantissa = f"{{b_l0[{width - 2}:0], {kept - width}'d0}}" if below else f"b_l0[{width - 2}:0]"
        up = "1'b0"
    return f"""  wire signed [11:0] b_field = $signed({{1'b0, b_shift}}) - $signed({{1'b0, b_left}}) + ({exponent});
  wire signed [34:0] b_code = $signed({{b_field, {mantissa}}}) + $signed({{1'b0, {up}}});
  wire signed [11:0] b_exponent = b_code[34:23];
  wire b_none = b_exponent < 1 | ~b_l0[{width - 1}];
  wire b_over = b_exponent > 254;
  wire [30:0] b_magnitude = b_over ? 31'h7f7fffff : b_code[30:0];
  wire [31:0] b_float = b_none ? 32'd0 : {{b_sign, b_magnitude}};
"""
