"""The dataflow architecture: every layer has hardware of its own and passes words to the next through FIFOs.

Layers that multiply are as parallel as their reuse says. All others, which read their words from a FIFO, have just
the lanes that keep up with the slowest layer that multiplies; what is fused behind an array has a lane a processing
element.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from hwsim.core.assignment import Assignment, LayerFormats
from hwsim.core.codes import WeightCodes
from hwsim.core.devices import Part
from hwsim.core.errors import InputError, UnsupportedError
from hwsim.core.formats import Native, Power
from hwsim.core.workload import COMPUTE, Layer, Shape, Workload
from hwsim.cost_models.bill import Bill, total
from hwsim.cost_models.geometry import products
from hwsim.cost_models.layers.dispatch import folded, price
from hwsim.cost_models.layers.pointwise import CLIPS
from hwsim.cost_models.layers.site import Price, Site, Stream
from hwsim.cost_models.memory import fifo
from hwsim.cost_models.operators.constant import ConstantCounts, counts_of_codes
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.cost_models.timing import Span, input_span, span_after, wait_words

NO_FORMATS = LayerFormats(None, ())


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer of the design: its price, with the FIFOs in front of it."""

    layer: Layer
    price: Price
    bill: Bill


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A dataflow design: its layers, its latency and its initiation interval in cycles."""

    placed: tuple[Placed, ...]
    latency_cycles: float
    ii_cycles: int


def build_pipeline(
    workload: Workload,
    assignment: Assignment,
    part: Part,
    reuse: Mapping[str, int],
    dsp: DspPolicy,
    codes: Mapping[str, WeightCodes] | None = None,
) -> Pipeline:
    """Build every layer in order and follow its words through the network.

    Parameters
    ----------
    reuse : cycles a position of each layer that multiplies.
    codes : weight codes by layer; with them, constant multipliers are counted exactly.
    """
    streams = {
        name: input_stream(workload, name, shape, assignment)
        for name, shape in zip(workload.inputs, workload.input_shapes, strict=True)
    }
    spans = {name: input_span(stream) for name, stream in streams.items()}
    kinds = {layer.name: layer.kind for layer in workload}
    interval = _interval(workload, reuse)
    placed = []
    for layer in workload:
        inputs = tuple(streams[name] for name in layer.inputs if name in streams)
        waits = [spans[name] for name in layer.inputs if name in spans]
        if layer.op == "batch_norm" and kinds.get(layer.inputs[0]) in ("conv", "linear"):
            made = folded(inputs[0])
        else:
            counts = _counts(layer, codes) if codes and reuse.get(layer.name) == 1 else None
            if layer.kind not in COMPUTE and layer.kind != "reshape" and layer.op not in CLIPS:
                inputs = tuple(stream.paced(interval) for stream in inputs)
            made = price(_site(layer, assignment, inputs, reuse, dsp, part.dsp_type, counts))
        bill = made.bill + _fifos(made, inputs, waits) if made.buffered else made.bill
        if layer.name in workload.outputs:
            bill += fifo(made.out.word_bits, 2)
        placed.append(Placed(layer, made, bill))
        streams[layer.name], spans[layer.name] = made.out, span_after(made, waits)
    ends = [spans[name].last for name in workload.outputs if name in spans] or [s.last for s in spans.values()]
    slowest = max((p.price.cycles for p in placed), default=0)
    words = max((streams[name].words for name in workload.inputs), default=1)
    return Pipeline(tuple(placed), max(ends, default=0.0), max(1, slowest, words))


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


def _interval(workload: Workload, reuse: Mapping[str, int]) -> int:
    """Cycles of the slowest layer that multiplies, or of the largest input where none does."""
    busy = [products(layer)[0].positions * reuse.get(layer.name, 1) for layer in workload.compute]
    return max(busy, default=max((prod(shape[2:]) for shape in workload.input_shapes), default=1))


def _site(
    layer: Layer,
    assignment: Assignment,
    inputs: tuple[Stream, ...],
    reuse: Mapping[str, int],
    dsp: DspPolicy,
    dsp_type: str,
    counts: ConstantCounts | None,
) -> Site:
    formats = formats_of(layer, assignment)
    edge = None if layer.value_preserving else assignment.edges.get(layer.name)
    wanted = reuse.get(layer.name, 1)
    return Site(layer, formats.weight, formats.acts, inputs, edge, wanted, dsp, dsp_type, counts)


def _counts(layer: Layer, codes: Mapping[str, WeightCodes]) -> ConstantCounts | None:
    found = codes.get(layer.name)
    if found is None or layer.kind not in ("conv", "linear"):
        return None
    if found.codes.size != layer.weight_elements:
        raise InputError(
            f"{found.codes.size:,} weight codes", where=f"layer {layer.name}", hint=f"wanted: {layer.weight_elements:,}"
        )
    fmt = found.spec.format
    if isinstance(found.spec.block, int) or isinstance(fmt, Native) or (isinstance(fmt, Power) and fmt.exponent != 0.5):
        return None  # not built from constants
    return counts_of_codes(found, layer.groups, layer.op.startswith("conv_transpose"))


def _fifos(made: Price, inputs: tuple[Stream, ...], spans: list[Span]) -> Bill:
    """One FIFO an input; where branches join, as deep as the faster branch runs ahead. Outputs have one too."""
    return total(
        fifo(stream.word_bits, wait_words(stream, own, spans)) for stream, own in zip(inputs, spans, strict=True)
    )
