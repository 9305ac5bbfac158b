"""Fake-quantized evaluation against the float network: medians of interleaved runs in one process."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

import pytest
import torch

from hwsim.capture.graph import capture
from hwsim.core.assignment import Policy
from hwsim.quant.calibration import calibrate
from hwsim.quant.pipeline import quantize_network
from hwsim.quant.recipe import parse_recipe
from hwsim.quant.rewrite.fold_batchnorm import fold_batchnorm
from hwsim.zoo.networks import network

ROUNDS = 9
LIMITS = {"int4": 1.5, "e2m1": 2.0}


def interleaved(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each, measured in turn so that drifts of the machine fall on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 1):
        for name, run in runs.items():
            start = perf_counter()
            run()
            if turn:
                seconds[name].append(perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


@pytest.mark.bench
@pytest.mark.parametrize("threads", [1, 2])
def test_slow_down_of_quantized_evaluation(threads: int, benchmark: pytest.FixtureRequest) -> None:
    """ResNet-20, 3x32x32 inputs, weights and activations of 4 bits, batch 256."""
    model = network("resnet20").factory(0).eval()
    x = torch.randn(256, 3, 32, 32)
    folded = fold_batchnorm(capture(model, x[:1]))
    assert len(folded.workload.compute) >= 20
    calibration = calibrate(folded, x[:64])
    quantized = {f: quantize_network(calibration, Policy(f, f), parse_recipe("rtn")) for f in LIMITS}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            runs: dict[str, Callable[[], object]] = {"float": lambda: model(x)}
            runs |= {name: (lambda q=q: q(x)) for name, q in quantized.items()}  # type: ignore[misc]
            seconds = interleaved(runs)
            benchmark.pedantic(runs["int4"], rounds=3)  # type: ignore[attr-defined]
    finally:
        torch.set_num_threads(before)
    ratios = {name: seconds[name] / seconds["float"] for name in LIMITS}
    benchmark.extra_info.update(ratios)  # type: ignore[attr-defined]
    print(f"\n{threads} threads, times the float network: " + ", ".join(f"{n} {r:.2f}" for n, r in ratios.items()))
    for name, limit in LIMITS.items():
        assert ratios[name] <= limit, f"{name}: {ratios[name]:.2f} times the float network, wanted at most {limit}"
