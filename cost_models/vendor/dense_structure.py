"""What hls4ml makes of a dense layer: the hardware that a report counts, as features of linear laws.

In the resource strategy a layer has `multipliers` = d_in d_out / reuse products a cycle. Where reuse exceeds d_in,
each of them serves reuse / d_in outputs in turn, so a selector of 2^ceil(log2 d_out) accumulators stands behind each
(`steered`); with two outputs each, it is a pair of registers (`paired`). Weights lie in a block RAM that is as wide
as all multipliers together and `reuse` deep; a table of output indices of reuse x log2(reuse / d_in) bits joins it
from 1,024 bits on. Products of weights from 6 bits on take DSPs. With reuse 1, or in the latency strategy, everything
is unrolled and weights are constants.

Source: nnet_utils of hls4ml (Apache-2.0) for the loops; the thresholds are read off the reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.cost_models.vendor.dense_rows import DenseDesigns

Floats = NDArray[np.float64]
Features = Mapping[str, NDArray[Any]]
REGIMES = ("steered", "paired", "unrolled")
DSP_FROM_BITS = 6
BIT_NODES = (2, 4, 6, 8, 10, 12, 14)
_INDEX_BITS = 1024
_LONG_REUSE = 1024  # all four shapes have a DSP more at 1,024 and none more at 512; nothing was tried between
_VALUE_BITS = 16  # of activations in all reports
_LUTRAM_COLUMNS = 2  # so many bits beside full block RAMs stay in LUTs
_BLOCK_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))


def regime(designs: DenseDesigns) -> NDArray[np.str_]:
    """Which of `REGIMES` each design is."""
    served = outputs_served(designs)
    return np.where(designs.latency | (served <= 1), "unrolled", np.where(served <= 2, "paired", "steered"))


def is_pipelined(designs: DenseDesigns) -> NDArray[np.bool_]:
    """The latency strategy with a reuse factor: products wait for their turn in `multipliers` DSPs."""
    return np.asarray(designs.latency & (designs.reuse > 1))


def outputs_served(designs: DenseDesigns) -> Floats:
    """Outputs that one multiplier serves in turn: reuse / d_in."""
    return np.asarray(designs.reuse / designs.d_in)


def weight_bram18(designs: DenseDesigns) -> Floats:
    """Block RAMs of 18 Kb of the weights and of the table of output indices; 0 where weights are constants."""
    width = designs.multipliers * designs.bits
    found = _memory_bram18(width, designs.reuse)
    index = designs.reuse * np.ceil(np.log2(np.maximum(outputs_served(designs), 1)))
    total = found + (index >= _INDEX_BITS)
    return np.where(regime(designs) == "unrolled", 0.0, total)


def _memory_bram18(width: NDArray[np.int64], depth: NDArray[np.int64]) -> Floats:
    """A memory in the narrowest block that is deep enough, or as 1,024 words and the rest apart if that takes fewer."""
    found = np.full(len(width), np.inf)
    for columns, words in _BLOCK_SHAPES:
        found = np.where(depth <= words, np.minimum(found, _columns_of(width, columns)), found)
    rest = depth - 1024
    apart = _columns_of(width, 18) + _columns_of(width, 36)
    return np.where((rest > 0) & (rest <= 512), np.minimum(found, apart), found)


def _columns_of(width: NDArray[np.int64], columns: int) -> Floats:
    """Blocks side by side; a last block of one or two bits is not taken, they go into LUTs."""
    whole = width // columns
    left = width - whole * columns
    return np.asarray(whole + (left > np.where(whole > 0, _LUTRAM_COLUMNS, 0)), dtype=np.float64)


def dsp_count(designs: DenseDesigns) -> Floats:
    """One DSP a multiplier from 6 bits on, from 7 where the weight is a constant; one more in long pipelines."""
    least = np.where(regime(designs) == "unrolled", DSP_FROM_BITS + 1, DSP_FROM_BITS)
    more = is_pipelined(designs) & (designs.reuse >= _LONG_REUSE)
    return np.where(designs.bits >= least, designs.multipliers + more, 0).astype(np.float64)


def selector_size(designs: DenseDesigns) -> NDArray[np.int64]:
    """ceil(log2 d_out), the address bits of the selector behind a multiplier, from 5 to 8 as measured."""
    return np.clip(np.ceil(np.log2(designs.d_out)), 5, 8).astype(np.int64)


def hats(bits: NDArray[np.int64]) -> list[Floats]:
    """Weights of the measured widths 2, 4, ..., 14: linear between neighbours, constant outside."""
    clipped = np.clip(bits, BIT_NODES[0], BIT_NODES[-1])
    return [np.maximum(0.0, 1.0 - np.abs(clipped - node) / 2.0) for node in BIT_NODES]


def _steered_lut(d: DenseDesigns) -> Features:
    found: dict[str, NDArray[Any]] = {"1": np.ones(len(d)), "d_in": d.d_in, "dsp": dsp_count(d)}
    for size in (5, 6, 7, 8):
        here = selector_size(d) == size
        found |= {
            f"select{size}": here,
            f"select{size} d_out": here * d.d_out,
            f"select{size} mult": here * d.multipliers,
        }
    return found


def _paired_lut(d: DenseDesigns) -> Features:
    wide, narrow = d.bits >= DSP_FROM_BITS, d.bits >= 10
    return {
        "1": np.ones(len(d)),
        "d_in": d.d_in,
        "d_out": d.d_out,
        "mult": d.multipliers,
        "dsp": dsp_count(d),
        "with dsp": wide,
        "10 bits": narrow,
        "10 bits mult": narrow * d.multipliers,
    }


def _shared_ff(d: DenseDesigns) -> Features:
    found: dict[str, NDArray[Any]] = {"1": np.ones(len(d)), "d_out": d.d_out, "log2 reuse": np.log2(d.reuse)}
    found |= {f"mult b{node}": d.multipliers * hat for node, hat in zip(BIT_NODES, hats(d.bits), strict=True)}
    return found


def _unrolled_lut(d: DenseDesigns) -> Features:
    """Products by width of their constants, and what the latency strategy changes."""
    found: dict[str, NDArray[Any]] = {"1": np.ones(len(d)), "d_in": d.d_in, "d_out": d.d_out}
    for node, hat in zip(BIT_NODES, hats(d.bits), strict=True):
        found |= {f"macs b{node}": d.macs * hat, f"latency macs b{node}": d.latency * d.macs * hat}
    return found


def _unrolled_ff(d: DenseDesigns) -> Features:
    """Registers of outputs and of the pipeline, under three schedules that have little to do with each other.

    Constants narrow enough for adders alone leave nothing to wait for: with a reuse factor such a design is that of
    reuse 1 without its registers of outputs.
    """
    waits = is_pipelined(d) & (d.bits > DSP_FROM_BITS)
    found: dict[str, NDArray[Any]] = {"no output registers": (is_pipelined(d) & ~waits) * d.d_out}
    schedules = {"resource": ~d.latency, "latency": d.latency & ~waits, "pipelined": waits}
    for name, here in schedules.items():
        found |= {name: here, f"{name} d_out": here * d.d_out}
        nodes = [(n, hat) for n, hat in zip(BIT_NODES, hats(d.bits), strict=True) if name != "pipelined" or n >= 6]
        found |= {f"{name} macs b{n}": here * d.macs * hat for n, hat in nodes}
    return found


def least_ff(designs: DenseDesigns) -> Floats:
    """Registers that each unrolled design has: of its inputs or of its outputs, whichever are fewer, of 16 bits."""
    registered = _VALUE_BITS * np.minimum(designs.d_in, designs.d_out)
    return np.where(regime(designs) == "unrolled", registered, 0).astype(np.float64)


def _unrolled_dsp(d: DenseDesigns) -> Features:
    """The share of constants with too many digits for adders; up to 6 bits there is none."""
    wide = zip(BIT_NODES, hats(d.bits), strict=True)
    return {f"macs b{node}": d.macs * hat for node, hat in wide if node > DSP_FROM_BITS}


LAWS: Mapping[tuple[str, str], Callable[[DenseDesigns], Features]] = {
    ("steered", "lut"): _steered_lut,
    ("steered", "ff"): _shared_ff,
    ("paired", "lut"): _paired_lut,
    ("paired", "ff"): _shared_ff,
    ("unrolled", "lut"): _unrolled_lut,
    ("unrolled", "ff"): _unrolled_ff,
    ("unrolled", "dsp"): _unrolled_dsp,
}


def law(regime_name: str, resource: str, designs: DenseDesigns) -> tuple[tuple[str, ...], Floats]:
    """Names of the features and their values, (designs, features)."""
    found = LAWS[regime_name, resource](designs)
    return tuple(found), np.stack([np.asarray(v, dtype=np.float64) for v in found.values()], axis=1)
