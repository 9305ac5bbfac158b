"""Latency of LAUDNet's dynamic networks by its own equations: layers, patches or channels left out.

No released kernel runs any of this: the figures are the output of an analytic simulator (arXiv 2308.15949).
"""

from __future__ import annotations

from typing import Literal

from hwsim.core.errors import InputError
from hwsim.latency.laudnet.channels import channel_conv_us
from hwsim.latency.laudnet.machine import Faults, Machine, chosen, machine
from hwsim.latency.laudnet.networks import Bottleneck, body_us, network_blocks, shortcut_us
from hwsim.latency.laudnet.operators import conv_us, linear_us, pool_us, squeeze_excite_us
from hwsim.latency.laudnet.patches import active_patches, patch_conv_us, scatter_add_us

Mode = Literal["layer", "spatial", "channel"]


def dynamic_latency_ms(
    network: str,
    gpu: Machine | str,
    mode: Mode,
    rate: float,
    patches: tuple[int, int, int, int] = (4, 4, 2, 1),
    batch: int | None = None,
    faults: Faults | bool = True,
) -> float:
    """Latency of a dynamic network, milliseconds per image.

    Parameters
    ----------
    network : a convolutional one of `networks`.
    mode : what is left out: whole blocks, patches of the map, or channels.
    rate : of what is computed, in (0, 1], the same in all blocks.
    patches : side of a patch by stage; for `spatial` alone.
    batch, faults : as for `static_latency_ms`.

    Raises
    ------
    InputError
        For an unknown network, machine or mode, or a rate out of range.
    """
    if not 0 < rate <= 1:
        raise InputError(f"rate {rate} is not in (0, 1]", where="dynamic_latency_ms")
    device = machine(gpu) if isinstance(gpu, str) else gpu
    images, kept = device.batch if batch is None else batch, chosen(faults)
    total = 0.0
    for block in network_blocks(network):
        if mode == "layer":
            total += layer_skip_us(block, rate, device, images, kept)
        elif mode == "spatial":
            total += spatial_us(block, rate, patches[block.stage], device, images, kept)
        elif mode == "channel":
            total += channel_us(block, rate, device, images, kept)
        else:
            raise InputError(f"no dynamic mode {mode!r}", hint="allowed: layer, spatial, channel")
    return total / 1e3 / images


def layer_skip_us(block: Bottleneck, rate: float, gpu: Machine, batch: int, faults: Faults) -> float:
    """Masker, downsampling, and the block as often as it is taken; regrouping a batch costs nothing here."""
    return (
        _spatial_masker_us(block, gpu, batch)
        + shortcut_us(block, gpu, batch, faults)
        + rate * body_us(block, gpu, batch, faults)
    )


def spatial_us(block: Bottleneck, rate: float, patch: int, gpu: Machine, batch: int, faults: Faults) -> float:
    """Masker, first convolution, gather with second, third, scatter with residual sum, downsampling.

    The first convolution counts at `rate` of its dense time. Notes on the source call it dense; that cannot
    be, since with it compute and DRAM traffic alone exceed the figures on the TX2.
    """
    side = block.out_side
    patch = min(patch, side)
    patches = active_patches(side, patch, rate)
    first = gpu.launch_us + rate * (conv_us(block.convs[0], gpu, batch, faults) - gpu.launch_us)
    rates, inner = (rate, rate), (block.width, block.width)
    second = patch_conv_us(
        inner, side, patch, rates, 3, block.stride, False, gpu, batch, block.groups, halo_fault=faults.halo
    )
    third = patch_conv_us((block.width, block.cout), side, patch, rates, 1, 1, True, gpu, batch, halo_fault=faults.halo)
    gate = 0.0
    if block.gated:
        gate = squeeze_excite_us(block.width, patches * patch**2 * block.width, gpu, batch, faults)
    return (
        _spatial_masker_us(block, gpu, batch)
        + first
        + second
        + gate
        + third
        + scatter_add_us(block.cout, side, patch, patches, gpu, batch)
        + shortcut_us(block, gpu, batch, faults)
    )


def channel_us(block: Bottleneck, rate: float, gpu: Machine, batch: int, faults: Faults) -> float:
    """Masker (pool, two fully connected layers), three channel-dynamic convolutions, residual sum, downsampling."""
    hidden = max(1, block.width // 16)
    masker = pool_us(block.cin * block.side**2, gpu, batch)
    masker += linear_us(block.cin, hidden, gpu, batch, faults) + linear_us(hidden, block.width, gpu, batch, faults)
    rates = ((1.0, rate), (rate, rate), (rate, rate))
    convs = sum(
        channel_conv_us(kernel, pair, gpu, batch, faults.halo) for kernel, pair in zip(block.convs, rates, strict=True)
    )
    rest = body_us(block, gpu, batch, faults) - sum(conv_us(kernel, gpu, batch, faults) for kernel in block.convs)
    return masker + convs + rest + shortcut_us(block, gpu, batch, faults)


def _spatial_masker_us(block: Bottleneck, gpu: Machine, batch: int) -> float:
    """A launch that reads the block's input once; what it computes on it is not counted."""
    return pool_us(block.cin * block.side**2, gpu, batch)
