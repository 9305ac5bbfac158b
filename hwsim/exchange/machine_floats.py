"""Tensors that are kept in a machine format: a saturating cast and back."""

from __future__ import annotations

import torch

from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Native
from hwsim.core.scaled import Scaled
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


def outside_codes(t: Translation, tensor: str, spec: Scaled, x: str, quantizers: str) -> str | None:
    """A tensor of a machine format, rounded; None for one that has codes and constant scales.

    Raises
    ------
    UnsupportedError
        For block formats; `quantizers` names what has constant scales.
    """
    if isinstance(spec.format, Native):
        return through_machine_float(t, spec.format, x)
    if spec.mx_name is None:
        return None
    raise UnsupportedError(
        f"{spec} computes its scales while it runs",
        where=f"tensor {tensor}",
        hint=f"{quantizers} constant scales; use @tensor or @channel formats, or --backend packed",
    )
