"""timm's networks by name: seeded random weights on request, and a torchvision built for another torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from hwsim.capture.model_spec import load_model
from hwsim.core.errors import InputError

pytestmark = pytest.mark.exact


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A timm of two networks; the arguments that each was made with."""
    made: list[dict[str, Any]] = []

    def create_model(name: str, **options: Any) -> nn.Module:
        if name == "resnet18" and "img_size" in options:
            raise TypeError("unexpected keyword argument 'img_size'")
        if options["pretrained"]:
            raise RuntimeError("no route to the hub")
        made.append({"name": name, **options})
        model = nn.Linear(4, 2)
        model.default_cfg = {"input_size": (3, 8, 8)}  # type: ignore[assignment]
        return model

    fake = SimpleNamespace(
        list_models=lambda: ["resnet18", "vit_tiny"], is_model_pretrained=lambda name: True, create_model=create_model
    )
    monkeypatch.setitem(sys.modules, "timm", fake)
    return made


def test_random_weights_are_seeded(calls: list[dict[str, Any]]) -> None:
    state = torch.get_rng_state()
    first, again = (load_model("timm:resnet18?random").model for _ in range(2))
    assert isinstance(first, nn.Linear) and isinstance(again, nn.Linear)
    assert torch.equal(first.weight, again.weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert calls == [{"name": "resnet18", "pretrained": False}] * 2


def test_the_image_size_reaches_networks_that_are_made_for_one(calls: list[dict[str, Any]]) -> None:
    assert load_model("timm:vit_tiny?random", (1, 3, 64, 32)).input_shape == (1, 3, 64, 32)
    assert load_model("timm:resnet18?random", (1, 3, 64, 32)).input_shape == (1, 3, 64, 32)
    assert calls == [
        {"name": "vit_tiny", "pretrained": False, "img_size": (64, 32)},
        {"name": "resnet18", "pretrained": False},
    ]


def test_a_failed_download_names_the_way_without(calls: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="no route to the hub") as caught:
        load_model("timm:resnet18")
    assert "timm:resnet18?random" in caught.value.hint


def test_other_wishes_are_refused(calls: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="rnd") as caught:
        load_model("timm:resnet18?rnd")
    assert "timm:resnet18?random" in caught.value.hint


BROKEN = """
import torch
for name in ("nms", "qnms"):  # as torchvision does, whose binary would have declared them
    torch.library.register_fake(f"torchvision::{name}")(lambda a, b, c: a)
from types import SimpleNamespace
def list_models(): return ["net"]
def create_model(name, pretrained): return torch.nn.Linear(2, 2)
"""
LOAD = "from hwsim.capture.model_spec import load_model; print(load_model('timm:net?random').name)"


def test_a_torchvision_of_another_torch_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "timm.py").write_text(BROKEN)
    plain = [sys.executable, "-c", "import timm"]
    run = subprocess.run(plain, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "operator torchvision::nms does not exist" in run.stderr
    run = subprocess.run([sys.executable, "-c", LOAD], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "net", run.stderr
