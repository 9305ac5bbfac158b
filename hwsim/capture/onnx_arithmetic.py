"""ONNX operators that compute element by element or reduce: arithmetic, comparison, reductions, products."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hwsim.capture.onnx_values import OnnxNode, Operator, Value, ints, is_host, operand, settle, tensor


def _unary(on_tensor: Callable[[Tensor], Tensor], on_host: Callable[[Any], Any] | None = None) -> Operator:
    def run(node: OnnxNode, x: Value) -> Value:
        if on_host and isinstance(x, np.ndarray) and x.dtype != object:
            return settle(on_host(x))
        return on_tensor(tensor(x))

    return run


def _binary(on_tensor: Callable[[Any, Any], Tensor], on_host: Callable[[Any, Any], Any] | None = None) -> Operator:
    def run(node: OnnxNode, a: Value, b: Value) -> Value:
        if is_host(a, b):
            return settle((on_host or on_tensor)(a, b))
        return on_tensor(operand(a, b), operand(b, a))

    return run


def _variadic(pair: Operator) -> Operator:
    def run(node: OnnxNode, *values: Value) -> Value:
        return reduce(lambda a, b: pair(node, a, b), values)

    return run


def _divide(a: Any, b: Any) -> Any:
    """Whole numbers divide towards zero."""
    whole = not isinstance(a, float) and not isinstance(b, float)
    if whole and not any(isinstance(v, Tensor) and v.is_floating_point() for v in (a, b)):
        return torch.div(a, b, rounding_mode="trunc") if isinstance(a, Tensor) else torch.trunc(a / b).to(b.dtype)
    return a / b


def _divide_host(a: Any, b: Any) -> Any:
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))
    return a // b if a.dtype == object or b.dtype == object else a / b


def _extreme(both: Callable[[Tensor, Tensor], Tensor], bound: str) -> Callable[[Any, Any], Tensor]:
    def run(a: Any, b: Any) -> Tensor:
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return both(a, b)
        x, limit = (a, b) if isinstance(a, Tensor) else (b, a)
        return torch.clamp(x, **{bound: limit})

    return run


def _power(a: Any, b: Any) -> Tensor:
    found: Tensor = operator.pow(a, b)
    return found.to(a.dtype) if isinstance(a, Tensor) else found


def _modulo(node: OnnxNode, a: Value, b: Value) -> Value:
    if is_host(a, b):
        return settle(np.fmod(a, b) if node.get("fmod", 0) else np.mod(a, b))
    x, y = tensor(a), tensor(b)
    return torch.fmod(x, y) if node.get("fmod", 0) else torch.remainder(x, y)


def _mean_of(node: OnnxNode, *values: Value) -> Value:
    total: Value = _variadic(_binary(operator.add))(node, *values)
    return total / len(values)


def _where(node: OnnxNode, condition: Value, a: Value, b: Value) -> Value:
    if is_host(condition, a, b):
        return settle(np.where(condition, a, b))
    return torch.where(tensor(condition), operand(a, tensor(condition)), operand(b, tensor(condition)))


def _reduce(on_tensor: Callable[..., Tensor], on_host: Callable[..., Any] | None = None) -> Operator:
    """Reductions take their axes as an attribute up to opset 17 (ReduceSum: 12) and as an input after that."""

    def run(node: OnnxNode, x: Value, axes: Value | None = None) -> Value:
        wanted = node.get("axes") if axes is None else ints(node, axes, "axes")
        if not wanted and node.get("noop_with_empty_axes", 0):
            return x
        dims = list(wanted) if wanted else list(range(x.ndim))
        keep = bool(node.get("keepdims", 1))
        if on_host and isinstance(x, np.ndarray):
            return settle(on_host(x, axis=tuple(dims), keepdims=keep))
        return on_tensor(tensor(x), dims, keep) if dims else tensor(x)

    return run


def _product(x: Tensor, dims: list[int], keep: bool) -> Tensor:
    for dim in sorted((d % x.ndim for d in dims), reverse=True):
        x = x.prod(dim, keepdim=keep)
    return x


def _arg(function: Callable[..., Tensor]) -> Operator:
    def run(node: OnnxNode, x: Value) -> Tensor:
        if node.get("select_last_index", 0):
            raise node.unsupported("select_last_index")
        return function(tensor(x), dim=node.get("axis", 0), keepdim=bool(node.get("keepdims", 1)))

    return run


def _clip(node: OnnxNode, x: Value, low: Value | None = None, high: Value | None = None) -> Tensor:
    data = tensor(x)
    low = low if low is not None else _attribute(node, "min")
    high = high if high is not None else _attribute(node, "max")
    bounds = [None if v is None else operand(v, data) for v in (low, high)]
    if isinstance(bounds[0], Tensor) or isinstance(bounds[1], Tensor):
        bounds = [v if v is None or isinstance(v, Tensor) else torch.full_like(data, v) for v in bounds]
    return torch.clamp(data, *bounds)


def _prelu(node: OnnxNode, x: Value, slope: Value) -> Tensor:
    data = tensor(x)
    return torch.where(data >= 0, data, data * tensor(slope))


def _attribute(node: OnnxNode, key: str) -> Any:
    return None if node.get(key) is None else np.asarray(node.get(key))


def _matmul(node: OnnxNode, a: Value, b: Value) -> Tensor:
    return torch.matmul(tensor(a), tensor(b))


def _gemm(node: OnnxNode, a: Value, b: Value, c: Value | None = None) -> Tensor:
    x, y = tensor(a), tensor(b)
    x, y = (x.t() if node.get("transA", 0) else x), (y.t() if node.get("transB", 0) else y)
    product = torch.matmul(x, y)
    if node.get("alpha", 1.0) != 1.0:
        product = product * node.get("alpha")
    if c is None:
        return product
    return product + (tensor(c) if node.get("beta", 1.0) == 1.0 else tensor(c) * node.get("beta"))


def _einsum(node: OnnxNode, *values: Value) -> Tensor:
    return torch.einsum(node.get("equation"), *[tensor(v) for v in values])


def _cumsum(node: OnnxNode, x: Value, axis: Value) -> Tensor:
    if node.get("exclusive", 0) or node.get("reverse", 0):
        raise node.unsupported("exclusive or reverse")
    return torch.cumsum(tensor(x), ints(node, axis, "axis")[0])


def _attention(node: OnnxNode, q: Value, k: Value, v: Value, mask: Value | None = None, *rest: Value | None) -> Tensor:
    """Opset 23: (batch, heads, tokens, width), or (batch, tokens, heads x width) with the head counts as attributes."""
    if any(r is not None for r in rest) or len([o for o in node.outputs if o]) > 1 or node.get("softcap", 0.0):
        raise node.unsupported("a key-value cache, a soft cap or score outputs")
    query, key, value = (tensor(t) for t in (q, k, v))
    flat = query.ndim == 3
    if flat:
        heads = (node.get("q_num_heads"), node.get("kv_num_heads"), node.get("kv_num_heads"))
        query, key, value = (
            t.unflatten(-1, (h, -1)).transpose(1, 2) for t, h in zip((query, key, value), heads, strict=True)
        )
    y = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if mask is None else tensor(mask),
        is_causal=bool(node.get("is_causal", 0)),
        scale=node.get("scale"),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return y.transpose(1, 2).flatten(2) if flat else y


_ADD, _MUL = _binary(operator.add), _binary(operator.mul)
_MIN = _binary(_extreme(torch.minimum, "max"), np.minimum)
_MAX = _binary(_extreme(torch.maximum, "min"), np.maximum)
ARITHMETIC: dict[str, Operator] = {
    "Add": _ADD,
    "Sub": _binary(operator.sub),
    "Mul": _MUL,
    "Div": _binary(_divide, _divide_host),
    "Pow": _binary(_power, np.power),
    "Mod": _modulo,
    "Sum": _variadic(_ADD),
    "Mean": _mean_of,
    "Min": _variadic(_MIN),
    "Max": _variadic(_MAX),
    "Equal": _binary(operator.eq),
    "Greater": _binary(operator.gt),
    "GreaterOrEqual": _binary(operator.ge),
    "Less": _binary(operator.lt),
    "LessOrEqual": _binary(operator.le),
    "And": _binary(torch.logical_and, np.logical_and),
    "Or": _binary(torch.logical_or, np.logical_or),
    "Xor": _binary(torch.logical_xor, np.logical_xor),
    "Not": _unary(torch.logical_not, np.logical_not),
    "Where": _where,
    "Abs": _unary(torch.abs, np.abs),
    "Neg": _unary(torch.neg, np.negative),
    "Sign": _unary(torch.sign, np.sign),
    "Sqrt": _unary(torch.sqrt, np.sqrt),
    "Reciprocal": _unary(torch.reciprocal, np.reciprocal),
    "Exp": _unary(torch.exp, np.exp),
    "Log": _unary(torch.log, np.log),
    "Erf": _unary(torch.erf),
    "Sin": _unary(torch.sin, np.sin),
    "Cos": _unary(torch.cos, np.cos),
    "Floor": _unary(torch.floor, np.floor),
    "Ceil": _unary(torch.ceil, np.ceil),
    "Round": _unary(torch.round, np.rint),
    "IsNaN": _unary(torch.isnan),
    "ReduceMean": _reduce(lambda x, dims, keep: x.mean(dims, keepdim=keep)),
    "ReduceSum": _reduce(lambda x, dims, keep: x.sum(dims, keepdim=keep), np.sum),
    "ReduceMax": _reduce(lambda x, dims, keep: x.amax(dims, keepdim=keep), np.max),
    "ReduceMin": _reduce(lambda x, dims, keep: x.amin(dims, keepdim=keep), np.min),
    "ReduceProd": _reduce(_product, np.prod),
    "ReduceL1": _reduce(lambda x, dims, keep: x.abs().sum(dims, keepdim=keep)),
    "ReduceL2": _reduce(lambda x, dims, keep: (x * x).sum(dims, keepdim=keep).sqrt()),
    "ReduceSumSquare": _reduce(lambda x, dims, keep: (x * x).sum(dims, keepdim=keep)),
    "ReduceLogSumExp": _reduce(lambda x, dims, keep: x.logsumexp(dims, keepdim=keep)),
    "ArgMax": _arg(torch.argmax),
    "ArgMin": _arg(torch.argmin),
    "CumSum": _cumsum,
    "Clip": _clip,
    "PRelu": _prelu,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
}
