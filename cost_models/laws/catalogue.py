"""Laws by family of units: counts from the fields of a unit's class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hwsim.cost_models.laws import controls, memories
from hwsim.cost_models.laws.counts import Counts
from hwsim.cost_models.operators.multiplier import dsp_tiles

Fields = Mapping[str, Any]


def _dsp_mul(p: Fields) -> Counts:
    return Counts(dsp=dsp_tiles(p["w_bits"], p["a_bits"] + (not p["a_signed"]), "DSP48E2"))


LAWS: dict[str, Callable[[Fields], Counts]] = {
    "dsp_mul": _dsp_mul,
    "register": lambda p: controls.register(p["bits"]),
    "fold_accumulator": lambda p: controls.fold_accumulator(p["acc_bits"]),
    "fold_control": lambda p: controls.fold_control(p["words"], p["folds"], p["stages"]),
    "window_control": lambda p: controls.window_control(
        p["width"], p["height"], p["kernel"], p["stride"], p["padding"]
    ),
    "pool_control": lambda p: controls.pool_control(p["width"]),
    "border_mask": lambda p: controls.border_mask(p["bits"]),
    "narrower": lambda p: controls.narrower(p["bits"], p["factor"]),
    "widener": lambda p: controls.widener(p["bits"], p["factor"]),
    "fifo": lambda p: memories.stream_fifo(p["bits"], p["depth"]),
    "weight_rom": lambda p: memories.weight_rom(p["words"], p["bits"]),
    "dual_port_ram": lambda p: memories.dual_port_ram(p["words"], p["bits"]),
    "replay_buffer": lambda p: memories.replay_buffer(p["words"], p["bits"]),
}
