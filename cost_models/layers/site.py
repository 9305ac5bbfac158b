"""Values that pass between layers: the stream on an edge, the site a layer is built on, and its price."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from hwsim.core.formats import Minifloat, Native, canonical
from hwsim.core.scaled import Scaled
from hwsim.core.workload import Layer
from hwsim.cost_models.bill import Bill
from hwsim.cost_models.operators.constant import ConstantCounts
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.cost_models.operators.operand import operand
from hwsim.cost_models.operators.product import to_fixed_point_lut


@dataclass(frozen=True, slots=True)
class Stream:
    """A tensor on its way: `words` words of `channels` elements, `lanes` elements a cycle.

    Attributes
    ----------
    bits : of one element as it is carried: a code, or an accumulator where no quantizer sits.
    kind : `code` of `spec`, `fixed` point, or `float` (fp32).
    float_scale : whether its scale is no power of two.
    """

    words: int
    channels: int
    bits: int
    lanes: int
    kind: Literal["code", "fixed", "float"]
    float_scale: bool
    spec: Scaled | None = None

    @property
    def word_bits(self) -> int:
        return self.channels * self.bits

    @property
    def word_cycles(self) -> int:
        """Cycles for one word to pass."""
        return -(-self.channels // self.lanes)

    @property
    def fixed_bits(self) -> int:
        """Bits of an element in fixed point."""
        if self.spec is None or self.kind != "code" or isinstance(self.spec.format, Native):
            return self.bits
        return operand(self.spec).fixed_width if isinstance(canonical(self.spec.format), Minifloat) else self.bits

    @property
    def decode_lut(self) -> int:
        """LUTs a lane to fixed point."""
        return to_fixed_point_lut(operand(self.spec)) if self.spec is not None and self.kind == "code" else 0

    def paced(self, interval: int) -> Stream:
        """The same tensor with no more lanes than pass all of it in `interval` cycles."""
        word_cycles = max(1, interval // max(1, self.words))
        return replace(self, lanes=-(-self.channels // word_cycles))

    def coded(self, spec: Scaled) -> Stream:
        """The same tensor as codes of `spec`."""
        if isinstance(spec.format, Native):
            return replace(self, bits=spec.bits, kind="float", float_scale=False, spec=None)
        return replace(self, bits=spec.bits, kind="code", float_scale=spec.scale == "f32", spec=spec)

    def carried(self, bits: int) -> Stream:
        """The same tensor in fixed point of `bits` bits; a float stays a float."""
        return self if self.kind == "float" else replace(self, bits=bits, kind="fixed", spec=None)


@dataclass(frozen=True, slots=True)
class Site:
    """All that the price of a layer depends on.

    Attributes
    ----------
    weight, acts : formats of its operands (see `LayerFormats`); empty for layers that do not multiply.
    inputs : streams of its data inputs, quantized branch first as the workload lists them.
    edge : the format that its output is quantized to, if any.
    reuse : cycles a position asked for.
    counts : what its constant weights ask for, where their codes are known.
    """

    layer: Layer
    weight: Scaled | None
    acts: tuple[Scaled, ...]
    inputs: tuple[Stream, ...]
    edge: Scaled | None
    reuse: int
    dsp: DspPolicy
    dsp_type: str
    counts: ConstantCounts | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """A layer in hardware.

    Attributes
    ----------
    out : the stream it makes.
    cycles : cycles it is busy for one inference.
    depth : registers between a word in and its result.
    buffered : whether its inputs come through FIFOs of their own (fused layers have none).
    """

    bill: Bill
    out: Stream
    cycles: int
    depth: int
    accumulator_bits: int = 0
    reuse: int = 1
    buffered: bool = True
    quantized: bool = False
