"""How well a detector's raw outputs find the objects of images, with the interval that the choice of images leaves."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from hwsim.core.errors import InputError
from hwsim.zoo.detection import DetectionTruth
from hwsim.zoo.detection_head import HeadSpec

__all__ = ["DetectionTruth", "HeadSpec", "detection_score"]

RESAMPLES = 30


def detection_score(outputs: Tensor, head: HeadSpec | None, truth: DetectionTruth) -> tuple[float, float, float]:
    """Mean average precision the COCO way, and its 90 % interval by resampling images (bootstrap, 30 draws, seeded).

    Parameters
    ----------
    outputs : raw head map of all images, (N, classes + 4, h, w).

    Raises
    ------
    InputError
        When the network does not say how its output is read.
    MissingToolError
        Without pycocotools.
    """
    from hwsim.zoo.mean_ap import evaluate_detector

    if head is None:
        hint = "give the module an attribute head_spec (hwsim.zoo.detection_head.HeadSpec)"
        raise InputError("the data hold objects, the network no detector head", where="evaluation", hint=hint)
    value = evaluate_detector(outputs, head, truth)["map"]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(truth), len(truth))
        drawn.append(evaluate_detector(outputs[rows], head, truth[rows])["map"])
    low, high = np.quantile(drawn, [0.05, 0.95])
    return value, min(value, float(low)), max(value, float(high))
