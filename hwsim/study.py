"""A study from its configuration to its report: explore, then tables, figures and the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hwsim.config import StudyConfig, load_config, resolve
from hwsim.core.errors import InputError
from hwsim.reports import MacCosts, Study, WorkloadSummary, write_report, write_tables
from hwsim.search.codec import Score
from hwsim.search.record import RunRecord, load_run
from hwsim.search.run import Progress, explore

MAP_FORMATS = 20  # a side of the map of costs by format pair


def run_study(
    config: StudyConfig | str | Path | Mapping[str, Any],
    run_dir: Path,
    *,
    resume: bool = False,
    workers: int | None = None,
    engine: str = "local",
    settings: Iterable[str] = (),
    progress: Callable[[Progress], None] | None = None,
) -> RunRecord:
    """Explore into a run directory and write designs.csv, front.json, the figures and report.html."""
    if isinstance(config, str | Path):
        config = load_config(config, settings)
    elif not isinstance(config, StudyConfig):
        config = resolve(config)
    record = explore(config, run_dir, resume=resume, workers=workers, engine=engine, progress=progress)  # type: ignore[arg-type]
    write_outputs(record)
    return record


def make_report(run_dir: Path) -> Path:
    """(Re)make the tables and the report of a run from its store."""
    return write_outputs(load_run(run_dir))


def write_outputs(record: RunRecord) -> Path:
    """Everything that people read, from the record alone; each file appears whole or not at all."""
    study = study_of(record)
    write_tables(study, record.run_dir)
    latencies = None
    if record.gpus:
        from hwsim.latency_sweep import study_latencies

        latencies = study_latencies(record)
    return write_report(study, record.run_dir, macs=_mac_costs(record), latencies=latencies)


def study_of(record: RunRecord) -> Study:
    """The run as the report sees it.

    Raises
    ------
    InputError
        When the run was stopped before its first result.
    """
    score = record.float_score
    if score is None or not record.designs:
        raise InputError("the run holds no result yet", where=str(record.run_dir), hint="continue it with --resume")
    return Study(
        name=f"{record.workload.name}: number formats on {_targets(record)}",
        model=record.config.model.spec,
        metric_name=_metric_words(score),
        float_metric=score.value,
        n_eval=score.n,
        designs=record.designs,
        fronts=record.fronts,
        config_toml=record.config_toml,
        provenance=_provenance(record),
        accuracy_statements=_statements(record, score),
        workload=WorkloadSummary.of(record.workload),
        run_dir=str(record.run_dir),
        float_interval=(score.lo, score.hi),
        parts=record.parts,
        gpus=record.gpus,
    )


def _mac_costs(record: RunRecord) -> MacCosts | None:
    """What a multiply-accumulate of each pair of the study's formats costs on its first part."""
    if not record.parts:
        return None
    from hwsim.resource_page import mac_costs

    texts = dict.fromkeys(text.split("@")[0].split(":")[0] for d in record.designs for text in (d.weights, d.acts))
    return mac_costs(sorted(texts)[:MAP_FORMATS], record.parts[0])


def _targets(record: RunRecord) -> str:
    names = [part.title for part in record.parts] + [gpu.title for gpu in record.gpus]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _metric_words(score: Score) -> str:
    names = {
        "top1": "top-1 accuracy",
        "map": "mean average precision (COCO)",
        "agreement": "agreement with the float network",
    }
    return names.get(score.name, score.name)


def _provenance(record: RunRecord) -> dict[str, str]:
    manifest = record.manifest
    rows = {
        "model": record.config.model.spec,
        "command": "hwsim explore run.toml",
        "weights": _short(manifest, "weights"),
    }
    for role in ("calibration", "evaluation"):
        data = manifest["data"][role]
        split = f"#{data['split']}" if data["split"] else ""
        rows[f"{role} data"] = f"{data['name']}{split}, {data['rows']} rows, {_short(manifest, role)}"
    rows["seeds"] = ", ".join(str(seed) for seed in manifest["seeds"])
    rows["versions"] = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    if record.notes:
        rows["left out"] = "; ".join(record.notes)
    if record.failures:
        rows["failed"] = f"{len(record.failures)} designs; first: {next(iter(record.failures.values()))[1].message}"
    return rows


def _short(manifest: Mapping[str, Any], key: str) -> str:
    """The first digits of a digest, or of the first seed's."""
    value = manifest["identity"][key]
    digest = next(iter(value.values())) if isinstance(value, dict) else value
    return f"sha256 {str(digest)[:16]}"


def _statements(record: RunRecord, score: Score) -> tuple[tuple[str, str], ...]:
    """How far each kind of figure can be trusted, with what was measured."""
    found = [
        (
            "Accuracy",
            f"Measured on {score.n} held-out samples that calibration never saw. The interval (90 %, Wilson) is that "
            "of sampling: two designs whose intervals overlap are not told apart by these data, and the best of many "
            "designs is partly lucky. Designs with an FPGA part have power-of-two scales and biases on the "
            "accumulator's grid, and are evaluated as they are built; designs on a GPU have float32 scales.",
        )
    ]
    if record.parts:
        from hwsim.cost_models import trust_statement

        found.append(("FPGA resources and timing", trust_statement()))
    if record.gpus:
        from hwsim.latency import trust_statement as latency_statement

        found.append(("GPU latency", latency_statement([gpu.name for gpu in record.gpus])))
    return tuple(found)
