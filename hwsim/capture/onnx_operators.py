"""The table of all ONNX operators that can be imported."""

from __future__ import annotations

from collections import Counter

from hwsim.capture.onnx_arithmetic import ARITHMETIC
from hwsim.capture.onnx_layers import LAYERS, Build
from hwsim.capture.onnx_quantizers import QONNX, QONNX_DOMAINS, QUANTIZERS
from hwsim.capture.onnx_read import OnnxGraph
from hwsim.capture.onnx_shapes import SHAPES
from hwsim.capture.onnx_values import OnnxNode, Operator
from hwsim.capture.onnx_windows import WINDOWS
from hwsim.core.errors import UnsupportedError

OPERATORS: dict[str, Operator] = {**ARITHMETIC, **SHAPES, **WINDOWS, **QUANTIZERS, **QONNX}
_REDUCTIONS = [name for name in ARITHMETIC if name.startswith("Reduce")]
HOST_INPUTS: dict[str, tuple[int, ...]] = {  # inputs that are shapes, axes, bounds: never tensors
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Squeeze", "Unsqueeze", "Split", "CumSum", "Trilu"), (1,)),
    **dict.fromkeys(_REDUCTIONS, (1,)),
    **dict.fromkeys(("Pad", "Resize"), (1, 2, 3)),
    "Upsample": (1,),
    "Slice": (1, 2, 3, 4),
    "ConstantOfShape": (0,),
    "Range": (0, 1, 2),
    "Clip": (1, 2),
    "Dropout": (1, 2),
    "Quant": (3,),
    "IntQuant": (3,),
    "FloatQuant": (2, 3, 4, 5),
}
SCALAR_INPUTS = frozenset(  # a constant of one element stays a number
    "Add Sub Mul Div Pow Min Max Sum Mean Equal Greater GreaterOrEqual Less LessOrEqual Where Sqrt Cast".split()
)


def builder_of(node: OnnxNode) -> Build | None:
    """What makes a torch layer of the node, where one may fit."""
    return LAYERS.get(node.op)


def operator_of(node: OnnxNode) -> Operator:
    """What computes the node as plain tensor calls.

    Raises
    ------
    UnsupportedError
        The operator exists only as a layer, and no layer fits this use of it.
    """
    if node.op not in OPERATORS:
        raise node.unsupported("this combination of inputs and attributes")
    return OPERATORS[node.op]


def check_supported(graph: OnnxGraph) -> None:
    """Refuse a graph that holds unknown operators, before anything is computed.

    Raises
    ------
    UnsupportedError
        Names the first operator and its node, and counts all of them.
    """
    unknown = [node for node in graph.nodes if not _is_known(node, graph.domains[node.name])]
    if not unknown:
        return
    counts = Counter(node.op for node in unknown)
    listed = ", ".join(f"{op} x{count}" for op, count in counts.most_common())
    raise UnsupportedError(
        f"operator {unknown[0].op} has no counterpart; {len(unknown)} of {len(graph.nodes)} nodes are unsupported: "
        + listed,
        where=f"{graph.path}, node {unknown[0].name!r}",
        hint="simplify the graph (onnxsim), export it with other settings, or give the PyTorch model",
    )


def _is_known(node: OnnxNode, domain: str) -> bool:
    if domain in QONNX_DOMAINS:
        return node.op in QONNX
    return domain in ("", "ai.onnx") and (node.op in OPERATORS or node.op in LAYERS) and node.op not in QONNX
