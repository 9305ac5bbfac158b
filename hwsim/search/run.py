"""`explore`: a configuration in, a run directory out; it may be stopped at any moment and continued."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from hwsim.core.devices import Gpu, Part
from hwsim.core.errors import HwsimError, InputError
from hwsim.search.codec import Failure, Score, workload_to_json
from hwsim.search.plan import CODE_EPOCH, Plan, Target, make_plan, targets_of
from hwsim.search.record import FLOAT, RunRecord, load_run
from hwsim.search.run_dir import CONFIG, STORE, check_config, locked, settle_manifest, versions, write_config
from hwsim.search.settings import StudyConfig
from hwsim.search.store import Store, open_store
from hwsim.search.subject import Subject, load_subject, one_thread
from hwsim.search.work import Outcome, Task, work
from hwsim.search.workers import Engine, check_engine, pooled

Moment = Literal["start", "evaluated", "priced", "committed", "finish"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is.

    Attributes
    ----------
    moment : `start` (planned, nothing done), `evaluated` (the metric of a network is in hand, not yet in the store),
        `priced` (so is a design), `committed` (it is in the store), `finish` (all is).
    done, total : designs; failed ones count as done.
    failed : designs without a result.
    """

    moment: Moment
    done: int
    total: int
    failed: int


class Interrupted(HwsimError):
    """Stopped by the user; the store holds what was done: exit 130."""

    exit_code: ClassVar[int] = 130
    code: ClassVar[str] = "interrupted"


def explore(
    config: StudyConfig,
    run_dir: Path | str,
    *,
    resume: bool = False,
    workers: int | None = None,
    engine: Engine = "local",
    progress: Callable[[Progress], None] | None = None,
    subject: Subject | None = None,
) -> RunRecord:
    """Evaluate every design of a study into a run directory.

    The rows do not depend on workers, on order, or on interruptions, but for their seconds.

    Parameters
    ----------
    resume : continue the run that is in the directory; without one there, begin it. Failed designs are tried again.
    workers : processes, instead of the configuration's.
    progress : called at each moment of `Progress`, in this process.
    subject : network and data in hand, instead of what the configuration names; for one worker.

    Raises
    ------
    InputError
        The directory holds another run, or is in use, or cannot be written; a bad model or data.
    Interrupted
        On Ctrl-C.
    HwsimError
        If no design at all has a result: the first failure, of its own kind.
    """
    folder = Path(run_dir)
    count = config.search.workers if workers is None else workers
    check_engine(engine)
    if count < 1:
        raise InputError(f"{count} workers", where="--workers", hint="allowed: 1 and up")
    if subject is not None and (count > 1 or engine != "local"):
        raise InputError("a network in hand on several workers", where="workers", hint="name it by a MODEL string")
    try:
        with locked(folder):
            check_config(folder, config, resume)
            return _explore(config, folder, count, engine, progress or (lambda _: None), subject)
    except KeyboardInterrupt:
        hint = "continue with --resume; every finished design is kept"
        raise Interrupted("interrupted", where=str(folder), hint=hint) from None


def _explore(
    config: StudyConfig,
    folder: Path,
    workers: int,
    engine: Engine,
    progress: Callable[[Progress], None],
    subject: Subject | None,
) -> RunRecord:
    subject = subject or load_subject(config)
    targets = targets_of(config)
    identity = subject.identity() | {"epoch": CODE_EPOCH, "targets": {t.name: t.digest for t in targets}}
    plan = make_plan(config, identity, targets)
    if not (folder / CONFIG).exists():  # what would fail every design is found before a file is written
        with one_thread():
            subject.calibrated(config.quant.seeds[0])
    write_config(folder, config)
    settle_manifest(folder, _manifest(config, subject, plan, targets, identity))
    with open_store(folder / STORE, create=True) as store:
        ledger = _Ledger(store, plan, progress)
        with one_thread():
            ledger.settle_float(subject)
            tasks = ledger.tasks()
            outcomes: Iterator[Outcome]
            if workers == 1 and engine == "local":
                outcomes = (outcome for task in tasks for outcome in work(subject, config, task))
            else:
                outcomes = pooled(config, subject.identity(), tasks, workers, engine)
            ledger.settle(outcomes)
    record = load_run(folder)
    if not record.designs:
        raise _as_error(record)
    return record


class _Ledger:
    """Who writes to the store: the parent alone, one commit a result."""

    def __init__(self, store: Store, plan: Plan, progress: Callable[[Progress], None]) -> None:
        self._store, self._plan, self._progress = store, plan, progress
        self._known = store.finished() & {id for job in plan.jobs for id in job.ids}
        self._done, self._failed = len(self._known), 0

    def tasks(self) -> list[Task]:
        """What the store lacks."""
        scores = self._store.evaluations()
        found = []
        for job in self._plan.jobs:
            missing = tuple(place for place, id in enumerate(job.ids) if id not in self._known)
            if missing:
                found.append(Task(job, missing, _score(scores.get(job.key))))
        return found

    def settle_float(self, subject: Subject) -> None:
        """The float network's own metric."""
        self._tell("start")
        if FLOAT not in self._store.evaluations():
            start = time.perf_counter()
            score = subject.score()
            self._tell("evaluated")
            self._store.put_evaluation(FLOAT, None, score, time.perf_counter() - start)
            self._tell("committed")

    def settle(self, outcomes: Iterator[Outcome]) -> None:
        """Commit results as they come."""
        for outcome in outcomes:
            self._tell("evaluated" if outcome.place is None else "priced")
            self._commit(outcome)
            self._tell("committed")
        self._tell("finish")

    def _commit(self, outcome: Outcome) -> None:
        job, place, result = outcome.job, outcome.place, outcome.result
        if place is None:
            assert isinstance(result, Score | Failure)
            self._store.put_evaluation(job.key, job, result, outcome.seconds)
            return
        assert not isinstance(result, Score)
        self._store.put_design(job.ids[place], job, job.targets[place], result, outcome.seconds)
        self._done += 1
        self._failed += isinstance(result, Failure)

    def _tell(self, moment: Moment) -> None:
        self._progress(Progress(moment, self._done, self._plan.designs, self._failed))


def _manifest(
    config: StudyConfig, subject: Subject, plan: Plan, targets: tuple[Target, ...], identity: Mapping[str, Any]
) -> dict[str, Any]:
    evaluation = subject.evaluation
    calibration = next(iter(subject.calibration.values()))
    return {
        "identity": identity,
        "versions": versions(),
        "seeds": list(config.quant.seeds),
        "data": {
            "calibration": {"name": calibration.name, "split": calibration.split, "rows": len(calibration)},
            "evaluation": {"name": evaluation.name, "split": evaluation.split, "rows": len(evaluation)},
        },
        "designs": plan.designs,
        "notes": list(plan.notes),
        "parts": [asdict(t.device) for t in targets if isinstance(t.device, Part)],
        "gpus": [asdict(t.device) for t in targets if isinstance(t.device, Gpu)],
        "workload": workload_to_json(subject.network.workload),
    }


def _as_error(record: RunRecord) -> HwsimError:
    """Why a study without a single result has none."""
    name, first = next(iter(record.failures.values()), ("", Failure("internal", "nothing was planned", "", "", 1)))
    kind = next((k for k in HwsimError.__subclasses__() if k.code == first.code), HwsimError)
    where = f"{record.run_dir}: {name}" + (f": {first.where}" if first.where else "")
    what = f"all {len(record.failures)} designs failed, the first with: {first.message}"
    return kind(what, where=where, hint=first.hint)


def _score(payload: str | None) -> Score | None:
    return Score(**json.loads(payload)) if payload else None
