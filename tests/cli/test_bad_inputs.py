"""Bad inputs: the exit code, a message that names what is wrong, no traceback, nothing left half-written.

`python tests/cli/test_bad_inputs.py` prints the table of inputs, exit codes and messages.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwsim.cli.main import invoke

NET = """
import torch
from torch import nn
def good():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
def boom():
    raise RuntimeError("no such checkpoint")
def number():
    return 7
def nan():
    net = good()
    with torch.no_grad():
        net[0].weight[0] = float("nan")
    return net
class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory = nn.GRU(8, 8)
    def forward(self, x):
        return self.memory(x[:, 0])[0]
class Fourier(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).real.flatten(1)
class Branch(nn.Module):
    def forward(self, x):
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)
"""
CONFIG = """
[model]
spec = "net.py:good"
[data]
calib = "data.npz#train"
eval = "data.npz#test"
[formats]
weights = ["int8"]
acts = ["int8"]
[fpga]
parts = ["kv260"]
"""


@dataclass(frozen=True)
class Case:
    """A command line, the exit code it must have, and words its message must hold."""

    name: str
    words: str
    code: int
    says: str


SHAPED = "--input-shape 1,1,8,8"
ON_KV260 = "--part kv260 -w int8 -a int8"
EXPORT = "export net.py:good --calib data.npz#train -o out"
QUANTIZE = "--calib data.npz#train -w int8 -a int8"
GOOD = f"quantize net.py:good {QUANTIZE}"
CASES = [
    Case("missing model file", f"quantize nothing.py:good {QUANTIZE}", 2, "nothing.py"),
    Case("no such factory", f"quantize net.py:god {QUANTIZE}", 2, "good"),
    Case("not a MODEL string", f"quantize net {QUANTIZE}", 2, "net"),
    Case("factory raises", f"quantize net.py:boom {QUANTIZE}", 2, "no such checkpoint"),
    Case("factory returns a number", f"quantize net.py:number {QUANTIZE}", 2, "int"),
    Case("a pickled model", f"quantize weights.pth {QUANTIZE}", 2, ".pth"),
    Case("damaged ONNX file", f"quantize bad.onnx {QUANTIZE}", 2, "bad.onnx"),
    Case("damaged .pt2 program", f"quantize bad.pt2 {QUANTIZE}", 2, "bad.pt2"),
    Case("unknown zoo network", f"quantize zoo:digits_resent {QUANTIZE}", 2, "digits_resnet"),
    Case("timm is not installed", f"quantize timm:resnet18 {QUANTIZE}", 5, "timm"),
    Case("NaN weights", f"quantize net.py:nan {QUANTIZE}", 2, "0.weight"),
    Case("recurrent layer", f"quantize net.py:Memory {QUANTIZE}", 3, "memory"),
    Case("operator without a model", f"quantize net.py:Fourier {QUANTIZE}", 3, "fft"),
    Case("control flow on data", f"quantize net.py:Branch {QUANTIZE}", 3, "control flow"),
    Case("data of another shape", "quantize net.py:good --calib wide.npz -w int8 -a int8", 2, "shape"),
    Case("missing data file", "quantize net.py:good --calib none.npz -w int8 -a int8", 2, "none.npz"),
    Case("npz without x", "quantize net.py:good --calib keys.npz -w int8 -a int8", 2, "images"),
    Case("empty calibration set", "quantize net.py:good --calib empty.npz -w int8 -a int8", 2, "empty"),
    Case("NaN in the data", "quantize net.py:good --calib nan.npz -w int8 -a int8", 2, "nan.npz"),
    Case("labels of another length", "quantize net.py:good --calib ragged.npz -w int8 -a int8", 2, "ragged.npz"),
    Case("pickled objects in npz", "quantize net.py:good --calib objects.npz -w int8 -a int8", 2, "objects.npz"),
    Case("not an npz", "quantize net.py:good --calib text.npz -w int8 -a int8", 2, "text.npz"),
    Case("missing split", "quantize net.py:good --calib data.npz#valid -w int8 -a int8", 2, "valid"),
    Case("overlapping splits", f"{GOOD} --eval data.npz#train", 2, "overlap"),
    Case("empty image folder", "quantize net.py:good --calib folder -w int8 -a int8", 2, "folder"),
    Case("unknown format", "quantize net.py:good --calib data.npz#train -w itn4 -a int8", 2, "int4"),
    Case("zero point on a minifloat", "quantize net.py:good --calib data.npz#train -w e4m3+zp -a int8", 2, "+zp"),
    Case("granularity on mxfp4", "quantize net.py:good --calib data.npz#train -w mxfp4@tensor -a int8", 2, "mxfp4"),
    Case("too many bits", "quantize net.py:good --calib data.npz#train -w int99 -a int8", 2, "32"),
    Case("groups on activations", "quantize net.py:good --calib data.npz#train -w int8 -a int8@group4", 2, "@group4"),
    Case("unknown recipe", f"{GOOD} --recipe adarond", 2, "recipe"),
    Case("steps out of order", f"{GOOD} --recipe nearest+mse", 2, "order"),
    Case("recipe file with an unknown key", f"{GOOD} --recipe recipe.toml", 2, "recipe.toml"),
    Case("override without a format", f"{GOOD} --override conv", 2, "--override"),
    Case("override that matches nothing", f"{GOOD} --override conv9=int4", 2, "conv9"),
    Case("unknown scale type", f"{GOOD} --scale pow3", 2, "pow2"),
    Case("no calibration rows", f"{GOOD} --calib-rows 0", 2, "--calib-rows"),
    Case("unwritable directory", f"{GOOD} -o text.npz/deep", 2, "text.npz"),
    Case("missing option", "quantize net.py:good", 2, "--calib"),
    Case("unknown verb", "quantise net.py:good", 2, "quantise"),
    Case("a number expected", f"{GOOD} --seed x", 2, "--seed"),
    Case("unknown part", "cost net.py:good --part kv261 -w int8 -a int8 --input-shape 1,1,8,8", 2, "kv260"),
    Case("unknown architecture", f"cost net.py:good {ON_KV260} --arch systolic {SHAPED}", 2, "dataflow"),
    Case("reuse of zero", f"cost net.py:good {ON_KV260} --reuse 0 {SHAPED}", 2, "--reuse"),
    Case("no input shape", "cost net.py:good --part kv260 -w int8 -a int8", 2, "--input-shape"),
    Case("a negative input shape", f"cost net.py:good {ON_KV260} --input-shape 1,-1,8,8", 2, "--input-shape"),
    Case("unknown unit", "cost --unit adder --part kv260 -w int8 -a int8", 2, "mac"),
    Case("neither model nor unit", "cost --part kv260 -w int8 -a int8", 2, "--unit"),
    Case("unknown device", "predict net.py:good --device rtx3091 --input-shape 1,1,8,8", 2, "rtx3090"),
    Case("batch of zero", "predict net.py:good --device v100 --batch 0 --input-shape 1,1,8,8", 2, "--batch"),
    Case("batch in words", "predict net.py:good --device v100 --batch many --input-shape 1,1,8,8", 2, "--batch"),
    Case("negative deadline", f"predict net.py:good --device v100 --deadline-us=-1 {SHAPED}", 2, "--deadline-us"),
    Case("unknown runtime", "predict net.py:good --device v100 --runtime jit --input-shape 1,1,8,8", 2, "eager"),
    Case("precision the device lacks", f"predict net.py:good --device tx2 --precision int8 {SHAPED}", 2, "fp16"),
    Case("missing configuration", "explore none.toml -o run", 2, "none.toml"),
    Case("configuration is not TOML", "explore text.npz -o run", 2, "text.npz"),
    Case("unknown key", "explore unknown.toml -o run", 2, "acst"),
    Case("missing key", "explore missing.toml -o run", 2, "spec"),
    Case("unknown format in the configuration", "explore format.toml -o run", 2, "int4"),
    Case("no target", "explore targets.toml -o run", 2, "parts"),
    Case("a run of another configuration", "explore other.toml -o broken --resume", 2, "weights"),
    Case("a folder that holds a run", "explore good.toml -o broken", 2, "--resume"),
    Case("report of a folder without a run", "report folder", 2, "folder"),
    Case("damaged store", "report broken", 2, "designs.sqlite"),
    Case("export without data", "export net.py:good -o out", 2, "--calib"),
    Case("export of a minifloat", f"{EXPORT} -w e2m1 -a e2m1", 3, "integer"),
    Case("no compiler", f"{EXPORT} --verify 4", 5, "g++"),
    Case("unknown design", "export --run broken --design abc -o out", 2, "designs.sqlite"),
    Case("unknown backend", f"{EXPORT} --backend quartus", 3, "vitis"),
    Case("unknown second device", f"predict net.py:good --device v100,rtx3091 {SHAPED}", 2, "rtx3090"),
    Case("no second device", f"predict net.py:good --device v100, {SHAPED}", 2, "--device"),
]


def furnish(folder: Path) -> None:
    """The files that the cases name."""
    rng = np.random.default_rng(0)
    x, y = rng.random((24, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 24)
    (folder / "net.py").write_text(NET)
    np.savez(folder / "data.npz", x_train=x[:16], y_train=y[:16], x_test=x[16:], y_test=y[16:])
    np.savez(folder / "wide.npz", x=rng.random((4, 1, 9, 9), dtype=np.float32))
    np.savez(folder / "keys.npz", images=x)
    np.savez(folder / "empty.npz", x=x[:0])
    np.savez(folder / "nan.npz", x=np.full_like(x, np.nan))
    np.savez(folder / "ragged.npz", x=x, y=y[:5])
    np.savez(folder / "objects.npz", x=np.array([{}, []], dtype=object))
    (folder / "text.npz").write_text("not an archive")
    (folder / "bad.onnx").write_bytes(b"\x00\x01 not a model")
    (folder / "bad.pt2").write_bytes(b"PK not a program")
    torch.save(nn.Linear(2, 2), folder / "weights.pth")
    (folder / "folder").mkdir()
    (folder / "recipe.toml").write_text('steps = ["mse"]\n[mse]\ncandidate = 3\n')
    (folder / "good.toml").write_text(CONFIG)
    (folder / "unknown.toml").write_text(CONFIG.replace("acts", "acst"))
    (folder / "missing.toml").write_text(CONFIG.replace('spec = "net.py:good"', ""))
    (folder / "format.toml").write_text(CONFIG.replace('["int8"]', '["itn4"]'))
    (folder / "targets.toml").write_text(CONFIG.replace('parts = ["kv260"]', "parts = []"))
    (folder / "other.toml").write_text(CONFIG.replace('weights = ["int8"]', 'weights = ["int4"]'))
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert invoke(["explore", "good.toml", "-o", "broken"]) == 0
    finally:
        os.chdir(before)
    for name in ("designs.sqlite-wal", "designs.sqlite-shm"):
        (folder / "broken" / name).unlink(missing_ok=True)
    (folder / "broken" / "designs.sqlite").write_bytes(b"not a database, not at all" * 40)


def listing(folder: Path) -> dict[str, bytes]:
    """All files but byte code."""
    files = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def run_case(case: Case, folder: Path, read: Callable[[], tuple[str, str]]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a case run inside `folder`."""
    before, path = Path.cwd(), os.environ["PATH"]
    os.chdir(folder)
    if case.name == "no compiler":
        os.environ["PATH"] = str(folder)
    try:
        code = invoke(case.words.split())
    finally:
        os.chdir(before)
        os.environ["PATH"] = path
    return code, *read()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    furnish(folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_bad_input(case: Case, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = listing(place)
    code, out, err = run_case(case, place, lambda: tuple(capfd.readouterr()))  # type: ignore[arg-type,return-value]
    assert code == case.code, err
    assert "Traceback" not in err + out
    assert case.says.lower() in err.lower()
    assert listing(place) == before


@pytest.mark.parametrize("case", CASES[::9], ids=[c.name for c in CASES[::9]])
def test_bad_input_as_json(case: Case, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = Case(case.name, case.words + " --json", case.code, case.says)
    code, out, _ = run_case(asked, place, lambda: tuple(capfd.readouterr()))  # type: ignore[arg-type,return-value]
    document = json.loads(out)
    assert code == case.code and set(document["error"]) == {"code", "message", "where", "hint"}


def main() -> None:
    """Print the table."""
    import contextlib
    import io
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        furnish(Path(name))
        for case in CASES:
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code, *_ = run_case(case, Path(name), lambda: ("", ""))
            message = " ".join(err.getvalue().replace(name, ".").split())
            sys.stdout.write(f"{'ok ' if code == case.code else 'BAD'} {code:3d}  {case.name:36s} {message[:200]}\n")


if __name__ == "__main__":
    main()
