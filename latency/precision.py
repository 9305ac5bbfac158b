"""Which precision a GPU computes a number format in.

The rule: the cheapest precision that the device executes and that holds every value of the weight and of the
activation format. Scales are free where they can be applied to the finished sum: one a tensor, or one an output
channel. Therefore

* an integer unit holds a format whose values are whole multiples of one step within the unit's range: int4, uint8, but
  also e2m1 (up to 12 halves) or e3m0;
* a floating-point precision holds a format whose values, all times one power of two, are among its numbers;
* scales along the reduction axis (groups, MX, channels of an activation) have to be multiplied in before the sum:
  no integer unit does that.

A quantized format that only a floating-point precision holds runs as the unquantized network would: nothing is gained.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.core.formats import Format, Int, Minifloat, Native, Power
from hwsim.core.scaled import Scaled

# significant bits, exponent of the leading bit at the top, exponent of the last bit at the bottom: IEEE 754-2019
# table 3.5; bf16 and tf32 have the exponents of fp32 with 8 and 11 significant bits (NVIDIA A100 whitepaper, "TF32").
_FLOATS = {"fp16": (11, 15, -24), "bf16": (8, 127, -133), "tf32": (11, 127, -136), "fp32": (24, 127, -149)}
_INTEGER_BITS = {"int4": 4, "int8": 8}
_NATIVE_IN = {"fp16": ("fp16", "tf32", "fp32"), "bf16": ("bf16", "tf32", "fp32"), "fp32": ("fp32",), "none": ("fp32",)}
_NO_GAIN = "no speed gained on this device"


def precision_for(gpu: Gpu, weight_spec: Scaled | None, act_spec: Scaled | None) -> tuple[str, bool, str]:
    """Precision in which `gpu` multiplies a weight format with an activation format.

    Parameters
    ----------
    weight_spec, act_spec : None for an operand that is not there (a product of activations has no weight).

    Returns
    -------
    precision : one of `gpu.native`.
    gained : whether the formats run on integer units, or, for the machine formats fp16 and bf16, below fp32.
    note : why nothing is gained, or what to compare with; often empty.
    """
    operands: list[tuple[Scaled, bool]] = []
    if weight_spec is not None:
        operands.append((weight_spec, isinstance(weight_spec.block, str)))
    if act_spec is not None:
        operands.append((act_spec, act_spec.block == "tensor"))
    label = " x ".join(spec.label for spec, _ in operands)
    for precision in gpu.native:
        if all(represents(precision, spec.format, on_sum) for spec, on_sum in operands):
            return _verdict(gpu, precision, [spec for spec, _ in operands], label)
    return "fp32", False, f"{label}: no precision of this device holds it, rounded to fp32, {_NO_GAIN}"


def represents(precision: str, fmt: Format, scale_on_sum: bool = True) -> bool:
    """Whether a precision holds every value of a format exactly, its scale left out."""
    if isinstance(fmt, Native):
        return precision in _NATIVE_IN[fmt.name]
    if precision in _INTEGER_BITS:
        return scale_on_sum and _fits_integers(_INTEGER_BITS[precision], fmt)
    return _fits_float(precision, fmt)


def _verdict(gpu: Gpu, precision: str, specs: list[Scaled], label: str) -> tuple[str, bool, str]:
    if precision in _INTEGER_BITS:
        slower = gpu.peak_tflops[precision] < gpu.peak_tflops.get("fp16", 0.0)
        note = f"{label}: {precision} peaks below the fp16 tensor cores of this device; compare --precision fp16"
        return precision, True, note if slower else ""
    if all(spec.is_native for spec in specs):
        narrow = any(spec.bits < 32 for spec in specs)
        gained = precision != "fp32"
        return precision, gained, f"{label}: computed in fp32, {_NO_GAIN}" if narrow and not gained else ""
    return precision, False, f"{label}: dequantized to {precision}, {_NO_GAIN}"


@lru_cache(maxsize=1024)
def _fits_integers(bits: int, fmt: Format) -> bool:
    values = _codes(fmt)
    if values is None:
        return False
    steps = values / np.abs(values[values != 0]).min() if not isinstance(fmt, Int) else values
    if not np.array_equal(steps, np.rint(steps)):
        return False
    low, high = float(steps.min()), float(steps.max())
    signed = -(2 ** (bits - 1)) <= low and high <= 2 ** (bits - 1) - 1
    return signed or (low >= 0 and high <= 2**bits - 1)


@lru_cache(maxsize=1024)
def _fits_float(precision: str, fmt: Format) -> bool:
    digits, top, bottom = _FLOATS[precision]
    values = _codes(fmt)
    if values is None:
        return False
    fraction, exponent = np.frexp(np.abs(values[values != 0]))  # fraction in [1/2, 1)
    significand = np.rint(fraction * 2.0**53).astype(np.int64)
    trailing = np.array([(int(s) & -int(s)).bit_length() - 1 for s in significand])
    last_bit = exponent - 53 + trailing
    fits = np.all(53 - trailing <= digits) and exponent.max() - 1 - last_bit.min() <= top - bottom
    return bool(fits)


def _codes(fmt: Format) -> NDArray[np.float64] | None:
    """The values up to one factor, exact; None where no factor makes them exact."""
    if isinstance(fmt, Int):  # the integers in between need no more bits than these
        return np.array([v for v in (fmt.min_code, fmt.max_code, fmt.max_code - 1, 1) if v], dtype=np.float64)
    if isinstance(fmt, Power):
        power = 1.0 / fmt.exponent
        if not power.is_integer():
            return None
        return np.arange(-fmt.max_code, fmt.max_code + 1, dtype=np.float64) ** int(power)
    if isinstance(fmt, Minifloat):  # an unusual bias is one factor on all values
        return replace(fmt, bias=float(fmt.usual_bias)).values()
    assert not isinstance(fmt, Native)
    return fmt.values()
