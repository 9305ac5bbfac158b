"""Kernels of networks that timm defines, traced on meta tensors: no weights are made or downloaded."""

from __future__ import annotations

from typing import Any

from torch import nn

from hwsim.capture.model_spec import import_timm
from hwsim.core.errors import InputError
from hwsim.latency.profile.trace import Launch, trace


def trace_timm(name: str, side: int) -> tuple[str, tuple[Launch, ...]]:
    """The file of timm that defines a network, and its launches for a colour image of `side` x `side` at batch 1.

    Raises
    ------
    MissingToolError
        Without timm.
    InputError
        For a network that this timm does not know, or that cannot run at this size.
    """
    timm = import_timm(f"timm:{name}")

    def make() -> nn.Module:
        network: nn.Module
        try:
            network = timm.create_model(name, img_size=(side, side))
        except TypeError:  # a network for images of any size
            network = timm.create_model(name)
        return network

    try:
        launches = trace(make, (1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(str(error), where=f"timm:{name}@{side}", hint="another name or size") from error
    return _module(timm, name), launches


def _module(timm: Any, name: str) -> str:
    plain = name.partition(".")[0]
    return str(timm.models.model_entrypoint(plain).__module__).rpartition(".")[2]
