"""Normalisations in ONNX."""

from __future__ import annotations

import numpy as np

from hwsim.exchange.translation import Arguments, Handler, Translation


def _filled(t: Translation, argument: object, count: int, value: float) -> str:
    return t.writer.constant(np.full(count, value, np.float32)) if argument is None else t.tensor(argument)


def _batch_norm(t: Translation, a: Arguments) -> str:
    """batch_norm(x, weight, bias, mean, var, training, momentum, eps, cudnn)."""
    (channels,) = t.sizes(a, a[0], 1)
    return t.writer.add(
        "BatchNormalization",
        t.tensor(a[0]),
        _filled(t, a[1], channels, 1.0),
        _filled(t, a[2], channels, 0.0),
        t.tensor(a[3]),
        t.tensor(a[4]),
        epsilon=float(a[7]),
    )


def _instance_norm(t: Translation, a: Arguments) -> str:
    """instance_norm(x, weight, bias, mean, var, use_input_stats, momentum, eps, cudnn)."""
    if not a[5]:
        return _batch_norm(t, a)
    (channels,) = t.sizes(a, a[0], 1)
    weight, bias = _filled(t, a[1], channels, 1.0), _filled(t, a[2], channels, 0.0)
    return t.writer.add("InstanceNormalization", t.tensor(a[0]), weight, bias, epsilon=float(a[7]))


def _layer_norm(t: Translation, a: Arguments) -> str:
    """layer_norm(x, shape, weight, bias, eps, cudnn)."""
    shape = [int(s) for s in a[1]]
    weight, bias = a.get(2, "weight"), a.get(3, "bias")
    scale = t.writer.constant(np.ones(shape, np.float32)) if weight is None else t.tensor(weight)
    rest = [] if bias is None else [t.tensor(bias)]
    eps = float(a.get(4, "eps", 1e-5))
    return t.writer.add("LayerNormalization", t.tensor(a[0]), scale, *rest, axis=-len(shape), epsilon=eps)


def _group_norm(t: Translation, a: Arguments) -> str:
    """group_norm(x, groups, weight, bias, eps): instance normalisation of (N, groups, rest), then scale and shift."""
    groups, eps, w = int(a[1]), float(a.get(4, "eps", 1e-5)), t.writer
    channels, *spatial = t.sizes(a, a[0], *range(1, len(t.shape(a[0]))))
    ones, zeros = w.constant(np.ones(groups, np.float32)), w.constant(np.zeros(groups, np.float32))
    y = w.add("InstanceNormalization", w.reshape(t.tensor(a[0]), 0, groups, -1), ones, zeros, epsilon=eps)
    y = w.reshape(y, 0, channels, *spatial)
    for op, argument in (("Mul", a.get(2, "weight")), ("Add", a.get(3, "bias"))):
        if argument is not None:
            y = w.add(op, y, w.reshape(t.tensor(argument), channels, *[1] * len(spatial)))
    return y


def _rms_norm(t: Translation, a: Arguments) -> str:
    """rms_norm(x, shape, weight, eps): x / sqrt(mean(x^2) + eps)."""
    x, w, axes = t.tensor(a[0]), t.writer, [-i for i in range(len(a[1]), 0, -1)]
    eps = a.get(3, "eps")
    square = w.reduce("ReduceMean", w.add("Mul", x, x), axes, keep=True)
    root = w.add("Sqrt", w.add("Add", square, t.tensor(float(np.finfo(np.float32).eps if eps is None else eps))))
    y = w.add("Div", x, root)
    weight = a.get(2, "weight")
    return y if weight is None else w.add("Mul", y, t.tensor(weight))


NORMALISATION: dict[str, Handler] = {
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "rms_norm": _rms_norm,
}
