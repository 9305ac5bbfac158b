"""A study from configuration to record: results, resuming, failures; nothing but seconds depends on the way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from studies import TINY, stored, study, written

import hwsim.search.design
from hwsim.core.assignment import assign
from hwsim.core.design import ParetoFront
from hwsim.core.errors import HwsimError, InputError, UnsupportedError
from hwsim.search import Interrupted, Progress, RunRecord, Subject, explore, load_run, load_subject
from hwsim.search.run_dir import locked

pytestmark = pytest.mark.exact


@pytest.fixture(scope="module")
def subject() -> Subject:
    return load_subject(study())


@pytest.fixture(scope="module")
def done(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """An undisturbed run."""
    return explore(study(), tmp_path_factory.mktemp("runs") / "done", subject=subject)


def test_a_finished_run(done: RunRecord, subject: Subject) -> None:
    assert done.complete
    assert len(done.designs) == done.planned == 12
    assert {p.name for p in done.run_dir.iterdir()} == {"run.toml", "manifest.json", "designs.sqlite"}
    assert done.float_score is not None
    assert (done.float_score.value, done.float_score.n, done.float_score.name) == (1.0, 150, "top1")
    assert done.workload == subject.network.workload
    assert [p.name for p in done.parts] + [g.name for g in done.gpus] == ["zu3eg", "v100"]
    assert done.manifest["data"]["evaluation"]["rows"] == 150
    assert set(done.manifest["versions"]) >= {"python", "hwsim", "torch"}
    best = max(done.designs, key=lambda d: d.metric)
    assert (best.weights, best.acts) == ("int8", "int8")
    assert best.metric > 0.95 > min(d.metric for d in done.designs)


def test_figures_are_those_of_the_rooms(done: RunRecord, subject: Subject) -> None:
    """Each column against a direct call of the room that it comes from."""
    from hwsim.cost_models import estimate
    from hwsim.latency import predict
    from hwsim.quant.pipeline import quantize_network

    for design in done.designs:
        policy = study().policy(design.weights, design.acts, "pow2" if design.part else "f32")
        model = quantize_network(subject.calibrated(0), policy, subject.recipes["rtn"])
        hits = (model.decisions(subject.evaluation.x) == subject.evaluation.y).sum()
        assert design.metric == int(hits) / 150
        assert design.metric_lo <= design.metric <= design.metric_hi
        assert design.memory_bits == model.memory_bits
        workload, formats = subject.network.workload, model.assignment
        assert formats.layers == assign(workload, policy, subject.calibrated(0).non_negative).layers
        if design.part:
            cost = estimate(workload, formats, done.parts[0], reuse=4, dsp="never", codes=model.codes)
            assert (design.lut, design.dsp, design.latency_us) == (cost.lut, cost.dsp, cost.latency_us)
            assert (design.scale, design.fits, design.device) == ("pow2", cost.fits, None)
        else:
            latency = predict(workload, done.gpus[0], batches=(1,), assignment=formats)
            assert design.latency_us == latency.batches[0].latency_us
            assert (design.scale, design.fits, design.lut) == ("f32", None, None)
            assert "batch 1" in design.setting


def test_layer_tables(done: RunRecord) -> None:
    for design in done.designs:
        rows = {row["name"]: row for row in design.layers}
        assert {"stem", "conv", "head"} <= set(rows)
        head = rows["head"]
        assert (head["macs"], head["params"], head["kind"]) == (4 * 36 * 5, 4 * 36 * 5 + 5, "linear")
        assert head["weight"].startswith(design.weights)
        assert head["accumulator_bits"] > 8
        assert head["weight_sqnr_db"] > 5
        assert rows["conv"]["act"].startswith("u" if design.acts.startswith("int") else "e")  # reads a ReLU
        if design.part:
            assert sum(row["lut"] for row in design.layers) == pytest.approx(design.lut.mid if design.lut else 0)
            assert all(set(row) >= {"lut", "ff", "dsp", "bram18", "cycles", "reuse", "terms"} for row in design.layers)
        else:
            assert all(row["latency_us"] > 0 for row in design.layers if "latency_us" in row)
            assert any("latency_us" in row for row in design.layers)


def test_auto_reuse_folds_all_formats_alike(subject: Subject, tmp_path: Path) -> None:
    """LUTs compare formats at one throughput: every layer has the cycles that the reference format needs."""
    config = study(fpga={"parts": ["zynq7020"], "reuse": "auto"}, gpu={"devices": []})
    designs = explore(config, tmp_path, subject=subject).designs
    foldings = {tuple((row["name"], row["reuse"]) for row in design.layers) for design in designs}
    assert len(foldings) == 1
    assert len({design.lut for design in designs}) == len(designs)


def test_fronts(done: RunRecord) -> None:
    for front in done.fronts:
        assert front == ParetoFront.of(front.target, front.objectives, _members(done, front))
    kinds = [(front.target, front.objectives[1]) for front in done.fronts]
    assert kinds[0] == ("zu3eg", "lut")
    assert ("v100", "latency_us") in kinds
    assert kinds[-1] == ("all targets", "memory_bits")


def _members(record: RunRecord, front: ParetoFront) -> list[Any]:
    if front.target != "all targets":
        return [d for d in record.designs if d.target == front.target and d.fits != "no"]
    return list(record.designs)  # one of each network here: part and GPU differ in scale type


def test_ids_find_designs(done: RunRecord) -> None:
    first = done.designs[0]
    assert done.design(first.id) == done.design(first.id[:10]) == first
    for wrong in ("", "xyz"):
        with pytest.raises(InputError, match="no design"):
            done.design(wrong)


def test_a_run_is_reread_as_it_was(done: RunRecord) -> None:
    assert written(load_run(done.run_dir)) == written(done)


def _stop_at(moment: str, n: int, action: Callable[[], None]) -> Callable[[Progress], None]:
    seen = 0

    def progress(state: Progress) -> None:
        nonlocal seen
        seen += state.moment == moment
        if state.moment == moment and seen == n:
            action()

    return progress


@pytest.mark.parametrize(("moment", "n"), [("start", 1), ("evaluated", 1), ("evaluated", 9), ("committed", 13)])
def test_ctrl_c_keeps_what_is_done(done: RunRecord, subject: Subject, tmp_path: Path, moment: str, n: int) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    folder = tmp_path / "run"
    with pytest.raises(Interrupted, match="--resume") as caught:
        explore(study(), folder, subject=subject, progress=_stop_at(moment, n, interrupt))
    assert caught.value.exit_code == 130
    part = load_run(folder)
    assert len(part.designs) < 12
    assert not part.complete
    seen: list[Progress] = []
    explore(study(), folder, resume=True, subject=subject, progress=seen.append)
    assert seen[0].done == len(part.designs)
    assert (seen[-1].moment, seen[-1].done, seen[-1].total) == ("finish", 12, 12)
    assert stored(folder) == stored(done.run_dir)


def test_order_does_not_matter(
    done: RunRecord, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backwards, with fresh caches: nothing that an evaluation leaves behind may change the next."""
    fresh = Subject(subject.network, subject.calibration, subject.evaluation, subject.recipes)
    tasks = hwsim.search.run._Ledger.tasks
    monkeypatch.setattr(hwsim.search.run._Ledger, "tasks", lambda self: tasks(self)[::-1])
    explore(study(), tmp_path / "run", subject=fresh)
    assert stored(tmp_path / "run") == stored(done.run_dir)


def test_a_full_cache_changes_nothing(
    done: RunRecord, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwsim.search.subject.CACHE_BYTES", 0)
    explore(study(), tmp_path / "run", subject=subject)
    assert stored(tmp_path / "run") == stored(done.run_dir)
    assert len(subject.calibrated(0).weights) == 0


def test_resuming_a_finished_run_evaluates_nothing(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = explore(study(), tmp_path, subject=subject)
    monkeypatch.setattr("hwsim.search.subject.quantize_best", None)
    assert written(explore(study(), tmp_path, resume=True, subject=subject)) == written(first)


def test_threads_are_given_back(subject: Subject, tmp_path: Path) -> None:
    before, inside = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        explore(study(), tmp_path, subject=subject, progress=lambda _: inside.append(torch.get_num_threads()))
        assert (set(inside), torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


def test_a_second_run_needs_its_own_folder_or_resume(done: RunRecord, subject: Subject) -> None:
    with pytest.raises(InputError, match="--resume"):
        explore(study(), done.run_dir, subject=subject)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"formats": {"weights": ["int3", "int8"]}}, "formats.weights"),
        ({"formats": {"overrides": {"head": "int8"}}}, "formats.overrides.head"),
        ({"quant": {"seeds": [1]}}, "quant.seeds"),
        ({"search": {"budget": 3}}, "search.budget"),
        ({"gpu": {"precision": "fp16"}}, "gpu.precision"),
    ],
)
def test_resume_refuses_another_configuration(
    done: RunRecord, subject: Subject, changes: dict[str, Any], key: str
) -> None:
    before = (done.run_dir / "run.toml").read_bytes()
    with pytest.raises(InputError, match=f"{key} differs") as caught:
        explore(study(**changes), done.run_dir, resume=True, subject=subject)
    assert "run.toml" in caught.value.where
    assert (done.run_dir / "run.toml").read_bytes() == before


def test_resume_takes_another_number_of_workers(done: RunRecord, subject: Subject) -> None:
    config = study(search={"workers": 2})
    assert explore(config, done.run_dir, resume=True, workers=1, subject=subject).complete


def test_resume_refuses_other_weights(done: RunRecord, subject: Subject) -> None:
    other = Subject(subject.network.copy(), subject.calibration, subject.evaluation, subject.recipes)
    name, tensor = next(iter(other.network.module.named_buffers()))
    other.network.module.register_buffer(name, tensor + 1e-3)
    with pytest.raises(InputError, match="weights has changed"):
        explore(study(), done.run_dir, resume=True, subject=other)


def test_a_folder_in_use(done: RunRecord, subject: Subject) -> None:
    with locked(done.run_dir), pytest.raises(InputError, match="another process"):
        explore(study(), done.run_dir, resume=True, subject=subject)
    assert not (done.run_dir / ".lock").exists()


@pytest.mark.parametrize("spec", ["nowhere.py:network", f"{TINY}:netwrok"])
def test_a_model_that_does_not_load_leaves_nothing_behind(tmp_path: Path, spec: str) -> None:
    with pytest.raises(InputError):
        explore(study(model={"spec": spec}), tmp_path / "a" / "run")
    assert not (tmp_path / "a" / "run").exists()


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file"):
        explore(study(), tmp_path / "file" / "run")


def test_one_failure_is_a_row_and_all_failures_an_error(
    done: RunRecord, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hwsim.search.design._on_part

    def broken(model: Any, rows: Any, target: Any) -> Any:
        if model.policy.weights == "e2m1":
            raise UnsupportedError("no e2m1 today", where="layer stem")
        return real(model, rows, target)

    monkeypatch.setattr(hwsim.search.design, "_on_part", broken)
    record = explore(study(), tmp_path / "run", subject=subject)
    assert (len(record.designs), len(record.failures)) == (10, 2)
    assert record.complete
    names = sorted(name for name, _ in record.failures.values())
    assert names == [f"e2m1/{acts} rtn on zu3eg" for acts in ("e3m2", "int8")]
    assert {str(failure) for _, failure in record.failures.values()} == {"layer stem: no e2m1 today"}
    with pytest.raises(InputError, match="failed: layer stem"):
        record.design(next(iter(record.failures)))
    only = study(formats={"weights": ["e2m1"]}, gpu={"devices": []})
    with pytest.raises(UnsupportedError, match=r"all 2 designs failed.*no e2m1 today"):
        explore(only, tmp_path / "none", subject=subject)
    monkeypatch.setattr(hwsim.search.design, "_on_part", real)  # mended: only the failed are tried again
    seen: list[Progress] = []
    explore(study(), tmp_path / "run", resume=True, subject=subject, progress=seen.append)
    assert seen[0].done == 10
    assert stored(tmp_path / "run") == stored(done.run_dir)


def test_an_evaluation_that_fails_takes_its_designs_with_it(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwsim.quant.pipeline import quantize_best as real

    def broken(prepared: Any, policy: Any, recipe: Any, **options: Any) -> Any:
        if (policy.weights, policy.scale) == ("int3", "pow2"):
            raise ZeroDivisionError("int3")
        return real(prepared, policy, recipe, **options)

    monkeypatch.setattr("hwsim.search.subject.quantize_best", broken)
    record = explore(study(), tmp_path, subject=subject)
    assert (len(record.designs), len(record.failures)) == (10, 2)
    assert {failure.message for _, failure in record.failures.values()} == {"ZeroDivisionError: int3"}


def test_without_labels_the_metric_is_agreement(tmp_path: Path) -> None:
    config = study(data={"eval": f"{TINY}:rows_without_labels"}, formats={"weights": ["int8"], "acts": ["int8"]})
    record = explore(config, tmp_path)
    assert record.float_score is not None
    assert (record.float_score.name, record.float_score.value) == ("agreement", 1.0)
    assert {design.metric_name for design in record.designs} == {"agreement"}


def test_seeds_draw_other_rows(tmp_path: Path) -> None:
    changes = {
        "data": {"calib_rows": 8},
        "formats": {"weights": ["int8"], "acts": ["int3"]},
        "quant": {"seeds": [0, 1]},
    }
    record = explore(study(**changes), tmp_path)
    assert {design.seed for design in record.designs} == {0, 1}
    assert len(set(record.manifest["identity"]["calibration"].values())) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": {"calib": f"{TINY}:data#test"}}, "also calibration rows"),
        ({"data": {"calib": ""}}, "data.calib"),
        ({"formats": {"overrides": {"nothing*": "int8"}}}, "matches no layer"),
        ({"fpga": {"reuse": {"stam": 2}}}, "stem"),
    ],
)
def test_what_would_fail_every_design_is_told_before_any(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(HwsimError, match=says):
        explore(study(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["run.toml", "manifest.json", "designs.sqlite"])
def test_a_damaged_run_names_the_file(subject: Subject, tmp_path: Path, name: str) -> None:
    config = study(formats={"weights": ["int8"], "acts": ["int8"]})
    explore(config, tmp_path, subject=subject)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reads = (partial(load_run, tmp_path), partial(explore, config, tmp_path, resume=True, subject=subject))
    for read in reads:
        with pytest.raises(InputError) as caught:
            read()
        assert name in caught.value.where
    path.unlink()
    with pytest.raises(InputError, match=name):
        load_run(tmp_path)


def test_the_record_needs_no_model_and_no_torch(done: RunRecord) -> None:
    import subprocess
    import sys

    code = (
        "import sys, json; from hwsim.search import load_run; r = load_run(sys.argv[1]);"
        "print(json.dumps([len(r.designs), 'torch' in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", code, str(done.run_dir)], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == [12, False]


def test_a_missing_engine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(HwsimError, match=r"hwsim\[dask\]") as caught:
        explore(study(), tmp_path / "run", engine="dask")
    assert caught.value.exit_code == 5
    with pytest.raises(InputError, match="engine"):
        explore(study(), tmp_path / "run", engine="ray")
    assert not (tmp_path / "run").exists()
