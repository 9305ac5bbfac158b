"""A design point (one quantized network on one target) and the Pareto front of a study."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import PurePath
from typing import Any

import numpy as np

from hwsim.core.cost import Fits, Interval
from hwsim.core.errors import InputError, nearest
from hwsim.core.formats import Format
from hwsim.core.pareto import hypervolume, knee, non_dominated, robustly_non_dominated
from hwsim.core.scaled import Scaled

INTERVALS = ("lut", "ff", "dsp", "bram18", "latency_us")
OBJECTIVES = ("error", "memory_bits", "lut", "ff", "dsp", "bram18", "latency_us")


@dataclass(frozen=True, slots=True)
class DesignPoint:
    """One row of a study: what was built, how well it does, what it costs, how sure that is.

    Attributes
    ----------
    id : the first 12 hex digits of the content hash of everything that decides the result.
    weights, acts, edge, scale, recipe, seed : the quantization, as format strings and names.
    part, device : the FPGA part or the GPU; exactly one is given.
    setting : architecture and reuse, or batch, precision and runtime, in words.
    metric, metric_lo, metric_hi : accuracy (fraction) with its sampling interval.
    memory_bits : weights and biases.
    lut, ff, dsp, bram18 : None on a GPU.
    latency_us : of one batch.
    fits : None on a GPU.
    note : what a reader must know, e.g. that a format gains no speed on this device.
    layers : the per-layer table as JSON values.
    fill : the largest share of a resource of the part that the middle of the estimate takes; None on a GPU.
    """

    id: str
    weights: str
    acts: str
    edge: str
    scale: str
    recipe: str
    seed: int
    part: str | None
    device: str | None
    setting: str
    metric: float
    metric_lo: float
    metric_hi: float
    metric_name: str
    memory_bits: int
    lut: Interval | None
    ff: Interval | None
    dsp: Interval | None
    bram18: Interval | None
    latency_us: Interval
    fits: Fits | None
    note: str
    layers: tuple[Mapping[str, Any], ...]
    fill: float | None = None

    @property
    def target(self) -> str:
        return self.part or self.device or ""

    @property
    def family(self) -> str:
        """`integer`, `minifloat`, `mixed` or `other`, by weight and activation format."""
        kinds = {_family(self.weights), _family(self.acts)}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    def objective(self, name: str) -> tuple[float, float, float]:
        """(lo, mid, hi) of an objective, minimised: accuracy appears as error = 1 - metric."""
        if name == "error":
            return 1 - self.metric_hi, 1 - self.metric, 1 - self.metric_lo
        value = getattr(self, name) if name in OBJECTIVES else None
        if value is None:
            raise InputError(
                f"no objective {name!r} on {self.target}", where="objectives", hint=nearest(name, OBJECTIVES)
            )
        if isinstance(value, Interval):
            return value.lo, value.mid, value.hi
        return float(value), float(value), float(value)

    def as_row(self) -> dict[str, Any]:
        """The keys of `front[]` of the command line, and the intervals behind them."""
        row: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("id", "weights", "acts", "edge", "scale", "recipe", "seed", "part", "device", "setting")
        }
        row |= {"metric": self.metric, "metric_lo": self.metric_lo, "metric_hi": self.metric_hi}
        row |= {"memory_bits": self.memory_bits}
        for name in INTERVALS:
            value: Interval | None = getattr(self, name)
            row[name] = value.mid if value else None
            row[f"{name}_lo"] = value.lo if value else None
            row[f"{name}_hi"] = value.hi if value else None
        return row | {"fits": self.fits, "fill": self.fill, "note": self.note}

    @property
    def buildable(self) -> bool:
        """Whether it more likely fits than not; a design on a GPU always does."""
        return self.fits != "no" and (self.fill is None or self.fill <= 1)

    def as_json(self) -> dict[str, Any]:
        """All fields as JSON values; `from_json` gives an equal design back."""
        row: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in INTERVALS:
            row[name] = None if row[name] is None else row[name].as_dict()
        return row | {"layers": [dict(layer) for layer in self.layers]}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> DesignPoint:
        """The inverse of `as_json`."""
        intervals = {name: None if row[name] is None else Interval(**row[name]) for name in INTERVALS}
        return cls(**{**row, **intervals, "layers": tuple(row["layers"])})


@dataclass(frozen=True, slots=True)
class ParetoFront:
    """The non-dominated designs of one target under named objectives (`error`, `lut`, `latency_us`, ...).

    Attributes
    ----------
    designs : non-dominated by mid values, in order of the first objective.
    contenders : further designs that intervals do not rule out.
    knee : the id of the knee, or None for an empty front.
    hypervolume : dominated share of the box from the best to the worst value seen, 0..1.
    """

    target: str
    objectives: tuple[str, ...]
    designs: tuple[DesignPoint, ...]
    contenders: tuple[DesignPoint, ...]
    knee: str | None
    hypervolume: float

    @classmethod
    def of(cls, target: str, objectives: Sequence[str], designs: Iterable[DesignPoint]) -> ParetoFront:
        # sorted first: nothing below depends on the order in which a study happened to finish its designs
        points = sorted(designs, key=lambda d: (*(d.objective(name)[1] for name in objectives), d.id))
        if not points:
            return cls(target, tuple(objectives), (), (), None, 0.0)
        ends = np.array([[d.objective(name) for name in objectives] for d in points])
        mid = ends[:, :, 1]
        front = non_dominated(mid)
        robust = robustly_non_dominated(ends[:, :, 0], ends[:, :, 2])
        low, high = mid.min(axis=0), mid.max(axis=0)
        span = np.where(high > low, high - low, 1.0)
        return cls(
            target,
            tuple(objectives),
            tuple(points[i] for i in np.flatnonzero(front)),
            tuple(points[i] for i in np.flatnonzero(robust & ~front)),
            points[knee(mid)].id,
            hypervolume((mid - low) / span, np.ones(len(objectives))),
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(x)}</th>" for x in ("id", "weights", "acts", *self.objectives))
        rows = "".join(
            "<tr>"
            + "".join(f"<td>{escape(x)}</td>" for x in (d.id, d.weights, d.acts))
            + "".join(f"<td>{d.objective(o)[1]:.4g}</td>" for o in self.objectives)
            + "</tr>"
            for d in self.designs
        )
        return f"<table><caption>{escape(self.target)}</caption><tr>{head}</tr>{rows}</table>"


def content_id(**content: Any) -> str:
    """12 hex digits of SHA-256 over the sorted JSON of what decides a result."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_stable)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _stable(value: Any) -> Any:
    """JSON of what is no JSON value; only types whose text holds everything they are."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Format | Scaled | PurePath):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no stable text: hash or spell it out before content_id")


def _family(text: str) -> str:
    name = text.removeprefix("u").split("@")[0]
    if name.startswith(("int", "mxint")):
        return "integer"
    if name.startswith(("e", "mxfp", "nvfp")):
        return "minifloat"
    return "other"
