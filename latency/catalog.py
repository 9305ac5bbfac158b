"""The GPUs that ship with hwsim, and a user's own: one TOML file each."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hwsim.core.devices import Gpu, load_device, load_devices
from hwsim.core.errors import InputError, nearest

RUNTIMES = ("eager", "compiled", "tensorrt")
_ELEMENT_BYTES = {"fp32": 4.0, "tf32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.0, "int4": 0.5}
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
    """Raise InputError unless the numbers of a device can be computed with."""
    for key in ("sms", "clock_mhz", "dram_gbps", "dram_gbps_spec", "l2_mb"):
        if not getattr(gpu, key) > 0:
            raise InputError(f"{key} = {getattr(gpu, key)}", where=where, hint="a positive number is wanted")
    for key in ("board_watts", "process_nm"):
        if not getattr(gpu, key) >= 0:
            raise InputError(f"{key} = {getattr(gpu, key)}", where=where, hint="a positive number, or 0 if not known")
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
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
