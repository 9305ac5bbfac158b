"""A plan run in integers: an evaluation of every stage that shares nothing with torch or hls4ml.

Values are integers times a power of two; every result is checked to fit the type the plan gave it.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from hwsim.core.formats import Int
from hwsim.core.requantize import requantize
from hwsim.hls.fixed import FixedType
from hwsim.hls.stages import Plan, Stage

Codes = NDArray[np.int64]


def run_plan(plan: Plan, x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Results of all stages, (rows, *shape), for inputs (rows, elements) in torch's order."""
    values: dict[str, NDArray[np.float64]] = {}
    for stage in plan.stages:
        if stage.operation == "input":
            kind = stage.type
            fmt = Int(kind.bits, kind.signed, kind.modes.endswith("SYM"))
            given = x[:, stage.order].reshape(len(x), *stage.shape)
            codes = np.clip(np.rint(np.ldexp(given, -kind.exponent)), fmt.min_code, fmt.max_code)
            values[stage.name] = np.ldexp(codes, kind.exponent)
            continue
        raw = _compute(stage, [values[name] for name in stage.inputs])
        values[stage.name] = _stored(raw, stage)
    return values


def _stored(raw: NDArray[np.float64], stage: Stage) -> NDArray[np.float64]:
    """The value in the stage's type: rounded where the type rounds, else proven to fit."""
    kind = stage.type
    if kind.modes:
        fine = min(kind.exponent, _least_exponent(raw))
        fmt = Int(kind.bits, kind.signed, kind.modes.endswith("SYM"))
        codes = requantize(_integers(raw, fine), kind.exponent - fine, fmt)
    else:
        codes = _integers(raw, kind.exponent)
        _check_fits(codes, kind, stage.name)
    low, high = int(codes.min()), int(codes.max())
    step = kind.exponent - stage.grid.exponent
    assert stage.grid.low <= low << step and high << step <= stage.grid.high, f"{stage.name}: outside its grid"
    return np.ldexp(codes.astype(np.float64), kind.exponent)


def _check_fits(codes: Codes, kind: FixedType, where: str) -> None:
    low = -(1 << (kind.bits - 1)) if kind.signed else 0
    high = (1 << (kind.bits - kind.signed)) - 1
    assert low <= codes.min() and codes.max() <= high, f"{where}: {codes.min()}..{codes.max()} in {kind}"


def _integers(values: NDArray[np.float64], exponent: int) -> Codes:
    scaled = np.ldexp(values, -exponent)
    assert np.array_equal(scaled, np.rint(scaled)), "a value off its grid"
    return scaled.astype(np.int64)


def _least_exponent(values: NDArray[np.float64]) -> int:
    for exponent in range(0, -60, -1):
        scaled = np.ldexp(values, -exponent)
        if np.array_equal(scaled, np.rint(scaled)):
            return exponent
    raise AssertionError("no finite binary expansion")


def _compute(stage: Stage, inputs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    x = inputs[0]
    match stage.operation:
        case "conv" | "depthwise":
            y = _windows(x, stage.geometry["kernel"], stage.geometry["stride"])
            assert stage.weights is not None
            w = stage.weights.values
            axes = list(range(w.ndim - 2))
            if stage.operation == "depthwise":
                total = (y * w[..., 0]).sum(axis=tuple(-2 - i for i in axes))
            else:
                total = np.tensordot(y, w, (tuple(range(y.ndim - w.ndim + 1, y.ndim)), tuple(range(w.ndim - 1))))
            return _biased(total, stage)
        case "dense":
            assert stage.weights is not None
            return _biased(x @ stage.weights.values, stage)
        case "shift":
            return np.ldexp(x, np.array(stage.shifts))
        case "relu":
            return np.maximum(x, 0)
        case "clamp":
            assert stage.bounds is not None
            return np.clip(x, *stage.bounds)
        case "add":
            return x + inputs[1]
        case "concat":
            return np.concatenate(inputs, axis=-1)
        case "max_pool" | "average_pool":
            kernel = stage.geometry["kernel"]
            y = _windows(x, kernel, kernel)
            axes = tuple(range(1 + len(kernel), 1 + 2 * len(kernel)))
            return y.max(axes) if stage.operation == "max_pool" else y.mean(axes)
        case "global_average":
            return x.mean(axis=tuple(range(1, x.ndim - 1)))
        case "pad":
            pads = stage.geometry["pads"]
            widths = [(pads[2 * i], pads[2 * i + 1]) for i in range(len(pads) // 2)]
            return np.pad(x, [(0, 0), *widths, (0, 0)])
        case "upsample":
            factors = [b // a for a, b in zip(x.shape[1:-1], stage.shape, strict=False)]
            for axis, factor in enumerate(factors, 1):
                x = x.repeat(factor, axis)
            return x
        case _:
            return x.reshape(len(x), *stage.shape)


def _biased(total: NDArray[np.float64], stage: Stage) -> NDArray[np.float64]:
    assert stage.weights is not None and stage.accumulator is not None
    if stage.weights.bias is not None:
        total = total + stage.weights.bias
    _check_fits(_integers(total, stage.accumulator.exponent), stage.accumulator, f"{stage.name} accumulator")
    return total


def _windows(x: NDArray[np.float64], kernel: tuple[int, ...], stride: tuple[int, ...]) -> NDArray[np.float64]:
    """(rows, *positions, *kernel, channels)."""
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:], kernel, stride, strict=False)]
    y = np.empty((len(x), *sizes, *kernel, x.shape[-1]))
    for at in product(*(range(n) for n in sizes)):
        cut = tuple(slice(p * s, p * s + k) for p, s, k in zip(at, stride, kernel, strict=True))
        y[(slice(None), *at)] = x[(slice(None), *cut)]
    return y
