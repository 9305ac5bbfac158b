"""From a quantized network to the plan of its hardware: every operator checked, every type derived, nothing written."""

from __future__ import annotations

import numpy as np
from torch.fx import Node

from hwsim.capture.operators import op_name
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Int
from hwsim.hls.builder import Builder, Tensor
from hwsim.hls.fixed import Grid, exponents_of_powers, quantized
from hwsim.hls.formats import check_formats
from hwsim.hls.nodes import operands, quantizer_of
from hwsim.hls.operators import HANDLERS, SUPPORTED
from hwsim.hls.products import check_convolution, convolution, linear
from hwsim.hls.stages import Plan, Stage
from hwsim.quant.model import QuantizedModel

MAX_READERS = 7  # copies of one stream that hls4ml can make

SHOWN = 4  # layers an error names for each kind of trouble


def plan_network(model: QuantizedModel) -> Plan:
    """Plan the hardware of a quantized network.

    Raises
    ------
    UnsupportedError
        Lists every layer that cannot be exported, and why.
    """
    check_formats(model)
    return _Planner(model).run()


class _Planner:
    def __init__(self, model: QuantizedModel) -> None:
        self.model = model
        self.workload = model.network.workload
        self.builder = Builder()
        self.tensors: dict[Node, Tensor] = {}
        self.lost: set[Node] = set()  # tensors that follow from a problem
        self.problems: list[UnsupportedError] = []

    def run(self) -> Plan:
        outputs: list[Node] = []
        for node in self.model.module.graph.nodes:
            if node.op == "output":
                outputs = list(node.all_input_nodes)
            elif node.op != "get_attr":
                self._visit(node)
        if len(self.workload.inputs) != 1 or len(outputs) != 1:
            what = f"{len(self.workload.inputs)} inputs and {len(outputs)} outputs"
            self.problems.append(UnsupportedError(what, hint="supported: one input and one output"))
        self._refuse()
        return self._plan(self.tensors[outputs[0]])

    def _visit(self, node: Node) -> None:
        where = f"layer {node.meta.get('layer', node.meta.get('quantizes', node.name))}"
        lost = any(source in self.lost for source in node.all_input_nodes)
        if lost:
            self.lost.add(node)
        try:
            made = None if lost and self._check_alone(node) else self._make(node)
        except UnsupportedError as error:
            self.problems.append(UnsupportedError(error.message, where=error.where or where, hint=error.hint))
            self.lost.add(node)
            return
        if made is not None:
            self.tensors[node] = made

    def _make(self, node: Node) -> Tensor | None:
        if node.op == "placeholder":
            return self._input(node)
        if node.op == "call_module":
            return self._quantize(node)
        read = [n for n in operands(node) if "layer" in n.meta or "quantizes" in n.meta]
        sources = tuple(self.tensors[n] for n in read if n in self.tensors)
        if "layer" not in node.meta or not sources:
            return None  # sizes, and constants of constants, of which their readers will say that they are not there
        layer = self.workload[node.meta["layer"]]
        if layer.kind == "conv":
            return convolution(self.builder, self.model, node, layer, sources[0])
        if layer.kind == "linear":
            return linear(self.builder, self.model, node, layer, sources[0])
        handler = HANDLERS.get(op_name(node))
        if handler is None or len(sources) != len(read):
            raise UnsupportedError(f"operator {op_name(node)}", hint=SUPPORTED)
        return handler(self.builder, node, layer, sources)

    def _check_alone(self, node: Node) -> bool:
        """Behind a problem no types are known, but operators can still be refused; True."""
        if node.op == "call_function" and "layer" in node.meta:
            layer = self.workload[node.meta["layer"]]
            if layer.kind == "conv":
                check_convolution(layer)
            elif layer.kind != "linear" and op_name(node) not in HANDLERS:
                raise UnsupportedError(f"operator {op_name(node)}", hint=SUPPORTED)
        return True

    def _input(self, node: Node) -> Tensor:
        """The network's input: the conversion to its first type is its quantizer."""
        name = node.meta["layer"]
        shape = tuple(self.workload.input_shapes[self.workload.inputs.index(name)][1:])
        if name not in self.model.assignment.edges:
            readers = [user.meta.get("layer", user.name) for user in node.users]
            raise UnsupportedError(
                f"the network's input is read unquantized by {', '.join(readers)}",
                hint="supported: an input read by a convolution or linear layer, with views and max pooling between",
            )
        if not 1 <= len(shape) <= 3:
            raise UnsupportedError(f"an input of shape {shape}", hint="supported: vectors, 1-d and 2-d maps")
        return self.builder.add(name, "input", (), shape, Grid(0, 0, 0))

    def _quantize(self, node: Node) -> Tensor:
        quantizer, source = quantizer_of(node), node.args[0]
        assert quantizer is not None and isinstance(source, Node) and isinstance(quantizer.spec.format, Int)
        exponents = exponents_of_powers(np.asarray(quantizer.scale.detach().double()))
        if exponents is None or exponents.size != 1:
            raise UnsupportedError("a scale that is no power of two", hint="quantize with :pow2")
        grid, kind = quantized(quantizer.spec.format, int(exponents.item()))
        return self.builder.quantize(self.tensors[source], node.meta["quantizes"], grid, kind)

    def _refuse(self) -> None:
        if not self.problems:
            return
        first = self.problems[0]
        if len(self.problems) == 1:
            raise first
        where: dict[str, list[str]] = {}
        for problem in self.problems:
            where.setdefault(problem.message, []).append(problem.where.removeprefix("layer "))
        lines = "".join(f"\n- {what}: {_some(layers)}" for what, layers in where.items())
        hints = dict.fromkeys(p.hint for p in self.problems if p.hint)
        raise UnsupportedError(
            f"{len(self.problems)} layers cannot be exported to HLS:{lines}",
            where=self.model.network.name,
            hint="; ".join(hints),
        )

    def _plan(self, output: Tensor) -> Plan:
        stages = _needed(self.builder.stages, output.stage)
        plan = Plan(
            self.model.network.name,
            stages,
            tuple(self.workload.input_shapes[0][1:]),
            output.shape,
            tuple(self.builder.notes),
        )
        for stage in stages:
            if len(plan.readers(stage.name)) > MAX_READERS:
                raise UnsupportedError(
                    f"{len(plan.readers(stage.name))} readers of one tensor",
                    where=f"layer {stage.layer}",
                    hint=f"supported: up to {MAX_READERS}",
                )
        return plan


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _needed(stages: dict[str, Stage], output: str) -> tuple[Stage, ...]:
    """Stages that the output depends on, in order."""
    wanted = {output}
    for stage in reversed(stages.values()):
        if stage.name in wanted:
            wanted.update(stage.inputs)
    return tuple(stage for stage in stages.values() if stage.name in wanted)
