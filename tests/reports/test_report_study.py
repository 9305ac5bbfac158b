"""The study as a value: its fronts, its order, its JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_study import GPU, design, make_study, study_of

from hwsim.core.devices import Gpu
from hwsim.core.fronts import EVERYWHERE, canonical_order, fronts_of
from hwsim.core.workload import Layer, Workload
from hwsim.reports import Study, WorkloadSummary

pytestmark = pytest.mark.exact


def test_json_gives_an_equal_study_back(study: Study) -> None:
    gpu = Gpu(
        "rtx3090", "RTX 3090", "ampere", 82, 1.7, {"fp16": 71.0}, 800.0, 936.0, 6.0, ("int8",), {"eager": 5.0}, "x"
    )
    changed = replace(study, gpus=(gpu,), float_interval=(0.9, 0.99))
    assert Study.from_json(changed.to_json()) == changed
    assert Study.from_json(study_of(()).to_json()) == study_of(())


def test_each_target_has_its_front_and_memory_has_one_over_all(study: Study) -> None:
    assert [(front.target, front.objectives) for front in study.fronts] == [
        ("zu3eg", ("error", "lut")),
        ("zynq7020", ("error", "lut")),
        (GPU, ("error", "latency_us")),
        (EVERYWHERE, ("error", "memory_bits")),
    ]


def test_a_design_that_does_not_fit_keeps_none_off_the_front() -> None:
    small = design(id="small", metric=0.90, metric_lo=0.88, metric_hi=0.92, fits="uncertain")
    better_and_cheaper = design(id="starved of BRAM", metric=0.95, fits="no")
    front = fronts_of([small, better_and_cheaper])[0]
    assert [d.id for d in front.designs] == ["small"]
    only_unfit = fronts_of([better_and_cheaper])[0]
    assert [d.id for d in only_unfit.designs] == ["starved of BRAM"]


def test_the_memory_front_names_a_network_once() -> None:
    twins = [design(id="on a", part="a"), design(id="on b", part="b")]
    front = fronts_of(twins)[-1]
    assert [d.id for d in front.designs] == ["on a"]


def test_order_does_not_depend_on_the_order_given(study: Study) -> None:
    assert canonical_order(reversed(study.designs)) == canonical_order(study.designs)


def test_the_workload_summary_lists_every_layer() -> None:
    conv = Layer("stem", "conv", "conv2d", ("x",), ((1, 1, 8, 8),), (1, 4, 8, 8), (4, 1, 3, 3), True, 2304, 40)
    relu = Layer("relu", "activation", "relu", ("stem",), ((1, 4, 8, 8),), (1, 4, 8, 8))
    summary = WorkloadSummary.of(Workload("net", (conv, relu), ("x",), ((1, 1, 8, 8),), ("relu",)))
    assert [(row.name, row.kind, row.macs, row.params) for row in summary.layers] == [
        ("stem", "conv2d", 2304, 40),
        ("relu", "relu", 0, 0),
    ]
    assert (summary.macs, summary.params, summary.input_shapes) == (2304, 40, ((1, 1, 8, 8),))


def test_the_fake_study_is_seeded() -> None:
    assert make_study(30, seed=3) == make_study(30, seed=3)
    assert make_study(30, seed=3) != make_study(30, seed=4)
