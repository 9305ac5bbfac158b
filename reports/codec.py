"""Designs to JSON values and back, nothing lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hwsim.core.cost import Interval
from hwsim.core.design import DesignPoint

INTERVALS = ("lut", "ff", "dsp", "bram18", "latency_us")


def design_to_json(design: DesignPoint) -> dict[str, Any]:
    """All fields of a design as JSON values; intervals with unit, stage and coverage."""
    row: dict[str, Any] = {item.name: getattr(design, item.name) for item in fields(DesignPoint)}
    for name in INTERVALS:
        value: Interval | None = row[name]
        row[name] = None if value is None else value.as_dict()
    row["layers"] = [dict(layer) for layer in design.layers]
    return row


def design_from_json(row: Mapping[str, Any]) -> DesignPoint:
    """The inverse of `design_to_json`."""
    data = dict(row)
    for name in INTERVALS:
        data[name] = None if data[name] is None else Interval(**data[name])
    data["layers"] = tuple(data["layers"])
    return DesignPoint(**data)
