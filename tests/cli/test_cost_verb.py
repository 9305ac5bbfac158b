"""`hwsim cost` with a cost of its own in the place of the model: what is printed, explained, written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hwsim import api, inputs, resource_page
from hwsim.cli.main import invoke
from hwsim.core.cost import Cost, Energy, Interval, LayerCost
from hwsim.cost_models.energy_table import SHIPPED
from hwsim.reports import MacCosts

pytestmark = pytest.mark.golden
WORDS = ["cost", "net", "--part", "zu3eg", "-w", "int4", "-a", "int4"]


def made(arch: str, dsp: str) -> Cost:
    lut = 2000.0 if dsp == "never" else 1000.0
    layers = [
        LayerCost("fc1", "linear", 0.8 * lut, 400, 0, 1, 8, "int4", "int4", 14, 8, {"multipliers": 0.8 * lut}),
        LayerCost("fc2", "linear", 0.2 * lut, 100, 0, 0, 4, "int4", "int4", 14, 4, {"tree": 0.2 * lut}),
    ]
    if arch == "overlay":
        layers.insert(0, LayerCost("(array)", "overlay", 0, 0, 0, 0, 0, "", "", 0, 1, {}))
    return Cost(
        "zu3eg", Interval(800, lut, 2500, "LUT", "formula"), Interval.exact(500, "FF"), Interval.exact(0, "DSP"),
        Interval.exact(1, "BRAM18"), Interval(0.05, 0.06, 0.08, "us", "formula"), Interval.exact(8, "cycles"), 200,
        "yes", tuple(layers), ("a note",), {"lut": 70560, "ff": 141120, "dsp": 360, "bram18": 432},
        Energy("pJ", "relative", "mine", {"fc1": {"multiply": 3.0}, "fc2": {"multiply": 1.0}}),
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each call of `cost`, which prices nothing."""
    calls: list[dict[str, Any]] = []

    def cost(network: str, part: str, **how: Any) -> Cost:
        calls.append({"network": network, "part": part, **how})
        return made(how["arch"], how.get("dsp", "auto"))

    monkeypatch.setattr(api, "cost", cost)
    monkeypatch.setattr(inputs, "network_of", lambda model, input_shape: model)
    monkeypatch.setattr(
        resource_page, "mac_costs", lambda formats, part: MacCosts(("int4",), ("int4",), ((30.0,),), 576, part.title)
    )
    return calls


def test_the_explanation_is_printed_in_short_and_in_full(
    asked: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert invoke(WORDS) == 0
    short = capfd.readouterr().out
    assert "LUTs by cause: multipliers 80 %, tree 20 %." in short and "of all" not in short
    assert "Energy (relative, table mine): 4 pJ an inference: multiply 100 %." in short
    assert invoke([*WORDS, "--explain"]) == 0
    full = capfd.readouterr().out
    assert set(short.splitlines()) <= set(full.splitlines())
    assert "layer  term         LUT  of all" in full and "of interval" in full
    assert len(asked) == 2 and asked[0]["energy"] is None


def test_the_document_holds_energy_and_explanation(
    asked: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*WORDS, "--energy", str(SHIPPED), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["energy"]["total"] == 4 and found["energy"]["label"] == "relative"
    assert found["explain"]["terms"][0] == {"layer": "fc1", "term": "multipliers", "lut": 800, "share": 0.8}
    assert found["explain"]["utilisation"]["lut"]["mid"] == pytest.approx(1000 / 70560)
    assert asked[0]["energy"] == str(SHIPPED)


def test_the_page_compares_dsp_policies_at_the_same_folding(
    asked: list[dict[str, Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert invoke([*WORDS, "--page", str(page)]) == 0
    assert [call.get("dsp") for call in asked] == [None, "never", "auto", "pack"]
    assert all(call["reuse"] == {"fc1": 8, "fc2": 4} for call in asked[1:])
    text = page.read_text(encoding="utf-8")
    assert "net: int4 weights, int4 activations" in text and 'id="trade"' in text and 'id="formats"' in text
    assert invoke([*WORDS, "--arch", "overlay", "--page", str(page)]) == 0
    assert len(asked) == 5 and 'id="trade"' not in page.read_text(encoding="utf-8")
    capfd.readouterr()


def test_a_wrong_energy_table_is_an_error_before_anything_is_loaded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(SHIPPED.read_text(encoding="utf-8").replace("[coefficients.dram_bit]", "[coefficients.dram]"))
    assert invoke([*WORDS, "--energy", str(bad), "--json"]) == 2
    error = json.loads(capfd.readouterr().out)["error"]
    assert error["where"] == str(bad) and "coefficients.dram" in error["message"]


def test_a_target_interval_chooses_the_folding_once(
    asked: list[dict[str, Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*WORDS, "--target-ii", "5000", "--page", str(tmp_path / "page.html")]) == 0
    assert asked[0]["target_ii_cycles"] == 5000 and asked[0]["reuse"] == "auto"
    assert all("target_ii_cycles" not in call for call in asked[1:])
    unit = ["cost", "--unit", "mac", "-w", "int4", "-a", "int4", "--part", "kv260", "--target-ii", "5", "--json"]
    capfd.readouterr()
    assert invoke(unit) == 2
    assert json.loads(capfd.readouterr().out)["error"]["where"] == "--target-ii"


@pytest.mark.parametrize(
    "words",
    [
        ["--arch", "overlay"],
        ["--reuse", "8"],
        ["--dsp", "pack"],
        ["--edge", "int8"],
        ["--explain"],
        ["--page", "x.html"],
    ],
)
def test_one_operator_takes_no_options_of_networks(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    unit = ["cost", "--unit", "mac", "-w", "int4", "-a", "int4", "--part", "kv260", "--json"]
    assert invoke([*unit, *words]) == 2
    assert json.loads(capfd.readouterr().out)["error"]["where"] == words[0]


def test_a_network_takes_no_length_and_a_policy_of_dsps(
    asked: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*WORDS, "--k", "7", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["error"]["where"] == "--k" and not asked
    assert invoke([*WORDS, "--dsp", "pack", "--json"]) == 0
    assert asked[0]["dsp"] == "pack"
