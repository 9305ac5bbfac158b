"""The experts that ship (data/experts.npz), and what they say of one kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hwsim.core.devices import Gpu
from hwsim.latency.errors import Errors
from hwsim.latency.kernels import Kernel
from hwsim.latency.learned.expert import Expert, Setting, label_of
from hwsim.latency.simulator.table import table_of
from hwsim.latency.store import read

Bound = Literal["compute", "memory", "launch"]
PATH = Path(__file__).parent.parent / "data" / "experts.npz"
SAME_KERNELS = {"v100": "v100-pcie"}  # eager kernels of the V100 were measured on its PCIe card
_STRANGE = 0.25  # log ratio beyond the training rows from which a kernel is out of domain


@dataclass(frozen=True, slots=True)
class Experts:
    """All experts by name.

    Attributes
    ----------
    scores : figures on shapes, devices and families left out; `coverage` of 90 % intervals on unseen shapes by label.
    """

    experts: Mapping[str, Expert]
    coverage: Mapping[str, float]
    scores: Mapping[str, Mapping[str, float]]
    about: Mapping[str, Any]

    def find(self, runtime: str, kind: str, precision: str) -> Expert | None:
        """The expert for a kernel, or None where no such kernel was measured in this runtime."""
        for expert in self.experts.values():
            if expert.runtime == runtime and kind in expert.kinds and expert.serves(kind, precision):
                return expert
        return None


@dataclass(frozen=True, slots=True)
class KernelErrors:
    """Time of one kernel and the distribution of its log error."""

    time_us: float
    errors: Errors
    bound: Bound
    strange: bool


def kernel_errors(
    kernel: Kernel, batch: int, gpu: Gpu, chip: str, runtime: str, layout: str, path: Path = PATH
) -> KernelErrors | None:
    """What is known of one kernel by itself; None where nothing like it was measured in this runtime."""
    known = experts(path)
    expert = known.find(runtime, kernel.kind, kernel.precision)
    if expert is None:
        return None
    setting = Setting(gpu, SAME_KERNELS.get(chip, chip) if runtime == "eager" else chip, kernel.precision, layout)
    table = table_of([kernel.shape], batch, kernel.precision)
    found = expert.predict(table, setting)
    label = label_of(setting, kernel.kind)
    values = np.log(found.quantiles_us[0] / found.time_us[0])
    measured = label in expert.offsets
    errors = Errors(found.levels, tuple(float(v) for v in values), known.coverage.get(label, float("nan")), 1)
    simulated = expert.simulated(table, setting)
    parts: dict[Bound, float] = {
        "compute": float(simulated.compute_us[0]),
        "memory": float(simulated.memory_us[0]),
        "launch": float(simulated.launch_us[0]),
    }
    bound = max(parts, key=lambda name: parts[name])
    strange = not measured or float(found.distance[0]) > _STRANGE
    return KernelErrors(float(found.time_us[0]), errors, bound, strange)


@cache
def experts(path: Path = PATH) -> Experts:
    """Read the file."""
    kinds = {
        "experts": dict[str, Expert], "coverage": dict[str, float], "scores": dict[str, dict[str, float]],
        "about": dict[str, Any],
    }  # fmt: skip
    return Experts(**read(path, kinds))
