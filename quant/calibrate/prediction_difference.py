"""PD-Quant's criterion for scales: what changes the predictions least, not the tensor (arXiv 2212.07048, eq. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from hwsim.quant.calibrate.output_search import OutputSearch, tensor_knob
from hwsim.quant.draft import Draft
from hwsim.quant.output_loss import prediction_difference


@dataclass(frozen=True, slots=True)
class PredictionDifference:
    """Settings.

    Attributes
    ----------
    factors : of the scale that the recipe's range method gives, tried beside it.
    temperature : of the softmax.
    rows : calibration rows that are looked at.
    """

    factors: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.15, 1.3)
    temperature: float = 1.0
    rows: int = 128


def choose_scales(draft: Draft, config: PredictionDifference) -> None:
    """Move the scale of each tensor to where predictions differ least from the float network's; never to worse."""

    def loss(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> float:
        pairs = zip(wanted, found, strict=True)
        return sum(float(prediction_difference(w, f, config.temperature)) for w, f in pairs)

    knobs = []
    for name, quantizer in draft.quantizers.items():
        spec = quantizer.spec
        if not spec.is_native and spec.mx_name is None:
            factors = (0.25, 0.5, 2.0) if spec.scale == "pow2" else config.factors
            scales = [(quantizer.scale * factor, quantizer.zero_point) for factor in (1.0, *factors)]
            knobs.append(tensor_knob(draft, name, scales))
    OutputSearch(draft, loss, config.rows).improve(knobs, 0, "prediction-difference")
