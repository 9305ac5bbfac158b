"""`hwsim explore` and `hwsim report`: a study into a run directory, and its report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli import options
from hwsim.cli.output import ProgressLine, emit
from hwsim.core.errors import InputError

if TYPE_CHECKING:
    from hwsim.search.record import RunRecord


def run_explore(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="what to explore; see the README")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="run directory [runs/NAME of CONFIG]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue the run that is in the directory")] = False,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="processes")] = None,
    engine: Annotated[str, typer.Option("--engine", metavar="local|dask")] = "local",
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="TABLE.KEY=VALUE", help="wins over the file; repeatable")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate every design of a configuration and write the report. Interrupted runs continue with --resume."""
    if engine not in ("local", "dask"):
        raise InputError(f"{engine!r}", where="--engine", hint="allowed: local, dask")
    from hwsim.config import load_config
    from hwsim.study import run_study

    study = load_config(config, setting or ())
    run_dir = out or Path("runs") / config.stem
    line = ProgressLine("exploring")
    record = run_study(
        study, run_dir, resume=resume, workers=workers, engine=engine, progress=lambda p: line(p.done, p.total)
    )
    emit(document_of(record), as_json, lambda: lines_of(record))


def run_report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="what `hwsim explore` wrote")],
    as_json: options.Json = False,
) -> None:
    """(Re)make the tables and the report of a run from its store."""
    from hwsim.study import make_report

    report = make_report(run_dir)
    emit({"report": str(report)}, as_json, lambda: [str(report)])


def document_of(record: RunRecord) -> dict[str, Any]:
    """The document of `hwsim explore --json`."""
    rows: dict[str, dict[str, Any]] = {}
    for front in record.fronts:
        for design in front.designs:
            rows.setdefault(design.id, design.as_row() | {"fronts": []})
            rows[design.id]["fronts"].append(f"{front.target}: {', '.join(front.objectives)}")
    return {
        "run_dir": str(record.run_dir),
        "report": str(record.run_dir / "report.html"),
        "designs": len(record.designs),
        "failed": len(record.failures),
        "front": list(rows.values()),
        "hypervolume": {f"{f.target}: {', '.join(f.objectives)}": f.hypervolume for f in record.fronts},
        "notes": list(record.notes),
    }


def lines_of(record: RunRecord) -> Iterator[str]:
    """The answer in words, then where the report is."""
    from hwsim.reports import answer_lines
    from hwsim.study import study_of

    yield from answer_lines(study_of(record))
    if record.failures:
        yield f"{len(record.failures)} designs failed; the report says why"
    yield f"report: {record.run_dir / 'report.html'}"
