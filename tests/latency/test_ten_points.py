"""Devices left out with all their models: what ten of their networks teach (tables: latency/SOURCES.md of the data)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.latency.measured.tables import data_folder
from hwsim.latency.networks.fit_all import Tables
from hwsim.latency.networks.models import PATH, network_models
from hwsim.latency.ten_points import ten_points

pytestmark = [pytest.mark.truth, pytest.mark.slow, pytest.mark.data]


@pytest.fixture(scope="module")
def tables(shared: Path) -> Tables:
    if not PATH.is_file():
        pytest.skip("no fitted networks")
    return Tables(data_folder(shared))


# Sums of kernels tell a device to 9..24 % before any network is measured. Ten networks more than halve that where the
# host or the device's overall speed was off; on cards whose networks are of many kinds some 10 % stay, and the H200's
# own 58 measurements, left out family by family, are told no better than its kernels tell them.
@pytest.mark.parametrize(
    ("key", "share", "most_pct"),
    [
        ("v100/eager/fp32/nchw", 0.5, 10), ("v100/eager/fp16/nchw", 0.5, 12), ("t4/eager/fp16/nchw", 0.5, 8),
        ("rtx4090/eager/fp16/nchw", 0.8, 16), ("RTX5090/eager/fp16/nchw", 0.9, 14), ("h200/eager/fp16/nhwc", 1.05, 25),
    ],
)  # fmt: skip
def test_ten_networks(tables: Tables, key: str, share: float, most_pct: float) -> None:
    found = ten_points(tables, network_models(), key)
    assert found.after_pct < share * found.before_pct and found.after_pct < most_pct
    assert found.source.partition("/")[0] != key.partition("/")[0]
