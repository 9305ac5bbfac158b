"""The work on one candidate: quantize, evaluate, price on each target. It knows of no store and no other candidate."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.core.design import DesignPoint
from hwsim.quant.model import QuantizedModel
from hwsim.search.codec import Failure, Score
from hwsim.search.design import Rows, layer_rows, price
from hwsim.search.plan import Job
from hwsim.search.settings import StudyConfig
from hwsim.search.subject import Subject

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """What is left to do of a job.

    Attributes
    ----------
    missing : places of the job's targets that have no design yet.
    score : the evaluation, where an earlier run made it.
    """

    job: Job
    missing: tuple[int, ...]
    score: Score | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result to be stored: of the job's evaluation (`place` None), or of the design on one of its targets."""

    job: Job
    place: int | None
    result: Score | DesignPoint | Failure
    seconds: float


def work(subject: Subject, config: StudyConfig, task: Task) -> Iterator[Outcome]:
    """Outcomes of a task, each as soon as it is there; a failure is an outcome too and ends nothing else."""
    job, start = task.job, time.perf_counter()
    try:
        model, rows, score = _evaluate(subject, config, task)
    except Exception as error:  # whatever goes wrong with one network is told in its row
        failure = _noted(error, job.key)
        if task.score is None:
            yield Outcome(job, None, failure, time.perf_counter() - start)
        for place in task.missing:
            yield Outcome(job, place, failure, 0.0)
        return
    if task.score is None:
        yield Outcome(job, None, score, time.perf_counter() - start)
    for place in task.missing:
        start = time.perf_counter()
        result: DesignPoint | Failure
        try:
            result = price(job.ids[place], job.candidate, score, model, rows, job.targets[place])
        except Exception as error:
            result = _noted(error, job.ids[place])
        yield Outcome(job, place, result, time.perf_counter() - start)


def _noted(error: Exception, key: str) -> Failure:
    """The row of a failure; its traceback goes to the log."""
    _log.debug("%s failed", key, exc_info=error)
    return Failure.of(error)


def _evaluate(subject: Subject, config: StudyConfig, task: Task) -> tuple[QuantizedModel, Rows, Score]:
    candidate = task.job.candidate
    model = subject.quantized(candidate.policy(config), subject.recipes[candidate.recipe], candidate.seed)
    return model, layer_rows(model), task.score or subject.score(model)
