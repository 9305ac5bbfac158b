"""Fully unrolled layers with constant weights: adder graphs over the actual codes, their cost and their Verilog.

`constant_dot_cost` is what a cost model asks for; `expected_cost` where the codes are not known. `adder_graph` builds
the graph, `area` and `registers` count it, `ConstantDot` is it as hardware.
"""

from hwsim.cost_models.adder_graph.build import adder_graph
from hwsim.cost_models.adder_graph.cost import ConstantDotCost, constant_dot_cost, expected_cost, format_range
from hwsim.cost_models.adder_graph.digits import multiples, multiples_of_weight
from hwsim.cost_models.adder_graph.expected import digit_statistics, format_statistics
from hwsim.cost_models.adder_graph.graph import Graph, evaluate
from hwsim.cost_models.adder_graph.price import area
from hwsim.cost_models.adder_graph.stages import registers
from hwsim.cost_models.adder_graph.verilog import ConstantDot

__all__ = [
    "ConstantDot",
    "ConstantDotCost",
    "Graph",
    "adder_graph",
    "area",
    "constant_dot_cost",
    "digit_statistics",
    "evaluate",
    "expected_cost",
    "format_range",
    "format_statistics",
    "multiples",
    "multiples_of_weight",
    "registers",
]
