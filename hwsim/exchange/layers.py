"""ATen layers in ONNX: convolutions, linear, products, attention, embedding."""

from __future__ import annotations

import math
from typing import Any

import torch

from hwsim.capture.operators import op_name
from hwsim.exchange.translation import Arguments, Handler, Translation, unsupported


def spread(value: Any, axes: int) -> list[int]:
    """A number, or a list of one, for every spatial axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


def _conv(t: Translation, a: Arguments) -> str:
    """convNd(x, weight, bias, stride, padding, dilation, groups)."""
    return _convolve(
        t, a, a.get(3, "stride", 1), a.get(4, "padding", 0), a.get(5, "dilation", 1), a.get(6, "groups", 1)
    )


def _convolution(t: Translation, a: Arguments) -> str:
    """convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    given: Any = a.node.args[3:9]
    stride, padding, dilation, transposed, extra, groups = given
    if transposed:
        return _deconvolve(t, a, stride, padding, extra, groups, dilation)
    return _convolve(t, a, stride, padding, dilation, groups)


def _convolve(t: Translation, a: Arguments, stride: Any, padding: Any, dilation: Any, groups: int) -> str:
    shape = t.shape(a[1])
    axes = len(shape) - 2
    strides, dilations = spread(stride, axes), spread(dilation, axes)
    kernel = t.sizes(a, a[1], *range(2, axes + 2))
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, dilations, strict=True)]
        pads = [p // 2 for p in total] + [p - p // 2 for p in total]
    else:
        pads = spread(padding, axes) * 2
    x, squeeze = _batched(t, a, axes)
    out = t.writer.add(
        "Conv",
        x,
        t.weight(a, a[1])[0],
        *_bias(t, a),
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        dilations=dilations,
        group=groups,
    )
    return t.writer.add("Squeeze", out, t.writer.integers(0)) if squeeze else out


def _deconv(t: Translation, a: Arguments) -> str:
    """conv_transposeNd(x, weight, bias, stride, padding, output_padding, groups, dilation)."""
    names = ("stride", "padding", "output_padding", "groups", "dilation")
    given = [a.get(i, name, default) for i, name, default in zip(range(3, 8), names, (1, 0, 0, 1, 1), strict=True)]
    return _deconvolve(t, a, *given)


def _deconvolve(t: Translation, a: Arguments, stride: Any, padding: Any, extra: Any, groups: int, dilation: Any) -> str:
    axes = len(t.shape(a[1])) - 2
    cin, cout, *kernel = t.sizes(a, a[1], *range(axes + 2))
    weight, is_rows = t.weight(a, a[1])
    if is_rows:  # rows are (groups * cout, cin / groups, ...), ONNX wants (cin, cout, ...) as torch does
        if groups > 1:
            weight = t.writer.reshape(weight, groups, cout, cin // groups, *kernel)
            weight = t.writer.add("Transpose", weight, perm=[0, 2, 1, *range(3, axes + 3)])
            weight = t.writer.reshape(weight, cin, cout, *kernel)
        else:
            weight = t.writer.add("Transpose", weight, perm=[1, 0, *range(2, axes + 2)])
    x, squeeze = _batched(t, a, axes)
    out = t.writer.add(
        "ConvTranspose",
        x,
        weight,
        *_bias(t, a),
        kernel_shape=kernel,
        strides=spread(stride, axes),
        pads=spread(padding, axes) * 2,
        output_padding=spread(extra, axes),
        dilations=spread(dilation, axes),
        group=groups,
    )
    return t.writer.add("Squeeze", out, t.writer.integers(0)) if squeeze else out


def _batched(t: Translation, a: Arguments, axes: int) -> tuple[str, bool]:
    """torch convolves a single sample without a batch axis, ONNX does not."""
    x = t.tensor(a[0])
    if len(t.shape(a[0])) == axes + 2:
        return x, False
    return t.writer.add("Unsqueeze", x, t.writer.integers(0)), True


def _bias(t: Translation, a: Arguments) -> list[str]:
    """Biases stay float32: the simulated network adds them so, and no decision moves by rounding them."""
    bias = a.get(2, "bias")
    return [] if bias is None else [t.tensor(bias)]


def _linear(t: Translation, a: Arguments) -> str:
    weight, bias = t.weight(a, a[1])[0], _bias(t, a)
    x = t.tensor(a[0])
    if len(t.shape(a[0])) == 2 and len(t.shape(a[1])) == 2:
        return t.writer.add("Gemm", x, weight, *bias, transB=1)
    if len(t.shape(a[1])) == 2:
        weight = t.writer.add("Transpose", weight, perm=[1, 0])
    out = t.writer.add("MatMul", x, weight)
    return t.writer.add("Add", out, *bias) if bias else out


def _matmul(t: Translation, a: Arguments) -> str:
    return t.writer.add("MatMul", t.tensor(a[0]), t.tensor(a[1]))


def _attention(t: Translation, a: Arguments) -> str:
    """softmax(q k^T scale + mask) v; scaled_dot_product_attention(q, k, v, mask, dropout, causal, *, scale, gqa)."""
    if a.get(99, "enable_gqa", False):
        raise unsupported(a.node, "with grouped queries")
    rank = len(t.shape(a[1]))
    scale = a.get(99, "scale")
    scale = 1 / math.sqrt(t.sizes(a, a[0], -1)[0]) if scale is None else t.number(a, scale)
    keys = t.writer.add("Transpose", t.tensor(a[1]), perm=[*range(rank - 2), rank - 1, rank - 2])
    scores = t.writer.add("MatMul", t.tensor(a[0]), keys)
    scores = t.writer.add("Mul", scores, t.tensor(float(scale)))
    mask = a.get(3, "attn_mask")
    if mask is not None and t.dtype(mask) == torch.bool:
        scores = t.writer.add("Where", t.tensor(mask), scores, t.tensor(-math.inf))
    elif mask is not None:
        scores = t.writer.add("Add", scores, t.tensor(mask))
    if a.get(5, "is_causal", False):
        queries, length = t.sizes(a, a[0], -2)[0], t.sizes(a, a[1], -2)[0]
        allowed = torch.ones(queries, length, dtype=torch.bool).tril().numpy()
        scores = t.writer.add("Where", t.writer.constant(allowed), scores, t.tensor(-math.inf))
    return t.writer.add("MatMul", t.writer.add("Softmax", scores, axis=-1), t.tensor(a[2]))


def _embedding(t: Translation, a: Arguments) -> str:
    """embedding(weight, indices, ...): rows of the table."""
    if any(a.get(i, name, False) is True for i, name in ((3, "scale_grad_by_freq"), (4, "sparse"))):
        raise unsupported(a.node, f"({op_name(a.node)}) with options of training")
    return t.writer.add("Gather", t.weight(a, a[0])[0], t.tensor(a[1]), axis=0)


LAYERS: dict[str, Handler] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _deconv),
    "convolution": _convolution,
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm"), _matmul),
    "scaled_dot_product_attention": _attention,
    "embedding": _embedding,
}
