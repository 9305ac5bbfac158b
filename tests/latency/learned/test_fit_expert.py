"""Experts on made-up devices: what is fitted, how far it carries, and how wide its intervals are."""

from dataclasses import replace

import numpy as np
import pytest

from hwsim.latency.catalog import devices
from hwsim.latency.learned.expert import Expert, Setting
from hwsim.latency.learned.fit_expert import Recipe, Sample, fit_expert
from hwsim.latency.learned.spread import HIGH, LOW
from hwsim.latency.learned.transfer import transfer_factor
from hwsim.latency.measured.kernel_rows import convolutions
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.ratios import simulate
from hwsim.stats.oblivious_boosting import ObliviousBoosting

pytest.importorskip("sklearn")
V100 = devices()["v100"]


def sample(name: str, factor: float, seed: int, rows: int = 600) -> Sample:
    rng = np.random.default_rng(seed)
    n, cin, cout, side = (2.0 ** rng.uniform(*b, rows) // 1 for b in ((0, 6), (3, 9), (3, 9), (3, 7)))
    k = rng.choice([1.0, 3.0], rows)
    one = np.ones(rows)
    table = convolutions(n, cin, cout, side, side, k, one, one, 4.0)
    gpu = replace(V100, name=name)
    rule = simulate(table, gpu, np.full(rows, 15.7), np.full(rows, 36.0))
    latency = factor * rule.time_us * np.exp(0.3 * (table.rows % 3) + rng.normal(0, 0.05, rows))
    return Sample(Setting(gpu, name, "fp32"), table, latency, rng.integers(0, 10, rows))


@pytest.fixture(scope="module")
def fitted() -> tuple[Expert, list[Sample]]:
    samples = [sample("a", 1.0, 0), sample("b", 1.1, 1), sample("c", 0.9, 2), sample("slow", 4.0, 3)]
    samples[3] = replace(samples[3], typical=False)
    return fit_expert("made-up", "eager", CLASSES, samples, Recipe(ObliviousBoosting(trees=60, depth=4))), samples


def test_offsets_of_devices_and_of_the_others(fitted: tuple[Expert, list[Sample]]) -> None:
    expert, samples = fitted
    test = samples[3][samples[3].fold >= 8]
    forecast = expert.predict(test.table, test.setting)
    assert np.mean(np.abs(forecast.time_us / test.latency_us - 1)) < 0.35
    unknown = Setting(test.setting.gpu, "unknown", "fp32")
    ratio = test.latency_us / expert.predict(test.table, unknown).time_us
    assert np.median(ratio) > 1.5  # the slow device says nothing of an unknown one


def test_intervals_hold_what_they_say(fitted: tuple[Expert, list[Sample]]) -> None:
    expert, samples = fitted
    inside = []
    for s in samples:
        t = s[s.fold >= 8]
        q = expert.predict(t.table, t.setting).quantiles_us
        inside.append((t.latency_us >= q[:, LOW]) & (t.latency_us <= q[:, HIGH]))
    assert 0.8 < np.mean(np.concatenate(inside)) < 0.98


def test_taps_that_were_not_seen_are_far(fitted: tuple[Expert, list[Sample]]) -> None:
    expert, samples = fitted
    eight = [np.full(3, v) for v in (8.0, 64.0, 64.0, 28.0, 28.0)]
    seven = convolutions(*eight, np.full(3, 7.0), np.ones(3), np.ones(3), 4.0)
    assert expert.predict(seven, samples[0].setting).distance.min() > 1


def test_an_unmeasured_device_has_wider_intervals(fitted: tuple[Expert, list[Sample]]) -> None:
    expert, samples = fitted
    assert transfer_factor(expert, samples) > 1.2
    assert transfer_factor(expert, samples[:2]) == 3.0
