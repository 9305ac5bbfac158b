"""Fake quantization against a clone of the same tensor: medians of interleaved repeats, so that load hits all alike.

Run with `-m bench -s` to see the tables.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest
import torch
from torch import Tensor

from hwsim.core.scaled import parse
from hwsim.quant.block_kernels import fake_quantize_blocks
from hwsim.quant.kernels import fake_quantize

pytestmark = pytest.mark.bench
REPEATS = 9
SCALE = torch.tensor(0.0123)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def medians_ms(jobs: Mapping[str, Callable[[], Tensor]], repeats: int = REPEATS) -> dict[str, float]:
    """Median wall time of each job, every repeat running all of them once."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if round_:  # the first is a warm-up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(t) for name, t in times.items()}


def show(title: str, ms: Mapping[str, float]) -> dict[str, float]:
    """Print a table; the ratios to the clone."""
    ratio = {name: t / ms["clone"] for name, t in ms.items()}
    print(f"\n{title}")
    for name, t in ms.items():
        print(f"  {name:<28}{t:9.2f} ms {ratio[name]:7.2f}")
    return ratio


def torch_round_trip(x: Tensor) -> Tensor:
    """E4M3 by torch's own types."""
    return (x / SCALE).clamp_(-448, 448).to(torch.float8_e4m3fn).to(torch.float32).mul_(SCALE)


@pytest.mark.usefixtures("one_thread")
def test_large_tensor_on_one_thread() -> None:
    torch.manual_seed(0)
    x = torch.randn(4096, 4096) * 0.02
    channel = torch.rand(4096, 1) * 0.01 + 0.01
    jobs: dict[str, Callable[[], Tensor]] = {"clone": x.clone}
    for name in ("int4", "int8", "e4m3", "e2m1", "e3m0", "pow4", "binary"):
        jobs[name] = partial(fake_quantize, x, parse(name), SCALE)
        jobs[f"{name}@channel"] = partial(fake_quantize, x, parse(f"{name}@channel"), channel)
    groups = torch.rand(4096, 128) * 0.01 + 0.01
    jobs["int4@group32"] = partial(fake_quantize, x, parse("int4@group32"), groups)
    for name in ("mxfp4", "mxint8", "mxfp8_e4m3", "nvfp4"):
        jobs[name] = partial(fake_quantize_blocks, x, parse(name))
    jobs["e4m3fn"] = partial(fake_quantize, x, parse("e4m3fn"), SCALE)
    jobs["torch float8 round trip"] = partial(torch_round_trip, x)
    jobs["torch fake_quantize int4"] = partial(torch.fake_quantize_per_tensor_affine, x, 0.0123, 0, -7, 7)
    assert torch.equal(jobs["e4m3fn"](), torch_round_trip(x))
    ratio = show("4096 x 4096 float32, one thread", medians_ms(jobs))
    assert ratio["int4"] <= 2.0
    assert ratio["e4m3"] <= 4.5 and ratio["e2m1"] <= 4.5
    assert ratio["mxfp4"] <= 8.0
    for name in ("int4", "int8", "e4m3", "e2m1"):
        assert ratio[f"{name}@channel"] <= 1.3 * ratio[name]
    assert ratio["e4m3fn"] < ratio["torch float8 round trip"]


def test_activations_of_a_small_network() -> None:
    """Out of place a new tensor can cost more than its values; in place a call costs little beside its convolution."""
    x = torch.randn(128, 16, 32, 32)
    y = x.clone()
    conv = torch.nn.Conv2d(16, 16, 3, padding=1).requires_grad_(False)
    jobs: dict[str, Callable[[], Tensor]] = {"clone": x.clone, "conv 3x3, 16 to 16": partial(conv, x)}
    for name in ("int4", "uint4", "e2m1", "e4m3"):
        jobs[name] = partial(fake_quantize, x, parse(name), SCALE)
        jobs[f"{name} in place"] = partial(fake_quantize, y, parse(name), SCALE, inplace=True)
    jobs["e2m1:pow2 in place"] = partial(fake_quantize, y, parse("e2m1"), torch.tensor(2.0**-6), inplace=True)
    jobs["relu, then e2m1"] = lambda: fake_quantize(torch.relu(x), parse("e2m1"), SCALE)
    jobs["e2m1 with relu"] = partial(fake_quantize, x, parse("e2m1"), SCALE, relu=True)
    ms = medians_ms(jobs, repeats=31)
    show(f"128 x 16 x 32 x 32 float32, {torch.get_num_threads()} threads", ms)
    assert ms["int4 in place"] < 0.25 * ms["conv 3x3, 16 to 16"]
    assert ms["e2m1 in place"] < 0.5 * ms["conv 3x3, 16 to 16"]
    assert ms["e2m1 with relu"] < 1.05 * ms["relu, then e2m1"]
