"""The latency section of a study: the GPU designs of its fronts, predicted again from the store alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from studies import study

from hwsim.core.cost import Interval
from hwsim.core.fronts import fronts_of
from hwsim.latency_sweep import BATCHES, MOST, study_latencies
from hwsim.search import RunRecord
from hwsim.search.run import explore
from hwsim.study import write_outputs

pytestmark = pytest.mark.property


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    found: RunRecord = explore(
        study(gpu={"devices": ["v100", "tx2"], "batch": 3}), tmp_path_factory.mktemp("r") / "run"
    )
    return found


def test_each_device_is_swept_and_agrees_with_its_design(record: RunRecord) -> None:
    found = study_latencies(record)
    assert found is not None and found.batch == 3 and found.shown == 3
    assert {t.prediction.device for t in found.timed} == {"v100", "tx2"} and len(found.timed) <= MOST
    on_front = [d for f in record.fronts for d in f.designs if d.device]
    for timed in found.timed:
        assert [b.batch for b in timed.sweep] == sorted({*BATCHES, 3})
        assert timed.gpu is not None and timed.gpu.title in timed.label
        mids = {d.latency_us.mid for d in on_front if d.device == timed.prediction.device}
        assert any(timed.at(3).latency_us.mid == pytest.approx(mid) for mid in mids)
        assert not any("predicted again" in note for note in timed.prediction.notes)


def test_the_page_has_the_section(record: RunRecord) -> None:
    page = write_outputs(record).read_text(encoding="utf-8")
    assert 'id="latency"' in page and "batch 3" in page
    assert page == write_outputs(record).read_text(encoding="utf-8")


def test_a_latency_that_the_model_gives_no_more_is_noted(record: RunRecord) -> None:
    old = Interval(1.0, 2.0, 3.0, "us", "end_to_end")
    designs = tuple(replace(d, latency_us=old) if d.device else d for d in record.designs)
    found = study_latencies(replace(record, designs=designs, fronts=fronts_of(designs)))
    assert found is not None
    assert all("own figure at batch 3 is 2 us" in t.prediction.notes[-1] for t in found.timed)


def test_a_design_whose_recipe_changed_the_layers_is_left_out(record: RunRecord) -> None:
    def split(name: str) -> tuple[dict[str, str], ...]:
        return ({"name": name, "kind": "conv"},)

    designs = tuple(replace(d, layers=split("conv.coarse")) if d.device == "tx2" else d for d in record.designs)
    found = study_latencies(replace(record, designs=designs, fronts=fronts_of(designs)))
    assert found is not None and {t.prediction.device for t in found.timed} == {"v100"}
    assert any("left out" in note and "conv.coarse" in note for note in found.notes)


def test_a_study_without_gpus_has_none(record: RunRecord, tmp_path: Path) -> None:
    parts = tuple(d for d in record.designs if d.part)
    assert study_latencies(replace(record, designs=parts, fronts=fronts_of(parts), gpus=())) is None
