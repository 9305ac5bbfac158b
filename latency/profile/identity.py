"""Which device this is: its name among the shipped device files, or one made from what it calls itself."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hwsim.latency.catalog import devices
from hwsim.latency.profile.clocks import query

# what drivers call the cards whose device files ship
_SHIPPED = {
    "h100": r"NVIDIA H100 80GB HBM3", "a100": r"(NVIDIA )?A100-SXM4-40GB", "v100": r"Tesla V100-SXM2-\d+GB",
    "v100-pcie": r"Tesla V100-PCIE-\d+GB", "t4": r"(Tesla|NVIDIA) T4", "l4": r"NVIDIA L4",
    "rtx3090": r"(NVIDIA )?GeForce RTX 3090", "rtx4090": r"(NVIDIA )?GeForce RTX 4090", "orin": r"Orin",
    "tx2": r"NVIDIA Tegra X2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """A device: its short name, what it calls itself, and the shipped device file that is its own, or an empty text."""

    name: str
    title: str
    shipped: str


def identify(kind: str) -> Identity:
    """The first visible GPU, or this machine's CPU."""
    if kind == "cpu":
        title = cpu_model()
        return Identity(slug(title), title, "")
    properties = torch.cuda.get_device_properties(0)
    return match(properties.name, properties.multi_processor_count)


def match(title: str, sms: int) -> Identity:
    """The device file of a card by what its driver calls it; a slice of a card has fewer multiprocessors and none."""
    for name, pattern in _SHIPPED.items():
        if re.fullmatch(pattern, title.strip()) and devices()[name].sms == sms:
            return Identity(name, title, name)
    return Identity(slug(title), title, "")


def slug(title: str) -> str:
    """A title as a name: lower case, words joined by hyphens, without the vendors' trimmings."""
    plain = re.sub(r"\((R|TM|r|tm)\)|NVIDIA|GeForce|\bCPU\b|@.*|\d+-Core|Processor|with .*", " ", title)
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower())) or "device"


def cpu_model() -> str:
    """What the system calls the CPU."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpu_info(), re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def cpu_info() -> str:
    """Linux's description of the CPU; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.is_file() else ""


def software(kind: str) -> dict[str, Any]:
    """Versions that a timing depends on."""
    versions: dict[str, Any] = {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "torch": torch.__version__,
        "cpu": cpu_model(),
    }
    if kind == "cuda":
        versions |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}  # type: ignore[no-untyped-call]
        versions["driver"] = (query("driver_version") or ["unknown"])[0]
    else:
        versions["cpu_mhz"] = [float(mhz) for mhz in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", cpu_info(), re.MULTILINE)]
    return versions
