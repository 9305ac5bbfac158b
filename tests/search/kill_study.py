"""Ten kills of a study of 243 designs, in real processes: `python tests/search/kill_study.py`.

What is left after the last resume is compared with an undisturbed run. The moments are spread uniformly over the run.
Four are between an evaluation and its commit and the last is between two files of the report, where the process kills
itself; at the others this program kills it from outside, some random milliseconds after it passed the moment.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = """
[model]
spec = "zoo:digits_resnet"
[formats]
weights = "3..5"
acts = "3..5"
[fpga]
parts = ["zynq7020", "zu3eg"]
[gpu]
devices = ["v100"]
"""
DESIGNS = 9 * 9 * 3
SELF_KILLS = 4
MODULES = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Kill:
    """One kill: at which moment, and how many designs were stored before and at it."""

    moment: str
    begun_at: int
    killed_at: int
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What the kills left: `differences` names every file or column that differs from the undisturbed run."""

    designs: int
    kills: tuple[Kill, ...]
    differences: tuple[str, ...]
    orphans: tuple[int, ...]
    undisturbed_seconds: float


def kill_test(folder: Path, kills: int = 10, workers: int = 1, seed: int = 0) -> Outcome:
    """Run the study undisturbed and under kills, and compare."""
    config = folder / "study.toml"
    config.write_text(CONFIG)
    draw = random.Random(seed)
    start = time.perf_counter()
    _finish(_start(config, folder / "undisturbed", workers))
    seconds = time.perf_counter() - start
    places = [*sorted(draw.sample(range(1, DESIGNS - workers * 3), kills - 1)), DESIGNS]
    inside = set(draw.sample(range(kills - 1), min(SELF_KILLS, kills - 1)))
    made: list[Kill] = []
    children: set[int] = set()
    for number, place in enumerate(places):
        moment = "report" if place == DESIGNS else "evaluated" if number in inside else "any"
        begun = _stored(folder / "killed")
        start = time.perf_counter()
        process = _start(config, folder / "killed", workers, moment, place)
        children |= _run_until_killed(process, moment, place, draw)
        made.append(Kill(moment, begun, _stored(folder / "killed"), time.perf_counter() - start))
    _finish(_start(config, folder / "killed", workers))
    time.sleep(2)
    orphans = tuple(sorted(pid for pid in children if _alive(pid)))
    found = differences(contents(folder / "undisturbed"), contents(folder / "killed"))
    return Outcome(_stored(folder / "killed"), tuple(made), found, orphans, seconds)


def contents(run_dir: Path) -> dict[str, Any]:
    """Files and columns of a run that must not depend on how it went."""
    from studies import stored

    tables = {name: (run_dir / name).read_bytes() for name in ("designs.csv", "front.json")}
    names = {p.name for p in run_dir.rglob("*")}
    return stored(run_dir) | tables | {"files": names}


def differences(a: dict[str, Any], b: dict[str, Any]) -> tuple[str, ...]:
    """Names of what is in one and not, or not so, in the other."""
    return tuple(name for name in {**a, **b} if a.get(name) != b.get(name))


def _start(config: Path, run_dir: Path, workers: int, moment: str = "any", place: int = 0) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, "child", str(config), str(run_dir), str(workers), moment, str(place)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, bufsize=1)


def _finish(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0, f"exit code {process.returncode}"


def _run_until_killed(process: subprocess.Popen[str], moment: str, place: int, draw: random.Random) -> set[int]:
    """Kill it once it has stored `place` designs, or wait until it does so itself; the processes it had started."""
    assert process.stdout is not None
    children: set[int] = set()
    for line in process.stdout:
        children |= _children(process.pid)
        if moment == "any" and int(line) >= place:
            time.sleep(draw.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"exit code {process.returncode}"
    return children


def _children(pid: int) -> set[int]:
    try:
        return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _stored(run_dir: Path) -> int:
    import sqlite3

    path = run_dir / "designs.sqlite"
    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM designs").fetchone()[0])
    finally:
        connection.close()


def _child(config: str, run_dir: str, workers: str, kill_moment: str, kill_place: str) -> None:
    from hwsim.search import Progress
    from hwsim.study import run_study

    def progress(state: Progress) -> None:
        if state.moment == kill_moment == "evaluated" and state.done >= int(kill_place):
            os.kill(os.getpid(), signal.SIGKILL)
        if state.moment in ("start", "committed"):
            print(state.done, flush=True)

    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if kill_moment == "report" and target.name == "front.json":  # designs.csv is there, the page is not
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, target)

    Path.replace = replace  # type: ignore[assignment,method-assign]
    run_study(config, Path(run_dir), resume=True, workers=int(workers), progress=progress)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_test(Path(folder), options.kills, options.workers, options.seed)
    print(f"undisturbed: {outcome.designs} designs in {outcome.undisturbed_seconds:.1f} s, {options.workers} worker(s)")
    print(f"{'kill':>4}  {'moment':<10} {'designs before':>14} {'designs at it':>13} {'seconds':>7}")
    for number, kill in enumerate(outcome.kills, start=1):
        print(f"{number:>4}  {kill.moment:<10} {kill.begun_at:>14} {kill.killed_at:>13} {kill.seconds:>7.1f}")
    print(f"differences after the last resume: {', '.join(outcome.differences) or 'none'}")
    print(f"processes left behind: {len(outcome.orphans)}")
    sys.exit(bool(outcome.differences or outcome.orphans))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        _child(*sys.argv[2:])
    else:
        sys.path.insert(0, str(MODULES))
        main()
