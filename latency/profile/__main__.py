"""`python -m hwsim.latency.profile POINTS.csv OUT.csv`: time a list of kernels; numpy and torch are enough.

POINTS.csv is a table of measurements, or of points: the columns `batch` and those of `KernelShape`, and `operator` and
`name` if wanted. Beside OUT.csv a `.json` of the same name tells the machine, its clocks and what was skipped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hwsim.core.errors import HwsimError, InputError
from hwsim.latency import measurements
from hwsim.latency.profile.clocks import ClockLog
from hwsim.latency.profile.identity import identify, software
from hwsim.latency.profile.measure import Outcome, Setting, keys, plan, record
from hwsim.latency.profile.point import read_points
from hwsim.latency.profile.progress import PointProgress


def main(words: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code, as `hwsim` does."""
    parser = argparse.ArgumentParser(prog="python -m hwsim.latency.profile", description="Time a list of kernels.")
    parser.add_argument("points", type=Path, metavar="POINTS.csv")
    parser.add_argument("out", type=Path, metavar="OUT.csv")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu [auto]")
    parser.add_argument("--precision", default="fp32", help="of fp32, tf32, fp16, bf16, joined by commas [fp32]")
    parser.add_argument("--layout", default="nchw", help="of nchw, nhwc, joined by commas [nchw]")
    parser.add_argument("--seconds", type=float, help="no point is begun later [until all are done]")
    parser.add_argument("--budget-ms", type=float, default=6.0, help="of measuring a point [6]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a CPU [torch's]")
    parser.add_argument("--no-autotune", action="store_true", help="cuDNN's heuristics instead of trials")
    parser.add_argument("--seed", type=int, default=0, help="of the order [0]")
    parser.add_argument("--resume", action="store_true", help="continue OUT.csv")
    given = parser.parse_args(words)
    try:
        return _run(given)
    except HwsimError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def _run(given: argparse.Namespace) -> int:
    points = read_points(given.points)
    kind = given.device if given.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    name = identify(kind).name if kind == "cpu" or torch.cuda.is_available() else "none"
    settings = [
        Setting(kind, name, precision, layout, given.budget_ms, not given.no_autotune, given.threads)
        for precision in given.precision.split(",")
        for layout in given.layout.split(",")
    ]
    rows = []
    if given.out.exists():
        if not given.resume:
            raise InputError("the file exists", where=str(given.out), hint="--resume continues it")
        rows = measurements.read(given.out)
    log, start, outcome = ClockLog(kind), time.perf_counter(), Outcome()
    log(always=True)
    try:
        todo = plan(points, settings, keys(rows), given.seed)
        outcome = record(todo, given.out, given.seconds, PointProgress(log, given.seconds))
    except KeyboardInterrupt:
        sys.stderr.write(f"profile: interrupted; what was measured is in {given.out}; --resume continues\n")
        return 130
    finally:
        log(always=True)
        about: dict[str, Any] = {"device": name, "title": identify(kind).title, "software": software(kind)}
        about |= {"seconds": round(time.perf_counter() - start, 1), "rows": outcome.rows, "left": outcome.left}
        about |= {"stopped": outcome.stopped, "throttled": log.throttled, "clocks": log.readings}
        given.out.with_suffix(".json").write_text(json.dumps(about | {"skipped": outcome.skipped}, indent=1) + "\n")
    sys.stderr.write(f"profile: {outcome.rows} rows, {len(outcome.skipped)} skipped, {outcome.left} left\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
