"""Overlay: cycles of single layers and held activations against figures computed by hand."""

from __future__ import annotations

from dataclasses import replace

import cost_networks as nets
import pytest

from hwsim.core.assignment import Policy, assign
from hwsim.core.workload import Layer, Workload
from hwsim.cost_models.catalogue import part
from hwsim.cost_models.overlay import Overlay, activation_bits, build_overlay

# at 100 MHz and 0.8 GB/s, 64 bits come a cycle
PART = replace(part("zcu102"), clock_mhz=100.0, dram_gbps=0.8)
FILL = 5 + 1 + 4  # registers of an array with two adder levels, and of the vector unit


def overlay(workload: Workload, array: tuple[int, int] = (4, 4)) -> Overlay:
    return build_overlay(workload, assign(workload, Policy("int8", "int8", scale="pow2")), PART, "never", array)


@pytest.mark.exact
def test_weights_are_read_again_for_every_block_of_positions() -> None:
    def cycles(side: int) -> int:
        shape = (1, 64, side, side)
        layer = nets.conv("c", "x", shape, 64, k=1, bias=False)
        (run,) = overlay(nets.network("c", shape, [layer]), (64, 64)).layers
        return run.cycles

    # one tile of 64 x 64 bytes: 512 cycles to read it; fill of six adder levels: 5 + 3 + 4
    assert cycles(16) == 512 + 256 + 12  # 256 positions after the only tile
    assert cycles(32) == max(512 + 1024, 2 * 512 + 512) + 12  # two blocks of 512
    assert cycles(48) == max(512 + 2304, 5 * 512 + 256) + 12  # four blocks and a half: the last tile waits for memory


@pytest.mark.exact
def test_the_array_fills_and_drains() -> None:
    layer = nets.conv("c", "x", (1, 4, 8, 8), 4, k=1, bias=False)
    (run,) = overlay(nets.network("c", (1, 4, 8, 8), [layer])).layers
    assert run.cycles == 2 + 64 + FILL  # 16 bytes of weights, 64 positions
    pool = nets.network("p", (1, 4, 8, 8), [nets.max_pool("p", "x", (1, 4, 8, 8))])
    (run,) = overlay(pool).layers
    assert run.cycles == 64 + 4


@pytest.mark.exact
def test_the_second_operand_of_a_product_is_read_from_the_buffer() -> None:
    def cycles(batch: int, rows: int) -> int:
        left, right, out = (1, batch, rows, 8), (1, batch, 8, 12), (1, batch, rows, 12)
        layer = Layer("m", "matmul", "matmul", ("x", "y"), (left, right), out, macs=batch * rows * 8 * 12)
        (run,) = overlay(Workload("m", (layer,), ("x", "y"), (left, right), ("m",))).layers
        return run.cycles

    # 12 outputs in tiles of 4, 8 inputs in tiles of 4: six tiles of four rows, a row a cycle
    assert cycles(1, 100) == 4 + 600 + FILL
    assert cycles(1, 2) == 24 + 2 + FILL  # two positions a tile: reading it takes four
    assert cycles(3, 2) == 3 * 24 + 2 + FILL  # each batch has a matrix of its own
    assert cycles(1, 513) == 4 + 513 * 6 + FILL


@pytest.mark.exact
def test_a_skip_is_held_while_the_branch_runs() -> None:
    small, wide = (1, 4, 8, 8), (1, 16, 8, 8)
    layers = [
        nets.conv("a", "x", small, 4),
        nets.conv("b", "a", small, 16, k=1),
        nets.conv("c", "b", wide, 16),
        nets.conv("d", "c", wide, 4, k=1),
        nets.add("sum", "d", "a", small),
    ]
    skipped = nets.network("skip", small, layers)
    straight = nets.network("straight", small, layers[:-1])
    # c reads 16 x 64 and writes as many elements of 8 bits; beside them a is held
    assert held_bits(straight) == 8 * 2048
    assert held_bits(skipped) == 8 * (2048 + 256)


@pytest.mark.exact
def test_a_reshaped_tensor_is_held_once() -> None:
    shape, flat = (1, 4, 8, 8), (1, 256)
    layers = [
        nets.conv("a", "x", shape, 4),
        nets.unary("flat", "reshape", "flatten", "a", shape, flat, value_preserving=True),
        nets.linear("fc", "flat", flat, 10),
    ]
    assert held_bits(nets.network("flat", shape, layers)) == 8 * 512  # x and a


def held_bits(workload: Workload) -> int:
    return activation_bits(workload, assign(workload, Policy("int8", "int8", scale="pow2")))
