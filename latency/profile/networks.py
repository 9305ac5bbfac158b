"""`python -m hwsim.latency.profile.networks OUT.csv --models LIST`: time networks of timm with random weights.

Beside OUT.csv a `.json` of the same name tells the machine, its clocks, what was skipped and how long building took.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwsim.core.errors import HwsimError, InputError
from hwsim.latency import measurements
from hwsim.latency.measurements import COLUMNS, NETWORK, Measurement, cells
from hwsim.latency.profile.clocks import ClockLog
from hwsim.latency.profile.identity import identify, software
from hwsim.latency.profile.measure import DeviceLostError, Setting
from hwsim.latency.profile.network_bench import WORDS, Builder, Key, NetworkBench, Plan, Report, Size, Spec
from hwsim.latency.profile.progress import NetworkProgress, say
from hwsim.latency.profile.timing import EAGER

Progress = Callable[[Report], None]


def read_specs(path: Path) -> list[Spec]:
    """Networks of a list, one a line: `name` or `name@side`; what follows a `#` is passed over.

    Raises
    ------
    InputError
        For a file that cannot be read, or a side that is no number.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(error), where=str(path), hint="a list of names is wanted") from None
    found = []
    for number, line in enumerate(lines, 1):
        name, _, side = line.partition("#")[0].strip().partition("@")
        if side and not (side.isdecimal() and int(side)):
            raise InputError(f"image size {side!r}", where=f"{path}:{number}", hint="name@224")
        if name:
            found.append(Spec(name, int(side or 0)))
    return list(dict.fromkeys(found))


def timm_builder(spec: Spec) -> tuple[nn.Module, Size]:
    """A network of timm with random weights, and the size of one input. Networks of a fixed size are told theirs."""
    import timm

    if spec.side == 0:
        module: Any = timm.create_model(spec.name, pretrained=False)
        return module, tuple(module.pretrained_cfg["input_size"])
    size = (3, spec.side, spec.side)
    try:
        return timm.create_model(spec.name, pretrained=False, img_size=spec.side), size
    except TypeError:  # convolutional networks take any size, and no such argument
        return timm.create_model(spec.name, pretrained=False), size


def record_networks(
    specs: Sequence[Spec],
    plan: Plan,
    path: Path,
    builder: Builder = timm_builder,
    done: Collection[Key] = (),
    seconds: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    report: Report | None = None,
) -> Report:
    """Measure networks in random order and append each row to a table at once.

    Parameters
    ----------
    done : what `network_keys` says of rows that are there.
    seconds : after which nothing more is begun.
    progress : is told the report after each network.
    report : to fill, for callers that want it after an interrupt.

    Returns
    -------
    The report.
    """
    todo, start = list(specs), time.perf_counter()
    random.Random(seed).shuffle(todo)
    report = Report() if report is None else report
    bench = NetworkBench(plan, builder, done, start + (float("inf") if seconds is None else seconds), report)
    report.left = len(todo)
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(COLUMNS)
            file.flush()
        try:
            for spec in todo:
                if bench.time_is_up():
                    break
                for row in bench.visit(spec):
                    writer.writerow(cells(row))
                    file.flush()
                    report.rows += 1
                report.left -= 1
                report.seconds = time.perf_counter() - start
                if progress:
                    progress(report)
        except DeviceLostError as error:
            report.stopped = str(error)
    report.seconds = time.perf_counter() - start
    return report


def network_keys(rows: Sequence[Measurement]) -> set[Key]:
    """The visits that a table holds."""
    eager = (row for row in rows if row.operator == NETWORK and row.runtime == EAGER)
    return {(r.name, r.precision, r.layout, "autocast" in r.source, r.batch) for r in eager}


def main(words: Sequence[str] | None = None, builder: Builder = timm_builder) -> int:
    """Run the script and return its exit code, as `hwsim` does."""
    parser = argparse.ArgumentParser(prog="python -m hwsim.latency.profile.networks", description="Time networks.")
    parser.add_argument("out", type=Path, metavar="OUT.csv")
    parser.add_argument("--models", type=Path, required=True, help="a list of timm's names: name[@image size] a line")
    parser.add_argument("--batches", default="1", help="joined by commas [1]")
    parser.add_argument("--precision", default="fp32", help=f"of {', '.join(WORDS)}, joined by commas [fp32]")
    parser.add_argument("--layout", default="nchw", help="nchw or nhwc [nchw]")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu [auto]")
    parser.add_argument("--seconds", type=float, help="nothing is begun later [until all are done]")
    parser.add_argument("--budget-ms", type=float, default=150.0, help="of measuring a row's protocols [150]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a CPU [torch's]")
    parser.add_argument("--seed", type=int, default=0, help="of the order [0]")
    parser.add_argument("--resume", action="store_true", help="continue OUT.csv")
    given = parser.parse_args(words)
    try:
        return _run(given, builder)
    except HwsimError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def _run(given: argparse.Namespace, builder: Builder) -> int:
    specs = read_specs(given.models)
    kind = given.device if given.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    name = identify(kind).name if kind == "cpu" or torch.cuda.is_available() else "none"
    setting = Setting(kind, name, "fp32", given.layout, given.budget_ms, True, given.threads)
    batches = tuple(int(word) if word.strip().isdecimal() else 0 for word in given.batches.split(","))
    plan = Plan(setting, tuple(given.precision.split(",")), batches)
    rows = []
    if given.out.exists():
        if not given.resume:
            raise InputError("the file exists", where=str(given.out), hint="--resume continues it")
        rows = measurements.read(given.out)
    log = ClockLog(kind)
    log(always=True)
    done, report = network_keys(rows), Report()
    try:
        told = NetworkProgress(log)
        record_networks(specs, plan, given.out, builder, done, given.seconds, given.seed, told, report)
    except KeyboardInterrupt:
        say(f"interrupted; what was measured is in {given.out}; --resume continues")
        return 130
    finally:
        log(always=True)
        about: dict[str, Any] = {"device": name, "title": identify(kind).title, "software": software(kind)}
        about |= {"throttled": log.throttled, "clocks": log.readings} | asdict(report)
        given.out.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")
    say(f"{report.rows} rows, {len(report.skipped)} skipped, {report.left} networks left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
