"""Which number formats an HLS project can be made of, checked before anything else."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Int
from hwsim.core.scaled import Scaled
from hwsim.quant.model import QuantizedModel

EXPORTABLE = (
    "exportable today: integers with power-of-two scales, e.g. --weights int4 --acts int4 (any intN or uintN :pow2; "
    "weights @channel or @tensor, activations @tensor, no +zp)"
)


def check_formats(model: QuantizedModel) -> None:
    """Refuse formats that no exact project can be made of.

    Raises
    ------
    UnsupportedError
        Names each kind of trouble once, with the first layer and the number of layers it holds for.
    """
    found: dict[str, list[str]] = {}
    for where, trouble in _troubles(model):
        found.setdefault(trouble, []).append(where)
    if not found:
        return
    lines = [
        f"{what} ({where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''})" for what, where in found.items()
    ]
    raise UnsupportedError("cannot be exported to HLS: " + "; ".join(lines), where=model.network.name, hint=EXPORTABLE)


def _troubles(model: QuantizedModel) -> Iterator[tuple[str, str]]:
    for name, formats in model.assignment.layers.items():
        if formats.weight is not None and (trouble := _weight_trouble(formats.weight)):
            yield f"layer {name}", trouble
        for spec in formats.acts:
            if trouble := _act_trouble(spec):
                yield f"input of layer {name}", trouble


def _weight_trouble(spec: Scaled) -> str:
    if isinstance(spec.block, int) and isinstance(spec.format, Int):
        return f"weights in groups of {spec.block}"
    return _trouble(spec, "weights")


def _act_trouble(spec: Scaled) -> str:
    fmt = spec.format
    if isinstance(fmt, Int) and fmt.narrow and not fmt.signed:
        return f"activations in {spec.label}, whose largest code no saturating type leaves out"
    if spec.block != "tensor" and isinstance(fmt, Int):
        return f"activations @{spec.block}"
    return _trouble(spec, "activations")


def _trouble(spec: Scaled, what: str) -> str:
    if spec.is_native:
        return f"unquantized {what}" if str(spec) == "none" else f"{what} in {spec}"
    if not isinstance(spec.format, Int):
        return f"{what} in {spec.label}"
    if spec.zero_point:
        return f"{what} with a zero point"
    return "" if spec.scale == "pow2" else f"{what} with {spec.scale} scales"
