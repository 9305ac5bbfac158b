"""What the shipped files say of their errors, against the measurements. Needs HWSIM_SHARED.

The split: a shape's or a model's fold is the crc32 of its numbers or its name modulo 10; no fit has seen 8 and 9.
"""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from hwsim.latency.learned.experts import experts
from hwsim.latency.learned.fit_all import PLANS, samples, scored
from hwsim.latency.measured.kernel_rows import alibaba_convolutions
from hwsim.latency.measured.tables import data_folder, gpus, read
from hwsim.latency.networks.models import network_models

needs_data = pytest.mark.skipif("HWSIM_SHARED" not in os.environ, reason="HWSIM_SHARED names no folder")
pytestmark = pytest.mark.truth


def fold(*numbers: object) -> int:
    return crc32("-".join(map(str, numbers)).encode()) % 10


@pytest.fixture(scope="module")
def folder() -> Path:
    return data_folder(Path(os.environ["HWSIM_SHARED"]))


@needs_data
@pytest.mark.data
def test_rows_are_in_the_folds_that_the_split_says(folder: Path) -> None:
    table = read(folder, "alibaba_v100_trt_conv").query("precision == 'int8'")
    columns = ["conv_type", "cin", "cout", "in_h", "ksize", "stride"]
    wanted = [fold(*row) for row in table[columns].itertuples(index=False, name=None)]
    (rows,) = (rows for rows in alibaba_convolutions(folder) if rows.precision == "int8")
    assert np.array_equal(rows.fold, wanted)


@needs_data
@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["eager products", "tensorrt convolutions int8"])
def test_the_file_states_what_the_tables_say(folder: Path, name: str) -> None:
    """Folds 8 and 9, predicted by what ships."""
    plan = next(plan for plan in PLANS if plan.name == name)
    known = experts()
    for label, figures in scored(known.experts[name], samples(plan, folder, gpus(folder))).items():
        stated = known.scores[f"{plan.runtime}: {label}"]
        for key, value in figures.items():
            assert value == pytest.approx(stated[key], rel=0.01, abs=0.3), f"{label} {key}"


def test_aims_that_are_met_stay_met() -> None:
    """Figures of left-out shapes, models and families as the shipped files state them."""
    kernels, networks = experts().scores, network_models().scores
    for precision in ("fp32", "fp16", "int8"):
        mine = [v for k, v in kernels.items() if k.startswith(f"tensorrt: v100/{precision}/")]
        assert sum(v["mape_pct"] * v["rows"] for v in mine) / sum(v["rows"] for v in mine) <= 8
    for device in ("v100-pcie", "a100", "P100", "t4"):
        for kind in ("linear", "matmul"):
            assert kernels[f"eager: {device}/fp32/{kind} nchw"]["mape_pct"] <= 12
    for layout in ("nchw", "nhwc"):
        key = f"rtx3090/eager/fp16/{layout}, torch 2.4.0"
        assert networks[f"{key}, models"]["mape_pct"] <= 8
        assert networks[f"{key}, families"]["families"] >= 10
        assert networks[f"{key}, families"]["median_family_mape_pct"] <= 12
        assert networks[f"{key}, families"]["coverage_pct"] >= 85


def test_baselines_are_far_behind() -> None:
    """Boosting had 18 % on the RTX 3090's unseen models, 11.5 on V100 TensorRT shapes (latency_baselines.csv)."""
    assert network_models().scores["rtx3090/eager/fp16/nchw, torch 2.4.0, models"]["mape_pct"] < 18.2 / 2
    assert experts().scores["tensorrt: v100/fp32/conv nchw"]["mape_pct"] < 11.5 / 2
