"""Tensors that are kept in a machine format: a saturating cast and back."""

from __future__ import annotations

import torch

from hwsim.core.formats import Native
from hwsim.exchange.translation import Translation

_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16


def through_machine_float(t: Translation, fmt: Native, x: str) -> str:
    """Round a float32 value to `fp16` or `bf16`; `fp32` saturates infinities, `none` leaves everything."""
    if fmt.name == "none":
        return x
    x = t.writer.add("Clip", x, t.tensor(fmt.min), t.tensor(fmt.max))
    if fmt.name == "fp32":
        return x
    half = t.cast(x, torch.float16) if fmt.name == "fp16" else t.writer.add("Cast", x, to=_BFLOAT16)
    return t.cast(half, torch.float32)
