"""Cells of the UltraScale+ library that Yosys maps to, summed into resources.

`lut` is the number of logic LUTs, each cell as one: two small LUTs with few inputs between them fit one LUT6 site, so
that placed counts are lower. LUTs used as memory are counted apart, in sites.

Sources: sites of each memory primitive, AMD UG574 (UltraScale CLB), distributed RAM and shift registers: a LUT holds
64 x 1 or 32 x 2 bits, every read port beyond the written one needs a copy, primitives over a whole CLB take its 8
LUTs; the same counts for the older primitives in AMD UG474, table "Distributed RAM Configuration".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from hwsim.core.errors import UnsupportedError

LUTRAM_SITES = {
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1S": 2,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM256X1D": 8,
    "RAM512X1S": 8,
    "RAM64X8SW": 8,
    "RAM32X16DR8": 8,
}
SRL_SITES = {"SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1}
_ONE_EACH = {
    **{f"LUT{n}": f"lut{n}" for n in range(1, 7)},
    **{f"MUXF{n}": f"muxf{n}" for n in (7, 8, 9)},
    **dict.fromkeys(("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1"), "ff"),
    "CARRY4": "carry4",
    "INV": "inv",
    "DSP48E2": "dsp",
    "RAMB18E2": "ramb18",
    "RAMB36E2": "ramb36",
    "URAM288": "uram",
}
_IGNORED = {"$scopeinfo"}  # where a module that was flattened stood; no hardware
# cell -> (column, how much one cell adds to it)
_COLUMN = (
    {cell: (column, 1) for cell, column in _ONE_EACH.items()}
    | {cell: ("lutram", sites) for cell, sites in LUTRAM_SITES.items()}
    | {cell: ("srl", sites) for cell, sites in SRL_SITES.items()}
)


@dataclass(frozen=True, slots=True)
class Cells:
    """Resources of one synthesised module.

    Attributes
    ----------
    lut1 .. lut6 : logic LUTs by number of inputs.
    muxf7 .. muxf9 : wide multiplexers, which have places of their own behind the LUTs.
    carry4 : four bits of carry chain each.
    ff : flip-flops of all kinds.
    inv : inverters that Yosys leaves; placers absorb them.
    dsp : DSP48E2.
    ramb18, ramb36, uram : block RAMs of 18 and 36 Kbit, and UltraRAMs.
    lutram, srl : LUT sites used as memory and as shift registers.
    """

    lut1: int = 0
    lut2: int = 0
    lut3: int = 0
    lut4: int = 0
    lut5: int = 0
    lut6: int = 0
    muxf7: int = 0
    muxf8: int = 0
    muxf9: int = 0
    carry4: int = 0
    ff: int = 0
    inv: int = 0
    dsp: int = 0
    ramb18: int = 0
    ramb36: int = 0
    uram: int = 0
    lutram: int = 0
    srl: int = 0

    @property
    def lut(self) -> int:
        return self.lut1 + self.lut2 + self.lut3 + self.lut4 + self.lut5 + self.lut6

    @property
    def bram18(self) -> int:
        """Block RAM in halves of 18 Kbit."""
        return self.ramb18 + 2 * self.ramb36


COLUMNS = tuple(f.name for f in fields(Cells))


def cells_of(counts: Mapping[str, int], where: str) -> Cells:
    """Resources from counts by cell type.

    Raises
    ------
    UnsupportedError
        On a cell that is none of the target's, for example logic left unmapped or a module left in place.
    """
    sums = dict.fromkeys(COLUMNS, 0)
    for cell, count in counts.items():
        if cell in _IGNORED:
            continue
        if cell not in _COLUMN:
            raise UnsupportedError(f"{count} cells of type {cell}", where=where, hint="cells known: cells.py")
        column, each = _COLUMN[cell]
        sums[column] += each * count
    return Cells(**sums)
