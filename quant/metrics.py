"""How well a network does: accuracy with its sampling interval, or agreement where there are no labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from hwsim.core.errors import InputError, UnsupportedError


@dataclass(frozen=True, slots=True)
class Metric:
    """A share of samples, with the interval that sampling alone leaves.

    Attributes
    ----------
    name : `top1` (labels) or `agreement` (with the float network's decisions, where there are no labels).
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


def predictions(run: Callable[[Tensor], Any], x: Tensor, *, batch: int = 256, fixed_batch: int | None = None) -> Tensor:
    """Class decisions, int64 of shape (rows, ...).

    Classes lie along axis 1 (scores, and maps of scores), or along the last axis of rank-3 outputs (sequences).
    """
    step = fixed_batch or batch
    found = []
    with torch.inference_mode():
        for start in range(0, len(x), step):
            part = x[start : start + step]
            short = step - len(part) if fixed_batch else 0
            if short:
                part = torch.cat([part, part[-1:].expand(short, *part.shape[1:])])
            logits = run(part)
            if isinstance(logits, tuple | list):
                logits = logits[0]
            if not isinstance(logits, Tensor) or logits.dim() < 2:
                raise UnsupportedError(
                    "the output has no class axis", where="evaluation", hint="(rows, classes) is wanted"
                )
            axis = -1 if logits.dim() == 3 else 1
            if logits.shape[axis] < 2:
                raise InputError(
                    f"outputs of shape {tuple(logits.shape)} hold one score",
                    where="evaluation",
                    hint="two classes at least",
                )
            found.append(logits.argmax(axis)[: step - short])
    return torch.cat(found)


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
