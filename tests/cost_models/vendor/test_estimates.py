"""Which report is about which estimate, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.integer import IntMultiplier
from hwsim.cost_models.synthesis import FLOWS, Cells, write_table
from hwsim.cost_models.synthesis.table import row_of
from hwsim.cost_models.vendor.estimates import Estimate, match, nothing_matched, read_estimates, unit_estimates
from hwsim.cost_models.vendor.reports import ReportRow

COUNTS = {"lut": 10.0, "ff": 20.0, "dsp": 1.0, "bram18": 2.0}


def estimates(*designs: str) -> list[Estimate]:
    return [Estimate(name, COUNTS) for name in designs]


def row(design: str, lut: float | None = 8.0) -> tuple[str, ReportRow]:
    return "a.rpt", ReportRow(design, lut, 20.0, None, 2.0, None, "post_route", "vivado")


def document(**changes: Any) -> dict[str, Any]:
    intervals = {name: {"lo": v, "mid": v, "hi": v} for name, v in COUNTS.items()}
    return intervals | {"layers": [{"name": "fc.0", **COUNTS, "lut": 9.0}]} | changes


@pytest.mark.exact
@pytest.mark.parametrize(
    ("reported", "estimated"),
    [
        ("net", "net"),
        ("Net", "net"),
        ("net/fc_0", "net/fc.0"),
        ("net/fc_0_U3", "net/fc.0"),
        ("top/inner/fc_0", "net/fc.0"),
        ("int_mul_w4_a4", "int_mul_w4_a4"),
    ],
)
def test_names_are_found(reported: str, estimated: str) -> None:
    found = match([row(reported), row("other", 3.0)], estimates(estimated, "net2", "net3"))
    assert [pair.design for pair in found.pairs] == [estimated]
    assert found.unmatched == (("a.rpt", "other"),)
    assert found.pairs[0].reported == {"lut": 8.0, "ff": 20.0, "dsp": None, "bram18": 2.0}


@pytest.mark.exact
def test_one_network_and_one_report_belong_together() -> None:
    found = match([row("dense_top")], estimates("net", "net/fc"))
    assert [pair.design for pair in found.pairs] == ["net"]
    assert match([row("a"), row("b")], estimates("net")).pairs == ()


@pytest.mark.exact
def test_instances_stand_for_the_whole() -> None:
    rows = [row("net"), row("net (own)"), row("net/fc1"), row("net/fc2")]
    found = match(rows, estimates("net", "net/fc1", "net/fc2", "net/fc3"))
    assert [pair.design for pair in found.pairs] == ["net/fc1", "net/fc2"]
    assert found.unmatched == ()


@pytest.mark.exact
def test_layers_of_two_networks_need_their_network() -> None:
    both = estimates("a", "a/fc", "b", "b/fc")
    assert match([row("top/fc")], both).pairs == ()
    assert [p.design for p in match([row("b/fc")], both).pairs] == ["b/fc"]


@pytest.mark.exact
def test_what_is_double_is_refused() -> None:
    with pytest.raises(InputError, match="so is 'net/fc'"):
        match([row("net/fc"), row("net/FC_u0")], estimates("net", "net/fc"))
    with pytest.raises(InputError, match="two estimates"):
        match([row("net")], estimates("net", "NET"))


@pytest.mark.golden
def test_a_document_of_hwsim_cost_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps(document()))
    total, layer = read_estimates(path)
    assert (total.design, total.counts) == ("net", COUNTS)
    assert (layer.design, layer.counts["lut"]) == ("net/fc.0", 9.0)


@pytest.mark.exact
@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps(document(lut=3)),
        json.dumps(document(layers=[{"name": "x"}])),
        json.dumps(document(ff={"mid": float("inf")})),
    ],
)
def test_other_documents_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "net.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"net\.json"):
        read_estimates(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_estimates(tmp_path / "none.json")


@pytest.mark.exact
def test_units_come_from_a_table(tmp_path: Path) -> None:
    unit, path = IntMultiplier(4, 4, False), tmp_path / "units.csv"
    cells = {"base": Cells(lut6=20, lutram=4, srl=1, ff=3), "dsp": Cells(lut6=1, dsp=1)}
    write_table(path, [row_of(unit, FLOWS[flow], "yosys 1.0", c, 0.0) for flow, c in cells.items()])
    without, other = row(unit.name)[1], row("another")[1]
    (found,) = unit_estimates([without, other], path)
    assert found == Estimate(unit.name, {"lut": 25.0, "ff": 3.0, "dsp": 0.0, "bram18": 0.0})
    (found,) = unit_estimates([replace(without, dsp=1.0)], path)
    assert found == Estimate(unit.name, {"lut": 1.0, "ff": 0.0, "dsp": 1.0, "bram18": 0.0})
    write_table(path, [row_of(unit, FLOWS["base"], "yosys 1.0", cells["base"], 0.0)])
    assert unit_estimates([replace(without, dsp=1.0)], path) == []


@pytest.mark.exact
def test_the_next_step_is_said() -> None:
    assert "--estimate" in str(nothing_matched([("a.rpt", "net")], []))
    assert "did you mean 'net2'" in str(nothing_matched([("a.rpt", "net1")], estimates("net2")))
