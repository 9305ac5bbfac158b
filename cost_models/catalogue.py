"""The FPGA parts that ship with hwsim, and parts that a user describes in a TOML file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hwsim.core.devices import Part, load_device, load_devices
from hwsim.core.errors import InputError, nearest

FOLDER = Path(__file__).parent / "parts"
DSP_TYPES = ("DSP48E1", "DSP48E2", "DSP58")


@cache
def parts() -> dict[str, Part]:
    """All shipped parts by name, in alphabetical order; each says its sources."""
    return load_devices(Part, FOLDER)


def part(name: str | Path) -> Part:
    """A shipped part by name, or the part that a TOML file describes.

    Raises
    ------
    InputError
        For an unknown name (with the nearest one), or a file with a wrong key or value.
    """
    text = str(name)
    if text.endswith(".toml"):
        return _checked(load_device(Part, Path(text)), text)
    found = parts().get(text.lower())
    if found is None:
        raise InputError(
            f"no part named {text!r}",
            where="part",
            hint=f"{nearest(text.lower(), parts())}; or the path of a .toml file",
        )
    return found


def _checked(wanted: Part, where: str) -> Part:
    if wanted.dsp_type not in DSP_TYPES:
        raise InputError(f"dsp_type = {wanted.dsp_type!r}", where=where, hint=nearest(wanted.dsp_type, DSP_TYPES))
    for key in ("lut", "ff", "clock_mhz", "dram_gbps"):
        if getattr(wanted, key) <= 0:
            raise InputError(f"{key} = {getattr(wanted, key)}", where=where, hint="a number above 0 is wanted")
    for key in ("dsp", "bram18", "uram"):
        if getattr(wanted, key) < 0:
            raise InputError(f"{key} = {getattr(wanted, key)}", where=where, hint="0 or more is wanted")
    return wanted
