"""Tasks on several processes: joblib on one machine, Dask on many. Each process loads and calibrates for itself."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from hwsim.core.errors import HwsimError, InputError, MissingToolError
from hwsim.search.run_dir import first_difference
from hwsim.search.settings import StudyConfig
from hwsim.search.subject import Subject, load_subject, one_thread
from hwsim.search.work import Outcome, Task, work

Engine = Literal["local", "dask"]
_WATCH_SECONDS = 0.5
_loaded: tuple[Mapping[str, Any], Subject] | None = None
_settled = False


def check_engine(engine: str) -> None:
    """Refuse an engine that is unknown or not installed, before any work."""
    if engine not in ("local", "dask"):
        raise InputError(f"no engine {engine!r}", where="--engine", hint="allowed: local, dask")
    if engine == "dask":
        try:
            import distributed  # noqa: F401
        except ImportError:
            hint = "pip install 'hwsim[dask]', or leave --engine out"
            raise MissingToolError("Dask is not installed", where="--engine dask", hint=hint) from None


def pooled(
    config: StudyConfig, identity: Mapping[str, Any], tasks: Iterable[Task], workers: int, engine: Engine
) -> Iterator[Outcome]:
    """Outcomes of all tasks, in the order in which processes finish them.

    Under `dask` the tasks go to the scheduler at `DASK_SCHEDULER_ADDRESS`, or to a cluster on this machine.

    Raises
    ------
    HwsimError
        A process died; what is stored stays.
    """
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # joblib warns of the tasks in flight when a study is interrupted: that they are lost is said, and expected
    warnings.filterwarnings("ignore", message=r"\d+ tasks (have been|which were)", category=UserWarning)
    with _cluster(workers, engine), joblib.parallel_config(backend="dask" if engine == "dask" else "loky"):
        pool = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2 * n_jobs")
        try:
            parent = os.getpid() if engine == "local" else None
            for outcomes in pool(joblib.delayed(_work_remotely)(config, identity, task, parent) for task in tasks):
                yield from outcomes
        except TerminatedWorkerError as error:
            hint = "it may have run out of memory: take fewer workers and continue with --resume"
            raise HwsimError("a worker process died", where="workers", hint=hint) from error


def _work_remotely(config: StudyConfig, identity: Mapping[str, Any], task: Task, parent: int | None) -> list[Outcome]:
    _settle_in(parent)
    with one_thread():
        return list(work(_subject(config, identity), config, task))


def _subject(config: StudyConfig, identity: Mapping[str, Any]) -> Subject:
    """This process's own network, data and calibrations, loaded once a study."""
    global _loaded
    if _loaded is None or _loaded[0] != identity:
        subject = load_subject(config)
        key, _, _ = first_difference(identity, subject.identity())
        if key:
            hint = "a model or data factory must return the same on every call: seed it, or take workers = 1"
            raise InputError(f"{key} differs from one load to the next", where=config.model.spec, hint=hint)
        _loaded = (identity, subject)
    return _loaded[1]


def _settle_in(parent: int | None) -> None:
    """On a worker's first task: leave Ctrl-C to the parent, and end with it, for nobody else would end an orphan."""
    global _settled
    if _settled or parent is None:
        return
    _settled = True
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _cluster(workers: int, engine: Engine) -> AbstractContextManager[Any]:
    if engine != "dask":
        return nullcontext()
    from distributed import Client

    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    client: AbstractContextManager[Any]
    client = Client(address) if address else Client(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    return client
