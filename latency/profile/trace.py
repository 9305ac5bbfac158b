"""The kernels that an eager network launches, read off a run on meta tensors: no weights, no arithmetic, no device.

`hwsim.capture` makes a graph that can be rewritten, which takes seconds a network; this takes a fraction of one and
serves where only the kernels are wanted: thousands of published networks. `kernels(workload, "eager")` gives the same
list for a captured network (a test compares them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hwsim.latency.shapes import KernelShape, OperatorClass, conv_class, matmul, memory

_ATTENTION = "scaled_dot_product_attention"
_FREE = frozenset({"_unsafe_view", "_reshape_alias", "detach", "empty", "empty_strided", "empty_like", "lift_fresh"})


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel of a trace: the operator's name without `aten.`, and its shape at batch 1."""

    operator: str
    shape: KernelShape


def trace(make: Callable[[], nn.Module], input_shape: Sequence[int]) -> tuple[Launch, ...]:
    """The launches of a network in evaluation mode, in order.

    Parameters
    ----------
    make : returns the module; called with the meta device as torch's default, so that it holds no data.
    input_shape : with a batch axis of 1 first.

    Raises
    ------
    Whatever the module raises on meta tensors (data-dependent control flow, say).
    """
    with torch.device("meta"), torch.no_grad():
        module = make().eval()
        x = torch.empty(tuple(input_shape))
        recorder = _Recorder([*module.parameters(), *module.buffers()])
        with recorder, _Attention(recorder):
            module(x)
    return tuple(recorder.made)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator that computes or copies; views are free."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: list[Launch] = []
        self.paused = False
        self._kept: list[Tensor] = list(weights)  # a reference each: an id is good as long as its tensor lives
        self._weights = {id(tensor) for tensor in weights}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.paused:
            return result
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if _is_view(func):
            if tensors and id(tensors[0]) in self._weights:
                self._mark(result)
            return result
        acts = [t for t in tensors if id(t) not in self._weights]
        if not acts:  # arithmetic on weights alone: done again at every run, as eager frameworks do
            self._mark(result)
        name = func.overloadpacket.__name__
        weight = sum(t.numel() for t in tensors if id(t) in self._weights)
        shape = _shape(name, args, acts, weight, _written(result))
        if shape is not None:
            self.made.append(Launch(name, shape))
        return result

    def attention(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Both products of an attention as one launch, which is what fused kernels make of it."""
        count, rows = prod(query.shape[:-2]), query.shape[-2]
        cols, depth = key.shape[-2], query.shape[-1] + value.shape[-1]
        shape = matmul(count, rows, cols, depth)
        read, written = query.numel() + key.numel() + value.numel(), count * rows * value.shape[-1]
        fused = (shape.count, rows, cols, depth, 1, 1, 1, 1, 1, read, written, 0)
        self.made.append(Launch(_ATTENTION, KernelShape("matmul", *fused)))

    def _mark(self, result: Any) -> None:
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._kept.append(tensor)
                self._weights.add(id(tensor))


class _Attention(TorchFunctionMode):
    """Notes an attention by its call, and hides the operators it falls into on meta tensors."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") != _ATTENTION or self._recorder.paused:
            return func(*args, **(kwargs or {}))
        self._recorder.attention(*_operands(args, kwargs or {}))
        self._recorder.paused = True
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self._recorder.paused = False


def _operands(args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    for i, name in enumerate(("query", "key", "value")):
        yield args[i] if i < len(args) else kwargs[name]


def _is_view(func: Any) -> bool:
    if func.overloadpacket.__name__ in _FREE:
        return True
    returns = func._schema.returns
    return any(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _written(result: Any) -> list[Tensor]:
    return [t for t in tree_leaves(result) if isinstance(t, Tensor)]


def _shape(name: str, args: Any, acts: list[Tensor], weight: int, written: list[Tensor]) -> KernelShape | None:
    if name == "convolution":
        return _convolution(args, written[0])
    if name in ("addmm", "mm", "bmm", "baddbmm"):
        return _product(name, args, acts, weight, written[0])
    main = max((t.numel() for t in written), default=0)  # the rest: statistics and indices that inference drops
    read = sum(t.numel() for t in acts)
    if name in ("copy_", "fill_", "zero_"):
        read = acts[-1].numel() if name == "copy_" and acts else 0
    if name == "embedding":
        return memory(main, main)
    return memory(read, main) if read + main else None


def _convolution(args: Any, out: Tensor) -> KernelShape:
    x, weight, bias, stride, _, dilation, transposed, _, groups = args
    taps = tuple(weight.shape[2:])
    plane = out if not transposed else x
    channels = (x.shape[1], out.shape[1]) if not transposed else (out.shape[1], x.shape[1])
    out_h, out_w = (*plane.shape[2:], 1)[:2]
    kind = conv_class(channels[0], groups, taps, max(stride), transposed or any(d != 1 for d in dilation))
    kernel_h, kernel_w = (*taps, 1)[:2] if len(taps) < 3 else (prod(taps[:-1]), taps[-1])
    rows = prod(plane.shape[2:]) * plane.shape[0]
    bias_elements = bias.numel() if bias is not None else 0
    return KernelShape(
        kind, groups, rows, channels[1] // groups, channels[0] // groups * prod(taps), out_h, out_w, kernel_h, kernel_w,
        max(stride), x.numel(), out.numel(), weight.numel() + bias_elements,
    )  # fmt: skip


def _product(name: str, args: Any, acts: list[Tensor], weight: int, out: Tensor) -> KernelShape:
    left, right = args[-2:] if name in ("mm", "bmm") else args[1:3]
    depth, cols = left.shape[-1], right.shape[-1]
    count = left.shape[0] if left.dim() == 3 else 1
    read = sum(t.numel() for t in acts)
    kind: OperatorClass = "linear" if weight else "matmul"
    rows = left.shape[-2]
    return KernelShape(kind, count, rows, cols, depth, 1, 1, 1, 1, 1, read, out.numel(), weight)
