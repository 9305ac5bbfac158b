"""How many cells a multiplier takes whose partial products are added three rows at a time.

Each row is one operand, gated by a bit of the other and moved left; a layer of full adders turns three rows into two
until two are left for a carry chain (C. S. Wallace, A suggestion for a fast multiplier, IEEE Trans. EC 1964). A full
adder of three partial products has six inputs and so fits a 6-input LUT for each of its two outputs: the first layer
costs no more than later ones although it includes the gates. A signed multiplicand repeats the sign of every row to
the left; a signed multiplier subtracts its last row. Adders of equal inputs are one adder.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_Row = list[object]
_Cell = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Reduction:
    """Different cells of one multiplier.

    Attributes
    ----------
    gated, gated_full : half and full adders of partial products alone, and the full ones among them.
    later, later_full : those behind them.
    chain : bits of the final carry chain.
    layers : of adders in front of it.
    """

    gated: int
    gated_full: int
    later: int
    later_full: int
    chain: int
    layers: int


@lru_cache(maxsize=8192)
def reduction(rows: int, columns: int, repeated: bool, subtracted: bool) -> Reduction:
    """Cells of a product of `rows` x `columns` bits, all bits of which are kept.

    Parameters
    ----------
    repeated : whether the operand in the rows is signed, so that rows repeat their highest bit to the left.
    subtracted : whether the other one is, so that the last row is inverted and a one added.
    """
    width = rows + columns
    table = _stacked(_partial_products(rows, columns, repeated, subtracted), width)
    seen: set[_Cell] = set()
    layers = 0
    while len(table) > 2:
        reduced: list[_Row] = []
        whole = len(table) - len(table) % 3
        for start in range(0, whole, 3):
            reduced += _full_adders(table[start : start + 3], width, seen)
        table = reduced + table[whole:]
        layers += 1
    gated = [cell for cell in seen if all(isinstance(s, tuple) and s[0] == "product" for s in cell)]
    full = sum(len(cell) == 3 for cell in seen)
    gated_full = sum(len(cell) == 3 for cell in gated)
    both = [c for c in range(width) if sum(row[c] is not None for row in table) == 2]
    chain = width - both[0] if both else 0
    return Reduction(len(gated), gated_full, len(seen) - len(gated), full - gated_full, chain, layers)


def _partial_products(rows: int, columns: int, repeated: bool, subtracted: bool) -> list[_Row]:
    """Signals by row and column, None where there is nothing."""
    width = rows + columns
    table: list[_Row] = []
    for i in range(rows):
        row: _Row = [None] * width
        for c in range(i, width):
            if c - i < columns:
                row[c] = ("product", i, c - i)
            elif repeated:
                row[c] = ("product", i, columns - 1)
            elif subtracted and i == rows - 1:
                row[c] = ("product", i, "one")
        table.append(row)
    if subtracted and rows > 1:
        carry: _Row = [None] * width
        carry[rows - 1] = ("product", rows - 1, "carry")
        table.append(carry)
    return table


def _stacked(table: list[_Row], width: int) -> list[_Row]:
    """The same columns, without gaps from above."""
    columns = [[row[c] for row in table if row[c] is not None] for c in range(width)]
    height = max(len(column) for column in columns)
    return [[column[k] if k < len(column) else None for column in columns] for k in range(height)]


def _full_adders(rows: list[_Row], width: int, seen: set[_Cell]) -> list[_Row]:
    """Sums and carries of three rows; adders that are new go to `seen`."""
    sums: _Row = [None] * width
    carries: _Row = [None] * width
    for c in range(width):
        cell = tuple(row[c] for row in rows if row[c] is not None)
        if len(cell) == 1:
            sums[c] = cell[0]
        elif cell:
            seen.add(cell)
            sums[c] = ("sum", cell)
            if c + 1 < width:
                carries[c + 1] = ("carry", cell)
    return [sums, carries]


def reductions(w: Floats, a: Floats, w_signed: Floats, a_signed: Floats) -> dict[str, Floats]:
    """The fields of `Reduction` for many multipliers; the operand with fewer bits makes the rows, w where they tie."""
    w_rows = w <= a
    rows, columns = np.minimum(w, a), np.maximum(w, a)
    repeated, subtracted = np.where(w_rows, a_signed, w_signed), np.where(w_rows, w_signed, a_signed)
    keys = np.stack([rows, columns, repeated, subtracted], axis=1).astype(np.int64)
    distinct, index = np.unique(keys, axis=0, return_inverse=True)
    found = [reduction(int(r), int(c), bool(s), bool(t)) for r, c, s, t in distinct]
    names = [field.name for field in fields(Reduction)]
    table = np.array([[getattr(f, n) for n in names] for f in found], dtype=np.float64).reshape(-1, len(names))
    return {name: table[index.ravel(), k] for k, name in enumerate(names)}
