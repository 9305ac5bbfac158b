"""From a captured graph to a `Workload`: run it once at batch 1 and read shapes, parameters and products off it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import GraphModule, Interpreter, Node

from hwsim.capture.operators import is_non_negative, kind_of, macs_of, op_name, passes_values
from hwsim.core.errors import UnsupportedError
from hwsim.core.workload import Kind, Layer, Shape, Workload


class _Shapes(Interpreter):
    """Runs a graph and keeps the shape of every tensor."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[Node, Shape] = {}
        self.integral: set[Node] = set()

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
            if not result.is_floating_point():
                self.integral.add(n)
        elif isinstance(result, tuple | list) and result and isinstance(result[0], Tensor):
            self.shapes[n] = tuple(result[0].shape)
        return result


def build_workload(name: str, module: GraphModule, examples: tuple[Tensor, ...]) -> Workload:
    """The workload of a graph whose nodes are named (`meta["layer"]`)."""
    run = _Shapes(module)
    with torch.no_grad():
        run.run(*examples)
    layers: list[Layer] = []
    positive: dict[Node, bool] = {}
    counted: set[Node] = set()  # a parameter with several readers belongs to the first
    fed: set[Node] = set()  # nodes that depend on a network input
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    for node in module.graph.nodes:
        if node.op == "placeholder":
            fed.add(node)
        if node.op not in ("call_function", "call_module") or node not in run.shapes:
            continue
        sources = _data_sources(node)
        if not any(s in fed for s in sources):
            continue  # constants computed from constants: masks, position tables
        fed.add(node)
        sources = [s for s in sources if s in fed or s.op != "get_attr"]
        flags = [positive.get(s, False) for s in sources]
        positive[node] = is_non_negative(node, flags)
        owned = _learned(node, fed) - counted
        counted |= owned
        layers.append(_layer(node, sources, run.shapes, positive[node], owned))
    output = next(node for node in module.graph.nodes if node.op == "output")
    outputs = [n for n in output.all_input_nodes if "layer" in n.meta]
    return Workload(
        name,
        tuple(layers),
        tuple(node.meta["layer"] for node in inputs),
        tuple(run.shapes[node] for node in inputs),
        tuple(n.meta["layer"] for n in outputs),
    )


def _layer(node: Node, sources: list[Node], shapes: dict[Node, Shape], non_negative: bool, owned: set[Node]) -> Layer:
    kind, op = kind_of(node), op_name(node)
    weight = _weight_node(node, kind)
    in_shapes = tuple(shapes[s] for s in sources if s in shapes)
    if kind in ("conv", "linear", "embedding") and weight is None:
        kind = _without_weight(node, kind)
    if kind == "matmul" and len(in_shapes) < 2:
        raise UnsupportedError(
            "a product with a constant that is no right-hand matrix",
            where=f"layer {node.meta['layer']}",
            hint="write it as x @ W with a matrix W, or as nn.Linear",
        )
    weight_shape = shapes[weight] if weight is not None else None
    geometry = _geometry(node, op, kind)
    return Layer(
        name=node.meta["layer"],
        kind=kind,
        op=op,
        inputs=tuple(s.meta["layer"] for s in sources if "layer" in s.meta),
        in_shapes=in_shapes,
        out_shape=shapes[node],
        weight_shape=weight_shape,
        has_bias=weight is not None and len(node.args) > 2 and isinstance(node.args[2], Node),
        macs=macs_of(kind, op, in_shapes, weight_shape, shapes[node]),
        params=sum(_count(shapes[p]) for p in owned),
        value_preserving=passes_values(node),
        non_negative=non_negative,
        **geometry,
    )


def _data_sources(node: Node) -> list[Node]:
    """Inputs that are data: everything but the network's own tensors (a constant operand of a product counts)."""
    arguments: list[Node] = []
    fx.map_arg((node.args, node.kwargs), arguments.append)  # in order, a tensor that is read twice twice
    found = [n for n in arguments if n.op != "get_attr" and "layer" in n.meta]
    if op_name(node) == "embedding":
        found = [n for n in found if n is node.args[1]]
    return found


def _weight_node(node: Node, kind: Kind) -> Node | None:
    if kind not in ("conv", "linear", "embedding"):
        return None
    position = 0 if kind == "embedding" else 1
    candidate = node.args[position]
    return candidate if isinstance(candidate, Node) and candidate.op == "get_attr" else None


def _without_weight(node: Node, kind: Kind) -> Kind:
    if kind == "linear":
        return "matmul"
    raise UnsupportedError(
        f"{op_name(node)} whose weight is computed by the network",
        where=f"layer {node.meta['layer']}",
        hint="dynamic weights are not supported; make the weight a parameter",
    )


def _learned(node: Node, fed: set[Node]) -> set[Node]:
    """Parameters that a node reads, itself or through what is computed from parameters alone (an expanded token).

    Running statistics and other buffers are not learned.
    """
    found: set[Node] = set()
    sources = list(node.args[1:3] if op_name(node) == "batch_norm" else node.all_input_nodes)
    while sources:
        source = sources.pop()
        if not isinstance(source, Node) or source in fed:
            continue
        if source.op == "get_attr" and source.meta.get("parameter", True):
            found.add(source)
        sources += source.all_input_nodes
    return found


def _geometry(node: Node, op: str, kind: Kind) -> dict[str, Any]:
    """kernel, stride, padding, dilation, groups as the operator spells them."""
    if kind not in ("conv", "pool"):
        return {}
    args: dict[str, Any] = {a.name: v for a, v in zip(node.target._schema.arguments, node.args, strict=False)}  # type: ignore[union-attr]
    args |= node.kwargs
    axes = int(op[-2]) if op[-1] == "d" and op[-2].isdigit() else 2

    def each(key: str, default: int) -> tuple[int, ...]:
        value = args.get(key, default)
        values = [value] if isinstance(value, int) else list(value or [default])
        return tuple(int(v) for v in (values * axes if len(values) == 1 else values))

    if kind == "pool":
        if op.startswith("adaptive"):
            return {}
        kernel = each("kernel_size", 1)
        return {
            "kernel": kernel,
            "stride": each("stride", 1) if args.get("stride") else kernel,
            "padding": each("padding", 0),
            "dilation": each("dilation", 1),
        }
    weight = node.args[1].meta.get("val")  # type: ignore[union-attr]
    shape = tuple(weight.shape) if weight is not None else _attribute_shape(node)
    padding = args.get("padding", 0)
    if isinstance(padding, str):
        padding = [
            (k - 1) // 2 * d if padding == "same" else 0 for k, d in zip(shape[2:], each("dilation", 1), strict=True)
        ]
    args["padding"] = padding
    return {
        "kernel": tuple(shape[2:]),
        "stride": each("stride", 1),
        "padding": each("padding", 0),
        "dilation": each("dilation", 1),
        "groups": int(args.get("groups", 1)),
    }


def _attribute_shape(node: Node) -> Shape:
    module = node.graph.owning_module
    return tuple(getattr(module, str(node.args[1].target)).shape)  # type: ignore[union-attr]


def _count(shape: Shape) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
