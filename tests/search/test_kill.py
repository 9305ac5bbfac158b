"""`kill -9` at any moment: the resumed run holds, byte for byte but for seconds, what an undisturbed one holds.

The quick tests fork this process, so that a killed run costs milliseconds; the slow one starts real processes on the
network of the demo (`python tests/search/kill_study.py` prints its table).
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from studies import stored, study

from hwsim.core.errors import InputError
from hwsim.search import Progress, Subject, explore, load_subject
from hwsim.search.store import open_store
from hwsim.search.subject import one_thread

pytestmark = pytest.mark.exact


@pytest.fixture(scope="module")
def subject() -> Iterator[Subject]:
    """Warm caches: forked runs begin with everything calibrated. One thread, for threads do not survive a fork."""
    with one_thread():
        yield load_subject(study())


@pytest.fixture(scope="module")
def undisturbed(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, float]:
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    explore(study(), folder, subject=subject)
    return stored(folder), _seconds(lambda: explore(study(), folder.with_name("timed"), subject=subject))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _forked(run: Callable[[], object]) -> int:
    """Start `run` in a child; its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        run()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _signal_of(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


def _kill_at(moment: str, n: int) -> Callable[[Progress], None]:
    """Kill this process at the n-th such moment."""
    seen = 0

    def progress(state: Progress) -> None:
        nonlocal seen
        seen += state.moment == moment
        if state.moment == moment and seen == n:
            os.kill(os.getpid(), signal.SIGKILL)

    return progress


@pytest.mark.parametrize(
    ("moment", "n"),
    [
        ("start", 1),
        ("evaluated", 1),
        ("evaluated", 9),
        ("priced", 1),
        ("priced", 7),
        ("committed", 25),
        ("finish", 1),
    ],
)
def test_killed_between_an_evaluation_and_its_commit(
    undisturbed: tuple[Any, float], subject: Subject, tmp_path: Path, moment: str, n: int
) -> None:
    folder = tmp_path / "run"
    child = _forked(lambda: explore(study(), folder, subject=subject, progress=_kill_at(moment, n)))
    assert _signal_of(child) == signal.SIGKILL
    explore(study(), folder, resume=True, subject=subject)
    assert stored(folder) == undisturbed[0]


def test_killed_ten_times_at_any_time(undisturbed: tuple[Any, float], subject: Subject, tmp_path: Path) -> None:
    """Ten kills at seeded uniform times over the length of a run, each of the run that the last one left."""
    folder, draw = tmp_path / "run", random.Random(0)
    kills = 0
    for _ in range(10):
        child = _forked(lambda: explore(study(), folder, resume=True, subject=subject))
        time.sleep(draw.uniform(0, undisturbed[1]) / 4)
        os.kill(child, signal.SIGKILL)
        kills += _signal_of(child) == signal.SIGKILL
    assert kills >= 3  # once all is done, a resumed run may end before its kill comes
    explore(study(), folder, resume=True, subject=subject)
    assert stored(folder) == undisturbed[0]
    assert {p.name for p in folder.iterdir()} == {"run.toml", "manifest.json", "designs.sqlite"}


def test_killed_in_every_step_of_writing_the_first_files(
    undisturbed: tuple[Any, float], subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill before and after `run.toml` and the manifest appear."""
    import hwsim.search.run_dir as files

    real = Path.replace

    def killed_at(name: str, after: bool) -> Callable[[Path, Path], Path]:
        def replace(self: Path, target: Path) -> Path:
            found = real(self, target) if after or target.name != name else target
            if target.name == name:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return replace

    for name in (files.CONFIG, files.MANIFEST):
        for after in (False, True):
            folder = tmp_path / f"{name}{after}"
            monkeypatch.setattr(Path, "replace", killed_at(name, after))
            child = _forked(partial(explore, study(), folder, subject=subject))
            assert _signal_of(child) == signal.SIGKILL
            monkeypatch.setattr(Path, "replace", real)
            explore(study(), folder, resume=True, subject=subject)
            assert stored(folder) == undisturbed[0]
            assert {p.name for p in folder.iterdir()} == {"run.toml", "manifest.json", "designs.sqlite"}


def test_killed_between_any_two_statements_that_make_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deadly(sqlite3.Connection):
        left = 0

        def execute(self, *args: Any) -> sqlite3.Cursor:
            Deadly.left -= 1
            if Deadly.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().execute(*args)

    def make(path: Path) -> None:
        with open_store(path, create=True):
            pass

    killed = 0
    with monkeypatch.context() as patch:
        patch.setattr("hwsim.search.store.sqlite3.connect", partial(sqlite3.connect, factory=Deadly))
        for n in range(16):
            Deadly.left = n
            killed += _signal_of(_forked(partial(make, tmp_path / f"{n}.sqlite"))) == signal.SIGKILL
    assert 8 <= killed < 16
    for n in range(16):
        make(tmp_path / f"{n}.sqlite")
        with open_store(tmp_path / f"{n}.sqlite") as store:
            assert store.designs() == {}


def test_a_killed_run_frees_its_folder_and_a_living_one_does_not(subject: Subject, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    reader, writer = os.pipe()

    def wait(state: Progress) -> None:
        os.write(writer, b"x")
        time.sleep(60)

    child = _forked(lambda: explore(study(), folder, subject=subject, progress=wait))
    os.read(reader, 1)
    with pytest.raises(InputError, match="another process"):
        explore(study(), folder, resume=True, subject=subject)
    os.kill(child, signal.SIGKILL)
    assert _signal_of(child) == signal.SIGKILL
    assert explore(study(), folder, resume=True, subject=subject).complete


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ten_kills_of_real_processes(tmp_path: Path, workers: int) -> None:
    from kill_study import kill_test

    outcome = kill_test(tmp_path, kills=10, workers=workers, seed=workers)
    assert outcome.designs >= 200
    assert len(outcome.kills) == 10
    assert sum(kill.moment == "evaluated" for kill in outcome.kills) >= 3
    assert sum(kill.moment == "report" for kill in outcome.kills) == 1
    assert outcome.differences == ()
    assert outcome.orphans == ()


@pytest.mark.slow
def test_workers_do_not_matter(undisturbed: tuple[Any, float], tmp_path: Path) -> None:
    explore(study(), tmp_path / "run", workers=2)
    found = stored(tmp_path / "run")
    assert found == undisturbed[0]


@pytest.mark.slow
def test_a_network_that_differs_at_every_load_is_told(tmp_path: Path) -> None:
    from studies import TINY

    with pytest.raises(InputError, match="weights differs from one load to the next"):
        explore(study(model={"spec": f"{TINY}:unseeded"}), tmp_path / "run", workers=2)
