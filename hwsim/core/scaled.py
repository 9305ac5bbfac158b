"""How a tensor uses a format: granularity, scale type and zero point, and the string grammar.

    NAME[.narrow|.full][+zp][~bias=R|~exp=R][@tensor|@channel|@groupN][:f32|:pow2]

`str` writes every choice out, so `parse(str(f)) == f`. Defaults that depend on the role of a tensor (weights by
output channel, activations by tensor) or on the verb (scale type) are arguments of `parse`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from hwsim.core.errors import InputError, nearest
from hwsim.core.formats import (
    Binary,
    Format,
    Int,
    Minifloat,
    Native,
    Power,
    Specials,
    int_format,
    minifloat,
    uint_format,
)

ScaleType = Literal["f32", "pow2", "e8m0", "e4m3"]
Granularity = Literal["tensor", "channel"] | int

_MX: dict[str, tuple[Format, int, ScaleType]] = {
    "mxint8": (int_format(8), 32, "e8m0"),
    "mxfp4": (minifloat(2, 1), 32, "e8m0"),
    "mxfp6_e2m3": (minifloat(2, 3), 32, "e8m0"),
    "mxfp6_e3m2": (minifloat(3, 2), 32, "e8m0"),
    "mxfp8_e4m3": (minifloat(4, 3, specials="fn"), 32, "e8m0"),
    "mxfp8_e5m2": (minifloat(5, 2, specials="ieee"), 32, "e8m0"),
    "nvfp4": (minifloat(2, 1), 16, "e4m3"),
}
_NATIVE = ("fp32", "fp16", "bf16", "none")


@dataclass(frozen=True, slots=True)
class Scaled:
    """A format with its scales: real value = scale * (code value - zero point).

    Parameters
    ----------
    format : the element format.
    block : what shares one scale: `tensor`, `channel` (the output channels of a weight; the channel axis of an
        activation), or N consecutive elements along the reduction axis (Cin/groups x kernel, row-major).
    scale : `f32`; `pow2` (a float restricted to powers of two); `e8m0` (MX: floor rule of the OCP
        specification 1.0, section 6.3); `e4m3` (NVFP4: an E4M3 scale per block under one float32 tensor scale).
    zero_point : unsigned integers with an offset (asymmetric quantization).
    """

    format: Format
    block: Granularity = "tensor"
    scale: ScaleType = "f32"
    zero_point: bool = False

    def __post_init__(self) -> None:
        if self.zero_point and (not isinstance(self.format, Int) or self.scale == "e8m0"):
            raise InputError(f"a zero point on {self.format}", where="format", hint="+zp is for intN and uintN only")
        if self.is_native and (self.block, self.scale) != ("tensor", "f32"):
            raise InputError(f"a scale on {self.format}", where="format", hint=f"write just {self.format}")
        if isinstance(self.block, int) and self.block < 1:
            raise InputError(f"groups of {self.block}", where="format", hint="allowed: @group1 and up")
        if self.scale in ("e8m0", "e4m3") and self.mx_name is None:
            raise InputError(
                f"a {self.scale} scale on {self.format} in blocks of {self.block}",
                where="format",
                hint=f"block formats are {', '.join(_MX)}",
            )

    @property
    def mx_name(self) -> str | None:
        """The usual name of a block format, or None."""
        for name, (fmt, block, scale) in _MX.items():
            if (self.format, self.block, self.scale) == (fmt, block, scale):
                return name
        return None

    @property
    def is_native(self) -> bool:
        return isinstance(self.format, Native)

    @property
    def bits(self) -> int:
        """Bits of one element, scales left out."""
        return self.format.bits

    @property
    def block_bits(self) -> int:
        """Bits of the scale and the zero point of one block; those of a tensor or a channel count as nothing."""
        if not isinstance(self.block, int):
            return 0
        return (32 if self.scale == "f32" else 8) + (self.bits if self.zero_point else 0)

    @property
    def stored_bits(self) -> float:
        """Bits of one element with its share of a full block's scale."""
        return self.bits + (self.block_bits / self.block if isinstance(self.block, int) else 0.0)

    @property
    def label(self) -> str:
        """The short name for tables: the format without granularity and scale type."""
        return self.mx_name or (str(self.format) + ("+zp" if self.zero_point else ""))

    def __str__(self) -> str:
        if self.is_native:
            return str(self.format)
        if self.mx_name:
            return self.mx_name
        block = self.block if isinstance(self.block, str) else f"group{self.block}"
        text = str(self.format)
        if self.zero_point:  # +zp stands before ~
            head, tilde, tail = text.partition("~")
            text = f"{head}+zp{tilde}{tail}"
        return f"{text}@{block}:{self.scale}"


def parse(text: str, *, block: Granularity = "tensor", scale: ScaleType = "f32") -> Scaled:
    """Read a format string; `block` and `scale` fill in what it leaves open.

    Raises
    ------
    InputError
        With the string, the part that is wrong, what is allowed and the nearest name.
    """
    try:
        return _parse(text.strip(), block, scale)
    except InputError as error:
        raise _error(text, error.message, error.hint) from None


def _parse(text: str, block: Granularity, scale: ScaleType) -> Scaled:
    rest, _, scale_text = text.partition(":")
    rest, at, block_text = rest.partition("@")
    rest, tilde, option = rest.partition("~")
    name, plus, flag = rest.partition("+")
    name, dot, reach = name.partition(".")
    if plus and flag != "zp":
        raise _error(text, f"'+{flag}'", "allowed: +zp")
    if dot and reach not in ("narrow", "full"):
        raise _error(text, f"'.{reach}'", "allowed: .narrow, .full")
    if name in _MX or name in _NATIVE:
        if dot or plus or tilde or at or ":" in text:
            raise _error(text, f"an option on {name}", f"{name} takes none: write just {name}")
        if name in _NATIVE:
            return Scaled(Native(name))  # type: ignore[arg-type]
        fmt, size, kind = _MX[name]
        return Scaled(fmt, size, kind)
    return Scaled(
        parse_format(name + dot + reach + tilde + option, text),
        _parse_block(text, block_text) if at else block,
        _parse_scale(text, scale_text) if ":" in text else scale,
        bool(plus),
    )


def parse_format(text: str, whole: str | None = None) -> Format:
    """Read an element format: `int4`, `uint8.narrow`, `e4m3fn`, `ue2m2`, `pow4~exp=0.4`, `binary`, `fp16`."""
    whole = whole or text
    rest, tilde, option = text.partition("~")
    name, dot, reach = rest.partition(".")
    if name in _NATIVE or name == "binary":
        if dot or tilde:
            raise _error(whole, f"an option on {name}", f"write just {name}")
        return Binary() if name == "binary" else Native(name)  # type: ignore[arg-type]
    if match := re.fullmatch(r"(u?)int([0-9]{1,3})", name):
        if tilde:
            raise _error(whole, f"'~{option}'", "integers take .narrow, .full and +zp")
        fmt = (uint_format if match[1] else int_format)(int(match[2]))
        return replace(fmt, narrow=reach == "narrow") if dot else fmt
    if dot:
        raise _error(whole, f"'.{reach}'", ".narrow and .full are for integers")
    if match := re.fullmatch(r"(u?)e([0-9]{1,3})m([0-9]{1,3})(b11fnuz|fnuz|fn|ieee|ocp)?", name):
        return _parse_minifloat(whole, match, option)
    if match := re.fullmatch(r"pow([0-9]{1,3})", name):
        return Power(int(match[1]), _parse_option(whole, option, "exp") if tilde else 0.5)
    names = ["int8", "int4", "uint8", "e4m3", "e4m3fn", "e5m2", "e3m2", "e2m1", "pow4", "binary", *_MX, *_NATIVE]
    raise _error(whole, f"no format named {name!r}", nearest(name, names))


def _parse_minifloat(whole: str, match: re.Match[str], option: str) -> Minifloat:
    e, m, kind = int(match[2]), int(match[3]), match[4] or ""
    bias = _parse_option(whole, option, "bias") if "~" in whole else None
    if kind == "b11fnuz":
        if bias is not None:
            raise _error(whole, f"a second bias for {match[0]}", "b11 is the bias: leave out ~bias")
        kind, bias = "fnuz", 11.0
    if kind == "ocp":  # OCP's own choice: E5M2 keeps the IEEE specials, E4M3 a single NaN, 4 and 6 bits none
        kind = {(5, 2): "ieee", (4, 3): "fn"}.get((e, m), "")
    if e == 0:
        raise _error(whole, f"{match[0]} has no exponent", f"equally spaced values are int{m + 1}")
    specials: Specials = kind or "none"  # type: ignore[assignment]
    return minifloat(e, m, bias=bias, specials=specials, signed=not match[1])


def _parse_option(whole: str, option: str, key: str) -> float:
    name, _, value = option.partition("=")
    if name != key:
        raise _error(whole, f"'~{option}'", f"allowed here: ~{key}=NUMBER")
    try:
        return float(value)
    except ValueError:
        raise _error(whole, f"'{value}' for {key}", "a real number is wanted") from None


def _parse_block(whole: str, text: str) -> Granularity:
    if text == "tensor" or text == "channel":
        return text  # type: ignore[return-value]
    if match := re.fullmatch(r"group([0-9]{1,9})", text):
        return int(match[1])
    raise _error(whole, f"granularity '@{text}'", "allowed: @tensor, @channel, @groupN (e.g. @group32)")


def _parse_scale(whole: str, text: str) -> ScaleType:
    if text == "f32" or text == "pow2":
        return text  # type: ignore[return-value]
    raise _error(whole, f"scale type ':{text}'", "allowed: :f32, :pow2")


def _error(whole: str, what: str, hint: str) -> InputError:
    return InputError(what, where=f"format {whole!r}", hint=hint)
