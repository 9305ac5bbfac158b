"""Packed weights as a C header: constant arrays, shapes as macros, an inline decoder a layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.codes import WeightCodes, decode
from hwsim.core.formats import Binary, Int, Minifloat, Power
from hwsim.exchange.bit_packing import is_signed_code

_DECODERS = """
/* The unsigned code of `width` bits that starts at bit `bit` of a row. */
static inline uint32_t hwsim_code(const uint8_t *row, size_t bit, unsigned width) {
  uint64_t found = 0;
  unsigned have = 0;
  size_t byte = bit / 8;
  unsigned skip = (unsigned)(bit % 8);
  while (have < width + skip) {
    found |= (uint64_t)row[byte++] << have;
    have += 8;
  }
  return (uint32_t)((found >> skip) & (((uint64_t)1 << width) - 1));
}

/* Two's complement. */
static inline int64_t hwsim_signed(uint32_t code, unsigned width) {
  int64_t half = (int64_t)1 << (width - 1);
  return (int64_t)code < half ? (int64_t)code : (int64_t)code - 2 * half;
}

/* Sign (where there is one), exponent, mantissa; subnormals at exponent field 0. Weights hold no code of Inf or NaN. */
static inline double hwsim_minifloat(uint32_t code, int exponent, int mantissa, int bias) {
  uint32_t field = (code >> mantissa) & ((1u << exponent) - 1u);
  uint32_t fraction = code & ((1u << mantissa) - 1u);
  uint32_t significand = field ? fraction + (1u << mantissa) : fraction;
  double value = ldexp((double)significand, (int)(field ? field : 1u) - bias - mantissa);
  return (code >> (exponent + mantissa)) & 1u ? -value : value;
}
"""


def header_of(network: str, layers: Mapping[str, WeightCodes], packed: Mapping[str, NDArray[np.uint8]]) -> str:
    """The text of a header for C99 and C++.

    Each layer NAME has the macros `NAME_ROWS`, `NAME_ELEMENTS`, `NAME_BITS`, `NAME_ROW_BYTES`, `NAME_SCALES` (a row),
    the arrays `NAME_codes`, `NAME_scale` (and `NAME_zero_point`), and `double NAME_weight(row, element)`, which equals
    `WeightCodes.dequantize()` exactly.
    """
    guard = f"HWSIM_{identifier(network).upper()}_WEIGHTS_H"
    parts = [
        f"/* Packed weights of {_comment(network)}, written by hwsim. The layout is described in layout.json. */",
        f"#ifndef {guard}\n#define {guard}\n",
        "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>",
        _DECODERS,
    ]
    taken: set[str] = set()
    for name, codes in layers.items():
        symbol = unique_identifier(name, taken)
        parts.append(_layer(name, symbol, codes, packed[name]))
    return "\n".join([*parts, "#endif\n"])


def identifier(name: str) -> str:
    """A C identifier for a layer name: `layer1.0.conv` is `layer1_0_conv`."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII)
    return found if re.match(r"[A-Za-z]", found) else f"w_{found}"


def unique_identifier(name: str, taken: set[str]) -> str:
    """`identifier`, made unlike those already taken."""
    found, count = identifier(name), 1
    while found in taken:
        found, count = f"{identifier(name)}_{count}", count + 1
    taken.add(found)
    return found


def _layer(name: str, symbol: str, codes: WeightCodes, packed: NDArray[np.uint8]) -> str:
    rows, elements = codes.codes.shape[0], int(np.prod(codes.codes.shape[1:], dtype=np.int64))
    spec = codes.spec
    scales = codes.scale.reshape(codes.scale.shape[0], -1)
    per_row = scales.shape[1] if scales.shape[0] == rows else 1
    lines = [
        f"/* {_comment(name)}: {spec}, shape {' x '.join(map(str, codes.codes.shape))} */",
        f"#define {symbol}_ROWS {rows}",
        f"#define {symbol}_ELEMENTS {elements}",
        f"#define {symbol}_BITS {spec.bits}",
        f"#define {symbol}_ROW_BYTES {packed.shape[1]}",
        f"#define {symbol}_SCALES {per_row}",
        _array("uint8_t", f"{symbol}_codes", (str(v) for v in packed.reshape(-1).tolist())),
        _array("double", f"{symbol}_scale", (repr(float(v)) for v in scales.reshape(-1))),
    ]
    if spec.zero_point:
        zero = np.broadcast_to(codes.zero_point, codes.scale.shape).reshape(-1)
        lines.append(_array("double", f"{symbol}_zero_point", (repr(float(v)) for v in zero)))
    if isinstance(spec.format, Power):
        values = decode(np.arange(spec.format.max_code + 1), spec.format)
        lines.append(_array("double", f"{symbol}_magnitudes", (repr(float(v)) for v in values)))
    return "\n".join([*lines, _function(symbol, codes)])


def _function(symbol: str, codes: WeightCodes) -> str:
    spec = codes.spec
    one = codes.scale.size == 1
    block = f" + element / {spec.block}" if isinstance(spec.block, int) else ""
    index = "0" if one else f"row * {symbol}_SCALES{block}"
    offset = f" - {symbol}_zero_point[{index}]" if spec.zero_point else ""
    unused = "  (void)row;\n" if one and not spec.zero_point else ""
    return (
        f"static inline double {symbol}_weight(size_t row, size_t element) {{\n{unused}"
        f"  uint32_t code = hwsim_code({symbol}_codes + row * {symbol}_ROW_BYTES, element * {symbol}_BITS, "
        f"{symbol}_BITS);\n"
        f"  double value = {_decoded(symbol, codes)};\n"
        f"  return (value{offset}) * {symbol}_scale[{index}];\n}}\n"
    )


def _decoded(symbol: str, codes: WeightCodes) -> str:
    fmt = codes.spec.format
    if isinstance(fmt, Int):
        return f"(double)hwsim_signed(code, {fmt.bits})" if is_signed_code(fmt) else "(double)code"
    if isinstance(fmt, Binary):
        return "code ? 1.0 : -1.0"
    if isinstance(fmt, Power):
        level = f"hwsim_signed(code, {fmt.bits})"
        return f"{level} < 0 ? -{symbol}_magnitudes[-{level}] : {symbol}_magnitudes[{level}]"
    assert isinstance(fmt, Minifloat)
    value = f"hwsim_minifloat(code, {fmt.exponent}, {fmt.mantissa}, {fmt.usual_bias})"
    return value if fmt.stretch == 1.0 else f"{value} * {fmt.stretch!r}"


def _array(kind: str, name: str, values: Iterable[Any]) -> str:
    listed = list(values)
    lines = [", ".join(listed[i : i + 16]) for i in range(0, len(listed), 16)]
    return f"static const {kind} {name}[{len(listed)}] = {{\n  " + ",\n  ".join(lines) + "};"


def _comment(text: str) -> str:
    return text.replace("*/", "* /")
