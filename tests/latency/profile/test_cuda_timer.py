"""The three protocols of a GPU, on a stream that runs by a clock of its own: dispatch 10 us, kernel 4 or 100 us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from hwsim.latency.profile.timing import EAGER, GRAPH, QUEUED, CudaTimer, summary

DISPATCH, LAUNCH_GRAPH = 10.0, 12.0


class FakeGpu:
    """Host and GPU time in us; the graph that is being captured, or None."""

    def __init__(self) -> None:
        self.host = self.gpu = 0.0
        self.capturing: FakeGraph | None = None

    def kernel(self, time_us: float) -> None:
        if self.capturing is not None:
            self.capturing.kernels.append(time_us)
            return
        self.host += DISPATCH
        self.gpu = max(self.gpu, self.host) + time_us


GPU = FakeGpu()


class FakeStream:
    def synchronize(self) -> None:
        GPU.host = GPU.gpu = max(GPU.host, GPU.gpu)

    def wait_stream(self, other: object) -> None: ...


class FakeEvent:
    def __init__(self, enable_timing: bool) -> None:
        self.at = 0.0

    def record(self, stream: FakeStream) -> None:
        self.at = max(GPU.host, GPU.gpu)

    def synchronize(self) -> None:
        FakeStream().synchronize()

    def elapsed_time(self, other: FakeEvent) -> float:
        return (other.at - self.at) / 1e3


class FakeGraph:
    refused = False

    def __init__(self) -> None:
        self.kernels: list[float] = []

    def capture_begin(self, pool: object, capture_error_mode: str) -> None:
        GPU.capturing = self

    def capture_end(self) -> None:
        GPU.capturing = None
        if FakeGraph.refused:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

    def replay(self) -> None:
        GPU.host += LAUNCH_GRAPH
        GPU.gpu = max(GPU.gpu, GPU.host) + sum(self.kernels)

    def reset(self) -> None: ...


@contextmanager
def fake_stream_context(stream: FakeStream) -> Iterator[None]:
    yield


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> CudaTimer:
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "stream", fake_stream_context)
    monkeypatch.setattr(torch.cuda, "default_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(FakeGraph, "refused", False)
    return CudaTimer(FakeStream())  # type: ignore[arg-type]


@pytest.mark.exact
@pytest.mark.parametrize("kernel_us", [4.0, 100.0, 20_000.0])
def test_what_each_protocol_sees(timer: CudaTimer, kernel_us: float) -> None:
    found, reason = timer(lambda: GPU.kernel(kernel_us), budget_ms=6.0)
    assert not reason
    assert found[EAGER].latency_us == pytest.approx(DISPATCH + kernel_us)
    assert found[QUEUED].latency_us == pytest.approx(max(DISPATCH, kernel_us))
    assert found[GRAPH].latency_us == pytest.approx(kernel_us)
    assert all(sample.spread == pytest.approx(0, abs=1e-6) and sample.samples >= 3 for sample in found.values())


@pytest.mark.exact
def test_no_graph_where_capture_fails(timer: CudaTimer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeGraph, "refused", True)
    found, reason = timer(lambda: GPU.kernel(4.0), budget_ms=6.0)
    assert set(found) == {EAGER, QUEUED} and reason == "no graph: operation not permitted"


@pytest.mark.exact
def test_summary() -> None:
    sample = summary([float(x) for x in range(1, 102)])
    assert (sample.latency_us, sample.samples) == (51.0, 101)
    assert sample.spread == pytest.approx(80 / 51)
