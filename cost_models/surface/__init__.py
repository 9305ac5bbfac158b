"""Resource counts of units from their parameters: fitted surfaces, monotone, with intervals and a flag beyond the data.

from hwsim.cost_models.surface import surface
surface("int_mac").predict({"w_bits": [4, 8], "a_bits": 8, "a_signed": False, "acc_bits": [18, 22]})
"""

from hwsim.cost_models.surface.catalogue import FAMILIES, family
from hwsim.cost_models.surface.family import Axis, Family
from hwsim.cost_models.surface.fit import fit_surface
from hwsim.cost_models.surface.surface import Prediction, Surface

__all__ = [
    "FAMILIES",
    "Axis",
    "Family",
    "Prediction",
    "Surface",
    "family",
    "fit_surface",
    "shipped_surfaces",
    "surface",
]


def surface(name: str, resource: str = "lut") -> Surface:
    """The shipped surface of a family."""
    from hwsim.cost_models.surface.shipped import surface as shipped

    return shipped(name, resource)


def shipped_surfaces() -> dict[tuple[str, str], Surface]:
    """All shipped surfaces, by family and resource."""
    from hwsim.cost_models.surface.shipped import shipped_surfaces as shipped

    return dict(shipped())
