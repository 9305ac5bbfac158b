"""Speed of a GPU latency prediction."""

from __future__ import annotations

from typing import Any

import pytest

from hwsim.core.workload import Workload
from hwsim.latency import predict
from hwsim.latency.published.builder import NetworkBuilder

LIMIT_S = 0.005


def sixty_layers() -> Workload:
    net = NetworkBuilder("sixty", (1, 3, 32, 32))
    x = "x"
    for index in range(20):
        x = net.conv_bn(x, 16 << (index // 7), 3, s=2 if index in (7, 14) else 1)
    return net.workload(x)


@pytest.mark.bench
@pytest.mark.parametrize("runtime", ["eager", "tensorrt"])
def test_sixty_layers_under_five_milliseconds(benchmark: Any, runtime: str) -> None:
    workload = sixty_layers()
    assert len(workload.layers) == 60
    benchmark(predict, workload, "v100", (1, 8), "fp16", runtime)
    assert benchmark.stats["median"] < LIMIT_S
