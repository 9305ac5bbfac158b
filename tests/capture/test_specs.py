"""MODEL spec strings: what they load, and what every bad one is answered with."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from hwsim.capture.model_spec import load_model
from hwsim.core.errors import InputError, MissingToolError, UnsupportedError
from hwsim.zoo.training import CONFIGS, TrainConfig

NET = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))

module = net()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)
    def forward(self, x):
        return self.fc(x)

def fails():
    values = [1, 2]
    return values[5]

def wants(argument):
    return nn.Identity()

def text():
    return "no module"

def nan():
    model = nn.Linear(4, 2)
    model.weight.data[1, 2] = float("nan")
    return model

def masked():
    model = nn.Linear(4, 2)
    model.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    return model

def loud():
    print("hello from the user")
    return nn.Linear(4, 2)

def leaves():
    raise SystemExit(3)
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def test_factories_classes_and_modules_of_a_file(net: Path) -> None:
    source = load_model(f"{net}:net", (1, 3, 4))
    assert (source.name, source.kind, source.input_shape, source.default_data) == ("net", "factory", (1, 3, 4), None)
    assert isinstance(source.model, nn.Sequential)
    assert not source.model.training
    assert load_model(f"{net}:net").input_shape is None
    assert isinstance(load_model(f"{net}:Net").model, nn.Module)
    assert isinstance(load_model(f"{net}:module").model, nn.Sequential)


def test_package_module_from_the_working_folder(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = net.parent / "mypackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "layers.py").write_text("from torch import nn\n")
    (package / "models.py").write_text("from .layers import nn\n\ndef net():\n    return nn.Linear(2, 2)\n")
    monkeypatch.chdir(net.parent)
    assert isinstance(load_model("mypackage.models:net").model, nn.Linear)
    assert str(net.parent) not in sys.path
    with pytest.raises(InputError, match="relative import") as caught:
        load_model(f"{package / 'models.py'}:net")
    assert "package.module:factory" in caught.value.hint


def test_users_own_quant_models_and_reports_win(tmp_path: Path) -> None:
    """In a process of its own, outside the checkout; two projects with modules of the same names."""
    for project in ("one", "two"):
        folder = tmp_path / project
        (folder / "quant").mkdir(parents=True)
        (folder / "quant" / "__init__.py").write_text("")
        (folder / "quant" / "layer.py").write_text(f"from torch import nn\nWHO = '{project}'\nX = nn.Linear\n")
        (folder / "models.py").write_text(f"WHO = '{project}'\n")
        (folder / "reports.py").write_text(f"WHO = '{project}'\n")
        (folder / "net.py").write_text(
            "from quant.layer import X, WHO\nimport models, reports\n"
            "def net():\n    m = X(2, 2)\n    m.who = [WHO, models.WHO, reports.WHO]\n    return m\n"
        )
    code = """
        from hwsim.capture.model_spec import load_model
        for project in ("one", "two", "one"):
            assert load_model(f"{project}/net.py:net").model.who == [project] * 3
        import hwsim.core.formats
        print("fine")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "fine\n", done.stderr


def test_what_a_factory_prints_is_not_data(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_model(f"{net}:loud")
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello from the user" in err


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{net}:nte", ["nothing named 'nte'", "did you mean 'net'"]),
        ("{net}:fails", ["fails when called: IndexError: list index out of range", "net.py, line 19"]),
        ("{net}:wants", ["TypeError", "argument"]),
        ("{net}:text", ["gives a str, not a torch.nn.Module"]),
        ("{net}:leaves", ["SystemExit"]),
        ("{net}:nan", ["1 of 8 values of 'weight'"]),
        ("{folder}/nett.py:net", ["no such file", "did you mean 'net.py'"]),
        ("{folder}/nowhere/net.py:net", ["no such file"]),
        ("{net}", ["not a MODEL spec", "net.py:factory"]),
        ("nowhere.at_all:net", ["no module named 'nowhere'"]),
        ("{folder}/weights.pth", ["never loaded", ".py:factory", ".pt2"]),
        ("{folder}/none.pt2", ["no such file"]),
        ("{folder}/none.onnx", ["no such file"]),
        ("zoo:resnet2", ["did you mean 'resnet20'"]),
        ("something", ["not a MODEL spec", "zoo:NAME"]),
    ],
)
def test_bad_models(spec: str, words: list[str], net: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_model(spec.format(net=net, folder=net.parent))
    for word in words:
        assert word in str(caught.value)


def test_a_syntax_error_and_a_failing_import_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def net(:\n    pass\n")
    with pytest.raises(InputError, match=r"SyntaxError.*broken\.py, line 1"):
        load_model(f"{tmp_path}/broken.py:net")
    (tmp_path / "failing.py").write_text("x = 1\nimport not_there_at_all\n")
    with pytest.raises(InputError, match=r"ModuleNotFoundError.*not_there_at_all.*failing\.py, line 2"):
        load_model(f"{tmp_path}/failing.py:net")


def test_masks_may_hold_infinities(net: Path) -> None:
    assert isinstance(load_model(f"{net}:masked").model, nn.Module)


@pytest.mark.parametrize("shape", [(), (0, 3), (1, -1)])
def test_bad_input_shapes(shape: tuple[int, ...], net: Path) -> None:
    with pytest.raises(InputError, match="input shape"):
        load_model(f"{net}:net", shape)


def test_zoo_models_bring_shape_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))
    monkeypatch.setitem(CONFIGS, "mlp", TrainConfig(epochs=2))
    source = load_model("zoo:resnet20")
    assert (source.input_shape, source.default_data, source.kind) == ((1, 3, 32, 32), None, "zoo")
    source = load_model("zoo:mlp")
    assert (source.input_shape, source.default_data) == ((1, 1, 8, 8), "zoo:digits")
    assert list((tmp_path / "zoo").glob("mlp-*.safetensors"))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt2"
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    free = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(model, (torch.randn(2, 4),), dynamic_shapes=free), path)
    return path


def test_exported_programs(program: Path) -> None:
    from hwsim.capture.graph import capture

    source = load_model(str(program))
    assert (source.name, source.kind, source.input_shape) == ("net", "pt2", (1, 4))
    assert isinstance(source.model, torch.export.ExportedProgram)
    network = capture(source.model)
    assert network(torch.ones(3, 4)).shape == (3, 2)
    assert load_model(str(program), (8, 4)).input_shape == (8, 4)
    with pytest.raises(InputError, match="input shape 1,5") as caught:
        load_model(str(program), (1, 5))
    assert "any,4" in caught.value.hint


def test_programs_that_carry_pickles_are_refused(program: Path, tmp_path: Path) -> None:
    import zipfile

    def rewritten(name: str, change: Any) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
            for item in old.namelist():
                new.writestr(item, change(item, old.read(item)))
        return path

    def pickled(item: str, content: bytes) -> bytes:
        whole = item.endswith("weights_config.json")
        return content.replace(b'"use_pickle": false', b'"use_pickle": true') if whole else content

    load_model(str(rewritten("same.pt2", lambda item, content: content)))
    with pytest.raises(InputError, match="pickled"):
        load_model(str(rewritten("pickled.pt2", pickled)))
    marker = tmp_path / "ran"
    payload = f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode()
    sample = rewritten("sample.pt2", lambda item, content: payload if "sample_inputs" in item else content)
    with pytest.raises(InputError, match="pickled"):
        load_model(str(sample))
    assert not marker.exists()


def test_damaged_programs(tmp_path: Path, program: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "text.pt2").write_text("not an archive")
    with pytest.raises(InputError, match=r"not a torch\.export archive"):
        load_model(str(tmp_path / "text.pt2"))
    (tmp_path / "cut.pt2").write_bytes(program.read_bytes()[:5000])
    with pytest.raises(InputError):
        load_model(str(tmp_path / "cut.pt2"))
    assert caplog.text == ""


def test_onnx_files_give_their_shape(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    def file(*inputs: tuple[str, list[Any]]) -> str:
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        nodes = [helper.make_node("Sum", [name for name, _ in inputs], ["y"])]
        model = helper.make_model(helper.make_graph(nodes, "g", given, [y]), ir_version=10)
        save(model, tmp_path / "m.onnx")
        return str(tmp_path / "m.onnx")

    assert load_model(file(("x", ["n", 3, 4]))).input_shape == (1, 3, 4)
    assert load_model(file(("x", ["n", 3, "width"]))).input_shape is None
    assert load_model(file(("x", ["n", 3, "width"])), (1, 3, 9)).input_shape == (1, 3, 9)
    with pytest.raises(InputError, match="input shape"):
        load_model(file(("x", ["n", 3, 4])), (1, 3, 5))
    with pytest.raises(UnsupportedError, match=r"2 inputs \(x, z\)"):
        load_model(file(("x", [1, 3]), ("z", [1, 3])))


def test_timm_where_it_is_installed_and_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingToolError, match="timm is not installed") as caught:
        load_model("timm:resnet18")
    assert "pip install timm" in caught.value.hint
    model = nn.Linear(4, 2)
    model.default_cfg = {"input_size": (3, 8, 8)}  # type: ignore[assignment]
    fake = SimpleNamespace(
        list_models=lambda: ["resnet18", "vit_tiny"],
        is_model_pretrained=lambda name: False,
        create_model=lambda name, pretrained: model,
    )
    monkeypatch.setitem(sys.modules, "timm", fake)
    source = load_model("timm:resnet18")
    assert (source.name, source.kind, source.input_shape) == ("resnet18", "timm", (1, 3, 8, 8))
    with pytest.raises(InputError, match="resnet19") as wrong:
        load_model("timm:resnet19")
    assert "did you mean 'resnet18'" in wrong.value.hint
