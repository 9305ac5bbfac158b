"""Times of many points, in a table that grows as they are measured."""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import torch

from hwsim.core.errors import HwsimError, InputError, UnsupportedError, nearest
from hwsim.latency.measurements import COLUMNS, Measurement, cells
from hwsim.latency.profile.memory import free_bytes, give_back
from hwsim.latency.profile.operators import DTYPES, LAYOUTS, Maker, build, moved_bytes
from hwsim.latency.profile.point import Point
from hwsim.latency.profile.timing import EAGER, Call, CudaTimer, Sample, time_on_cpu
from hwsim.latency.shapes import KernelShape

KINDS = ("cuda", "cpu")
_MOST_MEMORY = 0.7  # of what is free, for operands and results of one point
Key = tuple[str, str, str, str, int, KernelShape | None]
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """How points are measured.

    Attributes
    ----------
    kind : `cuda` or `cpu`.
    device : the device's name in rows.
    precision : `fp32` (TF32 off), `tf32` (a GPU's products and convolutions), `fp16`, `bf16`.
    layout : `nchw` or `nhwc` of images and convolution weights.
    budget_ms : time to measure one point, all protocols together; warming up comes on top.
    autotune : whether cuDNN tries its algorithms on each new shape (`torch.backends.cudnn.benchmark`).
    threads : of a CPU.
    """

    kind: str
    device: str
    precision: str
    layout: str = "nchw"
    budget_ms: float = 6.0
    autotune: bool = True
    threads: int = 1

    def __post_init__(self) -> None:
        for where, word, allowed in (
            ("device", self.kind, KINDS),
            ("precision", self.precision, DTYPES),
            ("layout", self.layout, LAYOUTS),
        ):
            if word not in allowed:
                raise InputError(f"{word!r}", where=f"--{where}", hint=nearest(word, allowed))
        if self.kind == "cpu" and self.precision == "tf32":
            raise InputError("a CPU has no tf32", where="--precision", hint="allowed: fp32, fp16, bf16")
        if self.kind == "cuda" and not torch.cuda.is_available():
            raise InputError("torch sees no CUDA device", where="--device", hint="allowed here: cpu")

    @property
    def source(self) -> str:
        """What rows say of where they come from."""
        stack = f"threads {self.threads}"
        if self.kind == "cuda":
            tuned = "benchmark on" if self.autotune else "benchmark off"
            stack = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()} {tuned}"  # type: ignore[no-untyped-call]
        return f"hwsim profile, torch {torch.__version__}, {stack}, {date.today().isoformat()}"


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of one point: a row a protocol, and why some or all are missing."""

    point: Point
    setting: Setting
    rows: tuple[Measurement, ...]
    reason: str = ""


@dataclass(slots=True)
class Outcome:
    """What came of a list: rows written, points skipped with reasons, points left when time was up, seconds.

    `stopped` says why the device stopped answering, where it did.
    """

    rows: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    left: int = 0
    seconds: float = 0.0
    stopped: str = ""


class DeviceLostError(HwsimError):
    """The GPU answers no more, as after an illegal access: nothing else can be measured in this process."""


class Bench:
    """Measures points one by one. It never fails because of a point: the visit says what did not work."""

    def __init__(self) -> None:
        self._timer: CudaTimer | None = None

    def visit(self, point: Point, setting: Setting) -> Visit:
        """Measure one point."""
        try:
            with configured(setting):
                found, reason = self._samples(point, setting)
        except (UnsupportedError, MemoryError) as error:
            return Visit(point, setting, (), first_line(error))
        except RuntimeError as error:  # out of memory, an operator that the device lacks
            reason = first_line(error)
            try:
                give_back(setting.kind, always=True)
            except RuntimeError:
                raise DeviceLostError(reason, where=point.operator, hint="start again with --resume") from None
            return Visit(point, setting, (), reason)
        return Visit(point, setting, rows_of(point, setting, found), reason)

    def _samples(self, point: Point, setting: Setting) -> tuple[dict[str, Sample], str]:
        needed, free = moved_bytes(point, setting.precision), free_bytes(setting.kind)
        if needed > _MOST_MEMORY * free:
            raise MemoryError(f"{needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")
        return self.time(build(point, Maker(setting.precision, setting.layout, setting.kind)), setting)

    def time(self, call: Call, setting: Setting) -> tuple[dict[str, Sample], str]:
        """Times of any call by protocol, and why a protocol is missing."""
        if setting.kind == "cpu":
            return time_on_cpu(call, setting.budget_ms), ""
        self._timer = self._timer or CudaTimer()
        found = self._timer(call, setting.budget_ms)
        give_back(setting.kind)
        return found


def first_line(error: Exception) -> str:
    """What an exception says, for a table."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no words').splitlines()[0]}"


def rows_of(point: Point, setting: Setting, found: dict[str, Sample]) -> tuple[Measurement, ...]:
    """A row a protocol."""
    return tuple(
        Measurement(
            setting.device, runtime, setting.precision, setting.layout, point.operator, point.name, point.batch,
            point.shape, sample.latency_us, sample.spread, sample.samples, setting.source,
        )
        for runtime, sample in found.items()
    )  # fmt: skip


def plan(
    points: Sequence[Point], settings: Sequence[Setting], done: Collection[Key] = (), seed: int = 0
) -> list[tuple[Point, Setting]]:
    """Every point in every setting but those done, in random order, so that an early end leaves a fair sample.

    Points that differ in their names alone are measured once.
    """
    wanted = {key(point, setting): (point, setting) for setting in settings for point in points}
    todo = [pair for what, pair in wanted.items() if what not in done]
    random.Random(seed).shuffle(todo)
    return todo


def measure(todo: Iterable[tuple[Point, Setting]]) -> Iterator[Visit]:
    """Visit points one after the other."""
    bench = Bench()
    for point, setting in todo:
        yield bench.visit(point, setting)


def record(
    todo: Sequence[tuple[Point, Setting]], path: Path, seconds: float | None = None, progress: Progress | None = None
) -> Outcome:
    """Measure points and append each to a table at once: an interrupt loses the point in flight and nothing else.

    Parameters
    ----------
    todo : as `plan` orders it.
    seconds : after which no further point is begun.
    progress : is told points visited, of how many, and how many were skipped.
    """
    outcome, start = Outcome(left=len(todo)), time.perf_counter()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(COLUMNS)
            file.flush()
        try:
            for visit in measure(todo):
                writer.writerows(cells(row) for row in visit.rows)
                file.flush()
                outcome.rows += len(visit.rows)
                outcome.left -= 1
                if visit.reason:
                    outcome.skipped.append(skipped(visit))
                if progress:
                    progress(len(todo) - outcome.left, len(todo), len(outcome.skipped))
                if seconds is not None and time.perf_counter() - start > seconds:
                    break
        except DeviceLostError as error:
            outcome.stopped = str(error)
    outcome.seconds = time.perf_counter() - start
    return outcome


def skipped(visit: Visit) -> dict[str, str]:
    """A visit that lacks rows, for reports."""
    point, setting = visit.point, visit.setting
    what = f"{point.operator} {point.name}".strip()
    shape = ", ".join(f"{getattr(point.shape, n)}" for n in ("kind", "count", "rows", "cols", "depth"))
    where = f"{what} ({shape}) batch {point.batch}, {setting.precision}, {setting.layout}"
    return {"point": where, "reason": visit.reason}


def key(point: Point, setting: Setting) -> Key:
    """What tells one visit from another."""
    return setting.device, setting.precision, setting.layout, point.operator, point.batch, point.shape


def keys(rows: Sequence[Measurement]) -> set[Key]:
    """The visits that a table holds."""
    eager = (row for row in rows if row.runtime == EAGER)
    return {(r.device, r.precision, r.layout, r.operator, r.batch, r.shape) for r in eager}


@contextmanager
def configured(setting: Setting) -> Iterator[None]:
    """Torch as a setting wants it: precision of products, cuDNN's trials, threads; put back at the end."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, torch.get_num_threads()
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = setting.precision == "tf32"
        cudnn.benchmark = setting.autotune
        if setting.kind == "cpu":
            torch.set_num_threads(setting.threads)
        with torch.inference_mode():
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before[:3]
        if setting.kind == "cpu":
            torch.set_num_threads(before[3])
