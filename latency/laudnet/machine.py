"""What LAUDNet's predictor knows of a GPU, and the faults of its equations that can be switched off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hwsim.core.errors import InputError, nearest


@dataclass(frozen=True, slots=True)
class Machine:
    """A GPU as LAUDNet's analytic predictor sees it: processing elements over one shared L2 over DRAM, FP32 only.

    Attributes
    ----------
    name : key in `MACHINES`.
    pes : processing elements (streaming multiprocessors).
    lanes : FP32 lanes of each.
    clock_mhz : as derated by hand in the source.
    dram_gb_s : DRAM bandwidth, likewise.
    l2_factor : L2 bandwidth over DRAM bandwidth: 4, but 1 on the RTX 3090.
    batch : the batch of its published figures, 128 on server cards, 1 on Jetson boards.
    launch_us : of every kernel.
    pipeline_depth : cycles that each lane needs work for.
    sector_words : FP32 words of an L2 sector (32 bytes).

    Notes
    -----
    Source: parameters of the simulator of arXiv 2308.15949 (LeapLabTHU/LAUDNet at b53b980).
    """

    name: str
    pes: int
    lanes: int
    clock_mhz: float
    dram_gb_s: float
    l2_factor: float = 4.0
    batch: int = 128
    launch_us: float = 8.0
    pipeline_depth: int = 4
    sector_words: int = 8

    @property
    def lane_macs_per_us(self) -> float:
        """Multiply-accumulates a microsecond of one processing element with all lanes busy."""
        return self.clock_mhz * self.lanes

    @property
    def dram_words_per_us(self) -> float:
        return self.dram_gb_s * 1e3 / 4

    @property
    def l2_words_per_us(self) -> float:
        return self.dram_words_per_us * self.l2_factor


MACHINES: Final = {
    m.name: m
    for m in (
        Machine("v100", 80, 64, 1500.0, 700.0),
        Machine("rtx3090", 82, 128, 1250.0, 936.0, l2_factor=1.0),
        Machine("rtx3060", 28, 128, 1777.0, 360.0),
        Machine("tx2", 2, 128, 1300.0, 59.7, batch=1),
        Machine("nano", 1, 128, 921.0, 25.6, batch=1),
    )
}


@dataclass(frozen=True, slots=True)
class Faults:
    """Which errors of the released equations to keep; all are needed to reproduce its published figures.

    Attributes
    ----------
    fc_tile_count : a fully connected layer has as many tiles as its tile has outputs, not as cover its output.
    halo : an input tile has sides (h + k - 1) s, not (h - 1) s + k.
    downsample : a downsampling convolution costs nothing where its stride is 1 (the first stage of a ResNet).
        Inferred from the figures: with it they are met to 0.8 %, without to 2.4 %.
    """

    fc_tile_count: bool = True
    halo: bool = True
    downsample: bool = True


AS_RELEASED: Final = Faults()
CORRECTED: Final = Faults(fc_tile_count=False, halo=False, downsample=False)


def machine(name: str) -> Machine:
    """One of `MACHINES`.

    Raises
    ------
    InputError
        For an unknown name.
    """
    if name not in MACHINES:
        raise InputError(f"no machine named {name!r} in LAUDNet's predictor", hint=nearest(name, MACHINES))
    return MACHINES[name]


def chosen(faults: Faults | bool) -> Faults:
    """True is all faults, False none."""
    return (AS_RELEASED if faults else CORRECTED) if isinstance(faults, bool) else faults
