"""The pipeline that fits a part: the fastest one, or the smallest one that is fast enough.

`folding_choice` picks the reuse factors, exactly for prices that do not depend on each other. A layer that multiplies
is priced with the layers behind it that work on its lanes; all others depend on the interval only. FIFO depths are
known when the pipeline has run: the choice starts from FIFOs of two words, and where the real ones do not fit, it is
made again with their price set aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwsim.core.assignment import Assignment
from hwsim.core.devices import Part
from hwsim.core.errors import InfeasibleError, InputError
from hwsim.core.workload import COMPUTE, Layer, Workload
from hwsim.cost_models.bill import Bill, Term, total
from hwsim.cost_models.dataflow import (
    MOST_WORDS,
    Pipeline,
    absorbed,
    build_pipeline,
    fifo_bills,
    follows_lanes,
    input_streams,
    price_layer,
    priced,
)
from hwsim.cost_models.folding_choice import (
    RESOURCES,
    FoldingChoice,
    Resources,
    choose_folding,
    layer_cycles,
    least_folding,
)
from hwsim.cost_models.layers.site import Price, Stream
from hwsim.cost_models.operators.constant import ConstantCounts
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.cost_models.pipeline.assemble import actor_of, assembled
from hwsim.cost_models.pipeline.graph import Actor, Port
from hwsim.cost_models.pipeline.steady import least_interval, own_interval

ROUNDS = 8  # choices with more and more set aside for FIFOs


def fitted_pipeline(
    workload: Workload,
    assignment: Assignment,
    part: Part,
    dsp: DspPolicy,
    constants: Mapping[str, ConstantCounts] | None = None,
    target_ii_cycles: int | None = None,
) -> tuple[Pipeline, tuple[str, ...]]:
    """The fastest pipeline that fits a part, or the smallest one with at most `target_ii_cycles`; and notes.

    Smallest means the least sum of the shares of the part's LUTs, flip-flops, DSPs and block RAMs. Without a target a
    network that fits at no folding gets the one that comes nearest, with a note.

    Raises
    ------
    InputError
        For a target below 1.
    InfeasibleError
        Where nothing that fits meets the target, with the fastest interval that does.
    """
    if target_ii_cycles is not None and target_ii_cycles < 1:
        raise InputError(f"an interval of {target_ii_cycles} cycles", where="target_ii_cycles", hint="at least 1")
    prices = _Prices.of(workload, assignment, part, dsp, constants or {})
    aim, found = target_ii_cycles, None
    for _ in range(ROUNDS):
        try:
            choice = prices.chosen(aim)
        except InfeasibleError as error:
            if target_ii_cycles is not None:
                raise
            return prices.built(prices.least()), (f"not even the smallest design fits {part.name}: {error.hint}",)
        found = prices.built(choice, aim)
        late = found.ii_cycles - (target_ii_cycles or found.ii_cycles)
        if late > 0 and aim is not None:
            aim -= late
        elif not prices.fits_with_fifos(found):
            continue
        else:
            return found, ()
    assert found is not None
    return found, (f"its FIFOs do not fit {part.name} beside it",)


@dataclass(slots=True, eq=False)
class _Prices:
    """What each layer takes, by reuse factor, and all that has none, by interval.

    Attributes
    ----------
    streams : of all tensors; their lanes do not matter to a layer that multiplies.
    behind : by layer that multiplies, those that work on its lanes.
    others : layers that depend on the interval only.
    ports : of the layers, as the pipeline has them.
    fifos : set aside for FIFOs.
    floor : words of the largest input, a cycle each.
    small : whether the pipeline is small enough to simulate each layer.
    margin : LUTs set aside beside the FIFOs.
    """

    workload: Workload
    assignment: Assignment
    part: Part
    dsp: DspPolicy
    constants: Mapping[str, ConstantCounts]
    streams: dict[str, Stream]
    behind: dict[str, list[Layer]]
    others: list[Layer]
    ports: dict[str, tuple[Port, ...]]
    fifos: Bill
    floor: int
    small: bool
    margin: float = 0.0
    known: dict[int, Resources] = field(default_factory=dict)
    options: dict[tuple[str, int], tuple[Resources, int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        workload: Workload,
        assignment: Assignment,
        part: Part,
        dsp: DspPolicy,
        constants: Mapping[str, ConstantCounts],
    ) -> _Prices:
        """Price the network folded as far as it goes, for the streams, which no folding changes but for their lanes."""
        made = priced(workload, assignment, part, dict.fromkeys((x.name for x in workload.compute), 1 << 40), dsp)
        entering = input_streams(workload, assignment)
        streams = entering | {name: price.out for name, price in made.items()}
        behind, others = _by_lanes(workload)
        graph = assembled(workload, made, entering)
        ports = {actor.name: actor.ports for actor in graph.actors if actor.name in made}
        small = sum(actor.words for actor in graph.actors) <= MOST_WORDS
        shallow = total(fifo_bills(workload, graph).values())
        floor = max((stream.words for stream in entering.values()), default=1)
        return cls(workload, assignment, part, dsp, constants, streams, behind, others, ports, shallow, floor, small)

    def chosen(self, interval: int | None) -> FoldingChoice:
        """The exact choice: made with bounds of the layers' cycles from below until those that it takes are met."""
        while True:
            choice = choose_folding(
                self.workload,
                self.part,
                self.group,
                interval_cycles=interval,
                rest=self.rest,
                cycles=self.cycles,
                floor_cycles=self.floor,
            )
            if not self._refined(choice, interval or choice.interval_cycles):
                return choice

    def _refined(self, choice: FoldingChoice, interval: int) -> bool:
        """Find the cycles that the chosen layers really take; whether one of them takes more than an interval."""
        slower = False
        for layer in self.workload.compute:
            key = layer.name, choice.reuse[layer.name]
            actor = self._actor(layer, key[1])
            if actor is not None and self.small:
                resources, bound = self.options[key]
                self.options[key] = resources, own_interval(actor)
                slower |= self.options[key][1] > max(bound, interval)
        return slower

    def least(self) -> FoldingChoice:
        return least_folding(
            self.workload, self.part, self.group, rest=self.rest, cycles=self.cycles, floor_cycles=self.floor
        )

    def built(self, choice: FoldingChoice, interval: int | None = None) -> Pipeline:
        return build_pipeline(
            self.workload,
            self.assignment,
            self.part,
            choice.reuse,
            self.dsp,
            self.constants,
            interval or choice.interval_cycles,
        )

    def fits_with_fifos(self, pipeline: Pipeline) -> bool:
        """Whether a pipeline fits; if not, its FIFOs are set aside for the next choice."""
        made = _resources(total(placed.bill for placed in pipeline.placed))
        fits = all(used <= getattr(self.part, name) for used, name in zip(made, RESOURCES, strict=True))
        if not fits:
            found = total(fifo_bills(self.workload, pipeline.graph).values())
            # prices by layer leave out what neighbours make of each other's lanes: set aside more and more
            self.margin = max(2 * self.margin, made[0] - self.part.lut, 0.005 * self.part.lut)
            self.fifos, self.known = found + Bill((Term("fifo", "fifo", self.margin),)), {}
        return fits

    def group(self, layer: Layer, reuse: int) -> Resources:
        """A layer that multiplies, and those behind it on its lanes."""
        return self._option(layer, reuse)[0]

    def cycles(self, layer: Layer, reuse: int) -> int:
        """Of a layer that multiplies, with what it waits for where its line buffer is too small to read ahead."""
        return self._option(layer, reuse)[1]

    def _option(self, layer: Layer, reuse: int) -> tuple[Resources, int]:
        key = layer.name, reuse
        if key not in self.options:
            actor = self._actor(layer, reuse)
            cycles = least_interval(actor) if actor is not None else layer_cycles(layer, reuse)
            self.options[key] = _resources(total(self._bills(layer, self.behind[layer.name], reuse, 1))), cycles
        return self.options[key]

    def _actor(self, layer: Layer, reuse: int) -> Actor | None:
        """None where only constants feed it."""
        ports = self.ports.get(layer.name)
        return actor_of(layer, self._price(layer, self.streams, reuse, 1), ports) if ports else None

    def rest(self, interval: int) -> Resources:
        """All other layers, and FIFOs."""
        if interval not in self.known:
            bills = [bill for head in self.others for bill in self._bills(head, self.behind[head.name], 1, interval)]
            self.known[interval] = _resources(total([self.fifos, *bills]))
        return self.known[interval]

    def _bills(self, head: Layer, followers: list[Layer], reuse: int, interval: int) -> list[Bill]:
        streams = self.streams.copy()
        bills = []
        for layer in (head, *followers):
            if absorbed(self.workload, layer):
                streams[layer.name] = streams[layer.inputs[0]]
                continue
            made = self._price(layer, streams, reuse, interval)
            streams[layer.name] = made.out
            bills.append(made.bill)
        return bills

    def _price(self, layer: Layer, streams: Mapping[str, Stream], reuse: int, interval: int) -> Price:
        inputs = tuple(streams[name] for name in layer.inputs if name in streams)
        counts = self.constants.get(layer.name) if reuse == 1 else None
        return price_layer(layer, self.assignment, inputs, reuse, self.part, self.dsp, interval, counts)


def _by_lanes(workload: Workload) -> tuple[dict[str, list[Layer]], list[Layer]]:
    """Layers that work on the lanes of another one, by that one; and all others that do not multiply."""
    head: dict[str, Layer] = {}
    behind: dict[str, list[Layer]] = {}
    for layer in workload:
        before = head.get(layer.inputs[0]) if layer.inputs else None
        follows = absorbed(workload, layer) or (layer.kind not in COMPUTE and follows_lanes(layer))
        head[layer.name] = before if follows and before is not None else layer
        if head[layer.name] is layer:
            behind[layer.name] = []
        else:
            behind[head[layer.name].name].append(layer)
    return behind, [workload[name] for name in behind if workload[name].kind not in COMPUTE]


def _resources(bill: Bill) -> tuple[float, ...]:
    return tuple(float(getattr(bill, name)) for name in RESOURCES)
