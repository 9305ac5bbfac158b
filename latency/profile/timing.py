"""How long a call takes, honestly: warmed up, repeated for a budget of time, told as a median with its spread.

On a GPU a call is timed by three protocols, each by CUDA events on one stream:

`eager`        one call on an idle stream: the host's dispatch, the launch and the kernel, as the first of a network
               or any kernel of a network whose host runs late;
`eager-queued` calls back to back: the longer of the host's dispatch and the kernel, as inside a network;
`graph`        the call captured many times in a CUDA graph, replays back to back, over their number: the kernel, and
               the gap between two kernels of a graph.

On a CPU there is `eager` alone, by the clock of the host. Operands are the same at every call: what fits in the last
cache is found there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch

Call = Callable[[], object]
EAGER, QUEUED, GRAPH = "eager", "eager-queued", "graph"
_BATCH_US = 300.0  # of back-to-back calls between two events
_LONGEST_BATCH = 20
_GRAPH_US = 150.0  # of kernels in one graph: above what launching a graph takes the host
_LONGEST_GRAPH = 50
_MOST_SAMPLES = 60
_FEWEST_SAMPLES = 5
_FEWEST_LONG = 3  # of calls that alone exceed the budget
_SHORT_US = 5_000.0  # calls below this are warmed up more than twice


@dataclass(frozen=True, slots=True)
class Sample:
    """Times of one call: the median in us, (90 % less 10 % quantile) over the median, and how many timings."""

    latency_us: float
    spread: float
    samples: int


def summary(times_us: Sequence[float]) -> Sample:
    """The sample that timings make, whose median is at least a nanosecond."""
    low, median, high = (max(float(q), 1e-3) for q in np.quantile(times_us, [0.1, 0.5, 0.9]))
    return Sample(median, (high - low) / median, len(times_us))


def repetitions(budget_us: float, time_us: float) -> int:
    """How many timings of `time_us` each a budget buys, within limits."""
    fewest = _FEWEST_SAMPLES if time_us < budget_us else _FEWEST_LONG
    return int(min(max(budget_us / max(time_us, 1e-3), fewest), _MOST_SAMPLES))


def time_on_cpu(call: Call, budget_ms: float) -> dict[str, Sample]:
    """`eager` by `time.perf_counter_ns`."""
    call()
    estimate = _cpu_us(call)
    if estimate > 1e3 * budget_ms:
        return {EAGER: summary([estimate, _cpu_us(call)])}
    call()
    return {EAGER: summary([_cpu_us(call) for _ in range(repetitions(1e3 * budget_ms, estimate))])}


def _cpu_us(call: Call) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e3


@dataclass(slots=True)
class CudaTimer:
    """The three protocols on a stream of its own, whose events are used again and again."""

    stream: torch.cuda.Stream = field(default_factory=torch.cuda.Stream)
    _events: list[torch.cuda.Event] = field(default_factory=list)

    def __call__(self, call: Call, budget_ms: float) -> tuple[dict[str, Sample], str]:
        """Times by protocol, and why there is no graph where there is none; `budget_ms` is shared by the protocols."""
        share = 1e3 * budget_ms / 3
        self.stream.wait_stream(torch.cuda.default_stream())
        with torch.cuda.stream(self.stream):
            call()
            estimate = self._one(call)
            if estimate < _SHORT_US:
                call()
                estimate = self._one(call)
            found = {EAGER: summary([self._one(call) for _ in range(repetitions(share, estimate))])}
            found[QUEUED] = self._queued(call, share, estimate)
            try:
                found[GRAPH] = self._graph(call, share, found[QUEUED].latency_us)
            except RuntimeError as error:
                return found, f"no graph: {str(error).splitlines()[0]}"
        return found, ""

    def _one(self, call: Call) -> float:
        """Microseconds of one call on an idle stream."""
        start, end = self._some(2)
        self.stream.synchronize()
        start.record(self.stream)
        call()
        end.record(self.stream)
        end.synchronize()
        return float(1e3 * start.elapsed_time(end))

    def _queued(self, call: Call, budget_us: float, estimate_us: float) -> Sample:
        batch = int(min(max(_BATCH_US / estimate_us, 1), _LONGEST_BATCH))

        def calls() -> None:
            for _ in range(batch):
                call()

        return self._back_to_back(calls, batch, repetitions(budget_us, batch * estimate_us))

    def _graph(self, call: Call, budget_us: float, estimate_us: float) -> Sample:
        length = int(min(max(_GRAPH_US / estimate_us, 2), _LONGEST_GRAPH)) if estimate_us < _GRAPH_US else 1
        graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        self.stream.synchronize()
        # `torch.cuda.graph` would empty the allocator's cache at every capture
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        try:
            for _ in range(length):
                call()
        finally:
            _end_capture(graph, pool)
        try:
            return self._back_to_back(graph.replay, length, repetitions(budget_us, length * estimate_us))
        finally:
            self.stream.synchronize()
            graph.reset()

    def _back_to_back(self, work: Call, calls: int, samples: int) -> Sample:
        """Time of a call where `work` makes `calls`, queued again and again; the first fills the queue, untimed."""
        events = self._some(samples + 1)
        self.stream.synchronize()
        work()
        events[0].record(self.stream)
        for event in events[1:]:
            work()
            event.record(self.stream)
        self.stream.synchronize()
        return summary([1e3 * a.elapsed_time(b) / calls for a, b in pairwise(events)])

    def _some(self, count: int) -> list[torch.cuda.Event]:
        while len(self._events) < count:
            self._events.append(torch.cuda.Event(enable_timing=True))  # type: ignore[no-untyped-call]
        return self._events[:count]


def _end_capture(graph: torch.cuda.CUDAGraph, pool: Any) -> None:
    """End a capture. Where the call that was captured broke it, torch leaves allocator and generator in the capture:
    later tensors would go to the graph's memory and random numbers would fail, so that both are taken out of it."""
    try:
        graph.capture_end()
    except RuntimeError:
        device = torch.cuda.current_device()
        with suppress(RuntimeError, AttributeError):
            torch._C._cuda_endAllocateToPool(device, pool)
            torch._C._cuda_releasePool(device, pool)
        with suppress(RuntimeError, AttributeError):
            fresh = torch.Generator(f"cuda:{device}").graphsafe_get_state()
            torch.cuda.default_generators[device].graphsafe_set_state(fresh)
        raise
