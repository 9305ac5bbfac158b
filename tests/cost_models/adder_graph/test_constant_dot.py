"""The Verilog of graphs against W x, in RTL simulation."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from adder_matrices import vectors

from hwsim.core.formats import minifloat
from hwsim.cost_models.adder_graph.digits import multiples
from hwsim.cost_models.adder_graph.verilog import ConstantDot
from hwsim.cost_models.rtl.simulation import mismatches, simulate

needs_simulator = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")


def units() -> list[ConstantDot]:
    """Small matrices with zero, negative, opposite and equal rows, combinational and pipelined."""
    rng = np.random.default_rng(1)
    found = []
    for bits in (2, 4, 8):
        for levels in (0, 1, 2, 3):
            weights = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (7, 5))
            weights[2] = 0
            weights[3] = -abs(weights[3])
            weights[4] = -2 * weights[0]
            weights[5] = weights[1]
            found += [ConstantDot.of(weights, bits, signed, levels) for signed in (True, False)]
    floats = multiples(rng.integers(0, 1 << 6, (6, 8)), minifloat(3, 2))
    found += [ConstantDot.of(floats, 6, True, levels) for levels in (0, 2)]
    found.append(ConstantDot.of([[0, 0], [0, 0]], 4, True, 1))
    found.append(ConstantDot.of([[4], [0], [-1]], 4, False, 1))
    return found


@pytest.mark.exact
@needs_simulator
def test_verilog_computes_the_product() -> None:
    wrong, compared = mismatches(units(), 300)
    assert wrong == []
    assert compared >= 300 * 20


@pytest.mark.exact
@needs_simulator
@pytest.mark.parametrize("levels", [0, 2])
def test_narrow_ranges_suffice_for_inputs_within_them(levels: int) -> None:
    rng = np.random.default_rng(2)
    given = ((-7, 7), (0, 9), (-3, -1), (0, 0), (5, 5), (-128, 4))
    unit = ConstantDot(tuple(map(tuple, rng.integers(-30, 31, (5, 6)).tolist())), given, levels)
    x = vectors(list(given), 200)
    inputs = {port.name: x[:, place] for place, port in enumerate(unit.inputs)}
    (found,) = simulate([unit], [inputs])
    expected = unit.respond(inputs)
    for port in unit.outputs:
        assert found[port.name] == expected[port.name].tolist()


@pytest.mark.exact
def test_names_tell_units_apart() -> None:
    found = [unit.name for unit in units()]
    assert len(set(found)) == len(found)
    assert all(name.isidentifier() for name in found)
