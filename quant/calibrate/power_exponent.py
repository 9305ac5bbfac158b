"""The exponent of power formats that fits the weights of a network, without data.

Source: PowerQuant (Yvinec et al., arXiv 2301.09858, section 3.2): one exponent for the whole network, so that products
of weights and activations stay powers of whole numbers; a* = argmin_a sum_l ||W_l - Qinv_a(Q_a(W_l))||_p. The loss has
a single minimum up to the ripples of few levels: a coarse scan brackets it, and scipy's bounded search does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from hwsim.core.errors import InputError
from hwsim.core.formats import Power
from hwsim.core.scaled import Scaled
from hwsim.quant.kernels import fake_quantize
from hwsim.quant.observers import MSE, MinMax, weight_scale

_SCAN = np.round(np.arange(0.2, 1.51, 0.1), 10)
_TOLERANCE = 1e-3


def power_exponent(
    weights: Sequence[Tensor],
    bits: int,
    granularity: Literal["tensor", "channel"] = "channel",
    p: float = 2.0,
    scale_rule: Literal["absmax", "mse"] = "absmax",
) -> float:
    """The exponent in 0.2..1.5 of least summed weight error.

    Parameters
    ----------
    weights : of all layers, output channels first.
    bits : of the power format.
    granularity : what shares a scale.
    p : of the norm of each layer's error; 2 as in the paper.
    scale_rule : `absmax` as in the paper, or `mse`, the scale of least squared error for each exponent.

    Raises
    ------
    InputError
        Without weights, and for weights that hold nothing, NaN or infinity.
    """
    if not weights:
        raise InputError("no weights", where="power exponent", hint="give the weights of at least one layer")

    def loss(exponent: float) -> float:
        return power_error(weights, bits, float(exponent), granularity, p, scale_rule)

    best = int(np.argmin([loss(exponent) for exponent in _SCAN]))
    bracket = (_SCAN[max(0, best - 1)], _SCAN[min(len(_SCAN) - 1, best + 1)])
    found = minimize_scalar(loss, bounds=bracket, method="bounded", options={"xatol": _TOLERANCE})
    return float(found.x) if found.fun <= loss(_SCAN[best]) else float(_SCAN[best])


def power_error(
    weights: Sequence[Tensor],
    bits: int,
    exponent: float,
    granularity: Literal["tensor", "channel"] = "channel",
    p: float = 2.0,
    scale_rule: Literal["absmax", "mse"] = "absmax",
) -> float:
    """The sum over layers of ||W - quantized W||_p for one exponent."""
    spec = Scaled(Power(bits, exponent), granularity)
    method = MinMax() if scale_rule == "absmax" else MSE()
    total = 0.0
    for weight in weights:
        w = weight.detach()
        scale, _ = weight_scale(w, spec, method)
        total += float(torch.linalg.vector_norm((fake_quantize(w, spec, scale) - w).double(), p))
    return total
