"""One profile of a device: its device file, times of kernels, times of a few networks, in a folder that can be resumed.

`rows.csv` holds the times, `device.toml` the device, `machine.json` everything else that was noticed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from hwsim.core.errors import InputError
from hwsim.latency import catalog, measurements
from hwsim.latency.measurements import Measurement
from hwsim.latency.profile import small_networks
from hwsim.latency.profile.clocks import ClockLog
from hwsim.latency.profile.identity import identify, software
from hwsim.latency.profile.machine import describe, device_text
from hwsim.latency.profile.measure import Setting, keys, plan, record
from hwsim.latency.profile.network_bench import Builder, Plan, Report, Size, Spec
from hwsim.latency.profile.networks import network_keys, record_networks
from hwsim.latency.profile.points import points
from hwsim.latency.profile.progress import NetworkProgress, PointProgress, say

TIMM = ("resnet50", "mobilenetv3_large_100", "vit_tiny_patch16_224")
BATCHES = {"cuda": (1, 32), "cpu": (1, 4)}  # of networks
_KERNELS_SHARE = 0.6  # of the time, where networks follow
_OVERHEAD = 2.5  # what a row takes over its budget: operands, warming up, cuDNN's trials, calls beyond the budget
_BUDGET_MS = {"cuda": (6.0, 60.0), "cpu": (20.0, 1500.0)}  # least and most of a row


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be profiled.

    Attributes
    ----------
    kind : `cuda` or `cpu`.
    precisions : of `fp32 tf32 fp16 bf16`.
    layout : `nchw` or `nhwc`.
    threads : of a CPU.
    networks : whether networks are timed after the kernels.
    minutes : when these are over nothing more is begun.
    """

    kind: str
    precisions: tuple[str, ...]
    layout: str = "nchw"
    threads: int = 1
    networks: bool = True
    minutes: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.minutes < float("inf"):
            raise InputError(f"{self.minutes}", where="--minutes", hint="a positive number")
        if self.threads < 1:
            raise InputError(f"{self.threads}", where="--threads", hint="from 1 up")

    def settings(self, budget_ms: float = 6.0) -> list[Setting]:
        """One a precision; an InputError for what this machine does not have."""
        return [Setting(self.kind, "none", p, self.layout, budget_ms, True, self.threads) for p in self.precisions]


@dataclass(slots=True)
class Result:
    """What came of a profile: rows in the table, and those that this run made; see `Outcome` for the rest."""

    device: str
    title: str
    rows: int = 0
    new: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    stopped: str = ""
    seconds: float = 0.0


def paths(folder: Path) -> dict[str, str]:
    """The files of a profile."""
    return {
        "rows": str(folder / "rows.csv"),
        "device": str(folder / "device.toml"),
        "machine": str(folder / "machine.json"),
    }


class Session:
    """A profile in a folder."""

    def __init__(self, request: Request, folder: Path, resume: bool = False) -> None:
        request.settings()
        self.request, self.folder = request, folder
        self.identity = identify(request.kind)
        self.result = Result(self.identity.name, self.identity.title)
        self._start = time.perf_counter()
        self._log = ClockLog(request.kind)
        self._about: dict[str, Any] = {}
        self._rows_path = folder / "rows.csv"
        self._rows = self._found(resume)

    def run(self) -> Result:
        """Measure; whatever ends it, what was measured is in the folder."""
        with self._noted():
            self._device()
            self._kernels()
            if self.request.networks and not self.result.stopped:
                self._networks()
        return self.result

    def _found(self, resume: bool) -> list[Measurement]:
        """Rows that are there."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write: {error.strerror}", where=str(self.folder), hint="another --out") from None
        if not self._rows_path.exists():
            return []
        if not resume:
            raise InputError(
                "a profile is there", where=str(self.folder), hint="--resume goes on with it; or another --out"
            )
        rows = measurements.read(self._rows_path)
        others = {row.device for row in rows} - {self.identity.name}
        if others:
            message = f"rows of {min(others)}, and this is {self.identity.name}"
            raise InputError(message, where=str(self._rows_path), hint="another --out")
        return rows

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Write `machine.json` at the end, come what may."""
        self._log(always=True)
        try:
            yield
        finally:
            self._log(always=True)
            self.result.seconds = round(time.perf_counter() - self._start, 1)
            self.result.rows = len(measurements.read(self._rows_path)) if self._rows_path.is_file() else 0
            self.result.new = self.result.rows - len(self._rows)
            about = asdict(self.result) | {"request": asdict(self.request), "software": software(self.request.kind)}
            about |= {"throttled": self._log.throttled, "clocks": self._log.readings} | self._about
            (self.folder / "machine.json").write_text(json.dumps(about, indent=1) + "\n")

    def _device(self) -> None:
        path = self.folder / "device.toml"
        if self._rows and path.is_file():
            catalog.device(str(path))
            self._about = _noticed(self.folder / "machine.json")
            return
        say(f"bandwidth, peaks and launches of {self.identity.title}")
        machine = describe(self._settings(6.0)[0])
        path.write_text(device_text(machine.gpu))
        self._about = machine.as_dict()

    def _kernels(self) -> None:
        wanted, request = points(), self.request
        count = len(wanted) * len(request.precisions)
        seconds = self._seconds_left() * (_KERNELS_SHARE if request.networks else 1.0)
        todo = plan(wanted, self._settings(self._budget_ms(seconds, count)), keys(self._rows))
        outcome = record(todo, self._rows_path, seconds, PointProgress(self._log, seconds))
        self.result.left["points"], self.result.stopped = outcome.left, outcome.stopped
        self.result.skipped += [{"what": skip["point"], "reason": skip["reason"]} for skip in outcome.skipped]

    def _networks(self) -> None:
        own = [Spec(name, small_networks.SIDE) for name in small_networks.NAMES]
        lists: list[tuple[str, list[Spec], Builder]] = [(small_networks.__name__, own, small_builder)]
        if find_spec("timm") is None:
            self.result.skipped.append({"what": f"timm: {', '.join(TIMM)}", "reason": "timm is not installed"})
        else:
            lists.append(("timm", [Spec(name) for name in TIMM], timm_builder))
        count = sum(len(specs) for _, specs, _ in lists) * len(self.request.precisions) * len(BATCHES["cpu"])
        setting = self._settings(self._budget_ms(self._seconds_left(), count))[0]
        done = network_keys(self._rows)
        for library, specs, builder in lists:
            if self.result.stopped:
                return
            todo, report = Plan(setting, self.request.precisions, BATCHES[self.request.kind], library), Report()
            told = NetworkProgress(self._log)
            left = self._seconds_left()
            try:
                record_networks(specs, todo, self._rows_path, builder, done, left, progress=told, report=report)
            finally:
                self.result.left["networks"] = self.result.left.get("networks", 0) + report.left
                self.result.stopped = report.stopped
                self.result.skipped += [{"what": s["network"], "reason": s["reason"]} for s in report.skipped]

    def _settings(self, budget_ms: float) -> list[Setting]:
        request, name = self.request, self.identity.name
        return [
            Setting(request.kind, name, p, request.layout, budget_ms, True, request.threads) for p in request.precisions
        ]

    def _seconds_left(self) -> float:
        return max(60 * self.request.minutes - (time.perf_counter() - self._start), 0.0)

    def _budget_ms(self, seconds: float, rows: int) -> float:
        least, most = _BUDGET_MS[self.request.kind]
        return min(max(1e3 * seconds / rows / _OVERHEAD, least), most)


def _noticed(path: Path) -> dict[str, Any]:
    """What an earlier run noticed of the device; nothing where its note is gone or broken."""
    try:
        note = json.loads(path.read_text())
        return {name: note[name] for name in ("facts", "reached")}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def small_builder(spec: Spec) -> tuple[nn.Module, Size]:
    """A network of `small_networks` by its name."""
    return getattr(small_networks, spec.name)(), (3, spec.side, spec.side)


def timm_builder(spec: Spec) -> tuple[nn.Module, Size]:
    """A network of timm with random weights, as MODEL strings name it: also beside a torchvision for another torch."""
    from hwsim.capture.model_spec import load_model

    source = load_model(f"timm:{spec.name}?random")
    if not isinstance(source.model, nn.Module) or source.input_shape is None:
        raise InputError("no module of known input size", where=f"timm:{spec.name}")
    return source.model, source.input_shape[1:]
