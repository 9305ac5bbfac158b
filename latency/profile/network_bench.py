"""Times of a whole network with random weights, built once on the device, by precision and batch size.

What does not work (out of memory, an operator without a half kernel, a forward pass that no CUDA graph captures) is
skipped with its reason.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from hwsim.core.errors import InputError, nearest
from hwsim.latency.measurements import NETWORK, Measurement
from hwsim.latency.profile.measure import Bench, DeviceLostError, Setting, configured, first_line
from hwsim.latency.profile.memory import give_back
from hwsim.latency.profile.operators import DTYPES, LAYOUTS
from hwsim.latency.profile.timing import Sample

AUTOCAST = "amp"
WORDS = ("fp32", "tf32", AUTOCAST, "fp16", "bf16")  # in the order of their weights: fp32 first
Size = tuple[int, ...]
Builder = Callable[["Spec"], tuple[nn.Module, Size]]
Progress = Callable[["Report"], None]
Key = tuple[str, str, str, bool, int]


@dataclass(frozen=True, slots=True)
class Spec:
    """A network to build: a name that the builder knows, and the side of its images in pixels, 0 for its own."""

    name: str
    side: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done with each network.

    Attributes
    ----------
    setting : device, layout, budget and threads; its precision is not used.
    precisions : of `fp32` (TF32 off), `tf32`, `fp16` and `bf16` (weights and inputs converted), `amp` (fp32 weights,
        `torch.autocast` to fp16; rows say fp16, and `autocast` in their source).
    batches : images.
    library : the first part of names in rows.
    """

    setting: Setting
    precisions: tuple[str, ...]
    batches: tuple[int, ...]
    library: str = "timm"

    def __post_init__(self) -> None:
        for word in self.precisions:
            if word not in WORDS:
                raise InputError(f"{word!r}", where="--precision", hint=nearest(word, WORDS))
            self.configured(word)
        if min(self.batches, default=0) < 1:
            raise InputError(f"batches {self.batches}", where="--batches", hint="whole numbers from 1 up")

    def configured(self, word: str) -> Setting:
        """The setting of a precision."""
        return replace(self.setting, precision="fp16" if word == AUTOCAST else word)

    def rows(self) -> list[tuple[str, int]]:
        """Precision and batch of everything that is wanted of a network."""
        return [(word, batch) for word in self.precisions for batch in self.batches]


@dataclass(slots=True)
class Report:
    """What came of networks so far: rows written, networks left, what was skipped and why, seconds of building.

    `stopped` says why the device stopped answering, where it did.
    """

    rows: int = 0
    left: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    built: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: str = ""


class NetworkBench:
    """Measures networks one by one. It never fails because of a network: the report says what did not work.

    Parameters
    ----------
    done : visits that are not made again.
    up : reading of `time.perf_counter` after which nothing is begun.
    report : which is filled.
    """

    def __init__(self, plan: Plan, builder: Builder, done: Collection[Key], up: float, report: Report) -> None:
        self.report = report
        self._plan, self._builder, self._done, self._up = plan, builder, done, up
        self._bench = Bench()

    def time_is_up(self) -> bool:
        """Whether nothing more is to be begun."""
        return time.perf_counter() > self._up

    def visit(self, spec: Spec) -> Iterator[Measurement]:
        """The rows of a network, as they are measured."""
        start, text = time.perf_counter(), f"{spec.name}@{spec.side}" if spec.side else spec.name
        if all(self._is_done(f"{self._plan.library}:{text}", word, n) for word, n in self._plan.rows()):
            return
        module, size, reason = self._built(spec)
        if module is None:
            self._skip(text, reason)
            return
        name = f"{self._plan.library}:{spec.name}@{size[-1]}"
        self.report.built[name] = round(time.perf_counter() - start, 2)
        for word, converted in _conversions(module, self._plan.precisions):
            yield from self._batches(name, word, converted, size)

    def _batches(self, name: str, word: str, module: nn.Module, size: Size) -> Iterator[Measurement]:
        setting, autocast = self._plan.configured(word), word == AUTOCAST
        for batch in sorted(self._plan.batches):
            if self.time_is_up():
                return
            if self._is_done(name, word, batch):
                continue
            found, reason = self._samples(module, (batch, *size), setting, autocast)
            yield from _rows(name, batch, setting, autocast, found)
            if reason:
                self._skip(f"{name}, batch {batch}, {word}, {setting.layout}", reason)
            if not found and "out of memory" in reason:
                return

    def _is_done(self, name: str, word: str, batch: int) -> bool:
        setting = self._plan.configured(word)
        return (name, setting.precision, setting.layout, word == AUTOCAST, batch) in self._done

    def _built(self, spec: Spec) -> tuple[nn.Module | None, Size, str]:
        """The module, the size of one input, and why there is none."""
        kind, layout = self._plan.setting.kind, LAYOUTS[self._plan.setting.layout]
        try:
            with torch.device(kind), torch.no_grad():
                module, size = self._builder(spec)
                module = module.eval().requires_grad_(False)
                return module.to(memory_format=layout), size, ""  # type: ignore[call-overload]
        except Exception as error:  # whatever a constructor raises
            reason = first_line(error)
        self._recover(reason)
        return None, (), reason

    def _samples(
        self, module: nn.Module, size: Size, setting: Setting, autocast: bool
    ) -> tuple[dict[str, Sample], str]:
        """Times by protocol, and why some or all are missing."""
        dtype = DTYPES["fp32" if autocast else setting.precision]
        try:
            with configured(setting):
                images = torch.randn(size, dtype=dtype, device=setting.kind)
                if images.dim() == 4:
                    images = images.contiguous(memory_format=LAYOUTS[setting.layout])
                return self._bench.time(lambda: _forward(module, images, autocast), setting)
        except Exception as error:  # whatever a network raises
            reason = first_line(error)
        self._recover(reason)  # here the frames of the error are gone, and their tensors with them
        return {}, reason

    def _recover(self, reason: str) -> None:
        """Free what a failure left behind; DeviceLostError where the GPU answers no more."""
        try:
            give_back(self._plan.setting.kind, always=True)
        except RuntimeError:
            raise DeviceLostError(reason, where=NETWORK, hint="start again with --resume") from None

    def _skip(self, what: str, reason: str) -> None:
        self.report.skipped.append({"network": what, "reason": reason})


def _conversions(module: nn.Module, precisions: Collection[str]) -> Iterator[tuple[str, nn.Module]]:
    """The module in each precision, fp32 weights first; each type is a copy that has not run in another."""
    words = [word for word in WORDS if word in precisions]
    types = [DTYPES["fp32" if word == AUTOCAST else word] for word in words]
    current, held = module, None
    for i, (word, dtype) in enumerate(zip(words, types, strict=True)):
        if dtype != held:
            more = any(other != dtype for other in types[i:])
            current, held = (copy.deepcopy(module) if more else module).to(dtype), dtype
        yield word, current


def _forward(module: nn.Module, images: Tensor, autocast: bool) -> object:
    with _cast(images.device.type, autocast):
        return module(images)


def _cast(kind: str, autocast: bool) -> AbstractContextManager[object]:
    return torch.autocast(kind, torch.float16) if autocast else nullcontext()


def _rows(name: str, batch: int, setting: Setting, autocast: bool, found: dict[str, Sample]) -> Iterator[Measurement]:
    source = setting.source + (", autocast" if autocast else "")
    for runtime, sample in found.items():
        yield Measurement(
            setting.device, runtime, setting.precision, setting.layout, NETWORK, name, batch, None,
            sample.latency_us, sample.spread, sample.samples, source,
        )  # fmt: skip
