"""Static figures of latencies with matplotlib: the batch sweep and the roofline."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, log10
from typing import TYPE_CHECKING

from hwsim.core.cost import BatchLatency
from hwsim.reports.drawing import drawing, svg_of
from hwsim.reports.latency import Latencies, Timed, attained, bound_colour, per_second, rate_unit, roofs
from hwsim.reports.style import BOUNDS, GRID, INK, LINES, MUTED
from hwsim.reports.words import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
MOST_TICKS = 8


def line_style(place: int) -> tuple[str, bool]:
    """(colour, whether dashed) of the prediction at a place of the page."""
    return LINES[place % len(LINES)], place // len(LINES) % 2 == 1


def log_ticks(low: float, high: float) -> list[float]:
    """At most `MOST_TICKS` round numbers on a logarithmic axis from `low` to `high`: the densest set that fits."""
    first, last = int(log10(low)) - 1, int(log10(high)) + 1
    found: list[float] = []
    for steps in _STEPS:
        ticks = [step * 10.0**n for n in range(first, last + 1) for step in steps if low <= step * 10.0**n <= high]
        if len(ticks) > MOST_TICKS:
            return found or ticks[:: -(-len(ticks) // MOST_TICKS)]
        found = ticks
    return found


def batch_ticks(sizes: Sequence[int]) -> list[int]:
    """Batch sizes to write at the axis: those at least a factor 1.6 above the one before."""
    ticks: list[int] = []
    for size in sizes:
        if not ticks or size >= 1.6 * ticks[-1]:
            ticks.append(size)
    return ticks if len(ticks) <= MOST_TICKS + 2 else ticks[::2]


def log_range(values: Sequence[float], margin: float = 1.25) -> tuple[float, float]:
    """Ends of a logarithmic axis a factor `margin` around positive finite values, at least a factor 3 apart."""
    good = [v for v in values if isfinite(v) and v > 0] or [1.0]
    low, high = min(good) / margin, max(good) * margin
    spread = max(1.0, (3.0 / (high / low)) ** 0.5)
    return low / spread, high * spread


def sweep_svgs(latencies: Latencies) -> tuple[str, str]:
    """Two figures: latency of a batch, and inputs per second, each against the batch size with its band."""

    def seconds(found: BatchLatency) -> tuple[float, float, float]:
        time = found.latency_us
        return per_second(found.batch, time.hi), per_second(found.batch, time.mid), per_second(found.batch, time.lo)

    def times(found: BatchLatency) -> tuple[float, float, float]:
        return found.latency_us.lo, found.latency_us.mid, found.latency_us.hi

    found = []
    for stem, title, ends in (("sweep", "latency of a batch (µs)", times), ("rate", "inputs per second", seconds)):
        with drawing(f"latency-{stem}", 3.9, 3.0) as figure:
            axes = figure.add_subplot()
            values = [v for t in latencies.timed for b in t.sweep for v in ends(b)]
            if stem == "sweep" and latencies.deadline_us is not None:
                values.append(latencies.deadline_us)
                axes.axhline(latencies.deadline_us, color=INK, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1)
            for place, timed in enumerate(latencies.timed):
                _line(axes, place, timed.sweep, [ends(b) for b in timed.sweep])
            _frame(axes, "batch size", title)
            _log_axis(axes.yaxis, log_range(values))
            _log_axis(axes.xaxis, log_range(latencies.sizes), batch_ticks(latencies.sizes))
            found.append(svg_of(figure))
    return found[0], found[1]


def _line(axes: Axes, place: int, sweep: Sequence[BatchLatency], ends: Sequence[tuple[float, float, float]]) -> None:
    colour, dashed = line_style(place)
    sizes = [b.batch for b in sweep]
    low, mid, high = (list(column) for column in zip(*ends, strict=True))
    if len(sizes) > 1:
        axes.fill_between(sizes, low, high, color=colour, alpha=0.13, linewidth=0, zorder=2)
        axes.plot(sizes, mid, color=colour, linewidth=1.3, linestyle="--" if dashed else "-", zorder=3)
    else:
        axes.plot(sizes * 2, [low[0], high[0]], color=colour, linewidth=1.3, zorder=3)
    fills = ["#ffffff" if b.out_of_domain else colour for b in sweep]
    axes.scatter(sizes, mid, s=20, c=fills, edgecolors=colour, linewidths=1.1, zorder=4)


def roofline_svg(timed: Timed, found: BatchLatency, stem: str) -> str:
    """Attained rate of every kernel against its operations per byte, with the device's roofs."""
    points, over = attained(found.layers), roofs(timed)
    whole = sum(k.latency_us for k in found.layers) or 1.0
    ridges = [roof["ops"] / roof["gbps"] for roof in over]
    left, right = log_range([x for x, _, _ in points] + [factor * x for x in ridges for factor in (0.1, 2)], 2.0)
    low, high = log_range([y for _, y, _ in points] + [roof["ops"] for roof in over], 2.0)
    with drawing(stem, 5.6, 3.5) as figure:
        axes = figure.add_subplot()
        for roof in over:
            _roof(axes, roof["ops"], roof["gbps"], roof["label"], (left, right))
        for bound, style in BOUNDS.items():
            own = [(x, y, k) for x, y, k in points if k.bound == bound]
            if own:
                sizes = [14 + 160 * k.latency_us / whole for _, _, k in own]
                axes.scatter([x for x, _, _ in own], [y for _, y, _ in own], s=sizes, marker=style.marker,
                             color=bound_colour(bound), alpha=0.65, linewidths=0.5, edgecolors="white",
                             zorder=3)  # fmt: skip
        unit = rate_unit(k.precision for b in timed.prediction.batches for k in b.layers)
        _frame(axes, "operations per byte moved", f"attained G{unit}")
        _log_axis(axes.xaxis, (left, right))
        _log_axis(axes.yaxis, (low, high))
        return svg_of(figure)


def _roof(axes: Axes, ops: float, gbps: float, label: str, ends: tuple[float, float]) -> None:
    left, right = ends
    xs = [left, ops / gbps, right]
    axes.plot(xs, [min(ops, gbps * x) for x in xs], color=INK, linewidth=1.0, zorder=2)
    axes.annotate(label, (right, ops), xytext=(-2, 3), textcoords="offset points", ha="right", va="bottom",
                  fontsize=7.5, color=INK, zorder=5,
                  bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5})  # fmt: skip


def _frame(axes: Axes, x_title: str, y_title: str) -> None:
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3, width=0.7, color=MUTED)
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)


def _log_axis(axis: Axis, ends: tuple[float, float], ticks: Sequence[float] | None = None) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes, name = axis.axes, axis.axis_name  # type: ignore[attr-defined]
    (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    (axes.set_xlim if name == "x" else axes.set_ylim)(*ends)
    axis.set_major_locator(FixedLocator(ticks if ticks is not None else log_ticks(*ends)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value)))
