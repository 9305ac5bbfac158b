"""The report: one HTML file that works offline, prints, and reads with scripting off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from hwsim.core.design import INTERVALS, DesignPoint, ParetoFront
from hwsim.core.fronts import EVERYWHERE, canonical_order
from hwsim.reports.answer import answer, verdict
from hwsim.reports.atomic import write_atomic
from hwsim.reports.drawing import inline_svg
from hwsim.reports.figures import FrontFigure, front_figures
from hwsim.reports.latency import Latencies
from hwsim.reports.latency_page import latency_section
from hwsim.reports.pagedata import DATA_LIMIT, basis, page_data
from hwsim.reports.picks import summary
from hwsim.reports.resources import MacCosts, heat_rows, study_blocks
from hwsim.reports.study import Study
from hwsim.reports.style import COSTS
from hwsim.reports.templates import FOLDER, template
from hwsim.reports.words import cost_words, float_ends, memory_words, metric_words, pair_names, quantity


def write_report(
    study: Study,
    folder: Path,
    data_limit: int = DATA_LIMIT,
    macs: MacCosts | None = None,
    latencies: Latencies | None = None,
) -> Path:
    """Write `report.html` and `figures/front-*.svg|png` into a folder; equal studies give equal bytes.

    Each file is replaced in one step, the page last. Figures of an earlier report that this one does not have are
    removed. Returns the path of the page.
    """
    figures = front_figures(study)
    page = render_page(study, figures, data_limit, macs, latencies)
    names = set()
    for figure in figures:
        names |= {write_atomic(folder / "figures" / f"{figure.stem}.svg", figure.svg).name}
        names |= {write_atomic(folder / "figures" / f"{figure.stem}.png", figure.png).name}
    for old in (folder / "figures").glob("front-*.*"):
        if old.name not in names and old.suffix in (".svg", ".png"):
            old.unlink(missing_ok=True)
    return write_atomic(folder / "report.html", page)


def render_page(
    study: Study,
    figures: Sequence[FrontFigure] | None = None,
    data_limit: int = DATA_LIMIT,
    macs: MacCosts | None = None,
    latencies: Latencies | None = None,
) -> str:
    """The page as text; every text of the study is escaped.

    With `macs` it holds the map of costs by format pair, with `latencies` the section on GPU latency.
    """
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    found = answer(study)
    return template("page.html.j2", {"quantity": quantity, "memory": memory_words}).render(
        study=study,
        answer=found,
        pairs=pair_names(study.designs),
        summary=summary,
        verdict=verdict,
        float_words=metric_words(study.float_metric, *float_ends(study)),
        targets=_targets(study),
        interval_rows=_interval_rows(study),
        fronts=_static_fronts(study, front_figures(study) if figures is None else figures),
        everywhere=EVERYWHERE,
        resources=study_blocks(study),
        macs=macs,
        heat=heat_rows(macs) if macs else [],
        latency=latency_section(latencies) if latencies else None,
        data=Markup(page_data(study, data_limit)),
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        script=Markup((FOLDER / "page.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
    )


def _targets(study: Study) -> dict[str, list[str]]:
    ordered = canonical_order(study.designs)
    return {
        "parts": list(dict.fromkeys(design.part for design in ordered if design.part)),
        "devices": list(dict.fromkeys(design.device for design in ordered if design.device)),
    }


def _interval_rows(study: Study) -> list[Mapping[str, str]]:
    """What the intervals of the costs predict and what share of outside measurements they held; equal rows joined."""
    names = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18", "latency_us": "latency"}
    targets: dict[tuple[str, str], dict[str, None]] = {}
    for design in canonical_order(study.designs):
        for name in INTERVALS:
            value = getattr(design, name)
            if value is not None:
                targets.setdefault((names[name], basis(value)), {})[study.title(design.target)] = None
    rows: dict[tuple[str, str], list[str]] = {}
    for (figure, words), on in targets.items():
        rows.setdefault((words, ", ".join(on)), []).append(figure)
    return [{"figure": ", ".join(figures), "basis": words, "targets": on} for (words, on), figures in rows.items()]


def _static_fronts(study: Study, figures: Sequence[FrontFigure]) -> list[dict[str, Any]]:
    from markupsafe import Markup

    planes = [
        f for f in study.fronts if len(f.objectives) == 2 and f.objectives[0] == "error" and f.objectives[1] in COSTS
    ]
    return [
        {
            "title": figure.title,
            "caption": figure.caption,
            "svg": Markup(inline_svg(figure.svg, figure.stem, escape(figure.title))),
            "cost": {"memory_bits": "Memory", "latency_us": "Latency"}.get(
                front.objectives[1], COSTS[front.objectives[1]][0]
            ),
            "has_fits": front.target != EVERYWHERE and any(design.fits for design in front.designs),
            "rows": [_static_row(front, design) for design in front.designs],
            "hypervolume": f"{front.hypervolume:.3f}",
        }
        for front, figure in zip(planes, figures, strict=True)
    ]


def _static_row(front: ParetoFront, design: DesignPoint) -> dict[str, Any]:
    return {
        "design": design,
        "is_knee": design.id == front.knee,
        "metric": metric_words(design.metric, design.metric_lo, design.metric_hi),
        "cost": cost_words(design, front.objectives[1]),
        "memory": memory_words(design.memory_bits),
    }
