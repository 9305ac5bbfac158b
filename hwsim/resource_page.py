"""The resource page of a network: its cost, what other DSP policies and parts make of it, and what formats cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hwsim.core.cost import Cost
from hwsim.core.devices import Part
from hwsim.core.errors import UnsupportedError
from hwsim.core.scaled import parse
from hwsim.cost_models import parts, unit_cost
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.reports import MacCosts, Resources, write_resource_page

FORMATS = ("int3", "int4", "int5", "int6", "int8", "e2m1", "e2m2", "e2m3", "e3m2", "e3m3", "e4m3", "e5m2")
"""Integers and minifloats of 3 to 8 bits, as the resource page compares them."""
SUMMED = 576
"""Products of a 3 x 3 convolution of 64 channels, for the width of the accumulators compared."""
POLICIES: tuple[DspPolicy, ...] = ("never", "auto", "pack")


def resource_page(cost: Cost, again: Callable[[DspPolicy], Cost] | None, part: Part, name: str, path: Path) -> Path:
    """Write the page of a design.

    Parameters
    ----------
    again : the cost of the same design under a DSP policy; None where that choice does not exist.
    """
    policies: dict[str, Cost] = {policy: again(policy) for policy in POLICIES} if again is not None else {}
    others = tuple(other for other in parts().values() if other.name != part.name)
    resources = Resources(name, cost, policies, (part, *others), mac_costs(FORMATS, part))
    return write_resource_page(resources, path)


def mac_costs(formats: Sequence[str], part: Part, k: int = SUMMED) -> MacCosts:
    """LUTs of a multiply-accumulate for every pair of formats, products in LUTs."""
    rows = tuple(tuple(_lut(w, a, k, part) for a in formats) for w in formats)
    return MacCosts(tuple(formats), tuple(formats), rows, k, part.title)


def _lut(weights: str, acts: str, k: int, part: Part) -> float | None:
    spec_w, spec_a = parse(weights, block="channel", scale="pow2"), parse(acts, scale="pow2")
    try:
        return unit_cost("mac", spec_w, spec_a, k, part, "never").lut.mid
    except UnsupportedError:
        return None
