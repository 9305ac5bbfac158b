"""Whole layers and small networks: their Verilog, simulated, against convolutions and products of tensors in numpy."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np
import pytest

from hwsim.core.codes import decode, encode
from hwsim.core.formats import Int, Minifloat, int_format, uint_format
from hwsim.core.requantize import requantize
from hwsim.cost_models.rtl.array import MatrixVectorArray
from hwsim.cost_models.rtl.chain import StreamChain
from hwsim.cost_models.rtl.depthwise import DepthwiseArray
from hwsim.cost_models.rtl.fifo import StreamFifo
from hwsim.cost_models.rtl.formats import random_codes
from hwsim.cost_models.rtl.layer_designs import (
    E2M1,
    E2M1_INT4,
    E4M3,
    INT4,
    INT4_SIGNED_OUT,
    INT8,
    INT8_SIGNED,
    Image,
    LayerDesign,
    adapter,
    convolution,
    dense,
    depthwise,
    image_design,
    layer_designs,
)
from hwsim.cost_models.rtl.pool import StreamMaxPool
from hwsim.cost_models.rtl.residual import ResidualBlock, StreamAdd
from hwsim.cost_models.rtl.simulation import mismatches
from hwsim.cost_models.rtl.stream import StreamUnit, pack, unpack
from hwsim.cost_models.rtl.stream_bench import StreamRun, run_stream
from hwsim.cost_models.rtl.unit import Vectors
from hwsim.cost_models.rtl.window import SlidingWindow

simulated = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
Coded = Int | Minifloat
INFERENCES = 3


def elements(words: Sequence[int | None], fmt: Coded, bits: int) -> Vectors:
    """All codes of a stream in order."""
    signed = isinstance(fmt, Int) and fmt.signed
    assert None not in words
    return np.array([v for word in words if word is not None for v in unpack(word, fmt.bits, bits // fmt.bits, signed)])


def values(codes: Vectors, fmt: Coded) -> Vectors:
    """Exact integers in units of the smallest step."""
    return np.rint(decode(codes, fmt) / fmt.smallest).astype(np.int64)


def finished(acc: Vectors, layer: MatrixVectorArray | DepthwiseArray) -> Vectors:
    acc = np.maximum(acc, 0) if layer.relu else acc
    if isinstance(layer.out, Int):
        return requantize(acc, layer.shift, layer.out)
    return encode(acc * layer.out.smallest / 2.0**layer.shift, layer.out)


def patches(image: Vectors, window: SlidingWindow) -> Vectors:
    """(rows, columns, kernel, kernel, channels) of an image (height, width, channels)."""
    p, k = window.padding, window.kernel
    padded = np.pad(image, ((p, p), (p, p), (0, 0)))
    found = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(0, 1))
    return np.asarray(found[:: window.stride, :: window.stride].transpose(0, 1, 3, 4, 2))


def layer_of_tensor(layer: MatrixVectorArray | DepthwiseArray, x: Vectors, window: SlidingWindow | None) -> Vectors:
    """Codes of a layer's output from those of its input: an image (height, width, channels), or vectors in rows."""
    codes, biases = layer.stored()
    w, x = values(codes, layer.weight), values(x, layer.act)
    if isinstance(layer, DepthwiseArray):
        assert window is not None
        found = np.einsum("yxabc,cab->yxc", patches(x, window), w.reshape(layer.channels, window.kernel, window.kernel))
    elif window is None:
        found = x @ w.T
    else:
        filters = w.reshape(layer.out_features, window.kernel, window.kernel, -1)
        found = np.einsum("yxabc,oabc->yxo", patches(x, window), filters)
    return finished(found + biases, layer)


def pooled(pool: StreamMaxPool, image: Vectors) -> Vectors:
    height, width, channels = image.shape
    squares = image.reshape(height // 2, 2, width // 2, 2, channels).transpose(0, 2, 4, 1, 3).reshape(-1, 4)
    order = squares
    if pool.kind == "minifloat":
        half = 1 << (pool.bits - 1)
        order = np.where(squares >= half, half - 1 - squares, squares)  # -0 below +0
    best = squares[np.arange(len(squares)), order.argmax(axis=1)]
    return np.asarray(best).reshape(height // 2, width // 2, channels)


def network(unit: StreamUnit, x: Vectors) -> Vectors:
    """Codes out of a network from codes of one input: an image, or a vector as one row."""
    if isinstance(unit, ResidualBlock):
        total = network(unit.branch, x).astype(np.int64) + x
        return requantize(total, unit.add.shift, unit.add.out)
    window = None
    for stage in unit.stages if isinstance(unit, StreamChain) else (unit,):
        if isinstance(stage, SlidingWindow):
            window = stage
        elif isinstance(stage, MatrixVectorArray | DepthwiseArray):
            x = layer_of_tensor(stage, x, window)
            window = None
        elif isinstance(stage, StreamMaxPool):
            x = pooled(stage, x)
    return x


def shape_of(unit: StreamUnit, act: Coded) -> tuple[int, ...]:
    """Of the codes of one input."""
    first = unit.branch if isinstance(unit, ResidualBlock) else unit
    first = first.stages[0] if isinstance(first, StreamChain) else first
    if isinstance(first, MatrixVectorArray):
        return 1, first.in_features
    assert isinstance(first, SlidingWindow | StreamMaxPool)
    return first.height, first.width, first.in_bits // act.bits


def out_format(unit: StreamUnit, act: Coded) -> Coded:
    if isinstance(unit, ResidualBlock):
        return unit.add.out
    made = [s.out for s in getattr(unit, "stages", (unit,)) if isinstance(s, MatrixVectorArray | DepthwiseArray)]
    return made[-1] if made else act


def check(design: LayerDesign, percent: tuple[int, int] = (100, 100), seed: int = 0) -> StreamRun:
    """Simulate some inferences of random codes and compare every code with the network over tensors."""
    unit, act = design.unit, design.act
    shape = shape_of(unit, act)
    count = int(np.prod(shape))
    inputs = [random_codes(np.random.default_rng(seed + i), act, count) for i in range(INFERENCES)]
    lanes = unit.in_bits // act.bits
    words = [pack(x[i : i + lanes], act.bits) for x in inputs for i in range(0, count, lanes)]
    assert len(words) == INFERENCES * design.words_in
    run = run_stream(unit, words, INFERENCES * design.words_out, *percent)
    expected = np.concatenate([network(unit, x.reshape(shape)).ravel() for x in inputs])
    np.testing.assert_array_equal(elements(run.words, out_format(unit, act), unit.out_bits), expected)
    assert len(np.unique(expected)) > 4  # not all at a bound
    return run


def small_designs() -> list[LayerDesign]:
    image = Image(6, 5, 4)
    layers = [
        dense(INT4, 16, 8, 2, 4),
        dense(INT8_SIGNED, 12, 9, 3, 12),
        dense(E2M1, 16, 8, 4, 16),
        dense(E2M1_INT4, 12, 6, 6, 2),
        dense(E4M3, 8, 4, 1, 4, loadable=True),
    ]
    made = [LayerDesign(u.name, u, u.act, u.words, u.folds, u.cycles, u.cycles + u.depth) for u in layers]
    made += [
        image_design("narrow", convolution(INT4, image, 4, 2, 4), INT4.act),
        image_design("uncut, half the rows", convolution(INT8, image, 4, 2, 36, stride=2), INT8.act),
        image_design("fast", convolution(INT4, image, 4, 2, 18), INT4.act),
        image_design("minifloat", convolution(E2M1, image, 4, 4, 12), E2M1.act),
        image_design("depthwise", depthwise(INT8, image, 2), INT8.act),
        image_design("depthwise, half the rows", depthwise(E2M1, image, 1, stride=2), E2M1.act),
    ]
    return made


def residual(depth: int) -> ResidualBlock:
    branch = convolution(INT4_SIGNED_OUT, Image(6, 5, 4), 4, 2, 4)
    return ResidualBlock(branch, StreamFifo(16, depth), StreamAdd(4, int_format(4), uint_format(4), uint_format(4)))


@pytest.mark.exact
@simulated
@pytest.mark.parametrize("design", small_designs(), ids=lambda design: design.label.replace(" ", "_"))
def test_layers_compute_their_tensors_in_the_cycles_of_the_formula(design: LayerDesign) -> None:
    run = check(design)
    assert run.interval(design.words_out) == design.interval
    assert run.latency(design.words_out) == design.latency


@pytest.mark.exact
@simulated
@pytest.mark.parametrize("design", small_designs()[::3], ids=lambda design: design.label.replace(" ", "_"))
def test_layers_compute_the_same_under_back_pressure(design: LayerDesign) -> None:
    run = check(design, (60, 50), seed=5)
    assert run.given[-1] >= INFERENCES * design.interval


@pytest.mark.exact
@simulated
def test_a_dense_pipeline_has_the_interval_of_its_slower_layer() -> None:
    first, second = dense(E2M1, 16, 8, 2, 4, seed=1), dense(E2M1, 8, 4, 1, 2, seed=2)
    between = adapter(first.out_bits, second.in_bits)
    chain = StreamChain("pair", (first, StreamFifo(first.out_bits, 4), *between, second))
    design = LayerDesign("pair", chain, E2M1.act, first.words, second.folds, max(first.cycles, second.cycles))
    assert check(design).interval(design.words_out) == design.interval == 16


@pytest.mark.exact
@simulated
def test_a_residual_block_needs_just_the_fifo_that_covers_its_branch() -> None:
    """One word less stalls the pipeline, two less stop it for good."""
    intervals = {}
    for depth in (9, 8):
        run = check(LayerDesign("residual", residual(depth), INT4.act, 30, 30, 30 * 18))
        intervals[depth] = run.interval(30)
    assert intervals[9] == 30 * 18 < intervals[8]
    stopped = run_stream(residual(7), [0] * 60, 60, limit=3000)
    assert stopped.words == ()


@pytest.mark.exact
@simulated
def test_networks_do_cycle_by_cycle_what_their_models_do() -> None:
    image = Image(4, 4, 2)
    first, second = convolution(INT4, image, 2, 1, 6), convolution(INT4, Image(2, 2, 2), 4, 2, 9)
    pool = StreamMaxPool(2, 4, "uint", 4, 4)
    chain = StreamChain("deep", (*first.stages, StreamFifo(8, 2), pool, StreamFifo(8, 40), *second.stages))
    loadable = StreamChain("loaded", (dense(INT4, 8, 4, 2, 2, loadable=True), StreamFifo(8, 3)))
    found, compared = mismatches([chain, residual(9), loadable], vectors=1500)
    assert compared == 4500
    assert not found


@pytest.mark.property
def test_designs_are_distinct_and_made_of_parts() -> None:
    designs = layer_designs()
    assert len(designs) >= 20
    assert len({design.label for design in designs}) == len({design.unit.name for design in designs}) == len(designs)
    for design in designs:
        text = design.unit.verilog()
        for part, count in design.unit.parts():
            assert count > 0
            joined = part.family in ("register", "max_pool")  # written into the module that has them, or two of a kind
            assert joined or f"module {part.name}(" in text


@pytest.mark.exact
@simulated
@pytest.mark.slow
@pytest.mark.parametrize("design", layer_designs(), ids=lambda design: design.label.replace(" ", "_"))
def test_all_designs_compute_their_tensors(design: LayerDesign) -> None:
    run = check(design, seed=11)
    assert run.interval(design.words_out) == design.interval
    assert design.latency in (None, run.latency(design.words_out))
    check(design, (60, 70), seed=12)
