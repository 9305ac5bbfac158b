"""Walking through a network block by block with the whole calibration set: what enters each block, quantized and float.

Only the tensors that cross a cut are kept, under one bound of memory; a block that is done is run once with what it has
become, so each next block sees what the quantized network will really give it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from torch.fx import Node

from hwsim.quant.blocks import Block, Granularity, find_blocks
from hwsim.quant.draft import Draft, DraftWeight
from hwsim.quant.segment import Segment, Skeleton
from hwsim.quant.settings import check_ranges
from hwsim.quant.store import Arena, Store

MEMORY_MB = 2048.0


@dataclass(frozen=True, slots=True)
class LayerByLayer:
    """Settings of steps that go through a network layer by layer.

    Attributes
    ----------
    rows : calibration rows used at most.
    batch : rows of a forward pass.
    memory_mb : bound of the tensors kept between layers.
    """

    rows: int = 1024
    batch: int = 64
    memory_mb: float = MEMORY_MB

    def __post_init__(self) -> None:
        check_ranges(
            "layer by layer",
            rows=(self.rows, 1, inf),
            batch=(self.batch, 1, inf),
            memory_mb=(self.memory_mb, 0.0, inf),
        )


class Stage:
    """One block of a walk.

    Attributes
    ----------
    walk, block : of which network, and what.
    outputs : nodes of the block whose values leave it.
    """

    def __init__(self, walk: Walk, block: Block, position: int) -> None:
        self.walk, self.block, self.position = walk, block, position
        inside = set(block.nodes)
        self.outputs = tuple(node for node in walk.skeleton.live_after(position) if node in inside)

    def segment(self, outputs: Sequence[Node] | None = None, **options: object) -> Segment:
        """The block, or what leads to some of its nodes; options as for `Skeleton.segment`."""
        wanted = self.outputs if outputs is None else tuple(outputs)
        return self.walk.skeleton.segment(self.block.nodes, wanted, **options)  # type: ignore[arg-type]

    def float_outputs(self) -> dict[Node, Store]:
        """What the float network gives, for the whole set; kept until the walk leaves the block."""
        if not self.walk.float_ready:
            self.walk.run_float(self)
        return {node: self.walk.floats[node] for node in self.outputs}


class Walk:
    """A pass through a draft.

    Parameters
    ----------
    x : calibration rows; a last part that does not fill a batch is left out (fewer rows than a batch are one batch).
    batch : rows of a batch.
    follow_float : carry the float network's values along.
    """

    def __init__(
        self,
        draft: Draft,
        x: Tensor,
        *,
        batch: int = 32,
        granularity: Granularity = "block",
        globs: Sequence[str] = (),
        follow_float: bool = True,
        memory_mb: float = MEMORY_MB,
    ) -> None:
        self.draft = draft
        self.batch = draft.network.fixed_batch or min(batch, len(x))
        self.batches = len(x) // self.batch
        self.skeleton = Skeleton(draft, x[: self.batch])
        kinds = {layer.name: layer.kind for layer in draft.network.workload}
        self.blocks = find_blocks(self.skeleton.nodes, kinds, granularity, globs, shapes=self.skeleton.shapes)
        self.arena = Arena(memory_mb)
        source = self.arena.new(self.batches, x[: self.batch])
        source.data.copy_(x[: self.batches * self.batch].view_as(source.data))
        self.quantized: dict[Node, Store] = {self.skeleton.source: source}
        self.floats: dict[Node, Store] = {}
        self.follow_float = follow_float
        self.float_ready = False
        if follow_float:
            source.readers += 1
            self.floats[self.skeleton.source] = source

    def __iter__(self) -> Iterator[Stage]:
        """The blocks in order; each is run with what it has become when the next is asked for."""
        position = -1
        try:
            for block in self.blocks:
                position += len(block.nodes)
                stage = Stage(self, block, position)
                yield stage
                self._advance(stage)
        finally:
            self.arena.close()

    def run_float(self, stage: Stage) -> None:
        """The float values that leave a block."""
        segment = stage.segment(floating=True)
        for node, store in self.run(segment, self.floats).items():
            self.floats[node] = store
        self.float_ready = True

    def _advance(self, stage: Stage) -> None:
        alive = set(self.skeleton.live_after(stage.position))
        if self.follow_float and not self.float_ready:
            self.run_float(stage)
        self.quantized |= self.run(stage.segment(), self.quantized)
        for stores in (self.quantized, self.floats):
            for node in [node for node in stores if node not in alive]:
                stores.pop(node).release()
        self.float_ready = False

    def run(self, segment: Segment, values: Mapping[Node, Store]) -> dict[Node, Store]:
        """What a stretch of the graph gives for the whole set; the caller releases it."""
        made: dict[Node, Store] = {}
        with torch.no_grad():
            for index in range(self.batches):
                results = segment(*(values[node].batch(index) for node in segment.inputs))
                for node, result in zip(segment.outputs, results, strict=True):
                    if node not in made:
                        made[node] = self.arena.new(self.batches, result)
                    made[node].data[index].copy_(result)
        return made


def each_layer(
    draft: Draft, settings: LayerByLayer, what: str, *, follow_float: bool
) -> Iterator[tuple[Stage, DraftWeight]]:
    """The layers with a quantized weight in order of execution, each with the stage of a walk that it stands in."""
    walk = Walk(
        draft,
        draft.calibration.x[: settings.rows],
        batch=settings.batch,
        granularity="layer",
        follow_float=follow_float,
        memory_mb=settings.memory_mb,
    )
    for index, stage in enumerate(walk):
        for name in stage.block.layers:
            if name in draft.weights:
                draft.say(f"{what} {name}", index, len(walk.blocks))
                yield stage, draft.weights[name]
    draft.say(what, len(walk.blocks), len(walk.blocks))
