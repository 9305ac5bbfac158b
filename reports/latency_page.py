"""The latency page, one HTML file that works offline, prints, and reads with scripting off; the section of a report."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from hwsim.reports.atomic import write_atomic
from hwsim.reports.drawing import inline_svg
from hwsim.reports.latency import (
    Latencies,
    Timed,
    bound_legend,
    has_misses,
    kernel_bars,
    note_rows,
    roofline_caption,
    sweep_caption,
    table_groups,
)
from hwsim.reports.latency_data import latency_data
from hwsim.reports.latency_figures import line_style, roofline_svg, sweep_svgs
from hwsim.reports.templates import FOLDER, template


def write_latency_page(latencies: Latencies, path: Path) -> Path:
    """Write the page, whole or not at all; equal latencies give equal bytes."""
    return write_atomic(path, render_latency_page(latencies))


def render_latency_page(latencies: Latencies) -> str:
    """The page as text; every text is escaped."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    return template("latency_page.html.j2", {}).render(
        name=latencies.name,
        labels=[t.label for t in latencies.timed],
        latency=latency_section(latencies),
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
    )


def latency_section(latencies: Latencies) -> dict[str, Any]:
    """What `latency.html.j2` draws: the table, the figures, a block of bars and roofline a prediction, data, script."""
    from markupsafe import Markup

    sweep = zip(("sweep", "rate"), sweep_svgs(latencies), ("Latency", "Inputs per second"), strict=True)
    return {
        "groups": table_groups(latencies),
        "has_misses": has_misses(latencies),
        "lines": [(t.label, *line_style(place)) for place, t in enumerate(latencies.timed)],
        "sizes": latencies.sizes,
        "sweep": [
            Markup(inline_svg(svg, f"latency-{stem}", escape(f"{title} against batch size")))
            for stem, svg, title in sweep
        ],
        "sweep_caption": sweep_caption(latencies),
        "blocks": [_block(place, t, latencies.shown) for place, t in enumerate(latencies.timed)],
        "notes": note_rows(latencies),
        "data": Markup(latency_data(latencies)),
        "script": Markup((FOLDER / "latency.js").read_text(encoding="utf-8")),
    }


def _block(place: int, timed: Timed, batch: int) -> dict[str, Any]:
    from markupsafe import Markup

    found, stem = timed.at(batch), f"roofline-{place}"
    title = f"{timed.label}, batch {found.batch:,}"
    label = escape(f"Roofline of {title}")
    return {
        "title": title,
        "bars": kernel_bars(found.layers),
        "legend": bound_legend(found.layers),
        "roofline": Markup(inline_svg(roofline_svg(timed, found, stem), stem, label)),
        "caption": roofline_caption(timed, found),
    }
