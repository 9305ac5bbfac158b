"""Stream units one behind the other, as one unit."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.stream import StreamModel, StreamUnit, respond_stream, stream_inputs, stream_outputs
from hwsim.cost_models.rtl.structure import counted, instance, structural
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors


@dataclass(frozen=True, slots=True)
class StreamChain:
    """The stream of each unit goes to the next one.

    Ports beyond the stream keep their names behind `stage{i}_`.

    Attributes
    ----------
    label : what the chain is, in names.
    """

    family: ClassVar[str] = "chain"
    label: str
    stages: tuple[StreamUnit, ...]

    def __post_init__(self) -> None:
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            if before.out_bits != after.in_bits:
                raise InputError(
                    f"{before.name} gives words of {before.out_bits} bits, {after.name} takes {after.in_bits}",
                    where=f"chain {self.label}",
                    hint="put a narrower or a widener between them",
                )

    @property
    def name(self) -> str:
        stages = " ".join(stage.name for stage in self.stages)
        return f"{self.label}_{zlib.crc32(stages.encode()):08x}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def in_bits(self) -> int:
        return self.stages[0].in_bits

    @property
    def out_bits(self) -> int:
        return self.stages[-1].out_bits

    @property
    def side_inputs(self) -> tuple[Port, ...]:
        return tuple(
            Port(f"stage{i}_{port.name}", port.bits, port.signed)
            for i, stage in enumerate(self.stages)
            for port in stage.side_inputs
        )

    @property
    def inputs(self) -> tuple[Port, ...]:
        return stream_inputs(self)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return stream_outputs(self)

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        return counted(part for stage in self.stages for part in stage.parts())

    def verilog(self) -> str:
        lines = []
        last = len(self.stages) - 1
        for i, stage in enumerate(self.stages):
            before, after = f"to{i}", f"to{i + 1}"
            lines.append(f"  wire [{stage.in_bits - 1}:0] {before}_data;\n  wire {before}_valid, {before}_ready;")
            wires = {"in_data": f"{before}_data", "in_valid": f"{before}_valid", "in_ready": f"{before}_ready"}
            wires |= {"out_data": f"{after}_data", "out_valid": f"{after}_valid", "out_ready": f"{after}_ready"}
            wires |= {port.name: f"stage{i}_{port.name}" for port in stage.side_inputs}
            lines.append("  " + instance(stage, f"stage{i}", wires))
        end = f"to{last + 1}"
        lines.append(f"  wire [{self.out_bits - 1}:0] {end}_data;\n  wire {end}_valid, {end}_ready;")
        lines.append("  assign to0_data = in_data;\n  assign to0_valid = in_valid;\n  assign in_ready = to0_ready;")
        lines.append(f"  assign out_data = {end}_data;\n  assign out_valid = {end}_valid;")
        lines.append(f"  assign {end}_ready = out_ready;")
        wires_first = sorted(lines, key=lambda line: not line.startswith("  wire"))
        return structural(self, "\n".join(wires_first), self.stages)

    def model(self) -> StreamModel:
        return _ChainModel(self)

    def process(self, words: Sequence[int]) -> list[int]:
        found = list(words)
        for stage in self.stages:
            found = stage.process(found)
        return found

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        return respond_stream(self, inputs)


class _ChainModel:
    def __init__(self, unit: StreamChain) -> None:
        self.models = [stage.model() for stage in unit.stages]
        self.sides = [[port.name for port in stage.side_inputs] for stage in unit.stages]

    def front(self) -> tuple[int, int]:
        return self.models[-1].front()

    def ready(self, out_ready: int) -> int:
        return self._ready(out_ready)[0]

    def _ready(self, out_ready: int) -> list[int]:
        """`in_ready` of every stage, and behind them `out_ready`."""
        found = [out_ready]
        for model in reversed(self.models):
            found.append(model.ready(found[-1]))
        return found[::-1]

    def clock(self, in_valid: int, in_data: int, out_ready: int, side: Mapping[str, int]) -> None:
        ready = self._ready(out_ready)
        given = [(in_valid, in_data), *(model.front() for model in self.models)]
        for i, (model, names) in enumerate(zip(self.models, self.sides, strict=True)):
            own = {name: side[f"stage{i}_{name}"] for name in names}
            model.clock(*given[i], ready[i + 1], own)
