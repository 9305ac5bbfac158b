"""`hwsim calibrate`: fit the FPGA model to synthesised units or a vendor's reports, the GPU model to measured times."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli import options
from hwsim.cli.calibrate_gpu import gpu_lines, to_gpu
from hwsim.cli.held_out import cached, percent, summary
from hwsim.cli.output import ProgressLine, emit, table
from hwsim.cli.vendor_factors import is_table, report_lines, to_reports
from hwsim.core.errors import InputError, nearest

if TYPE_CHECKING:
    from hwsim.cost_models.surface import Surface
    from hwsim.cost_models.surface.refit import Refit
    from hwsim.cost_models.surface.synthesised_rows import UnitRows

TARGETS = ("fpga", "gpu")
_WORTH_WORKERS = 600  # rows of a table below which starting processes takes longer than the fits


Target = Annotated[str, typer.Argument(metavar="fpga|gpu", help="what to calibrate")]
Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILE..]",
        help="a table that `hwsim synth` wrote [the one in the cache folder, else the shipped one], or reports of "
        "a vendor's tool: Vivado utilization, HLS csynth, Quartus fit summary, a CSV of designs and counts; of gpu: "
        "measured times, rows.csv of `hwsim profile`, traces of torch or trtexec",
    ),
]
Estimates = Annotated[
    list[Path] | None,
    typer.Option("--estimate", "-e", metavar="FILE", help="what `hwsim cost --json` said of a design; repeatable"),
]
Units = Annotated[
    Path | None, typer.Option("--units", metavar="FILE", help="table that holds the units reported on [shipped]")
]
OneStage = Annotated[
    str | None, typer.Option("--stage", metavar="hls|synthesis|post_route", help="only reports of this stage")
]
Families = Annotated[
    list[str] | None, typer.Option("--family", metavar="F", help="refit these surfaces only; repeatable [all]")
]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", help="processes that refit [one a core]")]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="DEV", help="of gpu: a name or a TOML file [device.toml beside the rows]"),
]
Runtime = Annotated[str | None, typer.Option("--runtime", metavar="R", help="of gpu: where a file does not say it")]
Precision = Annotated[str | None, typer.Option("--precision", metavar="P", help="of gpu: where a file does not say it")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="the result [in the cache folder]")]


def run(
    target: Target,
    files: Files = None,
    estimate: Estimates = None,
    units: Units = None,
    stage: OneStage = None,
    family: Families = None,
    workers: Workers = None,
    device: Device = None,
    runtime: Runtime = None,
    precision: Precision = None,
    out: Out = None,
    as_json: options.Json = False,
) -> None:
    """Refit the surfaces on a table of synthesised units, derive factors from reports of a vendor's tool, or draw the
    latency model of a device to measured kernels and networks."""
    if target not in TARGETS:
        raise InputError(f"{target!r}", where="calibrate", hint=nearest(target, TARGETS))
    if workers is not None and workers < 1:
        raise InputError(f"{workers}", where="--workers", hint="allowed: 1 and up")
    start = time.perf_counter()
    fpga = {"--estimate": estimate, "--units": units, "--stage": stage, "--family": family, "--workers": workers}
    lines: Callable[[dict[str, Any]], Iterator[str]] = gpu_lines
    if target == "gpu":
        _unused(fpga, "a GPU")
        document = to_gpu(files or [], device, runtime or "", precision or "", out)
    else:
        _unused({"--device": device, "--runtime": runtime, "--precision": precision}, "an FPGA")
        document, lines = _of_fpga(files or [], estimate or [], units, stage, family, workers, out)
    document["seconds"] = round(time.perf_counter() - start, 1)
    emit(document, as_json, lambda: lines(document))


def _of_fpga(
    files: list[Path],
    estimate: list[Path],
    units: Path | None,
    stage: str | None,
    family: list[str] | None,
    workers: int | None,
    out: Path | None,
) -> tuple[dict[str, Any], Callable[[dict[str, Any]], Iterator[str]]]:
    """The document of a table or of reports, and its lines."""
    tables = [path for path in files if is_table(path)]
    if files and not tables:
        _unused({"--family": family, "--workers": workers}, "reports")
        return to_reports(files, estimate, units, stage, out), report_lines
    if len(files) > 1:
        hint = "either one table of synthesised units, or reports"
        raise InputError(f"{len(files)} files, {len(tables)} of them tables", where="calibrate fpga", hint=hint)
    _unused({"--estimate": estimate, "--units": units, "--stage": stage}, "a table of synthesised units")
    return _to_synthesis(tables[0] if tables else _default_table(), family, workers, out), _synthesis_lines


def _unused(given: Mapping[str, object], what: str) -> None:
    for option, value in given.items():
        if value:
            raise InputError(f"has no meaning for {what}", where=option, hint="leave it out")


def _default_table() -> Path:
    from hwsim.cost_models.synthesis.table import SHIPPED

    own = cached("synthesis", "units.csv")
    return own if own.is_file() else SHIPPED


def _to_synthesis(path: Path, names: list[str] | None, workers: int | None, out: Path | None) -> dict[str, Any]:
    """Refit what the table has units of; surfaces that it has none of stay as they ship."""
    from hwsim.cost_models.surface import shipped
    from hwsim.cost_models.surface.fit import missing
    from hwsim.cost_models.surface.refit import refit_all
    from hwsim.cost_models.surface.synthesised_rows import shipped_rows

    rows = shipped_rows(path)
    for name in names or []:
        if name not in rows:
            raise InputError(f"no units of {name!r} in {path}", where="--family", hint=nearest(name, rows))
    chosen: dict[str, UnitRows] = {name: r for name, r in rows.items() if not names or name in names}
    few = {name: n for name, r in chosen.items() if (n := missing(r))}
    if len(few) == len(chosen):
        name, n = min(few.items(), key=lambda pair: pair[1])
        hint = f"{name} lacks {n} different units: hwsim synth --family {name.partition('[')[0]}"
        raise InputError("too few units to fit anything", where=str(path), hint=hint)
    old = shipped.read_surfaces(shipped.FILE) if shipped.FILE.is_file() else {}
    count = sum(len(r) for r in chosen.values())
    processes = workers or (os.cpu_count() or 1 if count > _WORTH_WORKERS else 1)
    progress = ProgressLine("refit")
    found = sorted(refit_all(chosen, shipped.RESOURCES, old, processes, progress), key=_order)
    worse = [one for one in found if one.worse]
    new = [one.surface for one in found if not one.worse]
    kept = {**old, **{(surface.family.name, surface.resource): surface for surface in new}}
    target = out or cached("calibration", "surfaces.json")
    _write(target, kept.values())
    return {
        "rows": count - sum(len(chosen[name]) for name in few),
        "error": {when: _by_resource(found, when) for when in ("before", "after")},
        "families": [_family_row(one) for one in found],
        "kept": [{"family": one.surface.family.name, "resource": one.surface.resource} for one in worse],
        "left_out": [
            {"family": name, "rows": len(chosen[name]), "why": f"{n} different units are lacking"}
            for name, n in few.items()
        ],
        "table": str(path),
        "surfaces": str(target),
    }


def _write(path: Path, surfaces: Iterable[Surface]) -> None:
    from hwsim.cost_models.surface.shipped import write_surfaces

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_surfaces(path, surfaces)
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", where=str(path), hint="another --out") from None


def _order(one: Refit) -> tuple[str, int]:
    return one.surface.family.name, ("lut", "ff").index(one.surface.resource)


def _by_resource(found: Sequence[Refit], when: str) -> dict[str, dict[str, float | int] | None]:
    """Errors of all families together, by resource; None where there was no surface before."""
    import numpy as np

    result: dict[str, dict[str, float | int] | None] = {}
    for resource in dict.fromkeys(one.surface.resource for one in found):
        values = [getattr(one, when) for one in found if one.surface.resource == resource]
        known = [v for v in values if v is not None]
        result[resource] = summary(np.concatenate(known)) if known else None
    return result


def _family_row(one: Refit) -> dict[str, Any]:
    before = None if one.before is None else summary(one.before)
    name, resource = one.surface.family.name, one.surface.resource
    return {"family": name, "resource": resource, "before": before, "after": summary(one.after)}


def _synthesis_lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"{document['rows']} units of {document['table']} refitted in {document['seconds']} s: {document['surfaces']}"
    yield "errors on units left out, in percent: median (90 % of units below)"
    rows = [(f["family"], f["resource"], *map(percent, (f["before"], f["after"]))) for f in document["families"]]
    rows += [("all", n, percent(document["error"]["before"][n]), percent(a)) for n, a in _after(document)]
    yield from table(("family", "resource", "before", "after"), rows)
    for left in document["left_out"]:
        yield f"note: {left['family']} left out: {left['rows']} rows, {left['why']}"
    for one in document["kept"]:
        yield f"note: {one['family']} of {one['resource']} stays as it ships: these units alone tell others worse"
    if any(f["before"] is None for f in document["families"]):
        yield "note: where `before` is -, no surface ships"
    yield f"use it: HWSIM_SURFACES={document['surfaces']} hwsim cost .."


def _after(document: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(document["error"]["after"].items())
