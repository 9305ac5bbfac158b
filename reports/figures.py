"""Static figures of the fronts with matplotlib: for print, for papers, for pages read without scripts."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwsim.core.design import DesignPoint, ParetoFront
from hwsim.core.fronts import EVERYWHERE
from hwsim.reports.drawing import drawing, si, svg_of
from hwsim.reports.study import Study
from hwsim.reports.style import COSTS, FAMILIES, GRID, INK, MUTED, family_style, fill
from hwsim.reports.view import View, members, view_of
from hwsim.reports.words import float_ends, percent, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RASTER_FROM = 1500
"""So many background points are drawn as one picture inside the SVG, which else grows by 100 bytes a point."""


@dataclass(frozen=True, slots=True)
class FrontFigure:
    """One front drawn: file stem, caption, vector and pixel form."""

    stem: str
    title: str
    caption: str
    svg: str
    png: bytes


def front_figures(study: Study) -> tuple[FrontFigure, ...]:
    """A figure for each two-objective front of error against a cost; equal studies give equal bytes."""
    stems: set[str] = set()
    figures = []
    for front in study.fronts:
        if len(front.objectives) == 2 and front.objectives[0] == "error" and front.objectives[1] in COSTS:
            figures.append(_draw(study, front, _stem(front, stems)))
    return tuple(figures)


def front_title(study: Study, front: ParetoFront) -> str:
    """`Accuracy against LUTs on ZU3EG`."""
    place = "" if front.target == EVERYWHERE else f" on {study.title(front.target)}"
    return plane_title(study, front) + place


def plane_title(study: Study, front: ParetoFront) -> str:
    """`Accuracy against LUTs`."""
    what = {"memory_bits": "memory", "latency_us": "latency", "dsp": "DSP blocks", "ff": "flip-flops"}
    cost = what.get(front.objectives[1], front.objectives[1].upper() + "s")
    return f"{study.metric_name[:1].upper()}{study.metric_name[1:]} against {cost}"


def _stem(front: ParetoFront, taken: set[str]) -> str:
    words = f"{front.target}-{front.objectives[1]}".lower()
    stem = base = "front-" + (re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:60] or "target")
    number = 2
    while stem in taken:
        stem, number = f"{base}-{number}", number + 1
    taken.add(stem)
    return stem


def _draw(study: Study, front: ParetoFront, stem: str) -> FrontFigure:
    view = view_of(study, front)
    with drawing(stem, 7.2, 4.0) as figure:
        axes = figure.add_subplot()
        _frame(axes, study, front, view)
        _points(axes, front, members(study, front), view)
        _legend(figure, {design.family for design in members(study, front)}, front)
        svg, png = svg_of(figure), io.BytesIO()
        figure.set_layout_engine("none")  # keep the layout of the first drawing
        figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return FrontFigure(stem, front_title(study, front), _caption(study, front, view), svg, png.getvalue())


def _frame(axes: Axes, study: Study, front: ParetoFront, view: View) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = float_ends(study)
    axes.axhspan(low, high, color=GRID, alpha=0.55, linewidth=0, zorder=0)
    axes.axhline(study.float_metric, color=MUTED, linewidth=0.8, linestyle=(0, (5, 3)), zorder=1)
    label = f"float\n{percent(study.float_metric)}"
    axes.annotate(label, (1.0, study.float_metric), xycoords=("axes fraction", "data"),
                  xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5, color=MUTED)  # fmt: skip
    axes.set_title(front_title(study, front), loc="left", fontsize=9.5, fontweight="bold")
    if view.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: si(x)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.4g} %"))
    axes.set_xlim(*view.x)
    axes.set_ylim(*view.y)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3, width=0.7)
    axes.set_xlabel(COSTS[front.objectives[1]][1])
    axes.set_ylabel(study.metric_name)
    if view.capacity is not None:
        axes.axvline(view.capacity, color=INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        axes.annotate(f"the part has {quantity(view.capacity, 6)}", (view.capacity, 0.02),
                      xycoords=("data", "axes fraction"), xytext=(-3, 0), textcoords="offset points", rotation=90,
                      ha="right", va="bottom", fontsize=7.5, color=INK)  # fmt: skip


def _points(axes: Axes, front: ParetoFront, designs: Sequence[DesignPoint], view: View) -> None:
    cost = front.objectives[1]
    chosen = {design.id for design in front.designs}
    rest = [d for d in designs if d.id not in chosen and d.metric >= view.y[0]]
    dense = len(rest) > RASTER_FROM
    for family in FAMILIES:
        group = [d for d in rest if family_style(d.family).name == family.name]
        if group:
            xy = ([d.objective(cost)[1] for d in group], [d.metric for d in group])
            axes.scatter(*xy, marker=family.marker, s=11, c=[_fill(front, d) for d in group], linewidths=0.5,
                         edgecolors=family.colour, alpha=0.45, zorder=2, rasterized=dense)  # fmt: skip
    ordered = sorted(front.designs, key=lambda d: (d.objective(cost)[1], d.metric))
    axes.plot([d.objective(cost)[1] for d in ordered], [d.metric for d in ordered], color=INK, linewidth=1.0,
              drawstyle="steps-post", zorder=3)  # fmt: skip
    for d in ordered:
        lo, mid, hi = d.objective(cost)
        family = family_style(d.family)
        axes.errorbar([mid], [d.metric], xerr=_arms(lo, mid, hi), yerr=_arms(d.metric_lo, d.metric, d.metric_hi),
                      ecolor=family.colour, elinewidth=0.7, alpha=0.55, fmt="none", zorder=3)  # fmt: skip
        axes.scatter([mid], [d.metric], marker=family.marker, s=34, c=[_fill(front, d)], linewidths=1.0,
                     edgecolors=family.colour, zorder=4)  # fmt: skip
        if d.id == front.knee:
            axes.scatter([mid], [d.metric], s=130, facecolors="none", edgecolors=INK, linewidths=1.0, zorder=5)


def _arms(lo: float, mid: float, hi: float) -> list[list[float]]:
    return [[max(mid - lo, 0.0)], [max(hi - mid, 0.0)]]


def _fill(front: ParetoFront, design: DesignPoint) -> str:
    return fill(family_style(design.family), None if front.target == EVERYWHERE else design.fits)


def _legend(figure: Figure, families: set[str], front: ParetoFront) -> None:
    from matplotlib.lines import Line2D

    def glyph(label: str, **style: Any) -> Line2D:
        return Line2D([], [], label=label, **{"linestyle": "none", "markersize": 5.5, **style})

    names = {family_style(name).name for name in families}
    handles = [
        glyph(f.name, marker=f.marker, color=f.colour, markerfacecolor=f.colour) for f in FAMILIES if f.name in names
    ]
    if front.target != EVERYWHERE and any(design.fits is not None for design in front.designs):
        grey = {"marker": "o", "color": MUTED, "markeredgecolor": MUTED}
        handles += [
            glyph("fits", markerfacecolor=MUTED, **grey),
            glyph("uncertain", markerfacecolor="#d5d8dc", **grey),
            glyph("does not fit", markerfacecolor="white", **grey),
        ]
    handles.append(glyph("front", color=INK, linestyle="-", linewidth=1.0))
    handles.append(glyph("knee", marker="o", color=INK, markerfacecolor="none", markersize=9))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8,
                  handletextpad=0.4, columnspacing=1.4)  # fmt: skip


def _caption(study: Study, front: ParetoFront, view: View) -> str:
    text = "Whiskers are intervals; the dashed line and grey band are the float network and its sampling interval."
    if view.hidden:
        text += f" {view.hidden:,} less accurate designs lie below the picture."
    return text
