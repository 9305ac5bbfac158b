"""Quantized weights as float32 files hold them: scales in float32, and a check that codes and values agree."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Format, Minifloat
from hwsim.core.workload import Layer
from hwsim.quant.layers import rows_to_weight


def float_scale(scale: ArrayLike) -> NDArray[np.float32]:
    """Scales in float32; a scale of zero (a block of NVFP4 that underflowed, all codes zero) becomes one."""
    found = np.asarray(scale, np.float64)
    return np.asarray(np.where(found == 0, 1.0, found), np.float32)


def stretch_of(fmt: Format) -> float:
    """The factor that turns a minifloat of an unusual bias into the one of the usual bias."""
    return fmt.stretch if isinstance(fmt, Minifloat) else 1.0


def check_weight(layer: Layer, codes: WeightCodes, values: Tensor) -> None:
    """Refuse a weight whose values in the graph are not what its codes say.

    Raises
    ------
    UnsupportedError
        Something changed the weight after it was quantized.
    """
    found = rows_to_weight(layer, torch.from_numpy(codes.dequantize())).to(torch.float64)
    if found.shape != values.shape or not torch.allclose(found, values.double(), rtol=1e-6, atol=0.0):
        raise UnsupportedError(
            "the weight in the graph is not the one its codes stand for",
            where=f"layer {layer.name}",
            hint="quantize the network again; report the recipe if it stays so",
        )
