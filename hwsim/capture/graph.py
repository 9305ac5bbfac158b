"""Capture: an nn.Module becomes an fx graph of ATen calls whose nodes carry the names of the user's layers.

`torch.export` resolves Python control flow, traces functional calls as well as modules and makes in-place operators
functional, so every room of hwsim works on one plain graph, whatever the network was written as.
"""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._decomp import get_decompositions
from torch.export import Dim, ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torch.fx._lazy_graph_module import _LazyGraphModule

from hwsim.capture.layers import build_workload
from hwsim.capture.naming import name_layers
from hwsim.core.errors import InputError, UnsupportedError
from hwsim.core.workload import Workload
from hwsim.zoo.detection_head import HeadSpec

aten = torch.ops.aten
_DROPPED = frozenset(
    ("_assert_tensor_metadata _assert_scalar _assert_async sym_constrain_range sym_constrain_range_for_size").split()
)
_IDENTITY = frozenset("dropout clone alias detach lift_fresh_copy alpha_dropout feature_dropout contiguous".split())
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


class Network:
    """A captured network in evaluation mode.

    Attributes
    ----------
    name : for tables and keys.
    module : a GraphModule of ATen calls; tensors are its attributes, `node.meta["layer"]` is the layer's name.
    workload : the same network as values.
    examples : the inputs it was captured with, at batch 1.
    fixed_batch : the only batch size it runs at, or None when any will do.
    head : how to read the output where it is a detector's, or None.
    """

    def __init__(
        self,
        name: str,
        module: GraphModule,
        examples: tuple[Tensor, ...],
        fixed_batch: int | None,
        head: HeadSpec | None = None,
    ) -> None:
        self.name = name
        self.module = module
        self.examples = examples
        self.fixed_batch = fixed_batch
        self.head = head
        self.workload: Workload = build_workload(name, module, examples)

    def copy(self) -> Network:
        """A copy with a graph of its own over the same tensors."""
        return Network(self.name, copy_graph(self.module), self.examples, self.fixed_batch, self.head)

    def node(self, layer: str) -> Node:
        """The graph node that produces the tensor of a layer or network input."""
        for node in self.module.graph.nodes:
            if node.meta.get("layer") == layer:
                return node
        raise InputError(f"no layer named {layer!r}", where=self.name)

    def __call__(self, *inputs: Tensor) -> Any:
        return self.module(*inputs)


def copy_graph(module: GraphModule) -> GraphModule:
    """The same nodes, names and metadata over the same tensors and submodules: nodes may be changed freely.

    Code is generated when the copy is first called, not before: most copies are edited and copied again.
    """
    graph = Graph()
    made: dict[Node, Node] = {}
    output = graph.graph_copy(module.graph, made)
    graph.output(output)
    for old, new in made.items():
        new.meta = dict(old.meta)
    tensors = {name: tensor for name, tensor in module.named_buffers() if "." not in name}
    return _LazyGraphModule({**tensors, **dict(module.named_children())}, graph).eval()


def capture(model: nn.Module | ExportedProgram, *examples: Tensor, name: str = "network") -> Network:
    """Capture a network.

    Parameters
    ----------
    model : a module (taken in evaluation mode; the caller's stays as it is) or an exported program.
    examples : one tensor an input, with a batch axis first; values do not matter, only shape and type.

    Raises
    ------
    UnsupportedError
        For data-dependent control flow, recurrent layers and operators without a model.
    """
    _refuse_half(model)
    if isinstance(model, ExportedProgram):
        program, fixed = model, _fixed_batch_of(model)
        examples = examples or _examples_of(model)
    else:
        _refuse_recurrent(model)
        program, fixed = _export(model, examples, name)
    with _silence():
        graph_module = _flatten(program.run_decompositions(_lowered()))
    one = tuple(x[: fixed or 1] for x in examples)
    name_layers(graph_module)
    head = getattr(model, "head_spec", None)
    return Network(name, graph_module, one, fixed, head if isinstance(head, HeadSpec) else None)


def _lowered() -> dict[Any, Any]:
    """Products that other products say: einsum, and products with a term to add."""
    einsum = aten.einsum.default
    sums = (aten.baddbmm.default, aten.addbmm.default, aten.addmm.default, aten.addmv.default)
    composite = torch._C.DispatchKey.CompositeImplicitAutograd
    lowered = {einsum: lambda *args, **kwargs: einsum._op_dk(composite, *args, **kwargs)}
    return {**lowered, **get_decompositions(list(sums))}


def _export(model: nn.Module, examples: tuple[Tensor, ...], name: str) -> tuple[ExportedProgram, int | None]:
    """Export with a free batch size, or at batch 1 where the network fixes it."""
    was_training = {module: module.training for module in model.modules()}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    model.eval()
    pairs = tuple(torch.cat([x[:1], x[:1]]) for x in examples)
    try:
        with torch.no_grad(), _silence():
            model(*(x[:1] for x in examples))  # a plain run first: its error is the clearest
            try:
                free = tuple({0: Dim.DYNAMIC} for _ in examples)
                return torch.export.export(model, pairs, dynamic_shapes=_by_signature(model, free)), None
            except Exception:
                return torch.export.export(model, tuple(x[:1] for x in examples)), 1
    except (InputError, UnsupportedError):
        raise
    except Exception as error:
        raise _export_error(error, name, examples) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module, training in was_training.items():
            module.training = training


@contextmanager
def _silence() -> Iterator[None]:
    """Keep torch.export's warnings and graph dumps off the user's terminal; what fails is told by our own errors."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _by_signature(model: nn.Module, free: tuple[dict[int, Any], ...]) -> Any:
    """Dynamic shapes in the form that a `forward(*args)` signature wants."""
    from inspect import Parameter, signature

    kinds = [p.kind for p in signature(model.forward).parameters.values()]
    return (free,) if kinds and kinds[0] is Parameter.VAR_POSITIONAL else free


def _export_error(error: Exception, name: str, examples: tuple[Tensor, ...]) -> Exception:
    shapes = ", ".join(str(tuple(x.shape)) for x in examples)
    first = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
    module = type(error).__module__ + type(error).__name__
    if any(word in module for word in ("torch._dynamo", "torch.fx", "torch._export", "torch.export")):
        return UnsupportedError(
            f"torch.export cannot capture it: {first}",
            where=name,
            hint="data-dependent control flow and calls out of torch cannot be captured; trace around them",
        )
    return InputError(
        f"it does not run on inputs of shape {shapes}: {first}",
        where=name,
        hint="check --input-shape; rows (N, H, W) of a file count as images 1,1,H,W unless it is 1,H,W",
    )


def _refuse_recurrent(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if isinstance(module, _RECURRENT):
            raise UnsupportedError(
                f"recurrent layer {type(module).__name__}",
                where=f"layer {path or type(module).__name__}",
                hint="supported compute layers: convolutions, linear, embedding, attention",
            )


def _refuse_half(model: nn.Module | ExportedProgram) -> None:
    state = model.state_dict if isinstance(model, ExportedProgram) else model.state_dict()
    for path, tensor in state.items():
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise UnsupportedError(
                f"weights in {str(tensor.dtype).removeprefix('torch.')}",
                where=f"parameter {path}",
                hint="call .float() on the model: quantization starts from float32",
            )


def _flatten(program: ExportedProgram) -> GraphModule:
    """The program as a GraphModule: parameters, buffers and constants are attributes, housekeeping nodes are gone."""
    signature = program.graph_signature
    lifted: dict[str, str] = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    tensors = {**dict(program.named_parameters()), **dict(program.named_buffers()), **program.constants}
    root, graph, made = nn.Module(), Graph(), {}
    by_target: dict[str, str] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in lifted:
            if not node.users:
                continue
            path = lifted[node.name]
            if path not in by_target:
                by_target[path] = _attach(root, path, tensors[path])
            made[node] = graph.get_attr(by_target[path])
            made[node].meta.update(path=path, parameter=node.name in signature.inputs_to_parameters)
        elif node.op == "output":
            outputs = [made[arg] for arg in node.args[0]]
            graph.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
        elif node.op == "call_function" and _short_name(node) in _DROPPED:
            continue
        elif node.op == "call_function" and _short_name(node) in _IDENTITY:
            made[node] = made[node.args[0]]
        elif copied := _normalised(graph, node, made):
            made[node] = copied
        else:
            made[node] = graph.node_copy(node, lambda n: made[n])
    graph.eliminate_dead_code()
    module = GraphModule(root, graph)
    _fold_constants(module)
    _products_to_linear(module)
    module.graph.lint()
    module.recompile()
    return module.eval().requires_grad_(False)


def _fold_constants(module: GraphModule) -> None:
    """Compute what depends on the network's own tensors alone: slices of a packed weight, reshaped tables."""
    values: dict[Node, Any] = {}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            values[node] = getattr(module, str(node.target))
        elif node.op == "call_function" and node.all_input_nodes and all(n in values for n in node.all_input_nodes):
            with torch.no_grad():
                values[node] = node.target(*fx.map_arg(node.args, values.get), **fx.map_arg(node.kwargs, values.get))
            if isinstance(values[node], Tensor):
                _replace_by_constant(module, node, values[node])
    module.graph.eliminate_dead_code()
    used = {str(n.target) for n in module.graph.nodes if n.op == "get_attr"}
    for name in [name for name, _ in module.named_buffers() if name not in used]:
        delattr(module, name)


def _products_to_linear(module: GraphModule) -> None:
    """`x @ W` with a constant matrix W is a linear layer, however it was written."""
    for node in list(module.graph.nodes):
        if node.op != "call_function" or _short_name(node) not in ("matmul", "mm", "bmm"):
            continue
        left, right = node.args[:2]
        if not isinstance(right, Node) or right.op != "get_attr" or left.op == "get_attr":
            continue
        matrix = getattr(module, str(right.target))
        if matrix.dim() < 2 or matrix.numel() != matrix.shape[-1] * matrix.shape[-2]:
            continue
        weight = matrix.reshape(matrix.shape[-2:]).t().contiguous()
        with module.graph.inserting_before(node):
            constant = module.graph.get_attr(_attach(module, f"{right.target}_t", weight))
            linear = module.graph.call_function(aten.linear.default, (left, constant))
        constant.meta = {**right.meta, "val": weight.to("meta")}
        linear.meta = dict(node.meta)
        node.replace_all_uses_with(linear)
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()


def _replace_by_constant(module: GraphModule, node: Node, value: Tensor) -> None:
    source = node
    while source.op != "get_attr":
        source = source.all_input_nodes[0]
    with module.graph.inserting_before(node):
        constant = module.graph.get_attr(_attach(module, f"{source.target}_{node.name}", value.contiguous()))
    constant.meta = {**source.meta, "val": value.to("meta")}
    users = [user for user in node.users if any(n not in (node,) and n.op != "get_attr" for n in user.all_input_nodes)]
    for user in users:  # readers that are constants themselves are folded in their turn
        user.replace_input_with(node, constant)


def _normalised(graph: Graph, node: Node, made: dict[Node, Node]) -> Node | None:
    """Operators with several results, of which networks use the first, become their one-result forms."""
    name = _short_name(node)
    if name == "_native_batch_norm_legit_no_training":
        x, weight, bias, mean, var, momentum, eps = fx.map_arg(node.args, lambda n: made[n])
        new = graph.call_function(aten.batch_norm.default, (x, weight, bias, mean, var, False, momentum, eps, False))
    elif name == "native_layer_norm":
        new = graph.call_function(aten.layer_norm.default, fx.map_arg(node.args, lambda n: made[n]))
    elif name in ("view", "_unsafe_view"):  # a quantizer in between may lay its output out differently
        new = graph.call_function(aten.reshape.default, fx.map_arg(node.args, lambda n: made[n]))
    elif name.endswith("_with_indices") and name.startswith("max_pool"):
        target = getattr(aten, name.removesuffix("_with_indices")).default
        new = graph.call_function(target, fx.map_arg(node.args, lambda n: made[n]))
    elif node.target is operator.getitem and _single_result(node.args[0]) and node.args[1] == 0:
        source = node.args[0]
        assert isinstance(source, Node)
        return made[source]
    else:
        return None
    new.meta = dict(node.meta)
    return new


def _single_result(node: Any) -> bool:
    name = _short_name(node)
    return name in ("_native_batch_norm_legit_no_training", "native_layer_norm") or name.endswith("_with_indices")


def _short_name(node: Node) -> str:
    packet = getattr(node.target, "overloadpacket", None)
    return packet.__name__ if packet is not None else getattr(node.target, "__name__", "")


def _attach(root: nn.Module, path: str, tensor: Tensor) -> str:
    name = path.replace(".", "_")
    while hasattr(root, name):
        name += "_"
    root.register_buffer(name, tensor.detach().clone())
    return name


def _examples_of(program: ExportedProgram) -> tuple[Tensor, ...]:
    if program.example_inputs is None:
        raise InputError("the program carries no example inputs", where="model", hint="give --input-shape")
    return tuple(program.example_inputs[0])


def _fixed_batch_of(program: ExportedProgram) -> int | None:
    lifted = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in lifted and isinstance(node.meta["val"], Tensor):
            size = node.meta["val"].shape[0]
            return int(size) if isinstance(size, int) else None
    return None
