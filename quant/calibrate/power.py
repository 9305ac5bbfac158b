"""PowerQuant as a step: one exponent for every power format of a network, chosen on its weights without data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hwsim.core.formats import Power
from hwsim.core.scaled import Scaled
from hwsim.quant.draft import Draft


@dataclass(frozen=True, slots=True)
class PowerQuant:
    """Settings (Yvinec et al., arXiv 2301.09858, section 3.2).

    Attributes
    ----------
    p : of the norm of weight errors that is minimised.
    """

    p: float = 2.0


def choose_exponent(draft: Draft, config: PowerQuant) -> None:
    """Set the exponent of all powN weights and activations to the one of least weight error; scales are chosen again.

    Weights of several widths share the exponent that serves the narrowest, where the error is.
    """
    from hwsim.quant.calibrate.power_exponent import power_exponent

    powers = [w for w in draft.weights.values() if isinstance(w.spec.format, Power)]
    if not powers:
        return
    bits = min(w.spec.bits for w in powers)
    narrowest = [w for w in powers if w.spec.bits == bits]
    rows = [w.rows for w in narrowest]
    by_tensor = narrowest[0].spec.block == "tensor"
    exponent = round(power_exponent(rows, bits, "tensor" if by_tensor else "channel", config.p), 4)
    for weight in powers:
        weight.spec = _with_exponent(weight.spec, exponent)
    for quantizer in draft.quantizers.values():
        if isinstance(quantizer.spec.format, Power):
            quantizer.spec = _with_exponent(quantizer.spec, exponent)
    draft.notes["power"] = {"exponent": exponent}
    draft.choose_scales()


def _with_exponent(spec: Scaled, exponent: float) -> Scaled:
    assert isinstance(spec.format, Power)
    return replace(spec, format=replace(spec.format, exponent=exponent))
