"""Energy of an inference: hand counts, a table with sources, and a user's own table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cost_networks import chain, small_residual

from hwsim.core.assignment import Assignment, Policy, assign
from hwsim.core.cost import Cost, Interval, LayerCost
from hwsim.core.errors import InputError
from hwsim.core.scaled import parse
from hwsim.core.workload import Workload
from hwsim.cost_models.energy import multiply_energy, with_energy
from hwsim.cost_models.energy_table import COEFFICIENTS, SHIPPED, energy_table, shipped_table

ADD, PAIR, BIT, DRAM = 0.1 / 32, 3.1 / 1024, 10 / 64, 1300 / 64


def bare(workload: Workload, *, constant: bool = False, overlay: bool = False) -> Cost:
    """A cost that holds just what the energy asks of one."""
    zero = Interval.exact(0, "LUT")
    terms = {"constant multipliers": 1.0} if constant else {}
    rows = [LayerCost(x.name, x.kind, 0, 0, 0, 0, 1, "", "", 0, 1 if constant else 4, terms) for x in workload]
    if overlay:
        rows.insert(0, LayerCost("(array)", "overlay", 0, 0, 0, 0, 0, "", "", 0, 1, {}))
    return Cost("p", zero, zero, zero, zero, zero, zero, 100, "yes", tuple(rows))


def formats(workload: Workload, weights: str, acts: str) -> Assignment:
    return assign(workload, Policy(weights, acts, scale="pow2"))


def energy(workload: Workload, weights: str = "int8", acts: str = "int8", **kind: bool) -> dict[str, float]:
    found = with_energy(bare(workload, **kind), workload, formats(workload, weights, acts)).energy
    assert found is not None and (found.label, found.unit) == ("relative", "pJ")
    return found.causes


@pytest.mark.truth
def test_coefficients_are_those_of_the_source() -> None:
    """Horowitz 2014, figure 1.1.9: 45 nm, 0.9 V."""
    table = shipped_table()
    assert table["integer_add_bit"] * 32 == pytest.approx(0.1)
    assert table["integer_multiply_bit_pair"] * 32**2 == pytest.approx(3.1)
    assert table["integer_multiply_bit_pair"] * 8**2 == pytest.approx(0.2, rel=0.04)  # what the figure has for 8 bits
    assert table["integer_add_bit"] * 8 == pytest.approx(0.03, rel=0.17)  # one digit in the figure
    assert (table["float16_multiply"], table["float32_multiply"]) == (1.1, 3.7)
    assert all(row.source for row in table.coefficients.values()) and set(table.coefficients) == set(COEFFICIENTS)


@pytest.mark.exact
def test_a_linear_layer_by_hand() -> None:
    workload = chain(8, 4)  # 32 products, 8 inputs, 4 outputs that leave unquantized
    found = energy(workload)
    acc_bits = 1 + (8 * 127 * 127).bit_length()
    assert found["multiply"] == pytest.approx(32 * 64 * PAIR)
    assert found["accumulate"] == pytest.approx(32 * acc_bits * ADD)
    assert found["weight reads"] == pytest.approx(32 * 8 * BIT)
    assert found["activations"] == pytest.approx((8 * 8 + 4 * 32) * BIT)


@pytest.mark.exact
def test_constants_are_not_read_and_an_overlay_reads_dram() -> None:
    workload = chain(8, 4)
    assert "weight reads" not in energy(workload, constant=True)
    assert energy(workload, overlay=True)["weight reads"] == pytest.approx(32 * 8 * DRAM)
    cost = bare(workload, overlay=True)
    spilled = with_energy(cost, workload, formats(workload, "int8", "int8"), activations_on_chip=False).energy
    assert spilled is not None and spilled.causes["activations"] == pytest.approx((8 * 8 + 4 * 32) * DRAM)


@pytest.mark.exact
def test_products_by_format() -> None:
    def one(weights: str, acts: str) -> float:
        return multiply_energy(parse(weights), parse(acts))

    assert one("int4", "int8") == pytest.approx(32 * PAIR)
    assert one("fp32", "fp32") == 3.7 and one("fp16", "bf16") == 1.1
    # E4M3: 4 x 4 significand bits, an addition of the exponents (5 bits), five shifts of the exact product
    width = parse("e4m3").format.significand_bits  # type: ignore[union-attr]
    assert one("e4m3", "e4m3") == pytest.approx(16 * PAIR + 5 * ADD + 5 * 2 * width * ADD)


@pytest.mark.property
def test_every_layer_counts_and_wider_formats_cost_more() -> None:
    workload = small_residual()
    found = with_energy(bare(workload), workload, formats(workload, "int6", "int6")).energy
    assert found is not None and set(found.layers) == {layer.name for layer in workload}
    assert not found.layers["flat"], "moving elements is free"
    totals = [sum(energy(workload, f"int{bits}", f"int{bits}").values()) for bits in range(3, 9)]
    assert totals == sorted(totals) and totals[0] < totals[-1]


@pytest.mark.property
def test_a_users_own_file_replaces_the_shipped_one(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace("value = 0.15625", "value = 0").replace("45 nm CMOS", "mine"), encoding="utf-8")
    workload = chain()
    found = with_energy(bare(workload), workload, formats(workload, "int8", "int8"), energy_table(mine)).energy
    assert found is not None and found.table == "mine"
    assert set(found.causes) == {"multiply", "accumulate"}


@pytest.mark.property
@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("value = 0.4", "value = -1", "coefficients.float16_add.value"),
        ("value = 0.4", 'value = "much"', "coefficients.float16_add.value"),
        ("value = 0.4", "value = nan", "coefficients.float16_add.value"),
        ("[coefficients.dram_bit]", "[coefficients.dram_bits]", "coefficients.dram_bits"),
        ('label = "relative"', "", "label"),
        ('unit = "pJ"', "unit = 3", "unit"),
        ("value = 0.9", "price = 0.9", "coefficients.float32_add.price"),
        ('name = "45 nm CMOS"', "name =", "line"),
    ],
)
def test_a_wrong_table_is_an_error_that_names_the_key(old: str, new: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(SHIPPED.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=key.replace(".", r"\.")) as caught:
        energy_table(path)
    assert caught.value.where == str(path) and caught.value.hint


@pytest.mark.property
def test_a_cost_without_energy_stays_one() -> None:
    workload = chain()
    cost = bare(workload)
    assert cost.energy is None
    assert replace(with_energy(cost, workload, formats(workload, "int4", "int4")), energy=None) == cost
