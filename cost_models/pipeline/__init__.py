"""The time of a dataflow design, word by word: simulation with back-pressure, FIFO depths, and the same in Verilog.

`assembled` makes the pipeline of a network from the prices of its layers, `minimal_depths` or `sufficient_depths` give
its FIFOs their depths, `simulate` runs it, and `interval_cycles` says how many cycles pass from inference to inference.
`rtl` writes a pipeline as Verilog and `cosimulate` runs that in Icarus: every event of both is in the same cycle.
"""

from hwsim.cost_models.pipeline.assemble import assembled
from hwsim.cost_models.pipeline.depths import minimal_depths, sufficient_depths
from hwsim.cost_models.pipeline.graph import Actor, Edge, Graph, Port
from hwsim.cost_models.pipeline.simulate import Trace, simulate
from hwsim.cost_models.pipeline.steady import interval_cycles, unbounded_interval

__all__ = [
    "Actor",
    "Edge",
    "Graph",
    "Port",
    "Trace",
    "assembled",
    "interval_cycles",
    "minimal_depths",
    "simulate",
    "sufficient_depths",
    "unbounded_interval",
]
