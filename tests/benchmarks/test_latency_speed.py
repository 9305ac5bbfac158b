"""Speed of GPU latency predictions, on one core."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwsim.core.workload import Workload
from hwsim.latency import device, devices, predict
from hwsim.latency.learned.expert import Setting
from hwsim.latency.learned.experts import experts
from hwsim.latency.measured.kernel_rows import convolutions
from hwsim.latency.published import published
from hwsim.latency.published.builder import NetworkBuilder

LIMIT_S = 0.005
KERNELS = 100_000
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


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


@pytest.mark.bench
def test_resnet50_at_ten_batches_on_all_devices_under_half_a_second(benchmark: Any) -> None:
    workload = published("resnet50", 224)

    def everywhere() -> int:
        return sum(len(predict(workload, name, BATCHES).batches) for name in devices())

    assert benchmark(everywhere) == 10 * len(devices())
    assert benchmark.stats["median"] < 0.5


@pytest.mark.bench
@pytest.mark.parametrize(("name", "gpu"), [("eager convolutions", "v100-pcie"), ("tensorrt convolutions fp32", "v100")])
def test_a_hundred_thousand_kernels_a_second(benchmark: Any, name: str, gpu: str) -> None:
    """Distinct convolutions with intervals; beside them what copying their columns takes, the physical limit."""
    rng = np.random.default_rng(0)
    cin, cout = rng.integers(8, 1024, (2, KERNELS))
    side, batch = rng.integers(4, 112, KERNELS), rng.integers(1, 129, KERNELS)
    one = np.ones(KERNELS)
    table = convolutions(batch, cin, cout, side, side, 3 * one, one, one, 4.0)
    assert len(np.unique(np.stack([cin, cout, side, batch]), axis=1).T) > 0.99 * KERNELS
    expert = experts().experts[name]
    setting = Setting(device(gpu), gpu, "fp32")
    benchmark.pedantic(expert.predict, (table, setting), rounds=5, warmup_rounds=1)
    assert benchmark.stats["median"] < 1.0
