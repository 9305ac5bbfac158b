"""The control of a folded matrix-vector product: which word, which fold, and when a sum begins and ends.

A product with `words` operand words a vector and `folds` groups of outputs takes words x folds cycles a vector: the
words come from the stream for the first fold, are kept, and come from the buffer for all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hwsim.core.errors import InputError
from hwsim.cost_models.rtl.stream import index_bits
from hwsim.cost_models.rtl.unit import Port, Vectors, as_vectors, module


@dataclass(frozen=True, slots=True)
class FoldControl:
    """Counts words and folds, and accompanies each step through the pipeline to the accumulators.

    A step is taken where `advance` is one and, if it is `filling`, a word is there: in the first fold, or always where
    nothing is replayed. `address` numbers the words of all folds. `first` and `add` belong to the step that reaches the
    accumulators, `done` follows them where that step was the last of its fold, and `fold` numbers the fold one stage
    earlier, in time to read biases.

    Attributes
    ----------
    words, folds : operand words a vector, and groups of outputs; not both one.
    stages : registers between a step and the input of the accumulators, at least two.
    replay : whether the words of the first fold serve all folds.
    """

    family: ClassVar[str] = "fold_control"
    words: int
    folds: int
    stages: int
    replay: bool = True

    def __post_init__(self) -> None:
        if self.words * self.folds < 2 or self.stages < 2:
            raise InputError(
                f"{self.words} words, {self.folds} folds, {self.stages} stages",
                where="fold_control",
                hint="more than one step a vector and at least two stages",
            )

    @property
    def name(self) -> str:
        return f"fold_control_{self.words}x{self.folds}_stages{self.stages}{'' if self.replay else '_fresh'}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return Port("in_valid", 1), Port("advance", 1)

    @property
    def outputs(self) -> tuple[Port, ...]:
        word = (Port("word", index_bits(self.words)),) if self.words > 1 and self.folds > 1 else ()
        fold = (Port("fold", index_bits(self.folds)),) if self.folds > 1 else ()
        first = (Port("first", 1),) if self.words > 1 else ()
        address = Port("address", index_bits(self.words * self.folds))
        return Port("filling", 1), *word, address, Port("add", 1), *first, Port("done", 1), *fold

    def verilog(self) -> str:
        both = self.words > 1 and self.folds > 1
        steps = self.words * self.folds
        lines = [
            f"  reg [{index_bits(steps) - 1}:0] at;",
            f"  reg [{self.stages - 1}:0] valids;",
            "  reg ended;",
            "  initial begin at = 0; valids = 0; ended = 0; end",
            "  assign address = at;",
            "  wire step = advance & (in_valid | !filling);",
            f"  assign add = valids[{self.stages - 1}];",
            "  assign done = ended;",
            f"  always @(posedge clk) if (step) at <= at == {steps - 1} ? 0 : at + 1;",
            f"  always @(posedge clk) if (advance) valids <= {{valids[{self.stages - 2}:0], step}};",
            f"  always @(posedge clk) if (advance) ended <= {'lasts' if self.words > 1 else 'valids'}"
            f"[{self.stages - 1}]{' & add' if self.words > 1 else ''};",
        ]
        if both:
            lines += [
                f"  reg [{index_bits(self.words) - 1}:0] word_at;",
                "  initial word_at = 0;",
                "  assign word = word_at;",
                "  wire last_word = word == " + f"{self.words - 1};",
                "  always @(posedge clk) if (step) word_at <= last_word ? 0 : word_at + 1;",
            ]
        elif self.words > 1:
            lines += [f"  wire last_word = at == {self.words - 1};"]
        if self.words > 1:
            start = "word_at == 0" if both else "at == 0"
            lines += self._delayed("firsts", start) + self._delayed("lasts", "last_word")
            lines += [f"  assign first = firsts[{self.stages - 1}];"]
        lines += self._folds(both)
        return module(self, "\n".join(lines))

    def _delayed(self, name: str, source: str) -> list[str]:
        return [
            f"  reg [{self.stages - 1}:0] {name};",
            f"  initial {name} = 0;",
            f"  always @(posedge clk) if (advance) {name} <= {{{name}[{self.stages - 2}:0], {source}}};",
        ]

    def _folds(self, both: bool) -> list[str]:
        """The fold of a step, and of the step that is one stage before the accumulators."""
        one = "1'b1"
        if self.folds == 1:
            return [f"  assign filling = {one};"]
        top = index_bits(self.folds) - 1
        lines = []
        if both:
            lines += [
                f"  reg [{top}:0] fold_at;",
                "  initial fold_at = 0;",
                "  always @(posedge clk) if (step & last_word)",
                f"    fold_at <= fold_at == {self.folds - 1} ? 0 : fold_at + 1;",
            ]
        else:
            lines += [f"  wire [{top}:0] fold_at = at;"]
        lines += [f"  assign filling = {'fold_at == 0' if self.replay else one};"]
        before = "fold_at"
        for stage in range(self.stages - 1):
            lines += [
                f"  reg [{top}:0] fold{stage};",
                f"  initial fold{stage} = 0;",
                f"  always @(posedge clk) if (advance) fold{stage} <= {before};",
            ]
            before = f"fold{stage}"
        return [*lines, f"  assign fold = {before};"]

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        at, ended = 0, 0
        line = [(0, 0, 0, 0)] * self.stages  # valid, first, last, fold of each stage
        rows = []
        for in_valid, advance in zip(inputs["in_valid"], inputs["advance"], strict=True):
            fold, word = divmod(at, self.words)
            if advance:
                step = int((self.replay and fold > 0) or bool(in_valid))
                valid, _, last, _ = line[-1]
                ended = valid & last
                line = [(step, int(word == 0), int(word == self.words - 1), fold), *line[:-1]]
                at = (at + step) % (self.words * self.folds)
            fold, word = divmod(at, self.words)
            valid, first, _, _ = line[-1]
            filling = int(fold == 0 or not self.replay)
            shown = {"filling": filling, "word": word, "address": at, "add": valid, "first": first}
            rows.append(shown | {"done": ended, "fold": line[-2][3]})
        return {port.name: as_vectors(port, [row[port.name] for row in rows]) for port in self.outputs}
