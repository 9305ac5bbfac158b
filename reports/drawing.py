"""How static figures are drawn: one set of matplotlib settings, figures as SVG text, SVG as an element of a page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hwsim.reports.style import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "svg.fonttype": "path",  # the figure looks the same whatever fonts the reader has
    "figure.dpi": 100,
}


@contextmanager
def drawing(stem: str, width_in: float, height_in: float) -> Iterator[Figure]:
    """A figure of so many inches under the settings of all figures; equal stems and drawings give equal bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: Any = SETTINGS | {"svg.hashsalt": stem}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def svg_of(figure: Figure) -> str:
    """The figure as an SVG file; call it while `drawing` is open."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def inline_svg(svg: str, stem: str, label: str) -> str:
    """An SVG file as an `svg` element for a page: no prolog, ids of its own, a name (escaped) for screen readers."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(\sid="|href="#|url\(#)', lambda m: f"{m[1]}{stem}-", text)
    text = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", text, count=2)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def si(value: float) -> str:
    """`20 k`, `3 M`: ticks of axes with large numbers."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"
