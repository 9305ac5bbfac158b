"""How well a network does: accuracy with its sampling interval, or agreement where there are no labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from hwsim.capture.detectors import DetectionTruth, HeadSpec, detection_score
from hwsim.core.errors import InputError, UnsupportedError


@dataclass(frozen=True, slots=True)
class Metric:
    """A share of samples, with the interval that sampling alone leaves.

    Attributes
    ----------
    name : `top1` (labels), `map` (objects of images, COCO average precision), or `agreement` (with the float
        network's decisions, where there are no labels).
    value, lo, hi : fractions.
    n : samples.
    """

    name: str
    value: float
    lo: float
    hi: float
    n: int


def wilson(successes: int, n: int, z: float = 1.6448536269514722) -> tuple[float, float]:
    """Wilson score interval of a share; z for 90 % by default (Wilson 1927)."""
    share, shrink = successes / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / shrink
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def evaluate(
    run: Callable[[Tensor], Any],
    x: Tensor,
    y: Tensor | DetectionTruth,
    *,
    head: HeadSpec | None,
    fixed_batch: int | None,
) -> Metric:
    """How well a network does on data with labels or objects.

    Parameters
    ----------
    run : inputs of a batch -> outputs.
    head : how a detector's output is read.
    """
    if isinstance(y, DetectionTruth):
        outputs = _in_batches(lambda part: tensor_of(run(part)), x, 64, fixed_batch)
        return Metric("map", *detection_score(outputs, head, y), len(y))
    return top1(predictions(run, x, fixed_batch=fixed_batch), y)


def tensor_of(outputs: Any) -> Tensor:
    """The first output tensor."""
    first = outputs[0] if isinstance(outputs, tuple | list) else outputs
    if not isinstance(first, Tensor):
        raise UnsupportedError(
            f"an output of type {type(first).__name__}", where="evaluation", hint="a tensor is wanted"
        )
    return first


def _in_batches(run: Callable[[Tensor], Tensor], x: Tensor, batch: int, fixed_batch: int | None) -> Tensor:
    """Results of all rows; the last batch of a network of fixed batch size is filled up with its last row."""
    step = fixed_batch or batch
    found = []
    with torch.inference_mode():
        for start in range(0, len(x), step):
            part = x[start : start + step]
            short = step - len(part) if fixed_batch else 0
            if short:
                part = torch.cat([part, part[-1:].expand(short, *part.shape[1:])])
            found.append(run(part)[: step - short])
    return torch.cat(found)


def predictions(run: Callable[[Tensor], Any], x: Tensor, *, batch: int = 256, fixed_batch: int | None = None) -> Tensor:
    """Class decisions, int64 of shape (rows, ...).

    Classes lie along axis 1 (scores, and maps of scores), or along the last axis of rank-3 outputs (sequences).
    """

    def decide(part: Tensor) -> Tensor:
        logits = run(part)
        if isinstance(logits, tuple | list):
            logits = logits[0]
        if not isinstance(logits, Tensor) or logits.dim() < 2:
            raise UnsupportedError("the output has no class axis", where="evaluation", hint="(rows, classes) is wanted")
        axis = -1 if logits.dim() == 3 else 1
        if logits.shape[axis] < 2:
            raise InputError(
                f"outputs of shape {tuple(logits.shape)} hold one score",
                where="evaluation",
                hint="two classes at least",
            )
        return logits.argmax(axis)

    return _in_batches(decide, x, batch, fixed_batch)


def top1(decisions: Tensor, y: Tensor, name: str = "top1") -> Metric:
    """Share of decisions equal to `y`, which has their shape."""
    if decisions.shape != y.shape:
        raise InputError(
            f"labels of shape {tuple(y.shape)}, decisions of shape {tuple(decisions.shape)}",
            where="evaluation data",
            hint="one class number for each decision",
        )
    hits, n = int((decisions == y).sum()), decisions.numel()
    return Metric(name, hits / n, *wilson(hits, n), n)
