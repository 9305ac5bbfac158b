"""An estimate as a vendor's tool would count it: each resource times the factor that reports of the tool gave.

An end of an interval is the farther one of two: that of the estimate times the factor, which holds what the model does
not know, and the middle times the end of the factor, which holds how single designs scatter. Resources without
reports stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hwsim.core.cost import Cost, Fits, Interval, LayerCost
from hwsim.core.devices import Part
from hwsim.cost_models.vendor.calibration import VendorCalibration
from hwsim.cost_models.vendor.reports import RESOURCES

if TYPE_CHECKING:
    from hwsim.cost_models.unit import UnitCost

_TITLES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18"}


def scaled_by(cost: Cost, calibration: VendorCalibration, part: Part) -> Cost:
    """The cost of a network, its totals and layers scaled; `fits` is asked again of the part."""
    from hwsim.cost_models.network import fits_part

    lut, ff, dsp, bram18 = (scaled_interval_by(getattr(cost, name), name, calibration) for name in RESOURCES)
    factors = {name: calibration.scales[name].factor for name in _used(calibration)}
    layers = tuple(_layer(layer, factors) for layer in cost.layers)
    fits: Fits = "uncertain" if _other_logic(calibration) else fits_part(part, lut, ff, dsp, bram18)
    notes = (*_kept(cost.notes, calibration), *calibration_notes(calibration))
    known = {name: n for name, n in cost.available.items() if name != "lut" or not _other_logic(calibration)}
    counts = replace(cost, lut=lut, ff=ff, dsp=dsp, bram18=bram18, layers=layers, available=known)
    return replace(counts, fits=fits, notes=notes)


def scaled_unit_by(cost: UnitCost, calibration: VendorCalibration) -> UnitCost:
    """The cost of one operator, scaled."""
    lut, ff, dsp = (scaled_interval_by(getattr(cost, name), name, calibration) for name in ("lut", "ff", "dsp"))
    factor = calibration.scales["lut"].factor if "lut" in _used(calibration) else 1.0
    terms = {name: factor * lut for name, lut in cost.terms.items()}
    notes = (*_kept(cost.notes, calibration), *calibration_notes(calibration))
    return replace(cost, lut=lut, ff=ff, dsp=dsp, terms=terms, notes=notes)


def scaled_interval_by(interval: Interval, resource: str, calibration: VendorCalibration) -> Interval:
    """One interval; as it was where the calibration has no reports of the resource."""
    if resource not in _used(calibration):
        return interval
    scale = calibration.scales[resource]
    mid = interval.mid * scale.factor
    return Interval(
        min(interval.lo * scale.factor, interval.mid * scale.low),
        mid,
        max(interval.hi * scale.factor, interval.mid * scale.high),
        calibration.logic_unit if resource == "lut" else interval.unit,
        calibration.stage,
        calibration.held.get(resource),
    )


def calibration_notes(calibration: VendorCalibration) -> tuple[str, ...]:
    """What was scaled by how much, and what was not."""
    used = _used(calibration)
    factors = [
        f"{_TITLES[n]} x {calibration.scales[n].factor:.2f} ({calibration.scales[n].rows} designs)" for n in used
    ]
    notes = [f"scaled by {calibration.tool} reports ({calibration.stage}): {', '.join(factors) or 'nothing'}"]
    missing = [_TITLES[n] for n in RESOURCES if n not in used]
    if missing:
        notes.append(f"no reports to scale {', '.join(missing)} by")
    if _other_logic(calibration):
        notes.append(f"logic is counted in {calibration.logic_unit}, which no part states: whether it fits is open")
    return tuple(notes)


def _used(calibration: VendorCalibration) -> list[str]:
    return [name for name in RESOURCES if name in calibration.scales and calibration.scales[name].rows > 0]


def _other_logic(calibration: VendorCalibration) -> bool:
    return calibration.logic_unit != "LUT" and "lut" in _used(calibration)


def _kept(notes: tuple[str, ...], calibration: VendorCalibration) -> tuple[str, ...]:
    """Notes without the one that says that LUTs were never compared with anything, where they now were."""
    return tuple(n for n in notes if not (n.startswith("uncalibrated") and "lut" in _used(calibration)))


def _layer(layer: LayerCost, factors: Mapping[str, float]) -> LayerCost:
    counts = {name: getattr(layer, name) * factor for name, factor in factors.items()}
    terms = {name: lut * factors.get("lut", 1.0) for name, lut in layer.terms.items()}
    return replace(layer, **counts, terms=terms)
