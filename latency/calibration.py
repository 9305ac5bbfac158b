"""What measured rows of one device taught: models by runtime, precision and layout, and errors on rows left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError
from hwsim.latency import store
from hwsim.latency.errors import Errors
from hwsim.latency.networks.class_model import ClassModel
from hwsim.latency.networks.models import Found
from hwsim.latency.networks.network_model import NetworkModel

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Models of one runtime, precision and layout.

    Attributes
    ----------
    network : factors for networks, with errors on networks left out; those of transfer where few were measured.
    kernels : factors and host cost of kernels by themselves, with errors on shapes left out; None where too few
        were measured.
    """

    network: NetworkModel
    kernels: ClassModel | None
    kernel_errors: Errors | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that was calibrated on a device.

    Attributes
    ----------
    device : as its file said it; a calibration serves no other.
    settings : by `runtime/precision/layout`.
    before, after : figures of `kernels` and `networks`: zero-shot, and by fits that saw no row of the same shape or
        network.
    about : `date`, `rows`, `sha256` of the rows.
    """

    device: Gpu
    settings: Mapping[str, Calibrated]
    before: Mapping[str, Figures]
    after: Mapping[str, Figures]
    about: Mapping[str, Any]

    def find(self, gpu: Gpu, runtime: str, precision: str, layout: str) -> tuple[Found, Calibrated] | None:
        """What serves a question; None where no row of this setting was measured.

        Raises
        ------
        InputError
            For a question about another device.
        """
        if gpu != self.device:
            other = [key for key, value in asdict(gpu).items() if value != getattr(self.device, key)]
            message = f"a calibration of {self.device.name}; {gpu.name} differs in {', '.join(other)}"
            raise InputError(message, where="--calibration", hint="hwsim calibrate gpu ROWS.csv --device DEVICE")
        key = f"{runtime}/{precision}/{layout}"
        found = self.settings.get(key)
        return None if found is None else (Found(found.network, f"{gpu.name}/{key}", True), found)

    def note(self) -> str:
        """One sentence for those who see a prediction."""
        errors = [
            f"{self.after[what]['mape_pct']:.0f} % on {self.after[what]['rows']:.0f} {what}"
            for what in ("kernels", "networks") if what in self.after
        ]  # fmt: skip
        told = f"mean error by fits that did not see them: {', '.join(errors)}" if errors else "error unknown"
        return f"calibrated on {self.about['rows']} rows of {self.device.name} on {self.about['date']}; {told}"


def write(path: Path, calibration: Calibration) -> None:
    """Write a calibration; its folder is made.

    Raises
    ------
    InputError
        Where nothing can be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        store.write(path, {"calibration": calibration})
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", where=str(path), hint="another --out") from None


def read(path: Path) -> Calibration:
    """Read a calibration.

    Raises
    ------
    InputError
        For a file that is none.
    """
    try:
        found: Calibration = store.read(path, {"calibration": Calibration})["calibration"]
    except InputError as error:
        hint = "no calibration, or one of another version: hwsim calibrate gpu again, or --calibration none"
        raise InputError(f"cannot be read ({error.message})", where=str(path), hint=hint) from None
    return found


def file_of(cache: Path, gpu: Gpu) -> Path:
    """Where the calibration of a device lies in a cache folder."""
    return cache / "latency" / "calibrations" / f"{gpu.name}.npz"


def kept(cache: Path, gpu: Gpu) -> Calibration | None:
    """The calibration in a cache folder, where there is one of a device that the file says just like this one."""
    path = file_of(cache, gpu)
    if not path.is_file():
        return None
    found = read(path)
    return found if found.device == gpu else None
