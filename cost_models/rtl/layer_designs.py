"""Whole layers and small networks as hardware: the designs that the cost model is judged on.

Weights are stored and used again; fully unrolled layers with constant weights are another matter (`adder_graph`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log2, sqrt

import numpy as np

from hwsim.core.accumulator import largest_multiple
from hwsim.core.errors import InputError
from hwsim.core.formats import Int, int_format, minifloat, uint_format
from hwsim.cost_models.rtl.array import MatrixVectorArray
from hwsim.cost_models.rtl.chain import StreamChain
from hwsim.cost_models.rtl.compare import Kind
from hwsim.cost_models.rtl.depthwise import DepthwiseArray
from hwsim.cost_models.rtl.fifo import StreamFifo
from hwsim.cost_models.rtl.formats import Coded, multiples
from hwsim.cost_models.rtl.image_timing import image_cycles
from hwsim.cost_models.rtl.pool import StreamMaxPool
from hwsim.cost_models.rtl.residual import ResidualBlock, StreamAdd
from hwsim.cost_models.rtl.stream import StreamUnit
from hwsim.cost_models.rtl.width import StreamNarrower, StreamWidener
from hwsim.cost_models.rtl.window import SlidingWindow

Array = MatrixVectorArray | DepthwiseArray
PIXEL_FIFO = 4  # words between two layers whose rates are alike


@dataclass(frozen=True, slots=True)
class Formats:
    """Of the weights, the activations and the outputs of a layer; `relu` as of `MatrixVectorArray`."""

    weight: Coded
    act: Coded
    out: Coded
    relu: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """Width, height and channels of an image."""

    width: int
    height: int
    channels: int


@dataclass(frozen=True, slots=True)
class LayerDesign:
    """A layer or a network as a unit.

    Attributes
    ----------
    label : what it is.
    unit : with one stream in and one out.
    act : format of the elements of its input words.
    words_in, words_out : of an inference.
    interval : cycles an inference by formula: reuse times positions, and what the array waits for at ends of rows.
    latency : cycles from the first word in to the last word out by formula; of single layers only.
    """

    label: str
    unit: StreamUnit
    act: Coded
    words_in: int
    words_out: int
    interval: int
    latency: int | None = None


def dense(
    formats: Formats,
    in_features: int,
    out_features: int,
    pe: int,
    simd: int,
    seed: int = 0,
    loadable: bool = False,
    in_dsp: bool = False,
) -> MatrixVectorArray:
    """A dense layer, its shift and bias width such that its outputs use their format."""
    shift, bias_bits = spread(in_features, formats)
    sizes = pe, simd, in_features, out_features
    coded = formats.weight, formats.act, formats.out
    return MatrixVectorArray(*sizes, *coded, shift, formats.relu, bias_bits, seed, loadable=loadable, in_dsp=in_dsp)


def convolution(
    formats: Formats, image: Image, channels: int, pe: int, simd: int, stride: int = 1, seed: int = 0
) -> StreamChain:
    """A 3x3 convolution with padding: windows, cut into operand words, and an array. Its output words are pixels."""
    window = SlidingWindow(image.channels * formats.act.bits, image.width, image.height, 3, stride, 1)
    array = dense(formats, 9 * image.channels, channels, pe, simd, seed)
    between = adapter(window.out_bits, array.in_bits)
    return StreamChain("convolution", (window, *between, array, *adapter(array.out_bits, channels * formats.out.bits)))


def depthwise(formats: Formats, image: Image, pe: int, stride: int = 1, seed: int = 0) -> StreamChain:
    """A 3x3 depthwise convolution with padding. Its output words are pixels."""
    window = SlidingWindow(image.channels * formats.act.bits, image.width, image.height, 3, stride, 1)
    shift, bias_bits = spread(9, formats)
    coded = formats.weight, formats.act, formats.out
    array = DepthwiseArray(pe, image.channels, 9, *coded, shift, formats.relu, bias_bits, seed)
    cut = StreamNarrower(window.out_bits, array.folds, 9)
    whole = adapter(array.out_bits, image.channels * formats.out.bits)
    return StreamChain("depthwise", (window, cut, array, *whole))


def image_design(label: str, chain: StreamChain, act: Coded) -> LayerDesign:
    """A convolution as a design, with its cycles by formula."""
    window, array = chain.stages[0], next(stage for stage in chain.stages if isinstance(stage, Array))
    assert isinstance(window, SlidingWindow)
    words = window.out_bits // array.in_bits
    start, interval = image_cycles(window, words, array.cycles)
    widened = 1 if array.out_bits < chain.out_bits else 0
    late = window.padding * (window.padded_width + 1)  # positions of the border before the first pixel is taken
    latency = start + array.cycles + array.depth + widened - late
    positions = window.out_width * window.out_height
    return LayerDesign(label, chain, act, window.width * window.height, positions, interval, latency)


def adapter(bits: int, wanted: int) -> tuple[StreamUnit, ...]:
    """What turns words of `bits` bits into words of `wanted` bits.

    Raises
    ------
    InputError
        Where neither width divides the other.
    """
    if bits == wanted:
        return ()
    if bits % wanted == 0:
        return (StreamNarrower(bits, bits // wanted),)
    if wanted % bits == 0:
        return (StreamWidener(bits, wanted // bits),)
    raise InputError(f"words of {bits} bits as words of {wanted}", where="adapter", hint="one divides the other")


@lru_cache(maxsize=256)
def spread(inputs: int, formats: Formats) -> tuple[int, int]:
    """A shift that brings sums of `inputs` products of random codes to half the range of the output, and bias bits
    of the size of such a sum."""
    width = sqrt(inputs) * _rms(formats.weight) * _rms(formats.act)
    shift = round(log2(width / largest_multiple(formats.out) * 2))
    return shift, max(4, int(width).bit_length())


def _rms(fmt: Coded) -> float:
    low, high = (fmt.min_code, fmt.max_code) if isinstance(fmt, Int) else (0, (1 << fmt.bits) - 1)
    values = multiples(np.arange(low, high + 1), fmt).astype(np.float64)
    return float(np.sqrt(np.mean(values**2)))


INT4 = Formats(int_format(4), uint_format(4), uint_format(4))
INT8 = Formats(int_format(8), uint_format(8), uint_format(8))
INT8_SIGNED = Formats(int_format(8), int_format(8), int_format(8))
INT4_SIGNED_OUT = Formats(int_format(4), uint_format(4), int_format(4))
E2M1 = Formats(minifloat(2, 1), minifloat(2, 1), minifloat(2, 1), relu=True)
E2M1_INT4 = Formats(minifloat(2, 1), uint_format(4), uint_format(4))
E4M3 = Formats(minifloat(4, 3), minifloat(4, 3), minifloat(4, 3), relu=True)


def layer_designs() -> tuple[LayerDesign, ...]:
    """All designs."""
    return (*_dense_designs(), *_image_designs(), *_networks())


def _dense_design(
    label: str, formats: Formats, in_features: int, out_features: int, pe: int, simd: int, **how: bool
) -> LayerDesign:
    unit = dense(formats, in_features, out_features, pe, simd, seed=1, **how)
    return LayerDesign(label, unit, formats.act, unit.words, unit.folds, unit.cycles, unit.cycles + unit.depth)


def _dense_designs() -> tuple[LayerDesign, ...]:
    return (
        _dense_design("dense int4, reuse 64", INT4, 64, 32, 4, 8),
        _dense_design("dense int4, reuse 8", INT4, 64, 32, 16, 16),
        _dense_design("dense int4, reuse 64, loadable weights", INT4, 64, 32, 4, 8, loadable=True),
        _dense_design("dense int8, reuse 64", INT8, 64, 32, 4, 8),
        _dense_design("dense int8, reuse 16, signed activations", INT8_SIGNED, 64, 16, 8, 8),
        _dense_design("dense int8, reuse 512, block RAM", INT8, 256, 64, 4, 8),
        _dense_design("dense int8, reuse 64, DSPs", INT8, 64, 32, 4, 8, in_dsp=True),
        _dense_design("dense int8, reuse 512, DSPs and block RAM", INT8, 256, 64, 4, 8, in_dsp=True),
        _dense_design("dense e2m1, reuse 64", E2M1, 64, 32, 4, 8),
        _dense_design("dense e2m1, reuse 8", E2M1, 64, 32, 16, 16),
        _dense_design("dense e2m1 x int4, reuse 32", E2M1_INT4, 64, 32, 8, 8),
        _dense_design("dense e4m3, reuse 64", E4M3, 64, 32, 4, 8),
    )


def _image_designs() -> tuple[LayerDesign, ...]:
    image, wide = Image(12, 10, 8), Image(12, 10, 16)
    return (
        image_design("convolution int4, reuse 48", convolution(INT4, image, 16, 4, 6), INT4.act),
        image_design("convolution int8, reuse 36", convolution(INT8, image, 8, 4, 4), INT8.act),
        image_design("convolution int4, reuse 6, stride 2", convolution(INT4, image, 16, 8, 24, 2), INT4.act),
        image_design("convolution e2m1, reuse 48", convolution(E2M1, image, 16, 4, 6), E2M1.act),
        image_design("depthwise int8, reuse 4", depthwise(INT8, wide, 4), INT8.act),
        image_design("depthwise int4, reuse 8", depthwise(INT4, wide, 2), INT4.act),
        LayerDesign("max pool int8", StreamMaxPool(16, 8, "uint", 12, 10), INT8.act, 120, 30, 120, 121),
        LayerDesign("max pool e2m1", StreamMaxPool(16, 4, _minifloat(), 12, 10), E2M1.act, 120, 30, 120, 121),
    )


def _minifloat() -> Kind:
    return "minifloat"


def _networks() -> tuple[LayerDesign, ...]:
    return (
        _two_dense("dense-ReLU-dense int4", INT4),
        _two_dense("dense-ReLU-dense int8", INT8),
        _two_dense("dense-ReLU-dense e2m1", E2M1),
        _two_convolutions(),
        _residual(),
    )


def _two_dense(label: str, formats: Formats) -> LayerDesign:
    """64 inputs, 32 hidden, 16 outputs, both layers at reuse 64."""
    first, second = dense(formats, 64, 32, 4, 8, 1), dense(formats, 32, 16, 2, 4, 2)
    fifo = StreamFifo(first.out_bits, 8)
    chain = StreamChain("two_dense", (first, fifo, *adapter(first.out_bits, second.in_bits), second))
    return LayerDesign(label, chain, formats.act, first.words, second.folds, max(first.cycles, second.cycles))


def _two_convolutions() -> LayerDesign:
    """8 to 8 to 16 channels, a max pool between them, all with FIFOs."""
    first = convolution(INT4, Image(12, 8, 8), 8, 4, 6, seed=1)
    pool = StreamMaxPool(8, 4, "uint", 12, 8)
    second = convolution(INT4, Image(6, 4, 8), 16, 4, 6, seed=2)
    fifos = [StreamFifo(32, PIXEL_FIFO) for _ in range(2)]
    stages = (*first.stages, fifos[0], pool, fifos[1], *second.stages)
    return LayerDesign("convolution-pool-convolution int4", StreamChain("network", stages), INT4.act, 96, 24, 96 * 24)


def _residual() -> LayerDesign:
    """A 3x3 convolution of 8 channels and the way around it."""
    branch = convolution(INT4_SIGNED_OUT, Image(12, 10, 8), 8, 4, 6)
    add = StreamAdd(8, int_format(4), uint_format(4), uint_format(4))
    block = ResidualBlock(branch, StreamFifo(32, 32), add)
    return LayerDesign("residual convolution int4", block, INT4.act, 120, 120, 120 * 24)
