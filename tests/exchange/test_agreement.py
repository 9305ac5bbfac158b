"""Comparing an export with the network it was made of, and what the command line says of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exchange_networks import mixed, rows

import hwsim
from hwsim.capture.data_spec import load_data
from hwsim.cli.main import invoke
from hwsim.core.errors import InputError, MissingToolError, UnsupportedError, VerificationError
from hwsim.exchange.agreement import compare_onnx, compare_packed, compare_qonnx
from hwsim.exchange.onnx_file import write_onnx
from hwsim.exchange.packed_folder import write_packed
from hwsim.exchange.written_file import export_file

BACKENDS = ("onnx", "qonnx", "packed")


@pytest.mark.golden
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_api_writes_and_verifies(backend: str, tmp_path: Path) -> None:
    x = rows(24, seed=3)
    made = hwsim.export(mixed("int8", "int8"), tmp_path / "net", backend=backend, verify=x)
    found = made.as_dict()
    assert {"project", "metric", "bit_exact", "mismatches", "samples", "compared", "agreement"} <= found.keys()
    assert found["mismatches"] == 0 and found["agreement"] == 1.0
    assert all(Path(name).is_file() for name in found["files"])
    assert found["compared"] == ("weights" if backend == "packed" else "decisions")
    assert hwsim.export(mixed("int8", "int8"), tmp_path / "other", backend=backend).agreement is None  # type: ignore[union-attr]


@pytest.mark.exact
def test_a_wrong_file_fails_the_comparison(tmp_path: Path) -> None:
    model, x = mixed("int8", "int8"), rows(24, seed=3)
    path = write_onnx(model, tmp_path / "net.onnx")
    made = onnx.load(path)
    for tensor in made.graph.initializer:
        if tensor.name == "head.weight_quantized":
            tensor.raw_data = bytes((256 - b) % 256 for b in tensor.raw_data)  # every weight of the head negated
    onnx.save(made, path)
    with pytest.raises(VerificationError, match="decisions differ") as caught:
        compare_onnx(model, path, x)
    assert caught.value.exit_code == 6
    with pytest.raises(VerificationError, match="weights differ"):
        compare_packed(model, write_packed(mixed("int4", "int8"), tmp_path / "packed"))


@pytest.mark.exact
def test_bad_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mixed("int8", "int8")
    with pytest.raises(UnsupportedError, match="tflite"):
        export_file(model, tmp_path, "tflite")  # type: ignore[arg-type]
    with pytest.raises(InputError):
        export_file(model, tmp_path, "onnx", verify=torch.zeros(2, 3, 9, 9))
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingToolError, match="onnxruntime"):
        export_file(model, tmp_path / "none", "onnx", verify=rows(2))
    assert not (tmp_path / "none").exists()


@pytest.mark.golden
@pytest.mark.parametrize("backend", BACKENDS)
def test_command_line(backend: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = "from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4))\n"
    (tmp_path / "net.py").write_text(source)
    x = np.random.default_rng(0).normal(size=(40, 3, 2, 2)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x)
    words = f"export {tmp_path}/net.py:net --calib {tmp_path}/d.npz --backend {backend} --weights int4 --acts int8"
    assert invoke([*words.split(), "-o", str(tmp_path / "out"), "--verify", "20", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["backend"] == backend and found["mismatches"] == 0 and found["weight_types"]["1"].startswith("int4")
    assert invoke([*words.split(), "-o", str(tmp_path / "out"), "--verify", "20"]) == 0
    assert "agree" in capfd.readouterr().out


@pytest.mark.truth
@pytest.mark.slow
@pytest.mark.data
def test_ten_thousand_predictions(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fashion-MNIST, int8: onnxruntime decides as the simulation in at least 99.9 % of 10,000 images.

    With graph optimisations on the integer kernels run; signed activations keep AVX2's 16-bit sums from saturating.
    """
    monkeypatch.setenv("HWSIM_DATA", str(shared))
    model = "zoo:fashion_resnet"
    test = load_data("zoo:fashion_mnist#test")
    assert len(test.x) == 10_000 and test.y is not None
    for signed, least in ((False, 0.98), (True, 0.995)):
        made = hwsim.quantize(model, "zoo:fashion_mnist", weights="int8", acts="int8", acts_signed=signed).model
        found = compare_onnx(made, write_onnx(made, tmp_path / "net.onnx"), test.x, test.y)
        print(f"signed activations {signed}: {found.share:.4%} agree, optimised {found.optimised}, {found.metric:.4f}")
        assert found.share >= 0.999
        assert isinstance(found.optimised, float) and found.optimised >= least


@pytest.mark.truth
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"), [("mobilenetv3_small_050", 64), ("convnext_atto", 64), ("vit_tiny_patch16_224", 64)]
)
def test_networks_of_timm_untouched(name: str, size: int, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", exc_type=Exception)
    options = {"img_size": size} if name.startswith("vit") else {}
    torch.manual_seed(0)
    net = timm.create_model(name, pretrained=False, num_classes=10, **options).eval()
    x = torch.randn(16, 3, size, size)
    made = hwsim.quantize(net, x[:8], x[8:], weights="int8", acts="int8")
    assert made.metric is not None
    path = write_onnx(made.model, tmp_path / "net.onnx", "qonnx")
    assert compare_qonnx(made.model, path, x).mismatches == 0
    assert compare_onnx(made.model, write_onnx(made.model, tmp_path / "qdq.onnx"), x).mismatches == 0
