"""All units of the design of experiments in RTL simulation against what they have to compute, family by family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwsim.cost_models.rtl.simulation import Mismatch, mismatches, tries_all
from hwsim.cost_models.rtl.unit import Unit

UNITS_A_RUN = 20  # one compilation and one simulation


@dataclass(frozen=True, slots=True)
class Checked:
    """What the simulation of one family gave.

    Attributes
    ----------
    exhaustive : units of which every input was tried.
    vectors : compared, of all units.
    wrong : first mismatch of every port that has one.
    """

    family: str
    units: int
    exhaustive: int
    vectors: int
    wrong: tuple[Mismatch, ...]


def checked(family: str, units: Sequence[Unit], vectors: int, seed: int = 0) -> Iterator[Checked]:
    """Simulate the units of a family; yields after each run what all runs so far gave.

    Parameters
    ----------
    vectors : for every unit whose inputs are too many to try all.

    Raises
    ------
    MissingToolError
        Without Icarus Verilog.
    RuntimeError
        Where Verilog does not compile or a simulation does not end.
    """
    compared, exhaustive, wrong = 0, 0, list[Mismatch]()
    for start in range(0, len(units), UNITS_A_RUN):
        some = units[start : start + UNITS_A_RUN]
        found, count = mismatches(some, vectors, seed)
        compared += count
        exhaustive += sum(tries_all(unit) for unit in some)
        wrong += found
        yield Checked(family, start + len(some), exhaustive, compared, tuple(wrong))
