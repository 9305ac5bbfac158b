"""The live page in headless Chromium: no error, links open the drawer, clicks and filters work."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from fake_study import design, make_study, study_of

from hwsim.core.design import DesignPoint
from hwsim.reports import Study, write_report

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
    *("--virtual-time-budget=8000", "--window-size=1280,1600", "--dump-dom"),
)


def dom(page: Path, profile: Path, fragment: str = "", script: str = "") -> str:
    """The page's elements after `script` has run on it; a message in the console fails the test."""
    if script:
        text = page.read_text(encoding="utf-8").replace("</body>", f"<script>{script}</script></body>")
        page = page.with_name("scripted.html")
        page.write_text(text, encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", page.as_uri() + fragment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    assert '<html lang="en" class="live">' in done.stdout
    return done.stdout


def drawer(text: str) -> str:
    return text[text.index('<aside id="drawer"') : text.index("</aside>")]


def best(study: Study) -> DesignPoint:
    return next(d for d in study.fronts[0].designs if d.id == study.fronts[0].knee)


def test_the_page_comes_alive(run_dir: Path, study: Study, tmp_path: Path) -> None:
    text = dom(run_dir / "report.html", tmp_path)
    assert text.count('class="plot ') == 3 or text.count('id="plot-') == 3
    assert text.count("main-svg") >= 3
    assert text.count("<tr") > len(study.designs)
    assert 'hidden=""' in drawer(text)


def test_a_link_opens_the_drawer(run_dir: Path, study: Study, tmp_path: Path) -> None:
    d = best(study)
    shown = drawer(dom(run_dir / "report.html", tmp_path, f"#design={d.id}"))
    assert f"hwsim export --run runs/digits --design {d.id} -o runs/digits/hls/{d.id}" in shown
    assert all(layer["name"] in shown for layer in d.layers)
    assert "formula, uncalibrated" in shown and "accumulator bits" in shown


def test_clicks_on_a_point_and_on_a_row_open_the_drawer(run_dir: Path, study: Study, tmp_path: Path) -> None:
    point = (
        "setTimeout(() => { const plot = document.getElementById('plot-latency_us-device');"
        "const trace = plot.data.filter((t) => t.hoverinfo === 'text' && t.x.length)[0];"
        "plot.emit('plotly_click', { points: [{ customdata: trace.customdata[0] }] }); }, 500)"
    )
    opened = drawer(dom(run_dir / "report.html", tmp_path, script=point))
    assert "hwsim predict zoo:digits-resnet --device rtx3090 --weights " in opened and " --batch 1 " in opened
    row = "setTimeout(() => document.querySelector('#table tbody tr:nth-child(5) td:nth-child(3)').click(), 500)"
    text = dom(run_dir / "report.html", tmp_path, script=row)
    assert "<h3>Layers</h3>" in drawer(text) and text.count('class="chosen"') == 1


def test_filters_and_sorting(run_dir: Path, study: Study, tmp_path: Path) -> None:
    script = (
        "setTimeout(() => { document.querySelectorAll('#families input')[1].click();"
        "const target = document.getElementById('target'); target.value = 'zynq7020'; target.onchange();"
        "document.querySelector('th[data-key=metric] button').click(); }, 500)"
    )
    text = dom(run_dir / "report.html", tmp_path, script=script)
    kept = [d for d in study.designs if d.part == "zynq7020" and d.family != "minifloat"]
    assert f"{len(kept)} of {len(study.designs)} designs" in text
    assert 'data-key="metric" aria-sort="descending"' in text
    rows = text[text.index("<tbody>", text.index('id="table"')) :]
    top = max(kept, key=lambda d: d.metric)
    assert f"{100 * top.metric:.1f} %" in rows[: rows.index("</tr>")]


def test_more_than_300_rows_are_paged(tmp_path: Path) -> None:
    page = write_report(make_study(330), tmp_path)
    script = "setTimeout(() => document.querySelectorAll('#pager button')[1].click(), 500)"
    text = dom(page, tmp_path / "profile", script=script)
    assert "101 to 200" in text and text.count("data-i=") == 100


def test_hostile_names_do_nothing(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=document.title='owned'><b>&amp;"
    d = design(
        id=evil, weights=evil, part=evil, recipe=evil, note=evil, setting=evil, layers=({"name": evil, evil: 1},)
    )
    page = write_report(study_of((d,), evil), tmp_path)
    text = dom(page, tmp_path / "profile", f"#design={quote(evil, safe='')}")
    assert "<title>owned" not in text and "<img" not in text
    assert "&lt;img src=x" in drawer(text)
