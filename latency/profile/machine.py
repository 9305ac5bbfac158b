"""The device at hand as a device file, which `hwsim predict --device FILE.toml` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import torch

from hwsim.core.devices import Gpu
from hwsim.latency import catalog
from hwsim.latency.profile.facts import Facts, facts
from hwsim.latency.profile.identity import Identity, identify
from hwsim.latency.profile.measure import Setting
from hwsim.latency.profile.peaks import PRECISIONS, Reached, reach

_BUDGET_MS = {"cuda": 120.0, "cpu": 700.0}  # of each of some twenty timings


@dataclass(frozen=True, slots=True)
class Machine:
    """A device as it was found: what a device file says of it, and what was measured."""

    gpu: Gpu
    facts: Facts
    reached: Reached

    def as_dict(self) -> dict[str, Any]:
        """Facts and rates, for JSON."""
        return {"facts": asdict(self.facts), "reached": asdict(self.reached)}


def describe(setting: Setting) -> Machine:
    """Measure the device of a setting; some ten seconds. Its precision and budget are not used."""
    told = facts(setting.kind, setting.threads)
    found = reach(replace(setting, budget_ms=_BUDGET_MS[setting.kind]), told.l2_mb)
    how = f"torch {torch.__version__}" + (f", CUDA {torch.version.cuda}" if setting.kind == "cuda" else "")
    return Machine(device_of(setting.kind, identify(setting.kind), told, found, how), told, found)


def device_of(kind: str, identity: Identity, told: Facts, found: Reached, how: str) -> Gpu:
    """A device from its own words and measured rates; a card that ships keeps its datasheet's numbers and its name.

    Precisions slower than fp32 are left out: nothing would be gained by them.

    Parameters
    ----------
    how : the software that measured, for `source`.
    """
    peaks = {n: found.peak_tflops[n] for n in PRECISIONS[kind] if n in found.peak_tflops}
    native = tuple(name for name, rate in peaks.items() if name == "fp32" or rate > peaks["fp32"])
    launch_us = {
        "eager": round(found.launch_us["eager"], 2),
        "compiled": round(found.launch_us["graph"], 3),
        "tensorrt": round(found.launch_us["graph"], 3),
    }
    gbps = _rounded(found.dram_gbps)
    source = _source(kind, told, found, how)
    if identity.shipped:
        card = catalog.device(identity.shipped)
        source += f" All else is that of the shipped device file {card.name}: {card.source}"
        return replace(card, dram_gbps=gbps, launch_us=launch_us, source=source)
    peak_tflops = {name: _rounded(peaks[name]) for name in native}
    return Gpu(
        identity.name, identity.title, told.architecture, told.sms, told.clock_mhz, peak_tflops, gbps,
        _rounded(max(told.spec_gbps, gbps)), round(told.l2_mb, 2), native, launch_us, source,
    )  # fmt: skip


def device_text(gpu: Gpu) -> str:
    """A device as the text of its TOML file."""
    lines, tables = [], []
    for name, value in asdict(gpu).items():
        if isinstance(value, Mapping):
            tables += ["", f"[{name}]", *(f"{key} = {_literal(number)}" for key, number in value.items())]
        else:
            lines.append(f"{name} = {_literal(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _literal(value: object) -> str:
    """Texts, numbers and lists of texts are written alike in JSON and TOML."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _source(kind: str, told: Facts, found: Reached, how: str) -> str:
    one = "one operator of a CUDA graph" if kind == "cuda" else "the same: a CPU has no other runtime here"
    spec = "memory clock and bus width" if told.spec_gbps > found.dram_gbps else "not told, therefore what was measured"
    sms = "multiprocessors" if kind == "cuda" else "threads that were used"
    peaks = ", ".join(f"{name} {rate:.4g}" for name, rate in found.peak_tflops.items())
    text = (
        f"Measured by hwsim profile on {date.today().isoformat()} with {how}. dram_gbps: read and written by a copy of "
        f"{found.copied_mb:.0f} MB. Medians of large matrix products, TFLOP/s: {peaks}. launch_us: eager the smallest "
        f"operator alone, from the host's call to its end; compiled and tensorrt {one}. sms: {sms}. dram_gbps_spec: "
        f"{spec}."
    )
    return text + (f" Assumed, as nothing tells: {', '.join(told.assumed)}." if told.assumed else "")
