"""LAUDNet's predictor re-implemented: its figures, its equations by brute force, and what its faults change."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.errors import InputError, UnsupportedError
from hwsim.latency.laudnet import (
    AS_RELEASED,
    CORRECTED,
    MACHINES,
    Faults,
    Machine,
    conv_us,
    dynamic_latency_ms,
    static_latency_ms,
)
from hwsim.latency.laudnet.channels import channel_conv_us, worst_share
from hwsim.latency.laudnet.patches import active_patches, patch_conv_us
from hwsim.latency.laudnet.tiles import tile_sizes
from hwsim.latency.shapes import KernelShape, conv, linear, memory

# Milliseconds per image, batch 128 on server cards, 1 on Jetson boards. Four digits: output of the simulator released
# with arXiv 2308.15949 (LeapLabTHU/LAUDNet at b53b980), run unchanged. Fewer: read off its main results figure.
STATIC = [
    ("resnet50", "v100", 0.9079), ("resnet101", "v100", 1.6770),
    ("resnet50", "tx2", 17.2257), ("resnet101", "tx2", 32.2417),
    ("resnet50", "rtx3090", 0.7751), ("resnet101", "rtx3090", 1.4397),
    ("regnety_400m", "v100", 0.1823), ("regnety_400m", "tx2", 3.6467),
    ("regnety_800m", "tx2", 5.41), ("regnety_400m", "nano", 7.6), ("regnety_800m", "nano", 12.5),
    ("t2t_vit_19", "v100", 2.20), ("t2t_vit_19", "tx2", 44.4),
]  # fmt: skip
SMALL, SINGLE = (4, 4, 2, 1), (1, 1, 1, 1)
# From the same runs, at half the work: network, machine, mode, patch sides, figure.
DYNAMIC = [
    ("resnet50", "v100", "spatial", SMALL, 0.7792), ("resnet50", "v100", "spatial", SINGLE, 1.2024),
    ("resnet50", "tx2", "spatial", SMALL, 12.0054), ("resnet50", "tx2", "spatial", SINGLE, 12.1879),
    ("resnet50", "rtx3090", "spatial", SMALL, 0.8432), ("resnet101", "v100", "spatial", SMALL, 1.3934),
    ("resnet101", "v100", "spatial", SINGLE, 2.0659), ("resnet101", "tx2", "spatial", SMALL, 21.6451),
    ("resnet50", "v100", "layer", SMALL, 0.5324), ("resnet50", "tx2", "layer", SMALL, 9.9067),
    ("resnet50", "rtx3090", "layer", SMALL, 0.4717), ("resnet101", "v100", "layer", SMALL, 0.9433),
    ("resnet101", "tx2", "layer", SMALL, 17.8445),
    ("resnet50", "v100", "channel", SMALL, 0.5379), ("resnet50", "tx2", "channel", SMALL, 9.3311),
    ("resnet50", "rtx3090", "channel", SMALL, 0.5572), ("resnet101", "v100", "channel", SMALL, 0.9103),
    ("resnet101", "tx2", "channel", SMALL, 16.0780),
]  # fmt: skip
REACHED = {"layer": 0.01, "spatial": 0.035, "channel": 0.045}  # the notes leave spatial and channel equations open
V100 = MACHINES["v100"]


@pytest.mark.truth
@pytest.mark.parametrize(("network", "gpu", "figure"), STATIC)
def test_static_figures(network: str, gpu: str, figure: float) -> None:
    assert static_latency_ms(network, gpu) == pytest.approx(figure, rel=0.01)


@pytest.mark.truth
def test_one_block_to_four_digits() -> None:
    """ResNet-101 less ResNet-50 is 17 equal blocks: nothing here is left to a reading."""
    for gpu, figures in {"v100": (0.9079, 1.6770), "tx2": (17.2257, 32.2417), "rtx3090": (0.7751, 1.4397)}.items():
        got = static_latency_ms("resnet101", gpu) - static_latency_ms("resnet50", gpu)
        assert got == pytest.approx(figures[1] - figures[0], abs=1.1e-4)  # two figures rounded to 1e-4


@pytest.mark.truth
@pytest.mark.xfail(reason="a tenth below; how the simulator counts a transformer is not known")
def test_transformer_on_rtx3060() -> None:
    assert static_latency_ms("t2t_vit_19", "rtx3060") == pytest.approx(3.41, rel=0.01)


@pytest.mark.truth
@pytest.mark.parametrize(("network", "gpu", "mode", "patches", "figure"), DYNAMIC)
def test_dynamic_figures(network: str, gpu: str, mode: str, patches: tuple[int, int, int, int], figure: float) -> None:
    got = dynamic_latency_ms(network, gpu, mode, 0.5, patches)  # type: ignore[arg-type]
    assert got == pytest.approx(figure, rel=REACHED[mode])


@pytest.mark.truth
def test_order_of_granularities() -> None:
    """Half the work on single pixels is slower than all of it on the V100; on the RTX 3090 small patches are too."""
    assert dynamic_latency_ms("resnet50", "v100", "spatial", 0.5, SINGLE) > static_latency_ms("resnet50", "v100")
    assert dynamic_latency_ms("resnet50", "v100", "spatial", 0.5, SMALL) < static_latency_ms("resnet50", "v100")
    assert dynamic_latency_ms("resnet50", "rtx3090", "spatial", 0.5, SMALL) > static_latency_ms("resnet50", "rtx3090")
    for patches in (SMALL, SINGLE):
        assert dynamic_latency_ms("resnet50", "tx2", "spatial", 0.5, patches) < static_latency_ms("resnet50", "tx2")


def by_hand(shape: KernelShape, gpu: Machine, batch: int, halo_fault: bool) -> float:
    """The equation of a dense convolution, tile by tile."""
    best = float("inf")
    k, s, groups = shape.kernel_h, shape.stride, shape.count
    for c, h, w in product(*(map(int, tile_sizes(n)) for n in (shape.cout, shape.out_h, shape.out_w))):
        slots = gpu.pipeline_depth * gpu.lanes
        use = c * h * w / (ceil(c * h * w / slots) * slots)
        tiles = ceil(shape.cout / c) * ceil(shape.out_h / h) * ceil(shape.out_w / w)
        waves = ceil(tiles / gpu.pes)
        compute = c * h * w * (shape.cin / groups) * k**2 * batch / (gpu.clock_mhz * gpu.lanes * use) * waves
        sides = ((h + k - 1) * s * (w + k - 1) * s) if halo_fault else (((h - 1) * s + k) * ((w - 1) * s + k))
        inputs = ceil(c / (shape.cout // groups)) * (shape.cin / groups) * sides
        words = c * (shape.cin / groups) * k**2 + batch * (inputs + c * h * w)
        l2 = tiles * words / (gpu.dram_gb_s * 250 * gpu.l2_factor * w / (ceil(w / 8) * 8))
        best = min(best, compute + l2)
    moved = shape.weight_elements + batch * (shape.read_elements + shape.write_elements)
    return best + moved / (gpu.dram_gb_s * 250) + gpu.launch_us


@pytest.mark.exact
@pytest.mark.parametrize("gpu", MACHINES.values(), ids=list(MACHINES))
@pytest.mark.parametrize(
    "shape", [conv(12, 20, (9, 11), (3, 3)), conv(12, 24, (14, 14), (3, 3), 2, 4), conv(8, 8, (7, 7), (5, 5), groups=8)]
)
def test_tiles_by_brute_force(shape: KernelShape, gpu: Machine) -> None:
    for batch, faults in product((1, 16), (True, False)):
        assert conv_us(shape, gpu, batch, faults) == pytest.approx(by_hand(shape, gpu, batch, faults), rel=1e-12)


@pytest.mark.exact
def test_tile_sizes() -> None:
    assert tile_sizes(14).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 14]
    assert tile_sizes(1).tolist() == [1]
    assert {256, 128, 86, 64, 52, 43, 37, 32} <= set(tile_sizes(256).tolist())


SIZES = st.integers(1, 96)


@pytest.mark.property
@given(SIZES, SIZES, st.sampled_from((7, 14, 28)), st.sampled_from((1, 3, 5)), st.sampled_from((1, 2)), SIZES)
def test_more_work_takes_longer(cin: int, cout: int, side: int, kernel: int, stride: int, batch: int) -> None:
    def at(cin: int, kernel: int, batch: int) -> float:
        return conv_us(conv(cin, cout, (side, side), (kernel, kernel), stride), V100, batch)

    assert V100.launch_us < at(cin, kernel, batch) < at(cin + 1, kernel, batch)
    assert at(cin, kernel, batch) < at(cin, kernel + 2, batch)
    assert at(cin, kernel, batch) < at(cin, kernel, batch + 1)


@pytest.mark.property
@given(st.integers(1, 8), st.integers(1, 64), st.floats(0.05, 0.95))
def test_worst_tile(channels: int, tiles: int, rate: float) -> None:
    share = worst_share(channels, tiles, rate)
    assert rate - 1e-9 <= share <= 1 + 1e-9
    assert share <= worst_share(channels, tiles + 1, rate) + 1e-9
    assert worst_share(channels, 1, rate) == pytest.approx(rate)


@pytest.mark.exact
def test_worst_tile_by_sampling() -> None:
    draws = np.random.default_rng(0).binomial(16, 0.5, (20000, 8)).max(axis=1) / 16
    assert worst_share(16, 8, 0.5) == pytest.approx(draws.mean(), abs=4 * draws.std() / 20000**0.5)


@pytest.mark.exact
def test_all_channels_active_is_dense() -> None:
    shape = conv(64, 96, (14, 14), (3, 3), 2)
    assert channel_conv_us(shape, (1.0, 1.0), V100, 8) == pytest.approx(conv_us(shape, V100, 8))


@pytest.mark.exact
def test_each_fault_changes_its_operators_alone() -> None:
    def changed(network: str, faults: Faults) -> bool:
        return static_latency_ms(network, "v100", faults=faults) != static_latency_ms(network, "v100")

    tiles, halo, shortcut = (replace(AS_RELEASED, **{name: False}) for name in ("fc_tile_count", "halo", "downsample"))
    assert changed("regnety_400m", tiles) and not changed("resnet50", tiles)
    assert changed("regnety_400m", halo) and changed("resnet50", halo) and not changed("t2t_vit_19", halo)
    assert changed("resnet50", shortcut) and not changed("regnety_400m", shortcut)
    assert static_latency_ms("resnet50", "tx2", faults=False) == static_latency_ms("resnet50", "tx2", faults=CORRECTED)


@pytest.mark.exact
def test_halo_fault_is_one_of_strides() -> None:
    plain, strided = conv(64, 64, (28, 28), (3, 3)), conv(64, 64, (28, 28), (3, 3), 2)
    assert conv_us(plain, V100, 8, True) == conv_us(plain, V100, 8, False)
    assert conv_us(strided, V100, 8, True) > conv_us(strided, V100, 8, False)


@pytest.mark.exact
def test_a_schedule_is_picked_at_the_mean_rate() -> None:
    def at(planned: float, actual: float) -> float:
        return patch_conv_us((64, 64), 28, 4, (planned, actual), 3, 1, False, V100, 1)

    assert active_patches(28, 4, 0.5) == 25
    assert at(0.5, 0.3) < at(0.5, 0.5) < at(0.5, 0.9)
    assert at(0.5, 0.9) >= at(0.9, 0.9)  # a schedule picked for the rate itself is never worse


@pytest.mark.exact
def test_errors_name_what_is_allowed() -> None:
    with pytest.raises(InputError, match="resnet50"):
        static_latency_ms("resnet5", "v100")
    with pytest.raises(InputError, match="v100"):
        static_latency_ms("resnet50", "v10")
    with pytest.raises(InputError, match="rate"):
        dynamic_latency_ms("resnet50", "v100", "layer", 0.0)
    with pytest.raises(UnsupportedError, match="memory"):
        conv_us(memory(10, 10), V100, 1)


@pytest.mark.exact
def test_linear_layer_is_a_pointwise_convolution_of_its_rows() -> None:
    same = conv(32, 48, (50, 1), (1, 1))
    assert conv_us(linear(50, 32, 48), V100, 4) == pytest.approx(conv_us(same, V100, 4))
