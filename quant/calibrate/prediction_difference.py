"""PD-Quant's criterion for scales: what changes the predictions least, not the tensor (arXiv 2212.07048, eq. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from hwsim.quant.calibrate.output_search import OutputSearch
from hwsim.quant.draft import Draft
from hwsim.quant.observers import Scale
from hwsim.quant.output_loss import prediction_difference


@dataclass(frozen=True, slots=True)
class PredictionDifference:
    """Settings.

    Attributes
    ----------
    factors : of the scale that the recipe's range method gives.
    temperature : of the softmax.
    rows : calibration rows that are looked at.
    """

    factors: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3)
    temperature: float = 1.0
    rows: int = 128


def choose_scales(draft: Draft, config: PredictionDifference) -> None:
    """Move the scale of each tensor to where predictions differ least from the float network's."""

    def candidates(name: str) -> Sequence[Scale]:
        quantizer = draft.quantizers[name]
        spec = quantizer.spec
        if spec.is_native or spec.mx_name is not None:
            return []
        factors = (0.25, 0.5, 1.0, 2.0) if spec.scale == "pow2" else config.factors
        return [(quantizer.scale * factor, quantizer.zero_point) for factor in factors]

    def loss(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> float:
        pairs = zip(wanted, found, strict=True)
        return sum(float(prediction_difference(w, f, config.temperature)) for w, f in pairs)

    OutputSearch(draft, loss, config.rows).improve(candidates, "prediction-difference")
