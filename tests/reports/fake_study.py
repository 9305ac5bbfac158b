"""A seeded, made-up study of realistic shape for the tests of the report. No figure in it is a measurement."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from hwsim.core.cost import Interval
from hwsim.core.design import DesignPoint, content_id
from hwsim.core.devices import Part
from hwsim.core.fronts import fronts_of
from hwsim.reports import LayerSummary, Study, WorkloadSummary
from hwsim.reports.words import wilson

PARTS = (
    Part("zynq7020", "Zynq-7020 (made-up figures)", "7series", 53200, 106400, 220, 280, 0, "DSP48E1", 100, 4.2, "test"),
    Part("zu3eg", "ZU3EG (made-up figures)", "ultrascale+", 70560, 141120, 360, 432, 0, "DSP48E2", 200, 19.2, "test"),
)
GPU = "rtx3090"
N_EVAL = 540
FLOAT = 0.978
LAYERS = (
    LayerSummary("stem", "conv2d", (1, 16, 8, 8), 9216, 160),
    LayerSummary("block1.conv1", "conv2d", (1, 16, 8, 8), 147456, 2320),
    LayerSummary("block1.conv2", "conv2d", (1, 16, 8, 8), 147456, 2320),
    LayerSummary("block1.add", "add", (1, 16, 8, 8), 0, 0),
    LayerSummary("block2.conv1", "conv2d", (1, 32, 4, 4), 73728, 4640),
    LayerSummary("block2.conv2", "conv2d", (1, 32, 4, 4), 147456, 9248),
    LayerSummary("block2.down", "conv2d", (1, 32, 4, 4), 8192, 544),
    LayerSummary("block2.add", "add", (1, 32, 4, 4), 0, 0),
    LayerSummary("pool", "adaptive_avg_pool2d", (1, 32, 1, 1), 0, 0),
    LayerSummary("head", "linear", (1, 10), 320, 330),
)
FORMATS = (
    *((f"int{b}", b, float(b)) for b in range(3, 9)),
    *(
        (f"e{e}m{b - 1 - e}", b, b + 0.15 - 0.35 * abs(e - 2 - (b > 6)))
        for b in range(4, 9)
        for e in (2, 3, 4)
        if e < b
    ),
)


def make_study(designs: int = 600, seed: int = 0, name: str = "digits-resnet") -> Study:
    """A study of about so many designs over two parts and a GPU."""
    rng = np.random.default_rng(seed)
    recipes = ("rtn", "equalize+bias", "gptq", "adaround", "brecq", "qdrop", "flexround", "pd-quant")
    grid = list(itertools.product(FORMATS, FORMATS, recipes))
    rows: list[DesignPoint] = []
    for index in rng.permutation(len(grid))[: designs // 3]:
        rows.extend(_designs(rng, *grid[index]))
    return study_of(tuple(rows), name)


def study_of(designs: tuple[DesignPoint, ...], name: str = "digits-resnet", **changes: Any) -> Study:
    fields: dict[str, Any] = {
        "name": name,
        "model": "zoo:digits-resnet",
        "metric_name": "accuracy",
        "float_metric": FLOAT,
        "n_eval": N_EVAL,
        "designs": designs,
        "fronts": fronts_of(designs),
        "config_toml": '[model]\nspec = "zoo:digits-resnet"\n\n[formats]\nweights = ["int3", "int4"]\n',
        "provenance": {
            "command": "hwsim explore digits.toml --workers 2",
            "hwsim": "0.1.0",
            "torch": "2.13.0",
            "seed": "0",
            "data sha256": "5f2d8c0a" * 8,
        },
        "accuracy_statements": STATEMENTS,
        "workload": WorkloadSummary(((1, 1, 8, 8),), LAYERS),
        "run_dir": "runs/digits",
        "parts": PARTS,
    }
    return Study(**(fields | changes))


STATEMENTS = (
    (
        "FPGA resources (made-up text for a test)",
        "The median error against 642 synthesised operators is 9 %; nine in ten lie within 24 %. Whole networks have "
        "not been synthesised, so routing is not covered.",
    ),
    (
        "GPU latency (made-up text for a test)",
        "On 1,204 measured layers the 90 % intervals held 88 %. Clocks were locked; a governor may move them.",
    ),
)


def design(**changes: Any) -> DesignPoint:
    """One FPGA design; keyword arguments replace fields."""
    fields: dict[str, Any] = {
        "id": "0123456789ab",
        "weights": "int4@channel:pow2",
        "acts": "int4@tensor:pow2",
        "edge": "same",
        "scale": "pow2",
        "recipe": "rtn",
        "seed": 0,
        "part": "zu3eg",
        "device": None,
        "setting": "dataflow, reuse 16",
        "metric": 0.95,
        "metric_lo": 0.93,
        "metric_hi": 0.97,
        "metric_name": "accuracy",
        "memory_bits": 81000,
        "lut": Interval(20000, 25000, 31000, "LUT", "formula"),
        "ff": Interval(15000, 19000, 25000, "FF", "formula"),
        "dsp": Interval.exact(24, "DSP"),
        "bram18": Interval.exact(12, "BRAM18"),
        "latency_us": Interval(10, 12, 14, "us", "formula"),
        "fits": "yes",
        "note": "",
        "layers": ({"name": "stem", "kind": "conv", "lut": 1234.5, "terms": {"mul": 1000, "add": 234.5}},),
    }
    return DesignPoint(**(fields | changes))


def _designs(rng: np.random.Generator, w: tuple[str, int, float], a: tuple[str, int, float], recipe: str) -> Any:
    good = min(w[2] + 0.25 * (recipe != "rtn"), a[2] + 0.8)
    metric = 0.1 + (FLOAT - 0.1) / (1 + np.exp(-2.1 * (good - 3.1))) + rng.normal(0, 0.004)
    metric = round(min(metric, 0.985) * N_EVAL) / N_EVAL
    ends = wilson(metric, N_EVAL)
    common: dict[str, Any] = {
        "weights": w[0],
        "acts": a[0],
        "edge": "same",
        "recipe": recipe,
        "seed": 0,
        "metric": metric,
        "metric_lo": ends[0],
        "metric_hi": ends[1],
        "metric_name": "accuracy",
        "memory_bits": sum(x.params for x in LAYERS) * w[1] + 32 * 200,
    }
    for part in PARTS:
        yield _on_part(rng, part, w, a, common)
    native = w[0] == "int8" and a[0] == "int8"
    mid = (41.0 if native else 58.0) * rng.uniform(0.99, 1.01)
    note = "" if native else "dequantized to fp16: no speed gained on this device"
    rows = [{"name": x.name, "kind": x.kind, "latency_us": mid / len(LAYERS), "bound": "launch"} for x in LAYERS]
    yield DesignPoint(
        **common, id=content_id(**common, on=GPU), scale="f32", part=None, device=GPU,
        setting=f"batch 1, {'int8' if native else 'fp16'}, compiled", lut=None, ff=None, dsp=None, bram18=None,
        latency_us=Interval(0.86 * mid, mid, 1.17 * mid, "us", "end_to_end", 0.88), fits=None, note=note,
        layers=tuple(rows),
    )  # fmt: skip


def _on_part(
    rng: np.random.Generator, part: Part, w: tuple[str, int, float], a: tuple[str, int, float], common: dict[str, Any]
) -> DesignPoint:
    float_tax = 1.0 + 0.35 * (w[0][0] == "e") + 0.35 * (a[0][0] == "e")
    unit = (w[1] * a[1] * 1.1 + 4 * (w[1] + a[1])) * float_tax
    rows: list[Mapping[str, Any]] = []
    for x in LAYERS:
        macs = max(1, x.macs // 1024)
        lut = unit * macs * 0.6 + 60 if x.macs else 40.0
        rows.append(
            {
                "name": x.name, "kind": x.kind, "weight": w[0] if x.params else None, "act": a[0],
                "sqnr_db": round(6.02 * min(w[2], a[2]) + rng.normal(0, 1), 2) if x.params else None,
                "lut": lut, "dsp": 0, "cycles": 1024, "accumulator_bits": w[1] + a[1] + 8,
                "terms": {"multiply": 0.6 * lut, "add": 0.3 * lut, "control": 0.1 * lut},
            }
        )  # fmt: skip
    lut = sum(row["lut"] for row in rows) * (1.08 if part.family == "7series" else 1.0)
    fits = "yes" if 1.25 * lut < part.lut else "no" if 0.8 * lut > part.lut else "uncertain"
    return DesignPoint(
        **common, id=content_id(**common, on=part.name), scale="pow2", part=part.name, device=None,
        setting="dataflow, reuse 16", lut=Interval(0.8 * lut, lut, 1.25 * lut, "LUT", "formula"),
        ff=Interval(0.7 * lut, 0.9 * lut, 1.3 * lut, "FF", "formula"), dsp=Interval.exact(0.0, "DSP"),
        bram18=Interval.exact(float(2 * w[1] + 6), "BRAM18"),
        latency_us=Interval(9.0, 10.24, 12.0, "us", "formula"), fits=fits, note="", layers=tuple(rows),
    )  # fmt: skip
