"""Latency predictions as a page shows them: by batch in a table, by kernel as bars, under a roof, with every note."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.core.cost import BatchLatency, KernelTime, LatencyPrediction
from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError
from hwsim.reports.resources import Bar, Segment, share_text
from hwsim.reports.style import BOUNDS, OTHER_CAUSES
from hwsim.reports.words import NBSP, quantity, share_words

TOP = 30
"""So many kernels have a bar of their own; all others share one."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One prediction under the name that the page gives it; without `gpu` its roofline has no roof."""

    label: str
    prediction: LatencyPrediction
    gpu: Gpu | None = None

    def at(self, batch: int) -> BatchLatency:
        """The latency of a batch size; of the first one where that one was not predicted."""
        batches = self.prediction.batches
        return next((b for b in batches if b.batch == batch), batches[0])

    @property
    def sweep(self) -> tuple[BatchLatency, ...]:
        """Batch sizes in ascending order, each once."""
        by_size = {b.batch: b for b in self.prediction.batches}
        return tuple(by_size[size] for size in sorted(by_size))


@dataclass(frozen=True, slots=True)
class Latencies:
    """What a latency page or section shows.

    Attributes
    ----------
    name : heading of the page: the network.
    timed : one or more predictions, each with one or more batch sizes.
    batch : the size whose kernels are shown first; 0 is the first size of the first prediction.
    deadline_us : for a batch, where `p_miss` of the predictions belongs to one.
    notes : what holds for all, beyond the notes of the predictions.
    """

    name: str
    timed: tuple[Timed, ...]
    batch: int = 0
    deadline_us: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.timed or not all(t.prediction.batches for t in self.timed):
            raise InputError("nothing was predicted", where="latency page", hint="give a device and a batch size")

    @property
    def shown(self) -> int:
        return self.batch or self.timed[0].prediction.batches[0].batch

    @property
    def sizes(self) -> tuple[int, ...]:
        """All batch sizes in ascending order."""
        return tuple(sorted({b.batch for t in self.timed for b in t.prediction.batches}))


def kernel_bars(kernels: Sequence[KernelTime]) -> list[Bar]:
    """A bar for each of the slowest kernels, longest first, and one for all others, coloured by what bounds them.

    Widths are in percent of the slowest kernel. The bar of the others ends at the room's end where they take longer.
    """
    ordered = sorted(kernels, key=lambda k: -k.latency_us)
    most = (ordered[0].latency_us if ordered else 0.0) or 1.0
    whole = sum(k.latency_us for k in kernels) or 1.0
    bars = [_kernel_bar(k, most, whole) for k in ordered[:TOP]]
    if rest := ordered[TOP:]:
        bars.append(_rest_bar(rest, most, whole))
    return bars


def _kernel_bar(kernel: KernelTime, most: float, whole: float) -> Bar:
    time = kernel.latency_us
    words = f"{kernel.name}: {kernel.kind}, {kernel.precision}, {_us(time)}, bound by {kernel.bound}"
    segment = Segment(kernel.bound, bound_colour(kernel.bound), round(100 * time / most, 2))
    return Bar(kernel.name, _time_words(time, whole), (segment,), words)


def _rest_bar(rest: Sequence[KernelTime], most: float, whole: float) -> Bar:
    times = bound_times(rest)
    total = sum(times.values())
    room = max(total, most)
    segments = tuple(Segment(name, bound_colour(name), round(100 * us / room, 2)) for name, us in times.items())
    cut = " (bar cut)" if total > most else ""
    count = f"{len(rest):,} other{'' if len(rest) == 1 else 's'}"
    words = f"{count}: " + ", ".join(f"{_us(us)} bound by {name}" for name, us in times.items())
    return Bar(f"{count}{cut}", _time_words(total, whole), segments, words)


def bound_times(kernels: Iterable[KernelTime]) -> dict[str, float]:
    """Microseconds by what bounds them, in the order of the legend; bounds of no kernel are left out."""
    times: dict[str, float] = dict.fromkeys(BOUNDS, 0.0)
    for kernel in kernels:
        times[kernel.bound] = times.get(kernel.bound, 0.0) + kernel.latency_us
    return {name: us for name, us in times.items() if us > 0}


def bound_legend(kernels: Sequence[KernelTime]) -> list[tuple[str, str, str]]:
    """(bound, colour, share of the kernels' time)."""
    times = bound_times(kernels)
    whole = sum(times.values()) or 1.0
    return [(name, bound_colour(name), share_text(us / whole)) for name, us in times.items()]


def bound_colour(name: str) -> str:
    return BOUNDS[name].colour if name in BOUNDS else OTHER_CAUSES


def table_groups(latencies: Latencies) -> list[dict[str, Any]]:
    """The table of predictions and batch sizes: a group a prediction, a row a batch size."""
    return [{"label": t.label, "rows": [_batch_row(b) for b in t.prediction.batches]} for t in latencies.timed]


def _batch_row(found: BatchLatency) -> dict[str, Any]:
    time = found.latency_us
    coverage = "never compared" if time.coverage is None else share_words(time.coverage)
    return {
        "batch": f"{found.batch:,}",
        "latency": quantity(time.mid),
        "ends": f"{quantity(time.lo)} to {quantity(time.hi)}",
        "rate": quantity(per_second(found.batch, time.mid)),
        "coverage": coverage,
        "p_miss": "–" if found.p_miss is None else _miss(found.p_miss),
        "out": found.out_of_domain,
    }


def _miss(share: float) -> str:
    return f"{share:.3f}" if share == 0 or share >= 0.001 else "< 0.001"


def has_misses(latencies: Latencies) -> bool:
    return any(b.p_miss is not None for t in latencies.timed for b in t.prediction.batches)


def note_rows(latencies: Latencies) -> list[tuple[str, str]]:
    """(whose, note): every note once, with the predictions that it belongs to; an empty name means all of them."""
    owners: dict[str, list[str]] = {note: [] for note in latencies.notes}
    for timed in latencies.timed:
        for note in dict.fromkeys(timed.prediction.notes):
            owners.setdefault(note, []).append(timed.label)
    return [("" if len(who) in (0, len(latencies.timed)) else ", ".join(who), note) for note, who in owners.items()]


def per_second(batch: int, latency_us: float) -> float:
    """Inputs per second when batches follow each other without a gap."""
    return batch / latency_us * 1e6 if latency_us > 0 else float("inf")


def roofs(timed: Timed) -> list[dict[str, Any]]:
    """The device's roofs, one for each peak among the precisions used: names, operations per second, bytes per second.

    `ops` is in 1e9/s (peaks of the datasheet, an operation a multiplication or an addition), `gbps` in GB/s.
    """
    if timed.gpu is None:
        return []
    peaks: dict[float, list[str]] = {}
    for precision in sorted({k.precision for b in timed.prediction.batches for k in b.layers}):
        if precision in timed.gpu.peak_tflops:
            peaks.setdefault(timed.gpu.peak_tflops[precision] * 1e3, []).append(precision)
    return [
        {"name": ", ".join(names), "ops": ops, "gbps": timed.gpu.dram_gbps, "label": roof_label(names, ops)}
        for ops, names in sorted(peaks.items())
    ]


def roof_label(names: Sequence[str], ops: float) -> str:
    """`fp16: 71 TFLOP/s`."""
    return f"{', '.join(names)}: {quantity(ops / 1e3)}{NBSP}T{rate_unit(names)}"


def rate_unit(precisions: Iterable[str]) -> str:
    """`FLOP/s` where all precisions are floats, `op/s` where one is not."""
    return "op/s" if any(name.startswith("int") for name in precisions) else "FLOP/s"


def attained(kernels: Iterable[KernelTime]) -> list[tuple[float, float, KernelTime]]:
    """(operations per byte, attained 1e9 operations per second, kernel); kernels without products are left out."""
    return [
        (2 * k.macs / k.bytes_moved, 2 * k.macs / k.latency_us / 1e3, k)
        for k in kernels
        if k.macs > 0 and k.bytes_moved > 0 and k.latency_us > 0
    ]


def roofline_caption(timed: Timed, found: BatchLatency) -> str:
    """What the roofline does not show by itself, for one batch size."""
    text = "A multiply-accumulate is two operations. "
    if timed.gpu is not None:
        text += f"Slope: {quantity(timed.gpu.dram_gbps)}{NBSP}GB/s, sustained; ceilings: peaks of the datasheet. "
    undrawn = len(found.layers) - len(attained(found.layers))
    if undrawn:
        who = "1 kernel has no products and is" if undrawn == 1 else f"{undrawn:,} kernels have no products and are"
        text += f"{who} not drawn. "
    return text + "A cache or an algorithm that saves products lifts a point above the roof."


def sweep_caption(latencies: Latencies) -> str:
    """What the plots of the batch sweep mean."""
    text = "Bands are 90 % intervals."
    if any(b.out_of_domain for t in latencies.timed for b in t.prediction.batches):
        text += " Open points lie outside what was measured: their intervals are the less sure."
    if latencies.deadline_us is not None:
        text += f" The dashed line is the deadline, {_us(latencies.deadline_us)} a batch."
    return text


def _us(value: float) -> str:
    return f"{quantity(value)}{NBSP}µs"


def _time_words(time: float, whole: float) -> str:
    return f"{_us(time)} ({share_text(time / whole)})"


def rows_of(bars: Iterable[Bar]) -> list[Mapping[str, Any]]:
    """Bars as JSON values."""
    return [
        {"name": b.name, "value": b.value, "words": b.words, "parts": [[s.name, s.colour, s.width] for s in b.segments]}
        for b in bars
    ]
