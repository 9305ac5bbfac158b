"""The latest useful time of every write: later, and some inference ends later than in a given schedule."""

from __future__ import annotations

import numpy as np

from hwsim.cost_models.pipeline.relax import Times
from hwsim.cost_models.pipeline.schedule import NOTHING, Reader, Schedule, Stage
from hwsim.cost_models.pipeline.windows import Words

NEVER = np.iinfo(np.int64).max // 4


def latest_writes(schedule: Schedule, times: Times) -> list[Words]:
    """By stage, upper bounds of writes with which inferences may still end as in `times`; only their last output words
    are bound, and FIFOs are not looked at."""
    reads = [NOTHING] * len(schedule.target)
    found = [NOTHING] * len(schedule.stages)
    for index in reversed(range(len(schedule.stages))):
        stage, leaves = schedule.stages[index], schedule.leaves[index]
        writes = np.full(stage.words, NEVER, dtype=np.int64)
        for edge in leaves:
            np.minimum(writes, reads[edge] - schedule.delay[edge], out=writes)
        if not leaves:
            last = slice(stage.actor.words - 1, None, stage.actor.words)
            writes[last] = times.writes[index][last]
        writes = _before(writes, stage.numbers)
        starts = _before(writes - stage.actor.depth - stage.extra, stage.offsets)
        found[index] = writes
        for reader, edge in zip(stage.readers, schedule.feeds[index], strict=True):
            reads[edge] = _latest_reads(reader, stage, starts)
    return found


def _latest_reads(reader: Reader, stage: Stage, starts: Words) -> Words:
    if reader.kind == "direct":
        return starts
    if reader.kind == "held":
        return starts[reader.taker]
    reads = np.full(reader.words, NEVER, dtype=np.int64)
    reads[reader.needed[::-1]] = starts[reader.first :][::-1] - 1  # of the outputs that need a word, the first one last
    return _before(reads, reader.pace)


def _before(times: Words, offsets: Words) -> Words:
    """Times no later than each later one less the cycles between them."""
    return np.minimum.accumulate((times - offsets)[::-1])[::-1] + offsets
