"""The small networks: they run, they are captured, and every kernel of theirs has a model."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hwsim.api import predict
from hwsim.core.errors import InputError
from hwsim.latency.profile import small_networks
from hwsim.latency.profile.network_bench import Spec
from hwsim.latency.profile.session import small_builder, timm_builder


@pytest.mark.exact
@pytest.mark.parametrize("name", small_networks.NAMES)
def test_it_runs_and_is_predicted(name: str) -> None:
    module, size = small_builder(Spec(name, small_networks.SIDE))
    assert module.eval()(torch.randn(2, *size)).shape == (2, 100)
    found = predict(f"hwsim.latency.profile.small_networks:{name}", "h100", input_shape=(1, *size))
    assert found.batches[0].latency_us.mid > 0


@pytest.mark.exact
def test_timm_by_its_model_string(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, pretrained: bool) -> nn.Module:
        model = nn.Linear(4, 2)
        model.default_cfg = {"input_size": (3, 8, 8)}  # type: ignore[assignment]
        return model

    fake = SimpleNamespace(list_models=lambda: ["net"], create_model=create_model)
    monkeypatch.setitem(sys.modules, "timm", fake)
    module, size = timm_builder(Spec("net"))
    assert size == (3, 8, 8) and not module.training
    with pytest.raises(InputError, match="nett"):
        timm_builder(Spec("nett"))
