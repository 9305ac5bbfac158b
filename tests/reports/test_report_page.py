"""The page as a file: complete, offline, escaped, the same each time, whole or absent."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_study import STATEMENTS, design, make_study, study_of
from parsed_page import ParsedPage

from hwsim.core.cost import Interval
from hwsim.core.design import DesignPoint, ParetoFront
from hwsim.core.errors import InputError
from hwsim.core.fronts import fronts_of
from hwsim.reports import LayerSummary, Study, WorkloadSummary, render_page, write_report
from hwsim.reports.atomic import write_atomic
from hwsim.reports.pagedata import page_data
from hwsim.reports.view import members, view_of

pytestmark = pytest.mark.golden
GPU_FIELDS = {"part": None, "device": "v100", "lut": None, "ff": None, "dsp": None, "bram18": None, "fits": None}
EVIL = "</script><script>alert(1)</script><!-- {{ 7*7 }} ]]> \u2028 \" ' $x_1$ &amp;"


def test_sections_are_there_in_order(page: str) -> None:
    parsed = ParsedPage(page)
    sections = [a["id"] for tag, a in parsed.tags if tag in ("section", "footer")]
    assert sections == ["answer", "plots", "fronts", "designs", "resources", "trust", "network", "provenance"]
    assert parsed.unclosed == []
    assert len(parsed.ids()) == len(set(parsed.ids())), "an id stands twice"
    targets = {
        a["href"][1:] for a in parsed.with_tag("a") if (a["href"] or "").startswith("#") and "=" not in a["href"]
    }
    assert targets <= set(parsed.ids())


def test_it_says_what_the_figures_mean_and_where_they_come_from(page: str, study: Study) -> None:
    words = ParsedPage(page).words
    for title, text in STATEMENTS:
        assert title in words and text in words
    for name, value in study.provenance.items():
        assert name in words and value in words
    assert study.config_toml in words
    assert "formula, uncalibrated" in words and "held 88 % of outside measurements" in words
    assert all(layer.name in words for layer in study.workload.layers)


def test_nothing_is_fetched(page: str) -> None:
    parsed = ParsedPage(page)
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), (tag, name, value)
        assert "url(" not in (attributes.get("style") or "").replace("url(#", "")
    assert not parsed.with_tag("link")
    for style in parsed.styles:
        assert "@import" not in style and "url(" not in style.replace("url(#", "")
    (policy,) = [
        a["content"] or "" for a in parsed.with_tag("meta") if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy and "http" not in policy


def test_plotly_is_embedded_once_and_its_upload_button_is_off(page: str) -> None:
    scripts = [text for _, text in ParsedPage(page).scripts]
    assert sum("plotly.js v" in text for text in scripts) == 1
    assert page.count("* plotly.js v") == 1
    assert "showSendToCloud: false" in scripts[-1]


def test_without_scripts_there_are_figures_and_tables(page: str, study: Study) -> None:
    parsed = ParsedPage(page)
    assert len(parsed.with_tag("noscript")) == 1
    figures = [a for a in parsed.with_tag("svg") if a.get("role") == "img"]
    assert len(figures) == len(study.fronts) == len(parsed.with_tag("figure"))
    assert all(a.get("aria-label") for a in figures)
    for front in study.fronts:
        for d in front.designs:
            assert f"<code>{d.id}</code>" in page
    style = parsed.styles[0]
    assert re.search(r"@media print \{.*\.live \.static \{ display: block", style, re.DOTALL)
    assert re.search(r"@media print \{.*\.only-live, #drawer \{ display: none", style, re.DOTALL)
    assert ".live .static, html:not(.live) .only-live { display: none; }" in style


def test_embedded_data_hold_every_design(page: str, study: Study) -> None:
    data = ParsedPage(page).data()
    columns = data["designs"]
    assert sorted(columns["id"]) == sorted(d.id for d in study.designs)
    by_id = {d.id: d for d in study.designs}
    names = data["layers"]["names"]
    for i, name in enumerate(columns["id"]):
        d = by_id[name]
        assert columns["metric"][i] == pytest.approx(d.metric, abs=1e-6)
        assert columns["lut"][i] == (None if d.lut is None else pytest.approx(d.lut.mid, rel=1e-3))
        table = data["layers"]["tables"][i]
        cells = {names[c]: data["layers"]["columns"][v] for c, v in zip(table[::2], table[1::2], strict=True)}
        assert cells["name"] == [layer["name"] for layer in d.layers]
    kinds = [(panel["cost"], panel["kind"], len(panel["views"])) for panel in data["panels"]]
    assert kinds == [("lut", "part", 2), ("memory_bits", "all", 1), ("latency_us", "device", 1)]


def test_every_text_is_escaped(tmp_path: Path) -> None:
    layer = {"name": EVIL, EVIL: EVIL, "inf": float("inf"), "nan": float("nan"), "terms": {EVIL: 1.5}}
    fields = {"recipe": EVIL, "note": EVIL, "setting": EVIL, "edge": EVIL, "layers": (layer,)}
    designs = (
        design(id=f"a{EVIL}", part=EVIL, **fields),
        design(id="b", **GPU_FIELDS | {"device": EVIL + "2"}, **fields),
    )
    study = replace(
        study_of(designs, EVIL),
        model=EVIL,
        metric_name=EVIL,
        config_toml=EVIL,
        provenance={EVIL: EVIL},
        accuracy_statements=((EVIL, EVIL),),
        run_dir=EVIL,
        workload=WorkloadSummary(((1, 2),), (LayerSummary(EVIL, EVIL, (1, 2), 1, 2),)),
    )
    page = write_report(study, tmp_path).read_text(encoding="utf-8")
    parsed = ParsedPage(page)
    assert len(parsed.scripts) == 4 and parsed.unclosed == []
    assert "alert(1)</script>" not in page and page.count("<!--") == render_page(study_of(())).count("<!--")
    assert EVIL in parsed.words
    data = parsed.data()
    assert EVIL in data["texts"] and data["meta"]["run"] == EVIL
    stems = {p.stem for p in (tmp_path / "figures").iterdir()}
    assert all(re.fullmatch(r"front-[a-z0-9-]+", stem) for stem in stems) and len(stems) == len(study.fronts)


def test_equal_studies_give_equal_bytes(run_dir: Path, study: Study, tmp_path: Path) -> None:
    again = Study.from_json(study.to_json())
    write_report(replace(again, designs=again.designs[::-1]), tmp_path)
    names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert len(names) == 1 + 2 * len(study.fronts)
    for name in names:
        assert (tmp_path / name).read_bytes() == (run_dir / name).read_bytes(), name


def test_figures_of_an_earlier_report_go(study: Study, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("front-old-lut.svg", "front-old-lut.png", "mine.svg"):
        (tmp_path / "figures" / name).write_text("x")
    write_report(study_of((design(),)), tmp_path)
    names = {p.name for p in (tmp_path / "figures").iterdir()}
    assert names == {f"front-{s}.{e}" for s in ("zu3eg-lut", "all-targets-memory-bits") for e in ("svg", "png")} | {
        "mine.svg"
    }


@pytest.mark.parametrize("designs", [(), (design(),), (design(fits="no"),), (design(**GPU_FIELDS),)])
def test_small_studies(designs: tuple[DesignPoint, ...], tmp_path: Path) -> None:
    parsed = ParsedPage(write_report(study_of(designs), tmp_path).read_text(encoding="utf-8"))
    assert len(parsed.data()["designs"]["id"]) == len(designs)
    assert len(parsed.with_tag("figure")) == len(fronts_of(designs))


def test_a_front_without_designs_is_drawn_empty() -> None:
    study = replace(study_of((design(),)), fronts=(ParetoFront.of("zu3eg", ("error", "lut"), ()),))
    assert len(ParsedPage(render_page(study)).with_tag("figure")) == 1


def test_other_objectives_are_left_to_the_tables() -> None:
    three = ParetoFront.of("zu3eg", ("error", "lut", "latency_us"), (design(),))
    assert ParsedPage(render_page(replace(study_of((design(),)), fronts=(three,)))).data()["panels"] == []


def test_layer_tables_far_from_the_front_are_left_out_where_room_is_short(study: Study) -> None:
    limit = round(0.8 * len(page_data(study)))
    text = page_data(study, limit)
    assert 0.6 * limit < len(text) <= limit
    data = json.loads(text)
    kept = {i for i, table in enumerate(data["layers"]["tables"]) if table is not None}
    on_front = {i for panel in data["panels"] for view in panel["views"] for i in view["front"]}
    assert on_front <= kept and len(kept) < len(study.designs)


@pytest.mark.slow
def test_five_thousand_designs_stay_small() -> None:
    assert len(page_data(make_study(5000))) < 6_000_000


def test_cost_axes_turn_logarithmic_where_costs_differ_much() -> None:
    def at(name: str, luts: float, metric: float) -> DesignPoint:
        interval = Interval(0.9 * luts, luts, 1.1 * luts, "LUT", "formula")
        return design(id=name, lut=interval, metric=metric, metric_lo=metric - 0.01, metric_hi=metric + 0.01)

    for dearest, is_log in ((12000, False), (40000, True)):
        study = study_of((at("a", 1000 if is_log else 9000, 0.95), at("b", dearest, 0.96)))
        view = view_of(study, study.fronts[0])
        assert view.log == is_log
        assert view.x[0] < 1000 * (1 if is_log else 9) < dearest < view.x[1]


def test_the_plot_shows_the_region_of_the_choice(study: Study) -> None:
    for front in study.fronts:
        view = view_of(study, front)
        shown = [d for d in members(study, front) if view.y[0] <= d.metric <= view.y[1]]
        assert len(shown) + view.hidden == len(members(study, front))
        assert front.knee in {d.id for d in shown} and view.y[1] > study.float_metric
        assert all(view.x[0] <= d.objective(front.objectives[1])[1] <= view.x[1] for d in shown)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_atomic(tmp_path / "a.txt", "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(InputError, match="disk full"):
        write_atomic(path, "new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_killed_writer_leaves_no_half_file(tmp_path: Path) -> None:
    code = (
        "import os, signal, pathlib, sys; from hwsim.reports.atomic import write_atomic\n"
        "os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomic(pathlib.Path(sys.argv[1]) / 'report.html', 'half')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "report.html").exists() and len(list(tmp_path.iterdir())) == 1
    write_atomic(tmp_path / "report.html", "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_importing_reports_is_light() -> None:
    code = (
        "import sys, hwsim.reports; "
        "print([m for m in ('plotly', 'matplotlib', 'jinja2', 'pandas', 'torch', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
