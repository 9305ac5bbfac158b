"""A calibration to one vendor's tool: a factor a resource, where it comes from, and its use on an estimate.

A file holds the pairs of counts as well as the factors, so that a reader can check them and fit again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hwsim.core.cost import Stage
from hwsim.core.errors import InputError, nearest
from hwsim.cost_models.vendor.estimates import Pair
from hwsim.cost_models.vendor.reports import RESOURCES, ReportRow
from hwsim.cost_models.vendor.vendor_scale import VendorScale, vendor_scale

WHAT = "hwsim vendor calibration"
VERSION = 1
_HINT = "a file that `hwsim calibrate fpga` wrote"


@dataclass(frozen=True, slots=True)
class VendorCalibration:
    """Factors from reports of one stage.

    Attributes
    ----------
    tool : `vivado`, `hls`, `quartus`, `table`, or several joined by `+`.
    stage : of the reports.
    logic_unit : `LUT`, or `ALM` or `LE` of Quartus: what the factor of `lut` turns LUTs into.
    scales : by resource.
    held : share of reports inside the 90 % interval of factors that the other reports give; None below two reports.
    pairs : what was compared.
    """

    tool: str
    stage: Stage
    logic_unit: str
    scales: Mapping[str, VendorScale]
    held: Mapping[str, float | None]
    pairs: tuple[Pair, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "what": WHAT,
            "version": VERSION,
            "tool": self.tool,
            "stage": self.stage,
            "logic_unit": self.logic_unit,
            "scales": {k: {f.name: getattr(s, f.name) for f in fields(s)} for k, s in self.scales.items()},
            "held": dict(self.held),
            "pairs": [
                {"design": p.design, "predicted": dict(p.predicted), "reported": dict(p.reported)} for p in self.pairs
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VendorCalibration:
        """What `as_dict` gave.

        Raises
        ------
        InputError
            Where it is of another version.
        """
        if data.get("what") != WHAT or data.get("version") != VERSION:
            raise InputError(f"not a {WHAT} of version {VERSION}", hint=_HINT)
        scales = {name: _scale_of(data["scales"][name]) for name in data["scales"]}
        if not set(scales) <= set(RESOURCES):
            raise InputError(f"resources {', '.join(scales)}", hint=f"allowed: {', '.join(RESOURCES)}")
        pairs = tuple(Pair(p["design"], p["predicted"], p["reported"]) for p in data["pairs"])
        return cls(data["tool"], cast(Stage, data["stage"]), data["logic_unit"], scales, data["held"], pairs)


def fit_calibration(rows: Sequence[ReportRow], pairs: Sequence[Pair]) -> VendorCalibration:
    """Factors from pairs of counts; `rows` are the reports that they come from.

    Raises
    ------
    InputError
        Where reports are of more than one stage or unit of logic.
    """
    stages, units = {row.stage for row in rows}, {row.logic_unit for row in rows if row.lut is not None}
    if len(stages) != 1:
        raise InputError(f"reports of {len(stages)} stages: {', '.join(sorted(stages))}", hint="choose one: --stage")
    if len(units) > 1:
        raise InputError(f"logic counted in {' and '.join(sorted(units))}", hint="calibrate each device family apart")
    tool = "+".join(sorted({row.tool for row in rows}))
    scales, inside = _fit(pairs), dict[str, list[bool]]()
    for pair, kept in zip(pairs, leave_one_out(pairs), strict=True):
        for name, scale in kept.items():
            ratio = cast(float, pair.reported[name]) / pair.predicted[name]
            inside.setdefault(name, []).append(scale.low <= ratio <= scale.high)
    held = {name: float(np.mean(inside[name])) if len(inside.get(name, ())) > 1 else None for name in scales}
    return VendorCalibration(tool, next(iter(stages)), next(iter(units), "LUT"), scales, held, tuple(pairs))


def leave_one_out(pairs: Sequence[Pair]) -> list[dict[str, VendorScale]]:
    """For each pair the factors of the others, of resources where both of its own counts are positive."""
    found = []
    for out, pair in enumerate(pairs):
        others = _fit([p for k, p in enumerate(pairs) if k != out])
        found.append({n: s for n, s in others.items() if (pair.reported[n] or 0) > 0 and pair.predicted.get(n, 0) > 0})
    return found


def scale_errors(pairs: Sequence[Pair]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """|estimated - reported| / reported by resource: `before`, and `after` with the factor of the other pairs."""
    before: dict[str, list[float]] = {name: [] for name in RESOURCES}
    after: dict[str, list[float]] = {name: [] for name in RESOURCES}
    for pair, scales in zip(pairs, leave_one_out(pairs), strict=True):
        for name, scale in scales.items():
            ratio = pair.predicted[name] / cast(float, pair.reported[name])
            before[name].append(abs(ratio - 1))
            after[name].append(abs(ratio * scale.factor - 1))
    return {
        "before": {n: np.array(v) for n, v in before.items() if v},
        "after": {n: np.array(v) for n, v in after.items() if v},
    }


def write_calibration(path: Path, calibration: VendorCalibration) -> None:
    """As JSON.

    Raises
    ------
    InputError
        Where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(calibration.as_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", where=str(path), hint="another --out") from None


def read_calibration(path: Path) -> VendorCalibration:
    """What `write_calibration` wrote.

    Raises
    ------
    InputError
        Where the file cannot be read or is no such file.
    """
    try:
        return VendorCalibration.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), hint="hwsim calibrate fpga") from None
    except InputError as error:
        raise InputError(error.message, where=str(path), hint=error.hint) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"not a {WHAT}: {error!r}", where=str(path), hint=_HINT) from None


def one_stage(rows: Sequence[tuple[str, ReportRow]], stage: str | None) -> list[tuple[str, ReportRow]]:
    """The rows (file, row) of a stage; all of them where None is asked for.

    Raises
    ------
    InputError
        Where there is none.
    """
    stages = {row.stage for _, row in rows}
    if stage is None:
        return list(rows)
    if stage not in stages:
        raise InputError(f"no report of stage {stage!r}", where="--stage", hint=nearest(stage, stages))
    return [(where, row) for where, row in rows if row.stage == stage]


def _fit(pairs: Sequence[Pair]) -> dict[str, VendorScale]:
    predicted = {name: [p.predicted.get(name, 0.0) for p in pairs] for name in RESOURCES}
    return vendor_scale(predicted, {name: [p.reported[name] for p in pairs] for name in RESOURCES})


def _scale_of(data: Mapping[str, Any]) -> VendorScale:
    scale = VendorScale(**data)
    if not 0 < scale.low <= scale.factor <= scale.high < float("inf") or scale.rows < 0:
        raise ValueError(f"0 < low <= factor <= high is false: {dict(data)}")
    return scale
