"""Rules and ratios: by hand, and the same for a device and its work twice as large."""

from dataclasses import replace

import numpy as np
import pytest

from hwsim.latency.catalog import devices
from hwsim.latency.measured.kernel_rows import convolutions
from hwsim.latency.shapes import CLASSES
from hwsim.latency.simulator.algorithms import ALGORITHMS, TILES, compute_us
from hwsim.latency.simulator.products import product_us, sustained_share
from hwsim.latency.simulator.ratios import RATIOS, simulate
from hwsim.latency.simulator.table import KernelTable

V100 = devices()["v100"]


def table(n: float, cin: float, cout: float, side: float, k: float, stride: float, groups: float = 1.0) -> KernelTable:
    one = [[float(v)] for v in (n, cin, cout, side, side, k, stride, groups)]
    return convolutions(*one, width_bytes=4.0)


def test_tiles_against_blocks_counted_one_by_one() -> None:
    t = table(8, 64, 96, 30, 3, 1)
    found = dict(zip(ALGORITHMS, compute_us(t, V100, np.array([15.7]))[0], strict=True))
    for r, c in TILES:
        blocks = len(range(0, 8 * 30 * 30, r)) * len(range(0, 96, c))
        waves = -(-blocks // V100.sms)
        products = waves * r * c * 64 * 9
        assert found[f"tile{r}x{c}"] == pytest.approx(products / (15.7e6 / 2 / V100.sms))
    assert found["direct"] >= found["tile128x128"] / 4


def test_generic_depthwise_products_cost_more_than_those_of_own_kernels() -> None:
    direct = [compute_us(table(32, 256, 256, 56, k, 1, 256), V100, np.array([15.7]))[0, -1] for k in (3.0, 5.0)]
    assert direct[1] / direct[0] > 5 * 25 / 9
    macs = 32 * 256 * 56 * 56 * 25
    assert macs / direct[1] / V100.sms / V100.clock_mhz == pytest.approx(5.9 / 1.5, rel=0.01)


@pytest.mark.parametrize(
    ("side", "k", "stride"), [(56, 3, 1), (56, 3, 2), (15, 5, 2), (15, 7, 1), (14, 1, 2), (15, 1, 2)]
)
@pytest.mark.parametrize("groups", [1, 48])
def test_a_residual_operand_is_seen(side: int, k: int, stride: int, groups: int) -> None:
    plain = table(4, 48, 48, side, k, stride, groups)
    added = replace(plain, read_elements=plain.read_elements + plain.write_elements)
    assert not plain.adds_residual[0]
    assert added.adds_residual[0]


def test_ratios_stay_when_device_and_launch_scale_with_the_work() -> None:
    """Twice the rates and half the launch: half the time, and the same ratios."""
    t = table(16, 128, 128, 28, 3, 1)
    fast = replace(V100, dram_gbps_spec=2 * V100.dram_gbps_spec)
    slow_ = simulate(t, V100, np.array([15.7]), np.array([10.0]))
    fast_ = simulate(t, fast, np.array([31.4]), np.array([5.0]))
    assert fast_.time_us == pytest.approx(slow_.time_us / 2)
    np.testing.assert_allclose(fast_.ratios[:, : len(RATIOS)], slow_.ratios[:, : len(RATIOS)], rtol=1e-5, atol=1e-6)


def product(kind: str, count: float, rows: float, cols: float, depth: float) -> KernelTable:
    one = np.ones(1)
    read, write = count * (rows + cols) * depth, count * rows * cols
    shape = (count, rows, cols, depth, 1, 1, 1, 1, 1, read, write, 0.0, 4.0)
    return KernelTable(np.array([CLASSES.index(kind)]), one, *(one * v for v in shape))


def test_products_by_hand() -> None:
    """4096 cubed: 1024 tiles of 128x128, 13 waves of 80; data 201 MB at 54 % of 900 GB/s; the launch is hidden."""
    found = product_us(product("linear", 1, 4096, 4096, 4096), V100, np.array([15.7]), np.array([1e-6]))[1][0]
    compute = 13 * 128 * 128 * 4096 / (15.7e6 / 2 / 80)
    memory = 4 * 3 * 4096**2 / (0.54 * 900e3)
    assert found == pytest.approx(np.hypot(compute, memory), rel=1e-6)


def test_small_products_in_batches_waste_their_tiles() -> None:
    small = product("matmul", 4096, 32, 32, 512)
    alike = replace(small, kind=product("linear", 1, 1, 1, 1).kind)
    times = [product_us(t, V100, np.array([15.7]), np.array([1e-6]))[1][0] for t in (small, alike)]
    assert 2 < times[0] / times[1] <= 7


def test_boards_of_few_watts_do_not_hold_their_clock() -> None:
    """T4 and P4 hold 57 and 60 % in the largest products of the tables; big boards hold all of it."""
    cards = devices()
    assert sustained_share(cards["t4"]) == pytest.approx(0.57, abs=0.01)
    assert sustained_share(replace(cards["t4"], peak_tflops={"fp32": 5.5}, board_watts=75, process_nm=16)) == (
        pytest.approx(0.60, abs=0.01)
    )
    assert sustained_share(cards["l4"]) < 0.5
    assert all(sustained_share(cards[n]) == 1 for n in ("v100", "v100-pcie", "a100", "h100", "h200", "rtx3090"))
    assert sustained_share(replace(cards["t4"], board_watts=0.0)) == 1
    large = product("linear", 1, 8192, 8192, 8192)
    t4, unlimited = cards["t4"], replace(cards["t4"], process_nm=0.0)
    slow, fast = (product_us(large, gpu, np.array([8.1]), np.array([30.0]))[1][0] for gpu in (t4, unlimited))
    assert slow / fast == pytest.approx(1 / 0.57, rel=0.02)
    tensor = [product_us(large, gpu, np.array([32.0]), np.array([30.0]))[1][0] for gpu in (t4, unlimited)]
    assert tensor[0] == tensor[1], "what is known is known of plain fp32"
