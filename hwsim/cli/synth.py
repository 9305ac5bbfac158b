"""`hwsim synth`: open synthesis of the units that the FPGA model prices."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli import options
from hwsim.cli.output import emit, table
from hwsim.core.errors import InputError, VerificationError, nearest

if TYPE_CHECKING:
    from hwsim.cost_models.rtl.unit import Unit
    from hwsim.cost_models.rtl.verify import Checked
    from hwsim.cost_models.synthesis import Flow, Refusal, Row

CHECKED_UNITS = 20
TOLERATED_UNITS = 2  # of those: see `synthesis.names` on what remains of the batch in counts
TOLERATED_SHARE = 0.2  # of the LUTs of a unit that is tolerated


def run(
    family: Annotated[
        list[str] | None, typer.Option("--family", metavar="F", help="family of units; repeatable [all]")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="at most so many new units, or checked ones")
    ] = None,
    flow: Annotated[str, typer.Option("--flow", metavar="base|dsp", help="without or with DSP blocks")] = "base",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="the table to continue [in the cache folder]")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help=f"synthesise {CHECKED_UNITS} random rows again and compare")
    ] = False,
    simulate: Annotated[
        int | None,
        typer.Option("--simulate", metavar="N", help="no synthesis: RTL simulation with up to N vectors a unit"),
    ] = None,
    as_json: options.Json = False,
) -> int:
    """Synthesise units with Yosys into a table; what is in it is not repeated, so an interrupted run continues."""
    from hwsim.cost_models.synthesis import FLOWS, experiment, families

    if flow not in FLOWS:
        raise InputError(f"{flow!r}", where="--flow", hint=nearest(flow, FLOWS))
    if check and limit == 0:
        raise InputError("0", where="--limit", hint="at least one unit is checked")
    if limit is not None and limit < 0:
        raise InputError(f"{limit}", where="--limit", hint="0 and up")
    if simulate is not None:
        if simulate < 1 or check:
            hint = "a number of vectors from 1, and not with --check"
            raise InputError(f"{simulate}", where="--simulate", hint=hint)
        if out is not None or flow != "base":
            raise InputError("--out or --flow", where="--simulate", hint="a simulation has neither table nor flow")
        return _simulate({name: experiment(name)[:limit] for name in family or families()}, simulate, as_json)
    units = [unit for name in family or families() for unit in experiment(name)]
    path = out or _cached_table()
    start = time.perf_counter()
    document = _check(units, FLOWS[flow], path, limit) if check else _extend(units, FLOWS[flow], path, limit)
    document["seconds"] = round(time.perf_counter() - start, 1)
    emit(document, as_json, lambda: _lines(document))
    return 1 if document["failed"] else 0


def _simulate(units: Mapping[str, Sequence[Unit]], vectors: int, as_json: bool) -> int:
    """Simulate families of units, each in turn; exit code 6 where a unit does not compute what it should."""
    from hwsim.cost_models.rtl.verify import Checked, checked

    start, progress = time.perf_counter(), _Progress(sum(len(group) for group in units.values()))
    results, done = list[Checked](), 0
    for family, group in units.items():
        result = Checked(family, 0, 0, 0, ())
        for result in checked(family, group, vectors):
            progress(done + result.units)
        done += len(group)
        results.append(result)
    seconds = round(time.perf_counter() - start, 1)
    document = {"families": [asdict(result) for result in results], "seconds": seconds}
    emit(document, as_json, lambda: _simulated_lines(results, seconds))
    return VerificationError.exit_code if any(result.wrong for result in results) else 0


def _simulated_lines(results: Sequence[Checked], seconds: float) -> Iterator[str]:
    columns = ("family", "units", "all inputs tried", "vectors", "ports with mismatches")
    rows = [(r.family, r.units, r.exhaustive, r.vectors, len(r.wrong)) for r in results]
    rows.append(
        (
            "all",
            sum(r.units for r in results),
            sum(r.exhaustive for r in results),
            sum(r.vectors for r in results),
            sum(len(r.wrong) for r in results),
        )
    )
    yield from table(columns, rows, right=range(1, 5))
    for wrong in (first for result in results for first in result.wrong):
        yield (
            f"{wrong.unit}.{wrong.port}: {wrong.count} of {wrong.vectors} vectors differ; at {dict(wrong.inputs)} "
            f"{wrong.simulated} instead of {wrong.expected}"
        )
    yield f"simulated in {seconds} s"


def _cached_table() -> Path:
    from hwsim.zoo.weights import cache_folder

    return cache_folder() / "synthesis" / "units.csv"


def _extend(units: list[Unit], flow: Flow, path: Path, limit: int | None) -> dict[str, Any]:
    """Synthesise what neither the table nor the shipped one has, and keep each batch as it ends."""
    from hwsim.cost_models.synthesis import find_yosys, read_table, run_batches, synthesise, write_table
    from hwsim.cost_models.synthesis.table import SHIPPED, key_of, merged

    yosys = find_yosys()
    rows = read_table(path)
    known = {row.key: row for row in (*read_table(SHIPPED), *rows)}
    keys = {key_of(unit, flow.options, yosys.tool): unit for unit in units}
    shipped = [known[key] for key in keys if key in known]
    missing = [unit for key, unit in keys.items() if key not in known][:limit]
    rows = merged(rows, shipped)
    new, failed = 0, list[dict[str, str]]()
    progress = _Progress(len(missing))
    try:
        for outcome in run_batches(missing, flow, yosys.tool, partial(synthesise, yosys, flow)):
            rows = merged(rows, outcome.rows)
            write_table(path, rows)
            new += len(outcome.rows)
            failed += [_refusal(refused) for refused in outcome.refused]
            progress(new + len(failed))
    except KeyboardInterrupt:
        sys.stderr.write(f"synth: {new} new rows are in {path}; the batch in flight is lost; run again to continue\n")
        raise
    if new == 0:
        write_table(path, rows)
    return {"rows": len(rows), "new": new, "failed": failed, "table": str(path), "tool": yosys.tool, "flow": flow.name}


def _check(units: list[Unit], flow: Flow, path: Path, limit: int | None) -> dict[str, Any]:
    """Synthesise a random sample of the table again, those that differ once more, each alone.

    Raises
    ------
    VerificationError
        Where more units differ than `TOLERATED_UNITS` both times, or one by more than `TOLERATED_SHARE`.
    """
    from hwsim.cost_models.synthesis import find_yosys, read_table, run_batches, synthesise
    from hwsim.cost_models.synthesis.table import SHIPPED, key_of

    yosys = find_yosys()
    path = path if path.exists() else SHIPPED
    rows = read_table(path)
    known = {row.key: row for row in rows if row.flow == flow.name}
    pairs = [(unit, known.get(key_of(unit, flow.options, yosys.tool))) for unit in units]
    same = [(unit, row) for unit, row in pairs if row is not None]
    if not same:
        hint = "the same version of Yosys and the same generators are needed: run hwsim synth"
        raise InputError(f"no row of these units made by {yosys.tool}", where=str(path), hint=hint)
    sample = random.Random().sample(same, min(CHECKED_UNITS if limit is None else limit, len(same)))
    expected = {row.name: row for _, row in sample}
    failed: list[dict[str, str]] = []
    differ: list[Row] = []
    left = [unit for unit, _ in sample]
    for size in (len(left), 1):
        outcomes = list(run_batches(left, flow, yosys.tool, partial(synthesise, yosys, flow), size))
        failed += [_refusal(refused) for outcome in outcomes for refused in outcome.refused]
        differ = [row for outcome in outcomes for row in outcome.rows if row.cells != expected[row.name].cells]
        left = [unit for unit in left if unit.name in {row.name for row in differ}]
    told = [f"{row.name}: {expected[row.name].cells} in the table, {row.cells} now" for row in differ]
    far = any(abs(row.lut - expected[row.name].lut) > TOLERATED_SHARE * expected[row.name].lut for row in differ)
    if far or len(differ) > TOLERATED_UNITS * len(sample) // CHECKED_UNITS:
        message = f"{len(differ)} of {len(sample)} units differ; {told[0]}"
        raise VerificationError(message, where="--check", hint="delete those rows and run hwsim synth")
    checked = {"checked": len(sample), "differ": told}
    return {"rows": len(rows), "new": 0, "failed": failed, "table": str(path), **checked}


def _refusal(refused: Refusal) -> dict[str, str]:
    sys.stderr.write(f"synth: {refused.unit} failed: {refused.message}\n")
    return {"unit": refused.unit, "family": refused.family, "message": refused.message}


class _Progress:
    """Lines on stderr: how many of all, and the seconds left at the pace so far."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._start = time.perf_counter()

    def __call__(self, done: int) -> None:
        left = (time.perf_counter() - self._start) / max(done, 1) * (self._total - done)
        sys.stderr.write(f"synth: {done}/{self._total} units, about {left:.0f} s left\n")
        sys.stderr.flush()


def _lines(document: dict[str, Any]) -> Iterator[str]:
    if "checked" in document:
        same = document["checked"] - len(document["differ"]) - len(document["failed"])
        yield f"{same} of {document['checked']} units as in {document['table']}, in {document['seconds']} s"
        yield from document["differ"]
    else:
        yield f"{document['new']} new of {document['rows']} rows in {document['seconds']} s: {document['table']}"
    if document["failed"]:
        rows = [(f["unit"], f["family"], f["message"].splitlines()[0]) for f in document["failed"]]
        yield from table(("failed", "family", "why"), rows)
