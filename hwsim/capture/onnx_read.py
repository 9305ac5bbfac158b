"""Reading an ONNX file into plain values; the only place that needs the `onnx` package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.capture.onnx_values import Host, OnnxNode, from_onnx_array
from hwsim.core.errors import InputError, MissingToolError, UnsupportedError

InputShape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """The main graph of a file.

    Attributes
    ----------
    nodes : in order of execution; their names are unique.
    domains : operator domain of each node, by node name.
    initializers : constants by name.
    input_names, input_shapes : of the data inputs; None for axes of any size.
    ranks : number of axes of each value where shape inference finds it.
    """

    path: str
    nodes: tuple[OnnxNode, ...]
    domains: dict[str, str]
    initializers: dict[str, Host]
    input_names: tuple[str, ...]
    input_shapes: tuple[InputShape, ...]
    output_names: tuple[str, ...]
    ranks: dict[str, int]


def read_graph(path: Path) -> OnnxGraph:
    """Read a file.

    Raises
    ------
    InputError
        Missing or damaged.
    UnsupportedError
        Sparse constants.
    MissingToolError
        The `onnx` package is not installed.
    """
    where = str(path)
    try:
        import onnx
        from onnx import inliner, numpy_helper
    except ImportError as error:
        raise MissingToolError(
            "the onnx package is not installed", where=where, hint="pip install hwsim[onnx]"
        ) from error
    if not path.is_file():
        raise InputError("no such file", where=where, hint="an .onnx file")
    try:
        model = onnx.load(path)
    except Exception as error:
        raise InputError(f"not a readable ONNX file: {type(error).__name__}", where=where, hint=_next(error)) from error
    if not model.graph.node or not model.graph.output:
        raise InputError("a graph without nodes or outputs", where=where, hint="export the model again")
    if model.functions:
        model = inliner.inline_local_functions(model)
    if model.graph.sparse_initializer:
        raise UnsupportedError("sparse constants", where=where, hint="store them densely")
    initializers = {i.name: from_onnx_array(numpy_helper.to_array(i)) for i in model.graph.initializer}
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    nodes, domains = _nodes(model.graph, opset)
    inputs = [i for i in model.graph.input if i.name not in initializers]
    return OnnxGraph(
        where,
        nodes,
        domains,
        initializers,
        tuple(i.name for i in inputs),
        tuple(_shape(i) for i in inputs),
        tuple(o.name for o in model.graph.output),
        _ranks(model),
    )


def _next(error: Exception) -> str:
    if "external" in str(error).lower() or isinstance(error, FileNotFoundError):
        return "its weights lie in a second file, which must stand beside it"
    return "export it again; onnx.checker tells more"


def _nodes(graph: Any, opset: int) -> tuple[tuple[OnnxNode, ...], dict[str, str]]:
    from onnx import helper, numpy_helper

    types = {i.name: i.data_type for i in graph.initializer}
    types |= {n.output[0]: n.attribute[0].t.data_type for n in graph.node if n.op_type == "Constant"}
    nodes: list[OnnxNode] = []
    domains: dict[str, str] = {}
    for raw in graph.node:
        attributes: dict[str, Any] = {}
        for attribute in raw.attribute:
            value = helper.get_attribute_value(attribute)
            if type(value).__name__ == "TensorProto":
                value = numpy_helper.to_array(value)
            attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
        if raw.op_type == "QuantizeLinear" and len(raw.input) > 2:
            attributes["zero_point_type"] = types.get(raw.input[2], 2)
        name = raw.name or f"{raw.op_type}_{raw.output[0] if raw.output else len(nodes)}"
        while name in domains:
            name += "_"
        domains[name] = raw.domain
        nodes.append(OnnxNode(raw.op_type, name, tuple(raw.input), tuple(raw.output), attributes, opset))
    return tuple(nodes), domains


def _shape(value: Any) -> InputShape:
    tensor = value.type.tensor_type
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim)


def _ranks(model: Any) -> dict[str, int]:
    from onnx import shape_inference

    try:
        graph = shape_inference.infer_shapes(model).graph
    except Exception:  # above 2 GB, or operators of other domains: layers that need a rank fall back on tensor calls
        graph = model.graph
    values = [*graph.input, *graph.value_info, *graph.output]
    return {v.name: len(v.type.tensor_type.shape.dim) for v in values if v.type.tensor_type.HasField("shape")}
