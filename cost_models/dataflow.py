"""The dataflow architecture: every layer has hardware of its own and passes words to the next through FIFOs.

Layers that multiply are as parallel as their reuse says. All others, which read their words from a FIFO, have just
the lanes that keep up with the interval; what is fused behind an array has a lane a processing element. Time is that
of the event simulation in `pipeline`: the interval of the slowest layer, the latency, and FIFOs of the least depth with
which neither grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from hwsim.core.assignment import Assignment, LayerFormats
from hwsim.core.codes import WeightCodes
from hwsim.core.devices import Part
from hwsim.core.errors import InputError, UnsupportedError
from hwsim.core.formats import Native, Power
from hwsim.core.workload import COMPUTE, Layer, Shape, Workload
from hwsim.cost_models.bill import Bill
from hwsim.cost_models.folding_choice import layer_cycles
from hwsim.cost_models.layers.dispatch import folded, price
from hwsim.cost_models.layers.pointwise import CLIPS
from hwsim.cost_models.layers.site import Price, Site, Stream
from hwsim.cost_models.memory import fifo
from hwsim.cost_models.operators.constant import ConstantCounts, counts_of_codes
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.cost_models.pipeline.assemble import OUTPUT, assembled
from hwsim.cost_models.pipeline.depths import USUAL_DEPTH, least_depths, minimal_depths
from hwsim.cost_models.pipeline.graph import Graph
from hwsim.cost_models.pipeline.simulate import simulate
from hwsim.cost_models.pipeline.steady import least_interval, unbounded_interval

NO_FORMATS = LayerFormats(None, ())
MOST_WORDS = 1_000_000  # an inference, over all layers, up to which FIFO depths are searched for and proven


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer of the design: its price, with the FIFOs in front of it."""

    layer: Layer
    price: Price
    bill: Bill


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A dataflow design.

    Attributes
    ----------
    graph : its actors and FIFOs, with their depths.
    latency_cycles : from the first word in to the last word out of one inference.
    ii_cycles : from inference to inference.
    proven : whether FIFO depths are those that do without stalls for ever, not bounds of them from below.
    """

    placed: tuple[Placed, ...]
    graph: Graph
    latency_cycles: int
    ii_cycles: int
    proven: bool = True


def build_pipeline(
    workload: Workload,
    assignment: Assignment,
    part: Part,
    reuse: Mapping[str, int],
    dsp: DspPolicy,
    constants: Mapping[str, ConstantCounts] | None = None,
    interval: int | None = None,
) -> Pipeline:
    """Price every layer in order and run the words of an inference through the network.

    Parameters
    ----------
    reuse : cycles a position of each layer that multiplies.
    constants : what the weights of fully parallel layers ask for, by layer (see `constants_of`); a mean without.
    interval : cycles of an inference that other layers have to keep up with; those of the slowest one by default.
    """
    made = priced(workload, assignment, part, reuse, dsp, constants, interval)
    streams = input_streams(workload, assignment)
    graph = assembled(workload, made, streams, None)
    channels = {name: price.out.channels for name, price in made.items()} | {n: s.channels for n, s in streams.items()}
    plain = replace(graph, edges=tuple(replace(edge, word_bits=channels[edge.source]) for edge in graph.edges))
    depths, latency, slowest, proven = run_words(plain)
    graph = graph.with_depths(depths)
    fifos = fifo_bills(workload, graph)
    placed = (Placed(layer, made[layer.name], made[layer.name].bill + fifos[layer.name]) for layer in workload)
    return Pipeline(tuple(placed), graph, latency, slowest, proven)


def priced(
    workload: Workload,
    assignment: Assignment,
    part: Part,
    reuse: Mapping[str, int],
    dsp: DspPolicy,
    constants: Mapping[str, ConstantCounts] | None = None,
    interval: int | None = None,
) -> dict[str, Price]:
    """The price of every layer by name, without the FIFOs in front of it; parameters as for `build_pipeline`."""
    streams = input_streams(workload, assignment)
    interval = interval or slowest_interval(workload, streams.values(), reuse)
    prices: dict[str, Price] = {}
    for layer in workload:
        inputs = tuple(streams[name] for name in layer.inputs if name in streams)
        if absorbed(workload, layer):
            made = folded(inputs[0])
        else:
            factor = reuse.get(layer.name, 1)
            counts = constants.get(layer.name) if constants and factor == 1 else None
            made = price_layer(layer, assignment, inputs, factor, part, dsp, interval, counts)
        prices[layer.name], streams[layer.name] = made, made.out
    return prices


def absorbed(workload: Workload, layer: Layer) -> bool:
    """Batch norm behind a convolution or linear layer, whose weights it scales."""
    return layer.op == "batch_norm" and any(
        before.name == layer.inputs[0] and before.kind in ("conv", "linear") for before in workload
    )


def follows_lanes(layer: Layer) -> bool:
    """Whether a layer that does not multiply works on the lanes that it is given, not on those that the interval asks
    for."""
    return (layer.kind == "reshape" and layer.op != "upsample_bilinear2d") or layer.op in CLIPS


def price_layer(
    layer: Layer,
    assignment: Assignment,
    inputs: tuple[Stream, ...],
    reuse: int,
    part: Part,
    dsp: DspPolicy,
    interval: int,
    counts: ConstantCounts | None = None,
) -> Price:
    """One layer, at a reuse factor if it multiplies, else with the lanes that keep up with an interval."""
    formats = formats_of(layer, assignment)
    edge = None if layer.value_preserving else assignment.edges.get(layer.name)
    if layer.kind not in COMPUTE and not follows_lanes(layer):
        inputs = _paced(layer, inputs, interval)
    return price(Site(layer, formats.weight, formats.acts, inputs, edge, reuse, dsp, part.dsp_type, counts))


def _paced(layer: Layer, inputs: tuple[Stream, ...], interval: int) -> tuple[Stream, ...]:
    """Inputs with the lanes that keep up; more of them where a layer writes more than it reads."""
    widest = max((stream.words * stream.channels for stream in inputs), default=1)
    if layer.kind != "concat" and layer.out_elements > widest:
        interval = max(1, interval * widest // layer.out_elements)
    return tuple(stream.paced(interval) for stream in inputs)


def fifo_bills(workload: Workload, graph: Graph) -> dict[str, Bill]:
    """FIFOs by layer: those in front of it, and the one behind an output."""
    bills = {layer.name: Bill() for layer in workload}
    for edge in graph.edges:
        owner = edge.target if edge.target in bills else edge.target.removesuffix(OUTPUT)
        if owner in bills:
            bills[owner] += fifo(edge.word_bits, edge.depth or USUAL_DEPTH)
    return bills


@lru_cache(maxsize=1024)
def run_words(graph: Graph) -> tuple[dict[str, int | None], int, int, bool]:
    """FIFO depths by name, latency and interval in cycles, and whether the depths are proven. With the least depths
    that do not slow a pipeline down, latency and interval are those of FIFOs without bounds."""
    if not graph.edges:  # nothing but constants
        return {}, 0, 1, True
    small = sum(actor.words for actor in graph.actors) <= MOST_WORDS
    made = minimal_depths(graph, least=USUAL_DEPTH) if small else least_depths(graph, least=USUAL_DEPTH)
    slowest = unbounded_interval(graph) if small else max(least_interval(actor) for actor in graph.actors)
    return {edge.name: edge.depth for edge in made.edges}, simulate(graph).latency_cycles, slowest, small


def slowest_interval(workload: Workload, inputs: Iterable[Stream], reuse: Mapping[str, int]) -> int:
    """Cycles of the slowest layer that multiplies, or of the largest input, which comes at a word a cycle."""
    busy = (layer_cycles(layer, reuse.get(layer.name, 1)) for layer in workload.compute)
    return max([1, *busy, *(stream.words for stream in inputs)])


def input_streams(workload: Workload, assignment: Assignment) -> dict[str, Stream]:
    """The network inputs by name."""
    return {
        name: input_stream(workload, name, shape, assignment)
        for name, shape in zip(workload.inputs, workload.input_shapes, strict=True)
    }


def input_stream(workload: Workload, name: str, shape: Shape, assignment: Assignment) -> Stream:
    """A network input as words: pixels of all channels, tokens of all features, or one vector."""
    readers = {layer.kind for layer in workload.consumers(name)}
    if len(shape) >= 4 or (len(shape) == 3 and readers & {"conv", "pool"}):
        words, channels = prod(shape[2:]), shape[1]
    elif "embedding" in readers:
        words, channels = prod(shape), 1
    else:
        words, channels = (prod(shape[1:-1]), shape[-1]) if len(shape) > 1 else (1, prod(shape))
    bare = Stream(words, channels, 32, channels, "float", False)
    spec = assignment.edges.get(name)
    return bare.coded(spec) if spec is not None else bare


def formats_of(layer: Layer, assignment: Assignment) -> LayerFormats:
    """The formats of a layer; a multiplying layer without an entry is an error that names it."""
    found = assignment.layers.get(layer.name)
    if found is None:
        if layer.kind in COMPUTE or layer.kind == "embedding":
            raise UnsupportedError(
                "it has no formats", where=f"layer {layer.name}", hint="assign formats to every layer that multiplies"
            )
        return NO_FORMATS
    return found


def constants_of(
    workload: Workload, codes: Mapping[str, WeightCodes], search: bool = True
) -> dict[str, ConstantCounts]:
    """What the constant weights of layers ask for; layers whose codes are unknown or not built from constants lack.

    Parameters
    ----------
    search : whether an adder graph is sought for each, as far as it is small; else the mean over matrices with as
        many digits.
    """
    found = {}
    for layer in workload.compute:
        own = codes.get(layer.name)
        if own is None or layer.kind not in ("conv", "linear"):
            continue
        if own.codes.size != layer.weight_elements:
            hint = f"wanted: {layer.weight_elements:,}"
            raise InputError(f"{own.codes.size:,} weight codes", where=f"layer {layer.name}", hint=hint)
        fmt = own.spec.format
        other = isinstance(fmt, Power) and fmt.exponent != 0.5
        if not (isinstance(own.spec.block, int) or isinstance(fmt, Native) or other):
            found[layer.name] = counts_of_codes(own, layer.groups, layer.op.startswith("conv_transpose"), search)
    return found
