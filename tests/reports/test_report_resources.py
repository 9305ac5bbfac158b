"""Where the resources go: bars that add up, a map that reads, a page that is complete, offline and escaped."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from fake_study import PARTS, design, study_of
from parsed_page import ParsedPage

from hwsim.core.cost import Cost, Interval, LayerCost
from hwsim.reports import MacCosts, Resources, Study, render_page, render_resource_page, write_resource_page
from hwsim.reports.resources import heat_rows, layer_bars, study_blocks, terms_of, trade_rows, use_bars, utilisation
from hwsim.reports.style import CAUSE_COLOURS, shade

pytestmark = pytest.mark.golden
EVIL = "</style></td><script>alert(1)</script>\" ' {{ 7*7 }}"
MACS = MacCosts(("int4", "e4m3"), ("int4", "pow4"), ((30.0, None), (120.0, 60.0)), 576, "ZU3EG")


def cost(dsp: float = 8.0, lut: float = 1000.0, name: str = "conv1") -> Cost:
    terms = {"multipliers": 0.7 * lut, "tree": 0.3 * lut}
    layer = LayerCost(name, "conv", lut, lut, dsp, 2, 64, "int4", "int4", 16, 4, terms)
    return Cost(
        "zu3eg", Interval(0.8 * lut, lut, 1.3 * lut, "LUT", "formula"), Interval.exact(lut, "FF"),
        Interval.exact(dsp, "DSP"), Interval.exact(2, "BRAM18"), Interval(0.3, 0.32, 0.5, "us", "formula"),
        Interval.exact(64, "cycles"), 200, "yes", (layer,), ("uncalibrated",), {"lut": 70560, "dsp": 360},
    )  # fmt: skip


def resources(name: str = "net") -> Resources:
    policies = {"never": cost(0, 2000), "auto": cost(), "pack": cost(4)}
    return Resources(name, cost(), policies, PARTS[::-1], MACS)


def test_bars_add_up_to_the_layers() -> None:
    layers = [("a", {f"cause {i}": 10.0 + i for i in range(9)}), ("b", {"cause 8": 18.0}), ("none", {})]
    bars, legend = layer_bars(layers)
    assert [bar.name for bar in bars] == ["a", "b"]
    assert sum(s.width for s in bars[0].segments) == pytest.approx(100, abs=0.1)
    assert sum(s.width for s in bars[1].segments) == pytest.approx(100 * 18 / 126, abs=0.1)
    assert [name for name, _, _ in legend] == ["cause 8", *(f"cause {i}" for i in (7, 6, 5, 4, 3, 2)), "others"]
    assert len({colour for _, colour, _ in legend}) == len(CAUSE_COLOURS) + 1
    assert "cause 8 18" in bars[0].words and bars[0].words.endswith("LUT")


def test_utilisation_is_of_the_part_and_stays_in_its_room() -> None:
    used = utilisation(cost(dsp=720), PARTS[1])
    assert used["dsp"] == (2, 2, 2) and used["lut"] == pytest.approx((800 / 70560, 1000 / 70560, 1300 / 70560))
    rows = {row["name"]: row for row in use_bars(used)}
    assert rows["DSP"]["over"] and rows["DSP"]["width"] == 100 and not rows["LUT"]["over"]
    assert "dsp" not in utilisation(cost(dsp=0), replace(PARTS[1], dsp=0))
    assert utilisation(cost(), replace(PARTS[1], dsp=0))["dsp"][1] == float("inf")


def test_the_trade_shows_both_sides() -> None:
    never, auto, _ = trade_rows(resources().policies)
    assert [cell["text"] for cell in never["cells"]] == ["2,000", "0"]
    assert [cell["width"] for cell in auto["cells"]] == [50, 100]


def test_the_map_is_dark_where_a_pair_is_dear_and_its_text_reads() -> None:
    first, second = heat_rows(MACS)
    assert [cell["text"] for cell in first["cells"]] == ["30", "–"] and "no formula" in first["cells"][1]["words"]
    assert first["cells"][0]["back"] == shade(0)[0] and second["cells"][0]["back"] == shade(1)[0]
    for step in range(101):
        assert contrast(*shade(step / 100)) >= 4.5


def contrast(back: str, ink: str) -> float:
    """The contrast ratio of WCAG 2.1, success criterion 1.4.3."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(back), luminance(ink)))
    return (high + 0.05) / (low + 0.05)


def test_the_page_is_complete_and_offline(tmp_path: Path) -> None:
    path = write_resource_page(resources(), tmp_path / "page.html")
    text = path.read_text(encoding="utf-8")
    parsed = ParsedPage(text)
    assert [a["id"] for tag, a in parsed.tags if tag == "section"] == ["cost", "layers", "use", "trade", "formats"]
    assert parsed.unclosed == [] and parsed.scripts == [] and text.startswith("<!DOCTYPE html>")
    assert not re.search(r'(?:src|href)="', text) and "url(" not in parsed.styles[0]
    assert all(sentence in parsed.words for sentence in cost().explain().sentences)
    pictures = [a for a in parsed.with_tag("div") if a.get("role") == "img"]
    assert len(pictures) == 1 + 4 + 6 and all(a["aria-label"] for a in pictures)
    assert text == render_resource_page(resources())


def test_a_page_without_choices_leaves_them_out() -> None:
    bare = Resources("net", cost(), {})
    parsed = ParsedPage(render_resource_page(bare))
    assert [a["id"] for tag, a in parsed.tags if tag == "section"] == ["cost", "layers", "use"]


def test_every_text_is_escaped() -> None:
    part = replace(PARTS[1], title=EVIL)
    macs = replace(MACS, weights=(EVIL, "int4"), part=EVIL)
    evil = Resources(EVIL, cost(name=EVIL), {EVIL: cost()}, (part, part), macs)
    text = render_resource_page(evil)
    parsed = ParsedPage(text)
    assert parsed.scripts == [] and len(parsed.styles) == 1 and parsed.unclosed == []
    assert EVIL in parsed.words and "{{ 7*7 }}" in parsed.words


def test_a_study_shows_the_knee_of_each_part(page: str, study: Study) -> None:
    blocks = study_blocks(study)
    assert len(blocks) == len(PARTS)
    parsed = ParsedPage(page)
    words = " ".join(parsed.words.split())
    assert all(block["title"] in words and block["setting"] in words for block in blocks)
    assert all(len(block["bars"]) == len(study.workload.layers) for block in blocks)
    assert "#resources" in [a["href"] for a in parsed.with_tag("a")]


def test_a_study_page_has_the_map_where_it_is_given_and_no_section_where_nothing_is_known() -> None:
    gpu = design(part=None, device="v100", lut=None, ff=None, dsp=None, bram18=None, fits=None)
    nothing = study_of((gpu,))
    assert "resources" not in ParsedPage(render_page(nothing)).ids()
    parsed = ParsedPage(render_page(nothing, macs=MACS))
    assert "resources" in parsed.ids() and "heat" in [a.get("class") for a in parsed.with_tag("table")]


def test_layers_without_terms_have_no_bars() -> None:
    assert terms_of({"name": "a"}) == {} == terms_of({"terms": "text"})
    assert terms_of({"terms": {"a": 2, "b": None, "c": float("nan"), "d": 0.0}}) == {"a": 2.0}


@pytest.mark.slow
def test_nothing_sticks_out_at_phone_width(tmp_path: Path) -> None:
    """The page itself does not scroll sideways; what is wider scrolls in a box of its own."""
    browser = pytest.importorskip("test_report_in_browser").CHROMIUM
    if browser is None:
        pytest.skip("no chromium on this machine")
    path = write_resource_page(resources(), tmp_path / "page.html")
    probe = "<script>document.title = document.documentElement.scrollWidth + ' of ' + window.innerWidth</script></body>"
    text = path.read_text(encoding="utf-8").replace("default-src 'none';", "script-src 'unsafe-inline';")
    path.write_text(text.replace("</body>", probe), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=500,900"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>(\d+) of (\d+)</title>", done.stdout)
    assert found is not None and int(found[1]) <= int(found[2])
