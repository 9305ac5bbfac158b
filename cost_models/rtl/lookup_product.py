"""Multipliers of small integers made of look-up tables: tiles of six input bits, one 6-input LUT an output bit.

Both factors are cut into pieces; the product of two pieces is a tile. Tiles that do not overlap share a word, and the
words are added. A general multiplier sums rows of single bits instead, one adder a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LUT_INPUTS = 6


@dataclass(frozen=True, slots=True)
class Factor:
    """A wire that is multiplied: `name` of `bits`, in two's complement where `signed`."""

    name: str
    bits: int
    signed: bool = False


@dataclass(frozen=True, slots=True)
class _Piece:
    low: int
    bits: int
    signed: bool

    def value(self, code: int) -> int:
        return code - (1 << self.bits) if self.signed and code >> (self.bits - 1) else code

    @property
    def values(self) -> range:
        return range(-(1 << (self.bits - 1)), 1 << (self.bits - 1)) if self.signed else range(1 << self.bits)


@dataclass(frozen=True, slots=True)
class _Tile:
    x: _Piece
    y: _Piece

    @property
    def low(self) -> int:
        return self.x.low + self.y.low

    @property
    def signed(self) -> bool:
        return self.x.signed or self.y.signed

    @property
    def bits(self) -> int:
        ends = [a * b for a in (self.x.values[0], self.x.values[-1]) for b in (self.y.values[0], self.y.values[-1])]
        return signed_bits(min(ends), max(ends)) if self.signed else max(ends).bit_length()

    @property
    def end(self) -> int:
        return self.low + self.bits


def signed_bits(low: int, high: int) -> int:
    """Bits of two's complement that hold a range."""
    return 1 + max(high.bit_length(), (~low).bit_length())


def lookup_product(x: Factor, y: Factor, found: str, bits: int) -> str:
    """Lines that declare the wire `found` of `bits` as x y, signed where a factor is."""
    tiles = min(_cuts(x, y), key=_luts)
    lines = [_table(tile, x, y, f"{found}_{k}") for k, tile in enumerate(tiles)]
    signed = x.signed or y.signed
    kind = "wire signed" if signed else "wire"
    words = []
    for word in _words(tiles):
        parts, end = [], word[0][1].low
        for k, tile in word:
            parts += [f"{tile.low - end}'d0"] if tile.low > end else []
            parts.append(f"{found}_{k}")
            end = tile.end
        joined = f"{{{', '.join(reversed(parts))}}}"
        low = word[0][1].low
        name = f"{found}_w{len(words)}"
        of_sign = "wire signed" if word[-1][1].signed else "wire"
        lines.append(f"  {of_sign} [{end - low - 1}:0] {name} = {joined};\n")
        words.append((name if word[-1][1].signed or not signed else f"$signed({{1'b0, {name}}})", low))
    total = " + ".join(f"({name} <<< {low})" if low else name for name, low in words)
    lines.append(f"  {kind} [{bits - 1}:0] {found} = {total};\n")
    return "".join(lines)


def _cuts(x: Factor, y: Factor) -> Iterator[list[_Tile]]:
    """Tilings into pieces of equal sizes, the last one smaller."""
    for size in range(1, LUT_INPUTS):
        yield [_Tile(a, b) for a in _pieces(x, size) for b in _pieces(y, LUT_INPUTS - size)]


def _pieces(factor: Factor, size: int) -> list[_Piece]:
    lows = range(0, factor.bits, size)
    return [_Piece(i, min(size, factor.bits - i), factor.signed and i + size >= factor.bits) for i in lows]


def _words(tiles: list[_Tile]) -> list[list[tuple[int, _Tile]]]:
    """Tiles by number in words of tiles that do not overlap; a signed tile ends its word."""
    words: list[list[tuple[int, _Tile]]] = []
    for k, tile in sorted(enumerate(tiles), key=lambda item: item[1].low):
        for word in words:
            if word[-1][1].end <= tile.low and not word[-1][1].signed:
                word.append((k, tile))
                break
        else:
            words.append([(k, tile)])
    return words


def _luts(tiles: list[_Tile]) -> int:
    """One a bit of each tile and of each adder."""
    words = _words(tiles)
    top = max(tile.end for tile in tiles)
    return sum(tile.bits for tile in tiles) + sum(top - max(word[0][1].low, 0) for word in words[1:])


def _table(tile: _Tile, x: Factor, y: Factor, found: str) -> str:
    """Lines that declare `found`, the product of two pieces, as one constant a bit."""
    index_bits = tile.x.bits + tile.y.bits
    values = []
    for index in range(1 << index_bits):
        values.append(tile.x.value(index >> tile.y.bits) * tile.y.value(index & ((1 << tile.y.bits) - 1)))
    slices = [f"{f.name}[{p.low + p.bits - 1}:{p.low}]" if f.bits > 1 else f.name for f, p in ((x, tile.x), (y, tile.y))]
    lines = [f"  wire [{index_bits - 1}:0] {found}_at = {{{', '.join(slices)}}};\n  wire [{tile.bits - 1}:0] {found};\n"]
    for b in range(tile.bits):
        word = sum(((value >> b) & 1) << k for k, value in enumerate(values))
        lines.append(f"  localparam [{len(values) - 1}:0] {found}_c{b} = {len(values)}'h{word:x};\n")
        lines.append(f"  assign {found}[{b}] = {found}_c{b}[{found}_at];\n")
    return "".join(lines)
