"""Memories, streams and what stands around the products of an array: Verilog against Python, cycle by cycle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from hwsim.core.accumulator import accumulator_bits
from hwsim.core.errors import InputError, UnsupportedError
from hwsim.core.formats import int_format, minifloat, uint_format
from hwsim.cost_models.rtl.array import Constants, MatrixVectorArray
from hwsim.cost_models.rtl.chain import StreamChain
from hwsim.cost_models.rtl.depthwise import DepthwiseArray
from hwsim.cost_models.rtl.fifo import StreamFifo
from hwsim.cost_models.rtl.fold_control import FoldControl
from hwsim.cost_models.rtl.folding import FoldAccumulator, PipelineRegister, ReplayBuffer
from hwsim.cost_models.rtl.formats import Coded, accumulator_width, multiplier_of
from hwsim.cost_models.rtl.lanes import DotLanes
from hwsim.cost_models.rtl.memory import DualPortRam, WeightRom
from hwsim.cost_models.rtl.pool import PoolControl, StreamMaxPool
from hwsim.cost_models.rtl.residual import StreamAdd
from hwsim.cost_models.rtl.simulation import mismatches
from hwsim.cost_models.rtl.stream import StreamUnit, pack, random_word, unpack
from hwsim.cost_models.rtl.stream_bench import run_stream
from hwsim.cost_models.rtl.structure import distinct_modules
from hwsim.cost_models.rtl.unit import Unit
from hwsim.cost_models.rtl.width import StreamNarrower, StreamWidener
from hwsim.cost_models.rtl.window import BorderMask, SlidingWindow
from hwsim.cost_models.rtl.window_control import WindowControl

simulated = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
I4, I8, U4, U8 = int_format(4), int_format(8), uint_format(4), uint_format(8)
E2M1, E4M3, UE2M2 = minifloat(2, 1), minifloat(4, 3), minifloat(2, 2, signed=False)


def memories() -> list[Unit]:
    sizes = [(2, 1), (16, 8), (36, 20), (64, 70), (100, 9)]
    return [*(WeightRom(w, b, seed=w) for w, b in sizes), *(DualPortRam(w, b) for w, b in sizes)]


def fifos() -> list[StreamUnit]:
    return [StreamFifo(b, d) for b, d in ((1, 2), (8, 3), (70, 5), (4, 16), (3, 32), (8, 33), (5, 64), (8, 100))]


def widths() -> list[StreamUnit]:
    narrow = [StreamNarrower(24, 3), StreamNarrower(24, 2, 3), StreamNarrower(120, 5, 2), StreamNarrower(4, 4)]
    return [*narrow, StreamWidener(7, 3), StreamWidener(20, 4), StreamWidener(1, 2)]


def windows() -> list[StreamUnit]:
    sizes = [(4, 5, 4, 3, 1, 1), (8, 6, 6, 3, 2, 1), (3, 7, 5, 3, 1, 0), (2, 9, 9, 5, 3, 2), (6, 5, 5, 2, 2, 0)]
    return [SlidingWindow(*size) for size in (*sizes, (4, 70, 3, 3, 1, 1))]


def pools() -> list[StreamUnit]:
    int_pools = [StreamMaxPool(3, 4, "int", 8, 4), StreamMaxPool(2, 5, "uint", 6, 6)]
    return [*int_pools, StreamMaxPool(2, 4, "minifloat", 4, 2), StreamMaxPool(1, 5, "uint", 140, 2)]


def controls() -> list[Unit]:
    folds = [FoldControl(4, 3, 2), FoldControl(1, 5, 2), FoldControl(6, 1, 3), FoldControl(8, 8, 3)]
    fresh = [FoldControl(1, 5, 3, replay=False), FoldControl(2, 2, 2, replay=False)]
    images: list[Unit] = [WindowControl(5, 4, 3, 1, 1), WindowControl(9, 9, 5, 3, 2), BorderMask(20)]
    return [*folds, *fresh, *images, PoolControl(4), PoolControl(10)]


def registers() -> list[Unit]:
    held: list[Unit] = [PipelineRegister(9), PipelineRegister(90), ReplayBuffer(5, 12), ReplayBuffer(70, 12)]
    sums = [FoldAccumulator(9, 11, 16), FoldAccumulator(9, 8, 16, False), FoldAccumulator(9, 8, 10)]
    adds = [StreamAdd(3, I4, U4, U4), StreamAdd(2, I4, I4, I4, 1), StreamAdd(1, U8, U8, U4, 3)]
    return [*held, *sums, *adds]


def lanes() -> list[Unit]:
    def made(pe: int, simd: int, shared: bool, weight: Coded, act: Coded, out: Coded, shift: int) -> DotLanes:
        width = accumulator_width(4 * simd, weight, act, 8)
        running, relu = shared, out in (E2M1, I4)
        return DotLanes(pe, simd, shared, weight, act, 8, width, running, shift, relu, out)

    integer = [made(2, 4, True, I4, U4, U4, 5), made(2, 3, False, I4, I4, I4, 5), made(3, 1, True, I8, U8, I8, 9)]
    mixed = [made(2, 9, False, I4, U4, U4, 5), made(2, 3, True, E2M1, U4, U4, 6)]
    floats = [made(2, 3, True, E2M1, E2M1, E2M1, 4), made(2, 2, True, E2M1, E2M1, E4M3, -1)]
    return [*integer, *mixed, *floats, made(1, 2, True, E4M3, E4M3, UE2M2, 16)]


def arrays() -> list[StreamUnit]:
    made = MatrixVectorArray
    integer = [made(2, 4, 16, 8, I4, U4, U4, 6), made(4, 4, 16, 4, I4, U4, U4, 6), made(2, 8, 8, 8, I4, I4, I4, 6)]
    sizes = [made(1, 1, 6, 5, I8, U8, U8, 10, bias_bits=12), made(1, 2, 140, 2, I4, U4, U4, 6)]
    loadable = [made(3, 2, 10, 9, I4, U4, U4, 6, loadable=True), made(1, 2, 4, 2, E2M1, U4, U4, 4, loadable=True)]
    floats = [made(2, 4, 16, 8, E2M1, U4, U4, 6), made(2, 4, 16, 8, E2M1, E2M1, E2M1, 4, relu=True)]
    given = made(1, 2, 4, 2, I4, U4, I8, 0, constants=Constants((1, -2, 3, -4, 5, -6, 7, 0), (9, -9)))
    depthwise = [DepthwiseArray(2, 8, 9, I4, U4, U4, 6), DepthwiseArray(1, 3, 4, E2M1, E2M1, E2M1, 3)]
    return [*integer, *sizes, *loadable, *floats, given, *depthwise]


GROUPS: dict[str, Callable[[], list[Unit]]] = {
    "memories": memories,
    "fifos": lambda: [*fifos()],
    "widths": lambda: [*widths()],
    "windows": lambda: [*windows()],
    "pools": lambda: [*pools()],
    "controls": controls,
    "registers": registers,
    "lanes": lanes,
    "arrays": lambda: [*arrays()],
}


@pytest.mark.exact
@simulated
@pytest.mark.parametrize("group", GROUPS)
def test_verilog_does_cycle_by_cycle_what_python_does(group: str) -> None:
    found, compared = mismatches(GROUPS[group](), vectors=600)
    assert compared == 600 * len(GROUPS[group]())
    assert not found


@pytest.mark.exact
@simulated
@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("seed", range(3))
def test_verilog_does_what_python_does_over_many_cycles(group: str, seed: int) -> None:
    found, _ = mismatches(GROUPS[group](), vectors=6000, seed=seed)
    assert not found


def streams() -> list[StreamUnit]:
    chain = StreamChain("between", (StreamWidener(4, 6), StreamFifo(24, 2), StreamNarrower(24, 3)))
    return [*fifos(), *widths(), *windows(), *pools(), *arrays(), chain]


@pytest.mark.exact
@simulated
@pytest.mark.parametrize("percent", [(100, 100), (60, 100), (100, 40), (50, 70)])
def test_streams_lose_nothing_whenever_words_come_and_go(percent: tuple[int, int]) -> None:
    """All words of a stream, in order, for every pattern of valid and ready, from the transaction-level function."""
    few = [StreamFifo(8, 2), StreamFifo(8, 40), *widths()[:2], widths()[4], windows()[1], pools()[0], arrays()[0]]
    for unit in few:
        rng = np.random.default_rng(percent[0])
        words = [random_word(rng, unit.in_bits) for _ in range(72)]
        expected = unit.process(words)
        assert expected
        run = run_stream(unit, words, len(expected), *percent, limit=5000)
        assert list(run.words) == expected


@pytest.mark.property
@pytest.mark.parametrize("unit", streams(), ids=lambda unit: str(unit.name))
def test_models_of_streams_give_what_the_function_gives(unit: StreamUnit) -> None:
    """The cycle model under random traffic against the transaction-level function, without Verilog."""
    rng = np.random.default_rng(3)
    words = [random_word(rng, unit.in_bits) for _ in range(300)]
    model, sent, came = unit.model(), 0, []
    for _ in range(6000):
        in_valid, out_ready = int(sent < len(words) and rng.random() < 0.8), int(rng.random() < 0.8)
        valid, data = model.front()
        taken = in_valid and model.ready(out_ready)
        if valid and out_ready:
            came.append(data)
        model.clock(in_valid, words[sent] if sent < len(words) else 0, out_ready, {})
        sent += int(bool(taken))
    expected = unit.process(words)
    assert sent == len(words)
    assert expected
    assert came[: len(expected)] == expected


@pytest.mark.exact
@pytest.mark.parametrize("depth", [2, 5, 32, 33, 64, 65, 100])
def test_fifos_hold_as_many_words_as_they_say(depth: int) -> None:
    model = StreamFifo(8, depth).model()
    taken = 0
    for word in range(2 * depth):
        taken += model.ready(0)
        model.clock(1, word, 0, {})
    assert taken == depth


@pytest.mark.exact
@simulated
@pytest.mark.parametrize(("depth", "wait"), [(2, 1), (32, 1), (33, 2), (65, 2)])
def test_fifos_pass_a_word_every_cycle_after_their_delay(depth: int, wait: int) -> None:
    run = run_stream(StreamFifo(8, depth), range(40), 40)
    if depth > 2 or wait == 1:
        assert run.given == tuple(t + wait for t in run.taken)
    assert run.taken == tuple(range(40))


@pytest.mark.exact
def test_words_are_cut_and_joined_lowest_bits_first() -> None:
    assert unpack(0x8F21, 4, 4) == [1, 2, 15, 8]
    assert unpack(0x8F21, 4, 4, signed=True) == [1, 2, -1, -8]
    assert pack([1, 2, -1, -8], 4) == 0x8F21
    assert StreamNarrower(16, 4).process([0x8F21]) == [1, 2, 15, 8]
    assert StreamWidener(4, 4).process([1, 2, 15, 8, 3]) == [0x8F21]
    assert StreamNarrower(16, 2, 2).process([0x8F21]) == [0xF1, 0x82]  # a cut of each lane of two


@pytest.mark.exact
def test_windows_hold_rows_from_the_oldest_pixel() -> None:
    found = SlidingWindow(8, 3, 3, 2, 1, 0).process(range(1, 10))
    assert [unpack(word, 8, 4) for word in found] == [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]
    padded = SlidingWindow(8, 3, 3, 3, 2, 1).process(range(1, 10))
    assert unpack(padded[0], 8, 9) == [0, 0, 0, 0, 1, 2, 0, 4, 5]
    assert len(padded) == 4


@pytest.mark.exact
def test_an_array_computes_the_product_that_its_constants_say() -> None:
    constants = Constants((1, -2, 3, -4, 5, -6, 7, 0), (9, -9))
    array = MatrixVectorArray(1, 2, 4, 2, I4, U4, I8, 0, constants=constants)
    x = [3, 1, 4, 15]
    found = array.process([pack(x[:2], 4), pack(x[2:], 4)])
    assert [unpack(word, 8, 1, signed=True)[0] for word in found] == [3 - 2 + 12 - 60 + 9, 15 - 6 + 28 - 9]


@pytest.mark.property
@pytest.mark.parametrize("unit", arrays(), ids=lambda unit: str(unit.name))
def test_parts_are_units_whose_modules_the_whole_instantiates(unit: StreamUnit) -> None:
    text = unit.verilog()
    for part, count in unit.parts():
        assert count > 0
        assert f"module {part.name}(" in text
    assert text.count("endmodule") == len(set(text.split("\nmodule ")))


@pytest.mark.exact
def test_a_module_that_two_units_need_is_written_once() -> None:
    array = arrays()[0].verilog()
    assert distinct_modules([array, array]) == distinct_modules([array])


@pytest.mark.property
@pytest.mark.parametrize(("weight", "act"), [*product([I4, I8], [U4, U8, I4]), (E2M1, E2M1), (E2M1, U4)])
def test_accumulators_leave_room_for_the_bias(weight: Coded, act: Coded) -> None:
    without = accumulator_bits(64, weight, act)
    assert without <= accumulator_width(64, weight, act, 4) <= without + 1


@pytest.mark.exact
def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(InputError, match="used in every cycle"):
        MatrixVectorArray(4, 4, 4, 4, I4, U4, U4, 4)
    with pytest.raises(InputError, match="pe 3"):
        MatrixVectorArray(3, 4, 16, 8, I4, U4, U4, 4)
    with pytest.raises(InputError, match="words of 8 bits"):
        StreamChain("wrong", (StreamFifo(8, 2), StreamFifo(9, 2)))
    with pytest.raises(InputError, match="windows of 3x3"):
        SlidingWindow(8, 2, 2, 3, 1, 0)
    with pytest.raises(InputError, match="contents"):
        WeightRom(4, 8, contents=(1, 2))
    with pytest.raises(UnsupportedError, match="no multiplier"):
        multiplier_of(I4, E2M1)
