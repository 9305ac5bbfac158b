"""Element-wise ATen operators and activations in ONNX."""

from __future__ import annotations

import math
from typing import Any

import torch

from hwsim.capture.operators import op_name
from hwsim.exchange.translation import Arguments, Handler, Translation, unsupported


def _unary(op: str) -> Handler:
    return lambda t, a: t.writer.add(op, t.tensor(a[0], _result(t, a)))


def _binary(op: str) -> Handler:
    """Both operands in the type of the result, as torch promotes them."""
    return lambda t, a: t.writer.add(op, t.tensor(a[0], _result(t, a)), t.tensor(a[1], _result(t, a)))


def _compare(op: str) -> Handler:
    def write(t: Translation, a: Arguments) -> str:
        tensors = [x for x in a.node.args[:2] if isinstance(x, torch.fx.Node)]
        kind = t.dtype(tensors[0])
        for other in tensors[1:]:
            kind = torch.promote_types(kind, t.dtype(other))
        if any(isinstance(x, float) for x in a.node.args[:2]) and not kind.is_floating_point:
            kind = torch.float32
        return t.writer.add(op, t.tensor(a[0], kind), t.tensor(a[1], kind))

    return write


def _result(t: Translation, a: Arguments) -> torch.dtype:
    return t.dtype(a.node)


def _weighted_sum(t: Translation, a: Arguments) -> str:
    """add and sub with their factor alpha; rsub swaps."""
    kind = _result(t, a)
    first, second = t.tensor(a[0], kind), t.tensor(a[1], kind)
    alpha = a.get(2, "alpha", 1)
    name = op_name(a.node)
    if name == "rsub":
        first = first if alpha == 1 else t.writer.add("Mul", first, t.tensor(alpha, kind))
        return t.writer.add("Sub", second, first)
    if alpha != 1:
        second = t.writer.add("Mul", second, t.tensor(alpha, kind))
    return t.writer.add("Add" if name == "add" else "Sub", first, second)


def _div(t: Translation, a: Arguments) -> str:
    kind, mode = _result(t, a), a.get(2, "rounding_mode")
    quotient = t.writer.add("Div", t.tensor(a[0], kind), t.tensor(a[1], kind))
    if mode is None or not kind.is_floating_point:
        if mode == "floor":
            raise unsupported(a.node, "of whole numbers, rounded down,")
        return quotient
    if mode == "floor":
        return t.writer.add("Floor", quotient)
    return t.writer.add("Mul", t.writer.add("Sign", quotient), t.writer.add("Floor", t.writer.add("Abs", quotient)))


def _remainder(t: Translation, a: Arguments) -> str:
    """x - floor(x / y) y."""
    kind = _result(t, a)
    x, y = t.tensor(a[0], kind), t.tensor(a[1], kind)
    if not kind.is_floating_point:
        return t.writer.add("Mod", x, y)
    return t.writer.add("Sub", x, t.writer.add("Mul", t.writer.add("Floor", t.writer.add("Div", x, y)), y))


def _logical(op: str) -> Handler:
    def write(t: Translation, a: Arguments) -> str:
        if op_name(a.node).startswith("bitwise") and t.dtype(a[0]) != torch.bool:
            raise unsupported(a.node, "on whole numbers")
        inputs = [t.tensor(x, torch.bool) for x in a.node.args]
        return t.writer.add(op, *inputs)

    return write


def _where(t: Translation, a: Arguments) -> str:
    kind = _result(t, a)
    return t.writer.add("Where", t.tensor(a[0], torch.bool), t.tensor(a[1], kind), t.tensor(a[2], kind))


def _masked_fill(t: Translation, a: Arguments) -> str:
    kind = _result(t, a)
    return t.writer.add("Where", t.tensor(a[1], torch.bool), t.tensor(a[2], kind), t.tensor(a[0], kind))


def _clip(t: Translation, a: Arguments, low: Any, high: Any) -> str:
    kind = _result(t, a)
    x = t.tensor(a[0], kind)
    numbers = not isinstance(low, torch.fx.Node) and not isinstance(high, torch.fx.Node)
    if numbers and kind.is_floating_point:
        bounds = ["" if b is None else t.tensor(b, kind) for b in (low, high)]
        return t.writer.add("Clip", x, *bounds)
    x = x if low is None else t.writer.add("Max", x, t.tensor(low, kind))
    return x if high is None else t.writer.add("Min", x, t.tensor(high, kind))


def _clamp(t: Translation, a: Arguments) -> str:
    return _clip(t, a, a.get(1, "min"), a.get(2, "max"))


def _hardtanh(t: Translation, a: Arguments) -> str:
    return _clip(t, a, a.get(1, "min_val", -1.0), a.get(2, "max_val", 1.0))


def _square(t: Translation, a: Arguments) -> str:
    x = t.tensor(a[0])
    return t.writer.add("Mul", x, x)


def _composed(*ops: str) -> Handler:
    """Operators applied one after the other."""

    def write(t: Translation, a: Arguments) -> str:
        x = t.tensor(a[0], _result(t, a))
        for op in ops:
            x = t.writer.add(op, x)
        return x

    return write


def _log1p(t: Translation, a: Arguments) -> str:
    return t.writer.add("Log", t.writer.add("Add", t.tensor(a[0]), t.tensor(1.0)))


def _expm1(t: Translation, a: Arguments) -> str:
    return t.writer.add("Sub", t.writer.add("Exp", t.tensor(a[0])), t.tensor(1.0))


def _gelu(t: Translation, a: Arguments) -> str:
    mode, x, w = a.get(1, "approximate", "none"), t.tensor(a[0]), t.writer
    if w.opset >= 20:
        return w.add("Gelu", x, approximate=mode)
    if mode == "none":
        inner = w.add("Erf", w.add("Mul", x, t.tensor(math.sqrt(0.5))))
    else:
        cube = w.add("Mul", w.add("Mul", w.add("Mul", x, x), x), t.tensor(0.044715))
        inner = w.add("Tanh", w.add("Mul", w.add("Add", x, cube), t.tensor(math.sqrt(2 / math.pi))))
    return w.add("Mul", w.add("Mul", x, t.tensor(0.5)), w.add("Add", inner, t.tensor(1.0)))


def _silu(t: Translation, a: Arguments) -> str:
    x = t.tensor(a[0])
    return t.writer.add("Mul", x, t.writer.add("Sigmoid", x))


def _mish(t: Translation, a: Arguments) -> str:
    x = t.tensor(a[0])
    return t.writer.add("Mul", x, t.writer.add("Tanh", t.writer.add("Softplus", x)))


def _softplus(t: Translation, a: Arguments) -> str:
    """log(1 + exp(beta x)) / beta. torch goes over to x where beta x > 20, where both agree in float32."""
    beta, x = float(a.get(1, "beta", 1)), t.tensor(a[0])
    if beta == 1:
        return t.writer.add("Softplus", x)
    scaled = t.writer.add("Softplus", t.writer.add("Mul", x, t.tensor(beta)))
    return t.writer.add("Div", scaled, t.tensor(beta))


def _log_sigmoid(t: Translation, a: Arguments) -> str:
    return t.writer.add("Neg", t.writer.add("Softplus", t.writer.add("Neg", t.tensor(a[0]))))


def _elu(t: Translation, a: Arguments) -> str:
    """elu(x, alpha, scale, input_scale)."""
    if a.get(2, "scale", 1) != 1 or a.get(3, "input_scale", 1) != 1:
        raise unsupported(a.node, "with factors of its own")
    return t.writer.add("Elu", t.tensor(a[0]), alpha=float(a.get(1, "alpha", 1.0)))


def _prelu(t: Translation, a: Arguments) -> str:
    slope, rank = t.tensor(a[1]), len(t.shape(a[0]))
    (count,) = t.sizes(a, a[1], 0) if t.shape(a[1]) else (1,)
    if count > 1 and rank > 2:
        slope = t.writer.reshape(slope, count, *[1] * (rank - 2))
    return t.writer.add("PRelu", t.tensor(a[0]), slope)


def _threshold(t: Translation, a: Arguments) -> str:
    x = t.tensor(a[0])
    return t.writer.add("Where", t.writer.add("Greater", x, t.tensor(a[1])), x, t.tensor(a[2]))


def _softmax(op: str) -> Handler:
    return lambda t, a: t.writer.add(op, t.tensor(a[0], _result(t, a)), axis=int(a[1]))


def _attributed(op: str, **attributes: float) -> Handler:
    return lambda t, a: t.writer.add(op, t.tensor(a[0]), **attributes)


def _not_equal(t: Translation, a: Arguments) -> str:
    equal = _compare("Equal")(t, a)
    assert isinstance(equal, str)
    return t.writer.add("Not", equal)


_UNARY = (
    "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Log Neg Reciprocal Relu Round Sigmoid Sign Sin "
    "Sinh Softsign Sqrt Tan Tanh"
).split()
ARITHMETIC: dict[str, Handler] = {
    **{op.lower(): _unary(op) for op in _UNARY},
    **dict.fromkeys(("add", "sub", "rsub"), _weighted_sum),
    "mul": _binary("Mul"),
    "div": _div,
    "pow": _binary("Pow"),
    "maximum": _binary("Max"),
    "minimum": _binary("Min"),
    "remainder": _remainder,
    "eq": _compare("Equal"),
    "ne": _not_equal,
    "lt": _compare("Less"),
    "le": _compare("LessOrEqual"),
    "gt": _compare("Greater"),
    "ge": _compare("GreaterOrEqual"),
    **dict.fromkeys(("logical_and", "bitwise_and", "__and__"), _logical("And")),
    **dict.fromkeys(("logical_or", "bitwise_or", "__or__"), _logical("Or")),
    **dict.fromkeys(("logical_xor", "bitwise_xor"), _logical("Xor")),
    **dict.fromkeys(("logical_not", "bitwise_not"), _logical("Not")),
    "isnan": lambda t, a: t.writer.add("IsNaN", t.tensor(a[0])),
    "where": _where,
    "masked_fill": _masked_fill,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": lambda t, a: _clip(t, a, a[1], None),
    "clamp_max": lambda t, a: _clip(t, a, None, a[1]),
    "relu6": lambda t, a: _clip(t, a, 0.0, 6.0),
    "hardtanh": _hardtanh,
    "square": _square,
    "rsqrt": _composed("Sqrt", "Reciprocal"),
    "log1p": _log1p,
    "expm1": _expm1,
    "leaky_relu": lambda t, a: t.writer.add("LeakyRelu", t.tensor(a[0]), alpha=float(a.get(1, "negative_slope", 0.01))),
    "prelu": _prelu,
    "elu": _elu,
    "selu": _attributed("Selu"),
    "celu": lambda t, a: t.writer.add("Celu", t.tensor(a[0]), alpha=float(a.get(1, "alpha", 1.0))),
    "gelu": _gelu,
    "silu": _silu,
    "mish": _mish,
    "hardsigmoid": _attributed("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hardswish": _attributed("HardSwish"),
    "softplus": _softplus,
    **dict.fromkeys(("log_sigmoid", "logsigmoid"), _log_sigmoid),
    "threshold": _threshold,
    **dict.fromkeys(("softmax", "_softmax"), _softmax("Softmax")),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _softmax("LogSoftmax")),
    **dict.fromkeys(("_to_copy", "to", "copy"), lambda t, a: t.tensor(a[0], t.dtype(a.node))),
}
