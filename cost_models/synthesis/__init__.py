"""Synthesis as ground truth: units through Yosys, in batches, into a table that the cost model is fitted on.

`find_yosys` finds the tool, `experiment` lists the units of a family, `run_batches` synthesises what is missing,
`read_table` and `write_table` keep the rows.
"""

from hwsim.cost_models.synthesis.batch import Outcome, Refusal, run_batches, synthesise
from hwsim.cost_models.synthesis.cells import Cells
from hwsim.cost_models.synthesis.experiments import experiment, families
from hwsim.cost_models.synthesis.table import Row, read_table, write_table
from hwsim.cost_models.synthesis.yosys import FLOWS, Flow, find_yosys

__all__ = [
    "FLOWS",
    "Cells",
    "Flow",
    "Outcome",
    "Refusal",
    "Row",
    "experiment",
    "families",
    "find_yosys",
    "read_table",
    "run_batches",
    "synthesise",
    "write_table",
]
