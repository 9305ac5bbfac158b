"""FPGA cost models: operators, layers, architectures and parts.

`estimate` prices a network on a part, `unit_cost` one operator; `parts` and `part` list and find parts;
`trust_statement` says in words how far it all can be trusted. All of it is formula: FINN's published terms for
integers, a construction for minifloats, block RAM by aspect ratio. Intervals come from the formulas' own errors on
synthesised operators: `python -m hwsim.cost_models.evaluate` recomputes them.

What is free, by design: moving elements (`reshape`), clips in front of a quantizer (`relu`), and batch norm behind a
convolution or linear layer. Everything else costs something or is an UnsupportedError that names the layer.
"""

from hwsim.cost_models.catalogue import part, parts
from hwsim.cost_models.energy import with_energy
from hwsim.cost_models.energy_table import EnergyTable, energy_table
from hwsim.cost_models.network import estimate, fits_part
from hwsim.cost_models.trust import trust_statement
from hwsim.cost_models.unit import UnitCost, unit_cost

__all__ = [
    "EnergyTable",
    "UnitCost",
    "energy_table",
    "estimate",
    "fits_part",
    "part",
    "parts",
    "trust_statement",
    "unit_cost",
    "with_energy",
]
