"""Values of a prediction: an interval, an FPGA cost, a GPU latency. Every number says its unit and its stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from hwsim.core.errors import InputError

if TYPE_CHECKING:
    from hwsim.core.explain import Explanation

Stage = Literal["formula", "hls", "synthesis", "post_route", "kernel", "end_to_end"]
Fits = Literal["yes", "no", "uncertain"]


@dataclass(frozen=True, slots=True)
class Interval:
    """lo <= mid <= hi.

    Attributes
    ----------
    unit : `LUT`, `us`, `cycles`, ...
    stage : what the number predicts: a formula's own count, an HLS report, a synthesis, a placed design, one
        kernel, or the whole network as a user times it.
    coverage : share of outside measurements that such an interval held, or None where it was never compared.
    """

    lo: float
    mid: float
    hi: float
    unit: str
    stage: Stage
    coverage: float | None = None

    def __post_init__(self) -> None:
        if not self.lo <= self.mid <= self.hi:
            raise InputError(f"{self.lo} <= {self.mid} <= {self.hi} is false", where=f"interval in {self.unit}")

    @classmethod
    def exact(cls, value: float, unit: str, stage: Stage = "formula") -> Interval:
        return cls(value, value, value, unit, stage)

    def as_dict(self) -> dict[str, Any]:
        return {
            "lo": self.lo,
            "mid": self.mid,
            "hi": self.hi,
            "unit": self.unit,
            "stage": self.stage,
            "coverage": self.coverage,
        }

    def __str__(self) -> str:
        if self.lo == self.hi:
            return f"{_short(self.mid)} {self.unit}"
        return f"{_short(self.mid)} {self.unit} ({_short(self.lo)} to {_short(self.hi)})"


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Resources of one layer, mid values; `terms` splits the LUTs by cause and sums to `lut`."""

    name: str
    kind: str
    lut: float
    ff: float
    dsp: float
    bram18: float
    cycles: int
    weight_format: str
    act_format: str
    accumulator_bits: int
    reuse: int
    terms: Mapping[str, float]
    uram: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in LayerCost.__slots__ if name != "terms"} | {
            "terms": dict(self.terms)
        }


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of one inference.

    Attributes
    ----------
    unit : of every figure.
    label : `relative` where only ratios between designs mean anything.
    table : the name of the table of coefficients.
    layers : energy by layer and, in each, by cause.
    """

    unit: str
    label: str
    table: str
    layers: Mapping[str, Mapping[str, float]]

    @property
    def causes(self) -> dict[str, float]:
        """The whole network's energy by cause."""
        found: dict[str, float] = {}
        for causes in self.layers.values():
            for cause, value in causes.items():
                found[cause] = found.get(cause, 0.0) + value
        return found

    @property
    def total(self) -> float:
        return sum(self.causes.values())

    def as_dict(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "unit": self.unit,
            "label": self.label,
            "table": self.table,
            "causes": self.causes,
            "layers": {name: dict(causes) for name, causes in self.layers.items()},
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """FPGA resources and time of a network or an operator on one part.

    Attributes
    ----------
    available : what the part has of each resource (`lut`, `ff`, `dsp`, `bram18`), where it is known.
    energy : of one inference, where it was asked for.
    uram : UltraRAMs, which memories take where block RAM runs out; among `intervals` only where there are any.
    """

    part: str
    lut: Interval
    ff: Interval
    dsp: Interval
    bram18: Interval
    latency_us: Interval
    ii_cycles: Interval
    clock_mhz: float
    fits: Fits
    layers: tuple[LayerCost, ...]
    notes: tuple[str, ...] = ()
    available: Mapping[str, int] = field(default_factory=dict)
    energy: Energy | None = None
    uram: Interval = field(default_factory=lambda: Interval.exact(0.0, "URAM"))

    @property
    def intervals(self) -> dict[str, Interval]:
        ultra = ("uram",) if self.uram.hi > 0 else ()
        names = ("lut", "ff", "dsp", "bram18", *ultra, "latency_us", "ii_cycles")
        return {name: getattr(self, name) for name in names}

    def as_dict(self) -> dict[str, Any]:
        return (
            {"part": self.part, "clock_mhz": self.clock_mhz}
            | {name: interval.as_dict() for name, interval in self.intervals.items()}
            | {"fits": self.fits, "layers": [layer.as_dict() for layer in self.layers], "notes": list(self.notes)}
            | ({"available": dict(self.available)} if self.available else {})
            | ({"energy": self.energy.as_dict()} if self.energy is not None else {})
        )

    def explain(self) -> Explanation:
        """What costs what and why, in words and as tables."""
        from hwsim.core.explain import explain

        return explain(self)

    def _repr_html_(self) -> str:
        head = f"<b>{escape(self.part)}</b>, fits: {self.fits}"
        return _html_table(head, ((name, str(value)) for name, value in self.intervals.items()))


@dataclass(frozen=True, slots=True)
class KernelTime:
    """Time of one kernel (a fused group of layers) on a GPU."""

    name: str
    kind: str
    latency_us: float
    bound: Literal["compute", "memory", "launch"]
    precision: str
    macs: int
    bytes_moved: int

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in KernelTime.__slots__}


@dataclass(frozen=True, slots=True)
class BatchLatency:
    """Latency of one batch size; `latency_us` is that of the whole batch."""

    batch: int
    latency_us: Interval
    quantiles: Mapping[str, float]
    p_miss: float | None
    out_of_domain: bool
    layers: tuple[KernelTime, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "latency_us": self.latency_us.as_dict(),
            "quantiles": dict(self.quantiles),
            "p_miss": self.p_miss,
            "out_of_domain": self.out_of_domain,
            "layers": [layer.as_dict() for layer in self.layers],
        }


@dataclass(frozen=True, slots=True)
class LatencyPrediction:
    """What a GPU takes for a network, by batch size."""

    device: str
    runtime: str
    precision: str
    batches: tuple[BatchLatency, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "runtime": self.runtime,
            "precision": self.precision,
            "batches": [batch.as_dict() for batch in self.batches],
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        head = f"<b>{escape(self.device)}</b>, {self.runtime}, {self.precision}"
        return _html_table(head, ((f"batch {b.batch}", str(b.latency_us)) for b in self.batches))


def _html_table(head: str, rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows)
    return f"<table><caption>{head}</caption>{body}</table>"


def _short(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 100 or float(x).is_integer() else f"{x:.3g}"
