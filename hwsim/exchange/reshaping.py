"""ATen operators that change the shape or the order of axes, in ONNX."""

from __future__ import annotations

from typing import Any

from hwsim.exchange.translation import Arguments, Handler, Translation, unsupported


def _same(t: Translation, a: Arguments) -> str:
    return t.tensor(a[0])


def _reshape(t: Translation, a: Arguments) -> str:
    """Any operator whose result is its input in another shape: the shape is the one observed."""
    shape, x = t.shape(a.node), t.tensor(a[0])
    if shape.count(None) <= 1:
        return t.writer.reshape(x, *(-1 if s is None else s for s in shape))
    if None not in t.shape(a[0]):
        raise unsupported(a.node, "with several sizes that grow with the batch")
    wanted = a.get(1, "size", a.node.kwargs.get("shape"))
    if isinstance(wanted, list | tuple) and len(wanted) == len(shape):
        return t.writer.add("Reshape", x, t.shape_list(list(wanted)))
    raise unsupported(a.node, "with several sizes that grow with the batch")


def _squeeze(t: Translation, a: Arguments) -> str:
    """The axes that went are those named, or all of size 1."""
    shape = t.shape(a[0])
    dims = a.get(1, "dim")
    named = range(len(shape)) if dims is None else [dims] if isinstance(dims, int) else dims
    axes = [d % len(shape) for d in named if shape[d] == 1]
    return t.writer.add("Squeeze", t.tensor(a[0]), t.writer.integers(*axes)) if axes else t.tensor(a[0])


def _unsqueeze(t: Translation, a: Arguments) -> str:
    axis = int(a[1]) % len(t.shape(a.node))
    return t.writer.add("Unsqueeze", t.tensor(a[0]), t.writer.integers(axis))


def _permuted(t: Translation, a: Arguments, order: list[int]) -> str:
    return t.writer.add("Transpose", t.tensor(a[0]), perm=order)


def _permute(t: Translation, a: Arguments) -> str:
    rank = len(t.shape(a[0]))
    return _permuted(t, a, [int(d) % rank for d in a[1]])


def _transpose(t: Translation, a: Arguments) -> str:
    order = list(range(len(t.shape(a[0]))))
    i, j = (int(a[1]), int(a[2])) if len(a.node.args) > 2 else (0, -1)
    if order:
        order[i], order[j] = order[j], order[i]
    return _permuted(t, a, order)


def _movedim(t: Translation, a: Arguments) -> str:
    rank = len(t.shape(a[0]))
    given: Any = a.node.args[1:3]
    source, target = ([int(d)] if isinstance(d, int) else list(d) for d in given)
    order: list[Any] = [None] * rank
    for s, d in zip(source, target, strict=True):
        order[d % rank] = s % rank
    rest = iter(d for d in range(rank) if d not in order)
    return _permuted(t, a, [next(rest) if d is None else d for d in order])


def _expand(t: Translation, a: Arguments) -> str:
    """ONNX's Expand broadcasts: a size that stays as it is can be given as 1, also one that follows the batch."""
    before, after = t.shape(a[0]), t.shape(a.node)
    before = (1,) * (len(after) - len(before)) + before
    if before == after:
        return t.tensor(a[0]) if len(t.shape(a[0])) == len(after) else _reshape(t, a)
    wanted = a.get(1, "size")
    parts: list[Any] = []
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if old == new:
            parts.append(1)
        elif new is not None:
            parts.append(new)
        elif isinstance(wanted, list | tuple):
            parts.append(wanted[i])
        else:  # expand_as
            return t.writer.add("Expand", t.tensor(a[0]), t.writer.add("Shape", t.tensor(wanted)))
    return t.writer.add("Expand", t.tensor(a[0]), t.shape_list(parts))


def _repeat(t: Translation, a: Arguments) -> str:
    rank = len(t.shape(a[0]))
    counts = list(a[1])
    x = t.tensor(a[0])
    if len(counts) > rank:
        x = t.writer.add("Unsqueeze", x, t.writer.integers(*range(len(counts) - rank)))
    counts = [1] * (rank - len(counts)) + counts
    return t.writer.add("Tile", x, t.shape_list(counts))


def _pixel_shuffle(t: Translation, a: Arguments) -> str:
    if len(t.shape(a[0])) != 4:
        raise unsupported(a.node, "on other than four axes")
    return t.writer.add("DepthToSpace", t.tensor(a[0]), blocksize=int(a[1]), mode="CRD")


def _pixel_unshuffle(t: Translation, a: Arguments) -> str:
    if len(t.shape(a[0])) != 4:
        raise unsupported(a.node, "on other than four axes")
    r = int(a[1])
    channels, height, width = t.sizes(a, a[0], 1, 2, 3)
    x = t.writer.reshape(t.tensor(a[0]), -1, channels, height // r, r, width // r, r)
    x = t.writer.add("Transpose", x, perm=[0, 1, 3, 5, 2, 4])
    return t.writer.reshape(x, -1, channels * r * r, height // r, width // r)


def _channel_shuffle(t: Translation, a: Arguments) -> str:
    groups = int(a[1])
    channels, *spatial = t.sizes(a, a[0], *range(1, len(t.shape(a[0]))))
    x = t.writer.reshape(t.tensor(a[0]), -1, groups, channels // groups, *spatial)
    x = t.writer.add("Transpose", x, perm=[0, 2, 1, *range(3, len(spatial) + 3)])
    return t.writer.reshape(x, -1, channels, *spatial)


RESHAPING: dict[str, Handler] = {
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "view_as", "flatten", "unflatten"), _reshape),
    **dict.fromkeys(("clone", "contiguous", "alias", "detach", "lift_fresh_copy", "dropout"), _same),
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "permute": _permute,
    **dict.fromkeys(("transpose", "t", "swapaxes"), _transpose),
    "movedim": _movedim,
    **dict.fromkeys(("expand", "expand_as"), _expand),
    **dict.fromkeys(("repeat", "tile"), _repeat),
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "channel_shuffle": _channel_shuffle,
}
