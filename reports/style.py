"""How designs look: one palette for the page and the static figures.

Families differ by shape and by a colour of Okabe and Ito's set, which colour-blind readers tell apart ("Color Universal
Design", 2008); the fill says whether a design fits.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FamilyStyle:
    """Colour and marker of a family, as matplotlib and as plotly name the shape."""

    name: str
    colour: str
    tint: str
    marker: str
    symbol: str


FAMILIES: tuple[FamilyStyle, ...] = (
    FamilyStyle("integer", "#0072B2", "#b3d5e8", "o", "circle"),
    FamilyStyle("minifloat", "#D55E00", "#f2cfb3", "D", "diamond"),
    FamilyStyle("mixed", "#009E73", "#b3e2d5", "^", "triangle-up"),
    FamilyStyle("other", "#CC79A7", "#f0d7e5", "s", "square"),
)
INK = "#1f2328"
MUTED = "#59636e"
GRID = "#e6e8eb"

COSTS: dict[str, tuple[str, str]] = {
    "lut": ("LUT", "LUTs"),
    "ff": ("FF", "flip-flops"),
    "dsp": ("DSP", "DSP blocks"),
    "bram18": ("BRAM18", "block RAMs of 18 kbit"),
    "latency_us": ("µs", "latency of one batch (µs)"),
    "memory_bits": ("bit", "memory for weights and biases (bit)"),
}
"""Unit and axis title of each cost that a front may have."""


def family_style(name: str) -> FamilyStyle:
    return next((family for family in FAMILIES if family.name == name), FAMILIES[-1])


def fill(family: FamilyStyle, fits: str | None) -> str:
    """Filled where a design fits (or has nothing to fit), tinted where that is uncertain, open where it does not."""
    return {"uncertain": family.tint, "no": "#ffffff"}.get(fits or "yes", family.colour)


CAUSE_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""The seven largest causes of a bar, in Okabe and Ito's set; all others share `OTHER_CAUSES`."""
OTHER_CAUSES = "#9aa2ab"


@dataclass(frozen=True, slots=True)
class BoundStyle:
    """Colour and marker of what bounds a kernel, as matplotlib and as plotly name the shape."""

    colour: str
    marker: str
    symbol: str


BOUNDS: dict[str, BoundStyle] = {
    "compute": BoundStyle("#0072B2", "o", "circle"),
    "memory": BoundStyle("#E69F00", "D", "diamond"),
    "launch": BoundStyle("#8a6a9e", "s", "square"),
}
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#59636e")
"""Colours of lines, one a prediction; the seventh begins again with a dashed line."""
_LIGHT, _DARK = (239, 246, 251), (0, 68, 110)


def shade(place: float) -> tuple[str, str]:
    """Background from light (0) to dark (1) blue, and the colour of text on it (contrast at least 4.5 to 1)."""
    share = min(max(place, 0.0), 1.0)
    mixed = [round(a + (b - a) * share) for a, b in zip(_LIGHT, _DARK, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed), "#ffffff" if share > 0.69 else "#000000"
