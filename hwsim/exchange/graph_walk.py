"""Writing a whole fx graph: each node by the translation of its operator, quantizers and weights by the scheme."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from hwsim.capture.operators import op_name
from hwsim.exchange.arithmetic import ARITHMETIC
from hwsim.exchange.layers import LAYERS
from hwsim.exchange.normalisation import NORMALISATION
from hwsim.exchange.observed import Observed
from hwsim.exchange.reductions import REDUCTIONS
from hwsim.exchange.reshaping import RESHAPING
from hwsim.exchange.selection import SELECTION
from hwsim.exchange.translation import Arguments, Handler, Translation, numpy_name, unsupported
from hwsim.exchange.windows import WINDOWS
from hwsim.quant.layers import Quantizer

HANDLERS: dict[str, Handler] = {
    **ARITHMETIC,
    **LAYERS,
    **NORMALISATION,
    **REDUCTIONS,
    **RESHAPING,
    **SELECTION,
    **WINDOWS,
}
_SIZES = {operator.mul: "Mul", operator.add: "Add", operator.sub: "Sub", operator.floordiv: "Div"}


def write_graph(t: Translation) -> tuple[list[Any], list[Any]]:
    """Write every node of `t.model.module`; returns the descriptions of its inputs and outputs.

    Raises
    ------
    UnsupportedError
        Names the first layer whose operator has no translation.
    """
    inputs: list[Any] = []
    outputs: list[Any] = []
    for node in t.model.module.graph.nodes:
        t.writer.scope = str(node.meta.get("layer") or node.meta.get("quantizes") or node.name)
        if node.op == "placeholder":
            name = t.writer.fresh(str(node.target))
            t.names[node] = name
            inputs.append(_described(t, name, t.observed[node]))
        elif node.op == "output":
            outputs = _outputs(t, node)
        elif node.op == "call_module":
            _quantizer(t, node)
        elif node.op == "call_function" and not _is_known(t.observed[node]):
            _operator(t, node)
    return inputs, outputs


def _is_known(fact: Observed) -> bool:
    """Numbers and tensors that no input changes are written where they are read."""
    if fact.parts:
        return all(_is_known(part) for part in fact.parts)
    return fact.value is not None


def _operator(t: Translation, node: Node) -> None:
    a = Arguments(node)
    if node.target is operator.getitem:
        names = t.names[a[0]]
        if isinstance(names, str) and a[1] != 0:
            raise unsupported(a[0], "with a second result")
        t.names[node] = names if isinstance(names, str) else names[a[1]]
        return
    if t.observed[node].shape is None and not t.observed[node].parts:
        t.names[node] = _size(t, a)
        return
    handler = HANDLERS.get(op_name(node))
    if handler is None:
        raise unsupported(node)
    t.names[node] = handler(t, a)
    _note(t, node)


def _size(t: Translation, a: Arguments) -> str:
    """A size that follows the batch, as a list of one number."""
    if op_name(a.node) == "sym_size":
        shape = t.writer.add("Shape", t.tensor(a[0]))
        return t.writer.add("Gather", shape, t.writer.integers(int(a[1])), axis=0)
    if a.node.target in _SIZES:
        return t.writer.add(_SIZES[a.node.target], t.integer(a[0]), t.integer(a[1]))
    raise unsupported(a.node, "on sizes")


def _quantizer(t: Translation, node: Node) -> None:
    quantizer = t.model.module.get_submodule(str(node.target))
    if not isinstance(quantizer, Quantizer):
        raise unsupported(node)
    tensor = str(node.meta.get("quantizes", node.name))
    source = node.args[0]
    t.formats[tensor] = str(quantizer.spec)
    t.names[node] = t.scheme.activation(t, tensor, quantizer, t.tensor(source), t.shape(source))
    _note(t, node)


def _note(t: Translation, node: Node) -> None:
    """Record shape and type of a result, so that inference gets through operators it does not know."""
    fact, names = t.observed[node], t.names[node]
    facts = fact.parts or (fact,)
    for name, part in zip((names,) if isinstance(names, str) else names, facts, strict=False):
        if name and part.shape is not None:
            t.writer.value_info.setdefault(name, _described(t, name, part))


def _described(t: Translation, name: str, fact: Observed) -> Any:
    shape = tuple("batch" if i in fact.batch_axes else s for i, s in enumerate(fact.shape or ()))
    return t.writer.describe(name, numpy_name(fact.dtype or torch.float32), shape)


def _outputs(t: Translation, node: Node) -> list[Any]:
    found = node.args[0]
    described = []
    for i, argument in enumerate(found if isinstance(found, tuple | list) else (found,)):
        if not isinstance(argument, Node):
            raise unsupported(node, "that is not a tensor")
        t.writer.scope = ""
        name = t.writer.node("Identity", [t.tensor(argument)], [t.writer.fresh("output" if i == 0 else f"output_{i}")])
        fact = t.observed[argument]
        if fact.shape is None and isinstance(fact.value, Tensor):
            raise unsupported(node, "that no input changes")
        described.append(_described(t, name[0], fact))
    return described
