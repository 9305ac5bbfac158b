"""The network models that ship (data/networks.npz), and which one serves a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.core.devices import Gpu
from hwsim.latency.catalog import devices
from hwsim.latency.errors import Errors, fitted_name
from hwsim.latency.networks.network_model import NetworkModel
from hwsim.latency.networks.work_classes import LAUNCHES, MOVES, TERMS
from hwsim.latency.simulator.table import Array
from hwsim.latency.store import read

PATH = Path(__file__).parent.parent / "data" / "networks.npz"
PAIR = ("rtx4090/compiled/fp16/nchw", "rtx4090/eager/fp16/nchw")  # the same card, stack and networks, both ways
SYNCHRONOUS = ("x86_64", "AMD64", "aarch64", "arm64")  # architectures whose host computes: nothing overlaps
_LAUNCHES = TERMS.index(LAUNCHES)
_MOVES = np.array([name.endswith(":memory") for name in TERMS])
_ONLY_MOVES = np.array([name.endswith(":memory") and name.partition(":")[0] in MOVES for name in TERMS])
_ALIKE = 5.0  # distance up to which a network is one of a search space
_MOST, _LEAST = 2.0, 0.02  # limits on what compiling is believed to change


@dataclass(frozen=True, slots=True)
class Found:
    """A model for a question.

    Attributes
    ----------
    key : of the model; `exact` where it was measured for just this question, `layout_only` where all but the layout
        was.
    """

    model: NetworkModel
    key: str
    exact: bool
    layout_only: bool = False


@dataclass(frozen=True, slots=True)
class NetworkModels:
    """All models by `device/runtime/precision/layout`; one of a search space has its name after that.

    Attributes
    ----------
    transfer : errors of questions answered by another device's or runtime's model: of `server` cards and desktops, and
        of `small` devices; of one `layout` answered by the model of the other; and of eager networks `unlike` all
        that were fitted.
    sums : models of networks as sums of single kernels: of all devices together by kind of precision, host and gap in
        shares of a device's launch; and by the keys of `models` where few networks were measured and such sums tell
        left-out families better than classes do.
    scores : figures on networks left out, by key and kind of split; `about` their provenance.
    """

    models: Mapping[str, NetworkModel]
    transfer: Mapping[str, Errors]
    sums: Mapping[str, NetworkModel]
    scores: Mapping[str, Mapping[str, float]]
    about: Mapping[str, Any]

    def find(self, gpu: Gpu, runtime: str, precision: str, layout: str, sums: Array | None = None) -> Found:
        """The model measured for a question, or the nearest one.

        Parameters
        ----------
        sums : of the network, by which a model of just such networks is known (a search space, say).
        """
        wanted = f"{fitted_name(gpu)}/{runtime}/{precision}/{layout}"
        if sums is not None:
            for key, model in self.models.items():
                special = key.startswith(f"{wanted}/") and model.likeness is not None
                if special and float(model.forecast(sums[None, :]).distance[0]) < _ALIKE:
                    return Found(model, key, True)
        if wanted in self.models:
            return Found(self.models[wanted], wanted, True)
        key = min(
            (key for key in self.models if key.count("/") == 3),
            key=lambda key: (_distance(wanted, key, gpu.architecture), -self.models[key].networks, key),
        )
        model = self.models[key]
        if runtime == "compiled" and key.split("/")[1] == "eager" and all(k in self.models for k in PAIR):
            model = self._compiled(model)
        host = gpu.launch_us[runtime] * _host_share(model, key)
        if key.rpartition("/")[0] == wanted.rpartition("/")[0]:
            return Found(model, key, False, layout_only=True)
        return Found(replace(model, classes=replace(model.classes, host_us=host)), key, False)

    def serving(self, gpu: Gpu, runtime: str, precision: str, layout: str, sums: Array | None = None) -> Found:
        """What serves a question: networks measured for it, then single kernels, then networks of another device."""
        nearest = self.find(gpu, runtime, precision, layout, sums)
        if nearest.exact or nearest.layout_only:
            own = self.sums.get(nearest.key)
            return replace(nearest, model=own) if own else nearest
        return self.from_kernels(gpu, runtime, precision) or nearest

    def from_kernels(self, gpu: Gpu, runtime: str, precision: str) -> Found | None:
        """The model of sums of single kernels, for a device whose networks were not measured; None where none serves.

        Experts know eager kernels of server cards and desktops; what compiling saves of element-wise operators and the
        like is taken from the card that was measured both ways.
        """
        family = "fp32" if precision in ("fp32", "tf32") else "fp16"
        model = self.sums.get(family)
        both = runtime == "compiled" and all(key in self.models for key in PAIR)
        if model is None or not (both or runtime == "eager"):
            return None
        if gpu.architecture in SYNCHRONOUS or size_of(gpu) == "small":
            return None
        launch = gpu.launch_us[runtime]
        factors = model.classes.factors.copy()
        if both:
            factors *= np.where(_ONLY_MOVES, self._change(), 1.0)
        factors[_LAUNCHES] *= launch
        classes = replace(model.classes, factors=factors, host_us=model.classes.host_us * launch)
        return Found(replace(model, classes=classes), f"single kernels, {family}", False)

    def transfer_of(self, gpu: Gpu) -> Errors:
        """Errors of questions about a device that another one's model answers."""
        return self.transfer[size_of(gpu)]

    def outside(self, gpu: Gpu, runtime: str) -> Errors:
        """Errors of networks outside what was measured."""
        return self.transfer["unlike"] if runtime == "eager" and size_of(gpu) == "server" else self.transfer_of(gpu)

    def _compiled(self, model: NetworkModel) -> NetworkModel:
        """An eager model with what compiling changed on the card where both were measured."""
        change = np.where(_MOVES, self._change(), 1.0)
        return replace(model, classes=replace(model.classes, factors=model.classes.factors * change))

    def _change(self) -> Array:
        """What compiling made of every factor on that card."""
        fused, plain = (self.models[key].classes.factors for key in PAIR)
        return np.clip(fused / plain, _LEAST, _MOST)


def _host_share(model: NetworkModel, key: str) -> float:
    """Host cost a launch over the launch cost in the device's file, where the device ships; else 1."""
    name, runtime = key.split("/")[:2]
    own = devices().get(name)
    return float(np.clip(model.classes.host_us / own.launch_us[runtime], 0.2, 2.0)) if own else 1.0


def _distance(wanted: str, key: str, architecture: str) -> float:
    """Kind of arithmetic (fp32 or narrower) first, then device and its architecture, precision, runtime, layout."""
    device, runtime, precision, layout = wanted.split("/")
    its_device, its_runtime, its_precision, its_layout = key.split("/")
    kind = (precision == "fp32") != (its_precision == "fp32")
    own = devices().get(its_device)
    alike = own is not None and own.architecture == architecture
    return (
        5 * kind + (3 - 1.5 * alike) * (its_device != device) + 1.5 * (its_precision != precision)
        + (its_runtime != runtime) + 0.5 * (its_layout != layout)
        + 2.5 * ((its_device in _SMALL) != (device in _SMALL))
    )  # fmt: skip


def size_of(gpu: Gpu) -> str:
    """`small` for what has no more multiprocessors than a Jetson, else `server`."""
    return "small" if gpu.sms <= _SMALL_SMS else "server"


_SMALL_SMS = 16  # of the largest Jetson, AGX Orin
_SMALL = frozenset({"tx2", "orin", "JetsonNano", "JetsonAGXXavier"})


@cache
def network_models(path: Path = PATH) -> NetworkModels:
    """Read the file."""
    kinds = {
        "models": dict[str, NetworkModel], "transfer": dict[str, Errors], "sums": dict[str, NetworkModel],
        "scores": dict[str, dict[str, float]], "about": dict[str, Any],
    }  # fmt: skip
    return NetworkModels(**read(path, kinds))
