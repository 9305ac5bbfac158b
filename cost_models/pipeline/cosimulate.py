"""A pipeline in Icarus Verilog: the cycle of every event and the data of every word, from the hardware itself."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwsim.cost_models.pipeline.graph import Actor, Graph
from hwsim.cost_models.pipeline.primitives import LIBRARY, MIX
from hwsim.cost_models.pipeline.rtl import verilog
from hwsim.cost_models.pipeline.windows import Words
from hwsim.cost_models.rtl.simulation import icarus


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """What a bench wrote down.

    Attributes
    ----------
    starts, writes, data : by actor; cycles of its starts and writes, and the words it wrote.
    reads : by FIFO.
    """

    starts: Mapping[str, Words]
    writes: Mapping[str, Words]
    data: Mapping[str, Words]
    reads: Mapping[str, Words]


@dataclass(frozen=True, slots=True)
class Run:
    """A pipeline, and how it is fed (see `simulate`)."""

    graph: Graph
    inferences: int = 1
    period: int = 0


def cosimulate(runs: Sequence[Run]) -> list[Log]:
    """Compile all pipelines together, run them in one process, and read their logs.

    Raises
    ------
    MissingToolError
        Without Icarus Verilog.
    """
    compiler = icarus()
    with tempfile.TemporaryDirectory(prefix="hwsim-pipeline-") as name:
        folder = Path(name)
        texts = [LIBRARY]
        texts += [verilog(r.graph, f"run{i}", r.inferences, r.period, f"log{i}.txt") for i, r in enumerate(runs)]
        (folder / "all.v").write_text("\n".join(texts))
        tops = [word for i in range(len(runs)) for word in ("-s", f"run{i}")]
        _run([compiler, "-g2005", "-o", "all.vvp", *tops, "all.v"], folder)
        _run(["vvp", "-n", "all.vvp"], folder)
        return [_log(run.graph, (folder / f"log{i}.txt").read_text()) for i, run in enumerate(runs)]


def _run(command: list[str], folder: Path) -> None:
    """A command that has to succeed: it fails where the Verilog is wrong, which is a defect of the generator."""
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{command[0]}: {ran.stderr[:2000] or ran.stdout[:2000]}")


def _log(graph: Graph, text: str) -> Log:
    found: dict[tuple[str, int], list[list[int]]] = {}
    for line in text.splitlines():
        kind, number, *rest = line.split()
        found.setdefault((kind, int(number)), []).append([int(word) for word in rest])

    def column(kind: str, number: int, place: int = 0) -> Words:
        return np.array([row[place] for row in found.get((kind, number), [])], dtype=np.int64)

    names = [actor.name for actor in graph.actors]
    return Log(
        {name: column("S", i) for i, name in enumerate(names)},
        {name: column("W", i) for i, name in enumerate(names)},
        {name: column("W", i, 1) for i, name in enumerate(names)},
        {edge.name: column("R", i) for i, edge in enumerate(graph.edges)},
    )


def expected_data(graph: Graph, inferences: int) -> dict[str, Words]:
    """The words that each actor writes, from the definition of its ports and not from any schedule."""
    found: dict[str, Words] = {}
    for actor in graph.actors:
        if not actor.ports:
            found[actor.name] = np.arange(1, actor.words * inferences + 1, dtype=np.int64) * MIX % 2**32
            continue
        total = np.ones(actor.words * inferences, dtype=np.int64)
        for index in range(len(actor.ports)):
            source = next(e.source for e in graph.edges if (e.target, e.port) == (actor.name, index))
            total += (2 * index + 1) * _operands(actor, index, found[source].reshape(inferences, -1)) % 2**32
        found[actor.name] = total % 2**32
    return found


def _operands(actor: Actor, index: int, words: Words) -> Words:
    """What a port gives to each output: its word, its one word again, or the sum of a box of words."""
    port = actor.ports[index]
    if port.kind == "direct":
        return words.ravel()
    if port.kind == "held":
        return np.repeat(words[:, 0], actor.words)
    image = words.reshape(len(words), *(axis.size for axis in port.axes))
    for place, axis in enumerate(port.axes, start=1):
        ahead = np.cumsum(np.insert(np.moveaxis(image, place, -1), 0, 0, axis=-1), axis=-1)
        ends, begins = np.array(axis.last) + 1, np.array(axis.first)
        image = np.moveaxis(ahead[..., ends] - ahead[..., begins], -1, place)
    summed: Words = image.ravel() % 2**32
    return summed
