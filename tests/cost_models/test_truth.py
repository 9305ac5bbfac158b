"""The formulas against synthesised operators and vendor reports: errors as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwsim.core.formats import int_format
from hwsim.core.scaled import Scaled
from hwsim.cost_models import trust_statement
from hwsim.cost_models.evaluate import (
    chosen_stretch,
    conformal_ends,
    dense_ratios,
    family_error,
    held_out_coverage,
    nested_coverage,
    report,
    residual_table,
    synthesis_truths,
)
from hwsim.cost_models.operators.dot import dot_product
from hwsim.cost_models.operators.operand import operand
from hwsim.cost_models.residuals import FILE, ends, residuals
from hwsim.cost_models.trust import layer_summary
from hwsim.cost_models.truth import constant_designs


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fpga"


@pytest.mark.truth
@pytest.mark.data
def test_shipped_residuals_are_the_recomputed_ones(folder: Path) -> None:
    assert json.loads(FILE.read_text()) == json.loads(json.dumps(residual_table(folder)))


@pytest.mark.truth
@pytest.mark.data
def test_errors_as_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the table; holds the medians that the documentation quotes, to two digits."""
    with capsys.disabled():
        print("\n" + report(folder))
    rows = [truth for base, truth in synthesis_truths(folder) if base]
    median = {
        family: float(np.median([abs(t.formula / t.truth - 1) for t in rows if t.family == family]))
        for family in ("int_mul_su", "int_mac_su", "int_mac_ss", "int_dot", "mf_mac", "mfint_mac", "mf_fmac")
    }
    assert {name: round(value, 2) for name, value in median.items()} == {
        "int_mul_su": 0.24,
        "int_mac_su": 0.16,
        "int_mac_ss": 0.20,
        "int_dot": 0.16,
        "mf_mac": 0.16,
        "mfint_mac": 0.11,
        "mf_fmac": 0.20,
    }


@pytest.mark.truth
@pytest.mark.data
def test_every_synthesised_row_is_compared(folder: Path) -> None:
    import pandas as pd

    rows = pd.read_csv(folder / "mac_synthesis.csv")
    compared = synthesis_truths(folder)
    assert len(rows) == 642
    assert len(rows) - len(compared) == 5  # five memories that synthesis or the formula puts into block RAM


@pytest.mark.truth
@pytest.mark.data
def test_dsps_and_accumulators_are_exact(folder: Path) -> None:
    import pandas as pd

    rows = pd.read_csv(folder / "mac_synthesis.csv", dtype={"opts": str}).fillna({"opts": ""})
    allowed = rows[rows["opts"] == ""]
    assert len(allowed) == 28
    for row in allowed.to_dict("records"):
        w, a = (operand(Scaled(int_format(int(row[side])))) for side in "WA")
        bill = dot_product(w, a, 1, int(row["acc"]), "auto")
        assert (bill.dsp, bill.ff) == (row["DSP"], row["FF"])
    macs = rows[rows["kind"].isin(["int_mac_su", "int_mac_ss", "mf_mac", "mfint_mac", "int_dot_su", "mf_fmac"])]
    assert (macs["FF"] == macs["acc"]).all()  # what the formula charges


@pytest.mark.truth
@pytest.mark.data
def test_dense_layers_of_hls4ml(folder: Path) -> None:
    """Interval, latency and DSPs agree with vendor reports; LUT reports are several times the formula."""
    found = {name: np.array(ratios) for name, (ratios, _) in dense_ratios(folder).items()}
    assert (found["ii_cycles"] == 1).mean() >= 0.96
    assert np.abs(found["latency_cycles"] - 1).max() < 0.05 or np.median(np.abs(found["latency_cycles"] - 1)) < 0.01
    assert np.median(found["dsp"]) == 1.0
    assert 0.8 < np.median(found["bram18"]) < 1.2
    assert 5 < np.median(found["lut"]) < 10


@pytest.mark.truth
def test_constant_designs_are_near_the_mean_over_codes() -> None:
    ratios = [t.truth / t.formula for t in constant_designs()]
    assert all(0.9 < r < 1.2 for r in ratios)
    generic = 512 * dot_product(*[operand(Scaled(int_format(4)))] * 2, 1, 14, "never").lut
    assert generic / 2480 > 5  # what multipliers of stored weights would have said


@pytest.mark.exact
def test_every_shipped_family_holds_its_formula() -> None:
    for name, row in residuals().items():
        low, high = ends(name)
        assert low <= 1.0 <= high
        assert row.rows >= 2
    assert ends("never measured") == ends("all")
    assert ends("mf_mac+addtree")[0] == min(ends("mf_mac")[0], ends("addtree")[0])


@pytest.mark.golden
def test_the_trust_statement_quotes_the_shipped_errors() -> None:
    text = trust_statement()
    assert (
        f"{layer_summary()['designs']:.0f} whole layers" in text
        and f"minifloat {residuals()['mf_mac'].middle:.2f}" in text
    )
    assert f"{residuals()['hls_dense_lut'].middle:.0f} times" in text


@pytest.mark.exact
def test_conformal_statistics_by_hand() -> None:
    ratios = np.arange(1, 40) / 20  # 39 values: ranks 2 and 38
    assert conformal_ends(ratios) == (0.1, 1.9)
    groups = np.array(["a"] * 20 + ["b"] * 19)
    # the upper half predicted from the lower one: [1 - nothing below 1, ...] holds only what lies in [0.05.., 1]
    assert held_out_coverage(ratios, groups, 1.0) == pytest.approx(1 / 39)
    assert held_out_coverage(ratios, np.array(["a"] * 39), 1.0) is None
    assert nested_coverage(ratios, np.array(["a"] * 39)) is None
    flat = family_error([1.0] * 20, ["a", "b"] * 10)
    assert (flat.low, flat.high, flat.coverage, flat.stretch) == (1.0, 1.0, 1.0, 1.0)


@pytest.mark.exact
def test_the_stated_coverage_knows_nothing_of_the_group_it_is_of() -> None:
    """On a log scale a = +-1, b = +-1.38, c = +-1.78. All rows choose x 1.3, which holds c (1.38 x 1.3 = 1.794).
    Without c the choice is x 1.4 (1 x 1.4 holds b), and 1.38 x 1.4 = 1.93 holds c; without b it is x 1.8."""
    ratios, groups = np.exp([-1, 1, -1.38, 1.38, -1.78, 1.78]), np.array(list("aabbcc"))
    assert chosen_stretch(ratios, groups) == 1.3
    assert chosen_stretch(ratios[:4], groups[:4]) == 1.4
    assert chosen_stretch(ratios[[0, 1, 4, 5]], groups[[0, 1, 4, 5]]) == 1.8
    assert nested_coverage(ratios, groups) == 1.0
    # c beyond what a and b ask for: the stretch chosen with c in sight, x 1.5, held it; the nested one does not
    far = np.exp([-1, 1, -1.38, 1.38, -2.05, 2.05])
    found = family_error(far.tolist(), groups.tolist())
    assert (found.stretch, held_out_coverage(far, groups, 1.5)) == (1.5, 1.0)
    assert found.coverage == pytest.approx(4 / 6, abs=1e-4)
