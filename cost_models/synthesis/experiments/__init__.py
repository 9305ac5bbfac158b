"""The design of experiments: which units of each family are synthesised.

Dense where networks live, sparse around it, and nothing that takes Yosys more than about ten seconds. Every list is
the same in every run. A family is one line of `EXPERIMENTS`: its name and the function that yields its parameters in
the order of the fields of its class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hwsim.core.errors import InputError, nearest
from hwsim.cost_models.rtl.registry import unit_of
from hwsim.cost_models.rtl.unit import Unit
from hwsim.cost_models.synthesis.experiments import (
    block_formats,
    conversions,
    elementwise,
    integers,
    minifloats,
    paper_formats,
    storage,
    streams,
    sums,
)

EXPERIMENTS: dict[str, Callable[[], Iterable[tuple[Any, ...]]]] = {
    "int_mul": integers.int_mul,
    "dsp_mul": integers.dsp_mul,
    "int_mac": integers.int_mac,
    "int_dot": sums.int_dot,
    "minifloat_mul": minifloats.minifloat_mul,
    "minifloat_mac": minifloats.minifloat_mac,
    "minifloat_dot": sums.minifloat_dot,
    "minifloat_int_mul": minifloats.minifloat_int_mul,
    "minifloat_int_mac": minifloats.minifloat_int_mac,
    "minifloat_int_dot": sums.minifloat_int_dot,
    "float_accumulate_mac": minifloats.float_accumulate_mac,
    "power_mac": paper_formats.power_mac,
    "partial_binary_mac": paper_formats.partial_binary_mac,
    "float_add": minifloats.float_formats,
    "float_accumulate": minifloats.float_formats,
    "block_scale": block_formats.block_scale,
    "block_scale_dot": block_formats.block_scale_dot,
    "adder_tree": sums.adder_tree,
    "minifloat_decode": conversions.minifloat_decode,
    "minifloat_encode": conversions.minifloat_encode,
    "shift_requantize": conversions.shift_requantize,
    "multiply_requantize": conversions.multiply_requantize,
    "thresholds": conversions.thresholds,
    "relu": elementwise.relu,
    "residual_add": elementwise.residual_add,
    "max_of_two": elementwise.max_of_two,
    "max_pool": elementwise.max_pool,
    "weight_rom": storage.weight_rom,
    "dual_port_ram": storage.dual_port_ram,
    "fifo": streams.fifo,
    "narrower": streams.narrower,
    "widener": streams.widener,
    "sliding_window": streams.sliding_window,
    "window_control": streams.window_control,
    "stream_max_pool": streams.stream_max_pool,
    "pool_control": streams.pool_control,
    "border_mask": storage.border_mask,
    "register": storage.register,
    "replay_buffer": storage.replay_buffer,
    "fold_accumulator": storage.fold_accumulator,
    "fold_control": storage.fold_control,
}


def families() -> tuple[str, ...]:
    """Families with an experiment, in the order in which they are synthesised."""
    return tuple(EXPERIMENTS)


def experiment(family: str) -> tuple[Unit, ...]:
    """The units of one family, each once.

    Raises
    ------
    InputError
        Where there is no such family.
    """
    if family not in EXPERIMENTS:
        raise InputError(f"no family {family!r}", where="synthesis", hint=nearest(family, EXPERIMENTS))
    return tuple(dict.fromkeys(unit_of(family, *values) for values in EXPERIMENTS[family]()))
