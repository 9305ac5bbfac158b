"""All families that have a surface. Another one is one entry in a tuple: axes and features."""

from __future__ import annotations

from hwsim.core.errors import InputError, nearest
from hwsim.cost_models.surface.arithmetic import ARITHMETIC
from hwsim.cost_models.surface.conversions import CONVERSIONS
from hwsim.cost_models.surface.family import Family

FAMILIES: dict[str, Family] = {family.name: family for family in (*ARITHMETIC, *CONVERSIONS)}


def family(name: str) -> Family:
    """The family of a surface by name.

    Raises
    ------
    InputError
        Where there is none.
    """
    if name not in FAMILIES:
        raise InputError(f"no surface {name!r}", where="surfaces", hint=nearest(name, FAMILIES))
    return FAMILIES[name]
