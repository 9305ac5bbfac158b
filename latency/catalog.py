"""The GPUs that ship with hwsim, and a user's own: one TOML file each."""

from __future__ import annotations

import re
from functools import cache
from math import isfinite
from pathlib import Path

from hwsim.core.devices import Gpu, load_device, load_devices
from hwsim.core.errors import InputError, nearest

RUNTIMES = ("eager", "compiled", "tensorrt")
_ELEMENT_BYTES = {"fp32": 4.0, "tf32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.0, "int4": 0.5}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_LIMITS = {"board_watts": (1.0, 5000.0), "process_nm": (1.0, 200.0)}
_FOLDER = Path(__file__).parent / "devices"


@cache
def devices() -> dict[str, Gpu]:
    """The GPUs that ship with hwsim, by name."""
    found = load_devices(Gpu, _FOLDER)
    for gpu in found.values():
        check(gpu, f"{_FOLDER / gpu.name}.toml")
    return found


def device(name: str) -> Gpu:
    """A GPU by name, or from a TOML file when `name` is a path that ends in `.toml`.

    Raises
    ------
    InputError
        For a name that is not there (with the nearest one) or a file that is not a GPU.
    """
    if name.endswith(".toml"):
        gpu = load_device(Gpu, Path(name))
        check(gpu, name)
        return gpu
    if name not in devices():
        raise InputError(
            f"no device named {name!r}", where="--device", hint=f"{nearest(name, devices())}; or a path to a .toml file"
        )
    return devices()[name]


def element_bytes(precision: str) -> float:
    """Bytes of one tensor element in a precision."""
    return _ELEMENT_BYTES[precision]


def check(gpu: Gpu, where: str) -> None:
    """Raise InputError unless a device has a plain name and numbers that can be computed with."""
    if not _NAME.fullmatch(gpu.name):
        raise InputError(f"name = {gpu.name!r}", where=where, hint="letters, digits and any of . _ + -")
    for key in ("sms", "clock_mhz", "dram_gbps", "dram_gbps_spec", "l2_mb"):
        if not _positive(getattr(gpu, key)):
            raise InputError(f"{key} = {getattr(gpu, key)}", where=where, hint="a positive number is wanted")
    for key, (least, most) in _LIMITS.items():
        value = getattr(gpu, key)
        if value != 0 and not least <= value <= most:
            raise InputError(f"{key} = {value}", where=where, hint=f"{least:g} to {most:g}, or 0 if not known")
    if "fp32" not in gpu.native:
        raise InputError("fp32 is not native", where=where, hint="every GPU executes fp32: list it last")
    for precision in gpu.native:
        if precision not in _ELEMENT_BYTES:
            raise InputError(f"unknown precision {precision!r}", where=where, hint=nearest(precision, _ELEMENT_BYTES))
        if not _positive(gpu.peak_tflops.get(precision)):
            raise InputError(f"peak_tflops.{precision} is missing or not positive", where=where, hint="one a precision")
    for runtime in RUNTIMES:
        if not _positive(gpu.launch_us.get(runtime)):
            raise InputError(f"launch_us.{runtime} is missing or not positive", where=where, hint="microseconds")


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0
