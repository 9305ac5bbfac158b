"""ONNX operators that move, select, create or retype elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwsim.capture.onnx_values import (
    HOST_LIMIT,
    TORCH_TYPES,
    Host,
    OnnxNode,
    Operator,
    Value,
    from_onnx_array,
    ints,
    is_host,
    settle,
    sizes,
    tensor,
)


def _reshape(node: OnnxNode, x: Value, shape: Value | None = None) -> Value:
    wanted = node.get("shape") if shape is None else ints(node, shape, "shape")
    copied = not node.get("allowzero", 0)
    target = [x.shape[i] if copied and isinstance(s, int) and s == 0 else s for i, s in enumerate(wanted)]
    return x.reshape(target)


def _flatten(node: OnnxNode, x: Value) -> Value:
    axis = node.get("axis", 1)
    data = tensor(x)
    axis = axis + data.ndim if axis < 0 else axis
    if axis == 0:
        return data.reshape(1, -1)
    return data.flatten(axis).flatten(0, axis - 1) if axis < data.ndim else data.reshape(-1, 1)


def _transpose(node: OnnxNode, x: Value) -> Value:
    order = node.get("perm") or list(range(x.ndim))[::-1]
    return x.transpose(order) if isinstance(x, np.ndarray) else x.permute(order)


def _squeeze(node: OnnxNode, x: Value, axes: Value | None = None) -> Value:
    wanted = node.get("axes") if axes is None else ints(node, axes, "axes")
    dims = [d % x.ndim for d in wanted] if wanted else [i for i, s in enumerate(x.shape) if s == 1]
    return settle(np.squeeze(x, tuple(dims))) if isinstance(x, np.ndarray) else x.squeeze(dims)


def _unsqueeze(node: OnnxNode, x: Value, axes: Value | None = None) -> Value:
    wanted = node.get("axes") if axes is None else ints(node, axes, "axes")
    rank = x.ndim + len(wanted)
    dims = sorted(d % rank for d in wanted)
    if isinstance(x, np.ndarray):
        return np.expand_dims(x, tuple(dims))
    for dim in dims:
        x = x.unsqueeze(dim)
    return x


def _slice(node: OnnxNode, x: Value, *bounds: Value | None) -> Value:
    names = ("starts", "ends", "axes", "steps")
    given = [node.get(key) if node.opset < 10 else None for key in names]
    for i, bound in enumerate(bounds):
        given[i] = None if bound is None else ints(node, bound, names[i])
    starts, ends = given[0] or [], given[1] or []
    axes = given[2] if given[2] is not None else range(len(starts))
    steps = given[3] if given[3] is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        before = (slice(None),) * (axis % x.ndim)
        if step > 0 or isinstance(x, np.ndarray):
            x = x[(*before, slice(start, None if step < 0 and end < -x.shape[axis] else end, step))]
        else:
            rows = range(x.shape[axis])[start : None if end < -x.shape[axis] else end : step]
            x = x.index_select(axis, torch.tensor(list(rows), dtype=torch.int64))
    return settle(x) if isinstance(x, np.ndarray) else x


def _split(node: OnnxNode, x: Value, lengths: Value | None = None) -> tuple[Value, ...]:
    axis, data = node.get("axis", 0), tensor(x)
    given = node.get("split") if lengths is None else ints(node, lengths, "lengths")
    if given is None:
        parts = node.get("num_outputs") or len(node.outputs)
        given = -(-data.shape[axis] // parts)
    return tuple(torch.split(data, given, axis))


def _concat(node: OnnxNode, *values: Value) -> Value:
    if is_host(*values):
        return settle(np.concatenate(values, node.get("axis")))
    return torch.cat([tensor(v) for v in values], node.get("axis"))


def _gather(node: OnnxNode, x: Value, indices: Value) -> Value:
    axis = node.get("axis", 0)
    if is_host(x, indices):
        return settle(np.take(x, indices, axis=axis))
    data = tensor(x)
    axis = axis % data.ndim
    if isinstance(indices, np.ndarray) and indices.ndim == 0:
        return data.select(axis, indices.item())
    return data[(slice(None),) * axis + (tensor(indices, data).long(),)]


def _gather_elements(node: OnnxNode, x: Value, indices: Value) -> Value:
    data, axis = tensor(x), node.get("axis", 0)
    where = tensor(indices, data).long()
    return torch.gather(data, axis, torch.where(where < 0, where + data.shape[axis], where))


def _shape(node: OnnxNode, x: Value) -> Host:
    return sizes(tuple(x.shape)[node.get("start", 0) : node.get("end")])


def _size(node: OnnxNode, x: Value) -> Host:
    return settle(np.prod(sizes(tuple(x.shape))))


def _expand(node: OnnxNode, x: Value, shape: Value) -> Value:
    wanted = ints(node, shape, "shape")
    if isinstance(x, np.ndarray) and all(isinstance(s, int) for s in wanted):
        full = np.broadcast_shapes(x.shape, tuple(wanted))
        if np.prod(full) <= HOST_LIMIT:
            return np.broadcast_to(x, full)
    data = tensor(x)
    rank = max(data.ndim, len(wanted))
    have = [1] * (rank - data.ndim) + list(data.shape)
    want = [1] * (rank - len(wanted)) + wanted
    return data.expand([w if h == 1 else h for h, w in zip(have, want, strict=True)])


def _tile(node: OnnxNode, x: Value, repeats: Value) -> Value:
    counts = ints(node, repeats, "repeats")
    return settle(np.tile(x, counts)) if isinstance(x, np.ndarray) else x.repeat(counts)


def _cast(node: OnnxNode, x: Value) -> Value:
    kind = node.get("to")
    if kind not in TORCH_TYPES:
        raise node.unsupported(f"to data type {kind}")
    if isinstance(x, np.ndarray):
        if x.dtype == object:
            return x
        if kind != 16:  # numpy has no bfloat16
            return x.astype(str(TORCH_TYPES[kind]).removeprefix("torch."))
    return tensor(x).to(TORCH_TYPES[kind])


def _cast_like(node: OnnxNode, x: Value, like: Value) -> Value:
    if isinstance(x, np.ndarray) and isinstance(like, np.ndarray):
        return x.astype(like.dtype)
    return tensor(x).to(tensor(like).dtype)


def _constant(node: OnnxNode) -> Host:
    for key in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if (value := node.get(key)) is not None:
            types = {"value_float": np.float32, "value_floats": np.float32}
            return from_onnx_array(np.asarray(value, types.get(key)))
    raise node.unsupported("a constant that is sparse or a text")


def _constant_of_shape(node: OnnxNode, shape: Value) -> Value:
    dims = ints(node, shape, "shape")
    fill = np.asarray(node.get("value", np.zeros(1, np.float32))).reshape(())
    if all(isinstance(d, int) for d in dims) and np.prod(dims) <= HOST_LIMIT:
        return np.full(dims, fill, fill.dtype)
    return torch.full(dims, fill.item(), dtype=torch.from_numpy(np.array(fill)).dtype)


def _range(node: OnnxNode, start: Value, limit: Value, step: Value) -> Value:
    values = [ints(node, v, "bounds")[0] for v in (start, limit, step)]
    kind = start.dtype if isinstance(start, np.ndarray) else np.dtype(np.int64)
    if all(isinstance(v, int | float) for v in values):
        return np.arange(*values, dtype=np.int64 if kind.kind == "O" else kind)
    return torch.arange(*values)


def _identity(node: OnnxNode, x: Value, *rest: Any) -> Value:
    return x


def _depth_to_space(node: OnnxNode, x: Value) -> Tensor:
    data, b = tensor(x), node.get("blocksize")
    n, c, h, w = data.shape
    if node.get("mode", "DCR") == "CRD":
        return torch.pixel_shuffle(data, b)
    return data.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


def _space_to_depth(node: OnnxNode, x: Value) -> Tensor:
    data, b = tensor(x), node.get("blocksize")
    n, c, h, w = data.shape
    return data.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4).reshape(n, c * b**2, h // b, w // b)


def _trilu(node: OnnxNode, x: Value, k: Value | None = None) -> Tensor:
    diagonal = 0 if k is None else ints(node, k, "k")[0]
    return (torch.triu if node.get("upper", 1) else torch.tril)(tensor(x), diagonal)


SHAPES: dict[str, Operator] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Shape": _shape,
    "Size": _size,
    "Expand": _expand,
    "Tile": _tile,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Identity": _identity,
    "Dropout": _identity,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Trilu": _trilu,
}
