"""Latencies as a page: bars that add up, a roofline under its roof, every note, complete, offline, escaped."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_latencies import GPU, NOTES, kernels, latencies, prediction
from fake_study import design, study_of
from parsed_page import ParsedPage

from hwsim.core.cost import Interval
from hwsim.core.errors import InputError
from hwsim.reports import render_page, write_latency_page, write_report
from hwsim.reports.latency import (
    TOP,
    Latencies,
    Timed,
    attained,
    bound_times,
    kernel_bars,
    note_rows,
    rate_unit,
    roofs,
    table_groups,
)
from hwsim.reports.latency_figures import MOST_TICKS, batch_ticks, log_range, log_ticks, roofline_svg
from hwsim.reports.latency_page import render_latency_page

pytestmark = pytest.mark.golden
EVIL = "</script><script>alert(1)</script><!-- {{ 7*7 }} \" ' $x_1$ &amp;"


@pytest.fixture(scope="module")
def two() -> Latencies:
    return latencies(40, 12, batch=16)


@pytest.fixture(scope="module")
def text(two: Latencies) -> str:
    return render_latency_page(two)


def data_of(page: str) -> dict[str, Any]:
    (found,) = [s for attributes, s in ParsedPage(page).scripts if attributes.get("id") == "latency-data"]
    data: dict[str, Any] = json.loads(found)
    return data


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (TOP, TOP), (TOP + 1, TOP + 1), (500, TOP + 1)])
def test_bars_are_the_slowest_and_one_of_all_others(count: int, rows: int) -> None:
    layers = kernels(count, 4)
    bars = kernel_bars(layers)
    assert len(bars) == rows
    widths = [sum(s.width for s in bar.segments) for bar in bars]
    assert widths[0] == pytest.approx(100) and all(0 < w <= 100.05 for w in widths)
    assert widths[:TOP] == sorted(widths[:TOP], reverse=True)
    if count > TOP:
        assert bars[-1].name.startswith(f"{count - TOP} other")
        assert len(bars[-1].segments) == len(bound_times(sorted(layers, key=lambda k: -k.latency_us)[TOP:]))
    assert ("(bar cut)" in bars[-1].name) == (count == 500)


def test_bounds_add_up_to_the_time() -> None:
    layers = kernels(60, 16)
    times = bound_times(layers)
    assert list(times) == ["compute", "memory", "launch"]
    assert sum(times.values()) == pytest.approx(sum(k.latency_us for k in layers))


def test_points_of_the_roofline_are_work_over_time_and_over_bytes() -> None:
    layers = kernels(24)
    points = attained(layers)
    assert [k.name for _, _, k in points] == [k.name for k in layers if k.macs]
    x, y, kernel = points[0]
    assert x == pytest.approx(2 * kernel.macs / kernel.bytes_moved)
    assert y == pytest.approx(2 * kernel.macs / kernel.latency_us / 1e3)
    assert attained([replace(kernel, bytes_moved=0), replace(kernel, latency_us=0.0)]) == []


def test_a_roof_for_each_peak_of_the_precisions_used() -> None:
    timed = Timed("a", prediction(), GPU)
    assert [(r["name"], r["ops"], r["gbps"]) for r in roofs(timed)] == [("fp16", 71e3, 776), ("int8", 284e3, 776)]
    twins = replace(GPU, peak_tflops={"fp16": 71.0, "int8": 71.0})
    assert [r["name"] for r in roofs(replace(timed, gpu=twins))] == ["fp16, int8"]
    assert roofs(replace(timed, gpu=None)) == []
    assert rate_unit(["fp16", "fp32"]) == "FLOP/s" and rate_unit(["fp16", "int8"]) == "op/s"
    found = prediction().batches[0]
    assert "TFLOP/s" not in roofline_svg(replace(timed, gpu=None), found, "a") and len(found.layers) == 24


@pytest.mark.parametrize("ends", [(1, 10), (1800, 2800), (0.01, 1e6), (1e-9, 1e9), (7, 21), (300, 1e5)])
def test_ticks_are_few_and_in_range(ends: tuple[float, float]) -> None:
    low, high = log_range(ends)
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= MOST_TICKS and all(low <= t <= high for t in ticks) and ticks == sorted(ticks)
    assert high / low >= 2.99


def test_ranges_and_batch_ticks_bear_anything() -> None:
    assert log_range([float("inf"), 0.0])[1] > 1
    assert batch_ticks((1, 2, 3, 4, 5, 6, 7, 8)) == [1, 2, 4, 7]
    assert len(batch_ticks([2**n for n in range(20)])) == 10


def test_the_page_is_complete_and_offline(text: str, two: Latencies, tmp_path: Path) -> None:
    parsed = ParsedPage(text)
    assert [a["id"] for tag, a in parsed.tags if tag == "section"] == ["latency"]
    assert parsed.unclosed == [] and text.startswith("<!DOCTYPE html>")
    ids = parsed.ids()
    assert len(ids) == len(set(ids)), "an id stands twice"
    wanted = {"sweep", "rate", "timed", "batch", "bars", "legend", "roofline", "caption", "data"}
    assert {f"latency-{name}" for name in wanted} <= set(ids)
    assert len(parsed.with_tag("figure")) == 2 + len(two.timed) == len(parsed.with_tag("svg"))
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,")), (tag, name)
    assert not parsed.with_tag("link") and "url(" not in parsed.styles[0]
    (policy,) = [a["content"] for a in parsed.with_tag("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in (policy or "") and "http" not in (policy or "")
    assert text.count("* plotly.js v") == 1 and len(parsed.with_tag("noscript")) == 1
    assert write_latency_page(two, tmp_path / "a.html").read_text(encoding="utf-8") == text


def test_without_scripts_each_prediction_has_bars_at_the_batch_shown(text: str) -> None:
    parsed = ParsedPage(text)
    bars = [a for a in parsed.with_tag("div") if a.get("class") == "bar"]
    assert len(bars) == (TOP + 1) + 12 and all(a["aria-label"] and a["role"] == "img" for a in bars)
    assert "Device 0 (made-up), batch 16" in parsed.words and "Device 1 (made-up), batch 16" in parsed.words


def test_embedded_data_hold_every_batch_and_kernel(text: str, two: Latencies) -> None:
    data = data_of(text)
    assert data["sizes"] == [1, 4, 16, 64, 256] and data["batch"] == 16 and data["unit"] == "op/s"
    for shown, timed in zip(data["timed"], two.timed, strict=True):
        assert [b["batch"] for b in shown["batches"]] == list(data["sizes"])
        assert [b["out"] for b in shown["batches"]] == [False, False, False, True, True]
        for b, found in zip(shown["batches"], timed.sweep, strict=True):
            assert b["us"][1] == pytest.approx(found.latency_us.mid, rel=1e-3)
            assert b["rate"][1] == pytest.approx(found.batch / found.latency_us.mid * 1e6, rel=1e-3)
            assert b["rate"] == sorted(b["rate"]) and len(b["bars"]) == min(len(found.layers), TOP + 1)
            drawn = {len(data["columns"][b[key]]) for key in ("x", "y", "time", "name", "what", "bound")}
            assert drawn == {len(attained(found.layers))}
            assert set(data["columns"][b["bound"]]) <= set(data["bounds"])


def test_all_notes_are_shown_with_their_owners(two: Latencies) -> None:
    first, second = two.timed
    other = replace(second, prediction=replace(second.prediction, notes=(NOTES[0], "only here")))
    rows = note_rows(replace(two, timed=(first, other), notes=("for all",)))
    assert rows == [("", "for all"), ("", NOTES[0]), (first.label, NOTES[1]), (other.label, "only here")]
    words = ParsedPage(render_latency_page(replace(two, timed=(first, other)))).words
    assert all(note in words for note in (*NOTES, "only here"))


def test_the_table_says_interval_coverage_domain_and_misses() -> None:
    made = prediction(3, (1, 8))
    times = (replace(made.batches[0], p_miss=0.25), replace(made.batches[1], p_miss=1e-9))
    never = replace(times[0].latency_us, coverage=None)
    made = replace(made, batches=(replace(times[0], latency_us=never, out_of_domain=False), times[1]))
    found = Latencies("net", (Timed("a", made, GPU),), deadline_us=50.0)
    inside, outside = table_groups(found)[0]["rows"]
    assert (inside["coverage"], inside["p_miss"], inside["out"]) == ("never compared", "0.250", False)
    assert (outside["coverage"], outside["p_miss"], outside["out"]) == ("93\u00a0%", "< 0.001", True)
    parsed = ParsedPage(render_latency_page(found))
    assert "P(miss)" in parsed.words and "50\u00a0µs a batch" in parsed.words and "outside" in parsed.words
    assert data_of(render_latency_page(found))["deadline"] == 50.0
    assert "P(miss)" not in ParsedPage(render_latency_page(latencies(3))).words


def test_one_layer_one_batch_no_gpu_and_infinite_ends() -> None:
    made = prediction(1, (8,))
    wide = Interval(0.0, made.batches[0].latency_us.mid, float("inf"), "us", "kernel")
    made = replace(made, batches=(replace(made.batches[0], latency_us=wide),))
    page = render_latency_page(Latencies("net", (Timed("a", made),)))
    assert len([a for a in ParsedPage(page).with_tag("div") if a.get("class") == "bar"]) == 1
    assert data_of(page)["timed"][0]["batches"][0]["us"][2] == "∞"


def test_nothing_predicted_is_an_error() -> None:
    for timed in ((), (Timed("a", replace(prediction(), batches=())),)):
        with pytest.raises(InputError, match="nothing was predicted"):
            Latencies("net", timed)


def test_five_hundred_kernels_stay_small() -> None:
    assert len(render_latency_page(latencies(500))) - len(render_latency_page(latencies(5))) < 1_500_000


def test_every_text_is_escaped() -> None:
    made = prediction(3, (1,), notes=(EVIL,))
    layers = tuple(replace(k, name=EVIL, kind=EVIL) for k in made.batches[0].layers)
    made = replace(made, batches=(replace(made.batches[0], layers=layers),))
    page = render_latency_page(Latencies(EVIL, (Timed(EVIL, made, GPU), Timed("<script>", made, GPU)), notes=(EVIL,)))
    parsed = ParsedPage(page)
    assert len(parsed.scripts) == 4 and parsed.unclosed == []
    assert "alert(1)</script>" not in page and EVIL in parsed.words and "<!--" not in page.replace("plotly", "")[:9000]
    assert data_of(page)["timed"][0]["label"] == EVIL


def test_a_study_has_the_section_where_latencies_are_given(two: Latencies, tmp_path: Path) -> None:
    study = study_of((design(),))
    bare = ParsedPage(render_page(study))
    assert "latency" not in bare.ids() and len(bare.scripts) == 4
    page = write_report(study, tmp_path, latencies=two).read_text(encoding="utf-8")
    parsed = ParsedPage(page)
    assert parsed.unclosed == [] and len(parsed.ids()) == len(set(parsed.ids()))
    assert "latency" in parsed.ids() and "#latency" in [a["href"] for a in parsed.with_tag("a")]
    assert page.count("* plotly.js v") == 1 and data_of(page)["batch"] == 16


@pytest.mark.slow
@pytest.mark.parametrize("scripted", [True, False])
def test_in_a_browser_it_lives_and_nothing_sticks_out_at_phone_width(scripted: bool, tmp_path: Path) -> None:
    browser = pytest.importorskip("test_report_in_browser").CHROMIUM
    if browser is None:
        pytest.skip("no chromium on this machine")
    made = latencies(500, 3, deadline_us=1e4)
    timed = (replace(made.timed[0], label="<script>alert(1)</script>" + "w" * 60), *made.timed[1:])
    page = render_latency_page(replace(made, timed=timed))
    probe = "document.title = document.documentElement.scrollWidth + ' of ' + window.innerWidth"
    if not scripted:
        page = re.sub(r"<script>(?!document).*?</script>", "", page, flags=re.DOTALL).replace('"live"', '""')
    choose = (
        "const t = document.getElementById('latency-timed'); if (t.options.length) "
        "{ t.selectedIndex = 1; t.onchange(); } "
    )
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", f"<script>{choose}{probe}</script></body>"), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=500,900"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=8000", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r"<title>(\d+) of (\d+)</title>", done.stdout)
    assert found is not None and int(found[1]) <= int(found[2])
    live = done.stdout[done.stdout.index('id="latency-bars"') : done.stdout.index('id="latency-legend"')]
    assert live.count("<tr>") == (3 if scripted else 0)
    assert (done.stdout.count('class="main-svg"') >= 6) == scripted
