"""The registry and the design of experiments agree with the units."""

from __future__ import annotations

import pytest

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.registry import CLASSES, unit_class, unit_of
from hwsim.cost_models.rtl.unit import parameters
from hwsim.cost_models.synthesis.experiments import experiment, families
from hwsim.cost_models.synthesis.table import parameter_text


@pytest.mark.exact
@pytest.mark.parametrize("family", CLASSES)
def test_a_family_is_what_its_class_says(family: str) -> None:
    assert unit_class(family).family == family
    assert family in families()


@pytest.mark.exact
@pytest.mark.parametrize("family", families())
def test_units_are_distinct_and_made_again_from_their_parameters(family: str) -> None:
    units = experiment(family)
    assert len(units) >= 8 and experiment(family) == units
    names = {unit.name for unit in units}
    texts = {parameter_text(unit) for unit in units}
    assert len(names) == len(texts) == len(units)
    for unit in units[:: max(len(units) // 10, 1)]:
        assert unit_of(family, **parameters(unit)) == unit
        assert f"module {unit.name}(" in unit.verilog()


@pytest.mark.exact
def test_names_are_distinct_over_all_families() -> None:
    names = [unit.name for family in families() for unit in experiment(family)]
    assert len(set(names)) == len(names) >= 1500


@pytest.mark.exact
def test_unknown_families_are_named() -> None:
    with pytest.raises(InputError, match="int_mul"):
        experiment("int_mull")
    with pytest.raises(InputError, match="int_mul"):
        unit_class("int_mull")
