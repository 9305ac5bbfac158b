"""How far a quantized network's outputs are from the float network's, without labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hwsim.quant.calibration import Calibration
from hwsim.quant.model import QuantizedModel


def prediction_difference(reference: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Kullback-Leibler divergence of softmax(logits / T) from softmax(reference / T): sum over classes, mean over rows.

    The prediction difference of PD-Quant (arXiv 2212.07048, eq. 3). Classes lie along axis 1, or along the last axis of
    rank-3 outputs.
    """
    axis = -1 if logits.dim() == 3 else 1
    target = F.log_softmax(reference / temperature, axis)
    found = F.log_softmax(logits / temperature, axis)
    return F.kl_div(found, target, reduction="sum", log_target=True) / max(1, logits.numel() // logits.shape[axis])


def relative_change(reference: Tensor, outputs: Tensor) -> float:
    """Squared error over squared reference."""
    signal = float(reference.double().square().sum())
    return float((reference.double() - outputs.double()).square().sum()) / max(signal, 1e-300)


def tensors_of(outputs: Any) -> list[Tensor]:
    """The floating-point tensors of a network's result."""
    parts = outputs if isinstance(outputs, tuple | list) else [outputs]
    return [part for part in parts if isinstance(part, Tensor) and part.is_floating_point()]


def output_change(calibration: Calibration, model: QuantizedModel, batch: int = 128) -> float:
    """Relative squared change of all outputs on the calibration rows, the mean over output tensors."""
    step = calibration.network.fixed_batch or batch
    changes: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(calibration.x) - len(calibration.x) % step or len(calibration.x), step):
            rows = calibration.x[start : start + step]
            pairs = zip(tensors_of(calibration.network(*[rows])), tensors_of(model(rows)), strict=True)
            changes += [relative_change(a, b) for a, b in pairs]
    return sum(changes) / max(1, len(changes))
