"""All families of units by name, each with the class that makes it: one line a family."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from hwsim.core.errors import InputError, nearest
from hwsim.cost_models.rtl.unit import Unit

# family -> file and class in this package
CLASSES = {
    "int_mul": "integer.IntMultiplier",
    "dsp_mul": "integer.DspMultiplier",
    "int_mac": "integer.IntMac",
    "int_dot": "dot.IntDot",
    "minifloat_mul": "minifloat.MinifloatMultiplier",
    "minifloat_mac": "minifloat.MinifloatMac",
    "minifloat_dot": "dot.MinifloatDot",
    "minifloat_int_mul": "mixed.MinifloatIntMultiplier",
    "minifloat_int_mac": "mixed.MinifloatIntMac",
    "minifloat_int_dot": "dot.MinifloatIntDot",
    "float_accumulate_mac": "float_accumulate.FloatAccumulateMac",
    "power_mac": "power.PowerMac",
    "partial_binary_mac": "partial_binary.PartialBinaryMac",
    "float_add": "float_add.FloatAdder",
    "float_accumulate": "float_add.FloatAccumulator",
    "block_scale": "block_scale.BlockScaler",
    "block_scale_dot": "block_dot.BlockScaleDot",
    "adder_tree": "adder_tree.AdderTree",
    "minifloat_decode": "decode.MinifloatDecoder",
    "minifloat_encode": "encode.MinifloatEncoder",
    "shift_requantize": "requantize.ShiftRequantizer",
    "multiply_requantize": "requantize.MultiplyRequantizer",
    "thresholds": "thresholds.ThresholdUnit",
    "relu": "elementwise.Relu",
    "residual_add": "elementwise.ResidualAdd",
    "max_of_two": "compare.MaxOfTwo",
    "max_pool": "compare.MaxPool",
    "weight_rom": "memory.WeightRom",
    "dual_port_ram": "memory.DualPortRam",
    "fifo": "fifo.StreamFifo",
    "narrower": "width.StreamNarrower",
    "widener": "width.StreamWidener",
    "sliding_window": "window.SlidingWindow",
    "window_control": "window_control.WindowControl",
    "border_mask": "window.BorderMask",
    "stream_max_pool": "pool.StreamMaxPool",
    "pool_control": "pool.PoolControl",
    "register": "folding.PipelineRegister",
    "replay_buffer": "folding.ReplayBuffer",
    "fold_accumulator": "folding.FoldAccumulator",
    "fold_control": "fold_control.FoldControl",
}


@cache
def unit_class(family: str) -> type[Any]:
    """The class of a family.

    Raises
    ------
    InputError
        Where there is no such family.
    """
    if family not in CLASSES:
        raise InputError(f"no family {family!r}", where="units", hint=nearest(family, CLASSES))
    file, _, name = CLASSES[family].partition(".")
    found: type[Any] = getattr(import_module(f"hwsim.cost_models.rtl.{file}"), name)
    return found


def unit_of(family: str, *values: Any, **parameters: Any) -> Unit:
    """A unit from its fields, in order or by name."""
    found: Unit = unit_class(family)(*values, **parameters)
    return found
