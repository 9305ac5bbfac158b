"""What an importer hands back, what its user has to say where a file is silent, and entries that give no row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwsim.core.errors import InputError, nearest
from hwsim.latency.catalog import RUNTIMES
from hwsim.latency.measurements import Measurement

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8")


class Unreadable(Exception):
    """One entry of a file that gives no row; the message is the reason. Never leaves the importers."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Entries of a file that gave no row: their name, why, how many, and the time that they took in all."""

    name: str
    reason: str
    count: int = 1
    latency_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Imported:
    """The measurements of one file, the format it was in, and what was left out."""

    format: str
    rows: tuple[Measurement, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """What the user says of a file: used where the file is silent, needed where nothing else can tell.

    Attributes
    ----------
    device, runtime, precision : as in `Measurement`. Precision `tf32` also renames what a file calls fp32, since no
        format tells the two apart.
    name, batch : of a network's times: its MODEL string and images a run; 0 is not known.
    """

    device: str = ""
    runtime: str = ""
    precision: str = ""
    name: str = ""
    batch: int = 0

    def __post_init__(self) -> None:
        for key, value, allowed in (("runtime", self.runtime, RUNTIMES), ("precision", self.precision, PRECISIONS)):
            if value and value not in allowed:
                raise InputError(f"{key} = {value!r}", where=key, hint=nearest(value, allowed))
        if self.batch < 0:
            raise InputError(f"batch = {self.batch}", where="batch", hint="images a run: a whole number above 0")


def wanted(labels: Labels, key: Literal["device", "runtime", "precision", "name"], where: str) -> str:
    """A label that the file itself does not hold; InputError where it was not given."""
    value: str = getattr(labels, key)
    if not value:
        examples = {"device": "v100", "runtime": "tensorrt", "precision": "fp16", "name": "timm:resnet50"}
        raise InputError(f"the file does not say its {key}", where=where, hint=f"say it: {key} = {examples[key]}")
    return value


def settled(said: str, labels: Labels) -> str:
    """The precision of an entry that the file says is `said` ("" where it is silent)."""
    precision = labels.precision if not said or (said == "fp32" and labels.precision == "tf32") else said
    if precision not in PRECISIONS:
        raise Unreadable(f"precision {said!r} is not one of {', '.join(PRECISIONS)}" if said else "precision not said")
    return precision


def summary(times_us: Sequence[float]) -> tuple[float, float, int]:
    """Median, (90 % quantile less 10 % quantile) over the median, and how many times there are."""
    low, mid, high = (float(q) for q in np.quantile(np.asarray(times_us, dtype=float), [0.1, 0.5, 0.9]))
    return mid, (high - low) / mid if mid else 0.0, len(times_us)
