"""Exported folders: what is in them, and that nothing half-written or silently replaced is left."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hls_networks import quantized, samples

from hwsim.core.errors import HwsimError, InputError, MissingToolError, UnsupportedError, VerificationError
from hwsim.hls.project import HlsProject, export_hls
from hwsim.hls.sources import sources_hash
from hwsim.hls.verification import verify
from hwsim.quant.model import QuantizedModel

PART = "xck26-sfvc784-2LV-c"


@pytest.fixture(scope="module")
def model() -> QuantizedModel:
    return quantized("residual", "int5")


def export(model: QuantizedModel, folder: Path, **options: object) -> HlsProject:
    settings: dict[str, object] = {"part": PART, "clock_mhz": 250.0} | options
    return export_hls(model, folder, **settings)  # type: ignore[arg-type]


@pytest.mark.golden
def test_project_holds_sources_scripts_and_record(model: QuantizedModel, tmp_path: Path) -> None:
    project = export(model, tmp_path / "out", cost={"lut": 1}, top="my.net")
    for name in ("my_net.cpp", "defines.h", "parameters.h", "nnet_utils/nnet_hwsim.h", "ap_types/ap_fixed.h"):
        assert (project.folder / "firmware" / name).is_file()
    for name in ("build_prj.tcl", "project.tcl", "build_lib.sh", "hls4ml_config.yml", "my_net_test.cpp"):
        assert (project.folder / name).is_file()
    tcl = (project.folder / "project.tcl").read_text()
    assert f'set part "{PART}"' in tcl and "set clock_period 4.0" in tcl and 'backend "vitis"' in tcl
    record = json.loads((project.folder / "hwsim_project.json").read_text())
    assert record == HlsProject.load(project.folder).record
    assert record["cost"] == {"lut": 1} and record["verification"] is None and record["io"] == "io_stream"
    assert record["design"]["weights"] == "int5" and record["input"]["layout"] == "channels_last"


@pytest.mark.exact
def test_weight_types_in_the_sources_are_as_wide_as_the_format(tmp_path: Path) -> None:
    model = quantized("residual", "int4", edge="int8")
    project = export(model, tmp_path / "out")
    assert set(project.weight_types) == {"a", "b", "c", "s", "fc"}
    defines = (project.folder / "firmware/defines.h").read_text()
    for layer, bits in {"a": 8, "b": 4, "c": 4, "s": 4, "fc": 8}.items():
        assert re.search(rf"typedef ap_fixed<{bits},-?\d+> {layer}_weight_t;", defines)
        assert project.weight_types[layer].startswith(f"ap_fixed<{bits},")
    assert any(layer["shifts"] for layer in project.record["layers"])


def test_same_network_gives_the_same_bytes_and_no_trace_of_where(model: QuantizedModel, tmp_path: Path) -> None:
    first, second = export(model, tmp_path / "one"), export(model, tmp_path / "two")
    assert sources_hash(first.folder) == sources_hash(second.folder)
    for path in first.folder.rglob("*"):
        if path.is_file():
            assert str(tmp_path) not in path.read_text(errors="ignore"), path


def test_stdout_stays_clean(model: QuantizedModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    export(model, tmp_path / "out", reuse=7, progress=said.append)
    assert capfd.readouterr() == ("", "")
    assert said


def test_an_export_is_replaced_and_anything_else_is_not(model: QuantizedModel, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    export(model, folder)
    (folder / "stray").write_text("x")
    export(model, folder, io="io_parallel")
    assert not (folder / "stray").exists() and HlsProject.load(folder).io == "io_parallel"
    other = tmp_path / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="no HLS project"):
        export(model, other)
    assert [p.name for p in other.iterdir()] == ["notes.txt"]


def test_a_refusal_leaves_nothing(model: QuantizedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedError):
        export(quantized("tiny", "e2m1"), tmp_path / "out")

    def fail(*_: object, **__: object) -> None:
        raise HwsimError("stopped on the way")

    monkeypatch.setattr("hwsim.hls.project.write_sources", fail)
    with pytest.raises(HwsimError, match="on the way"):
        export(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_input_error(model: QuantizedModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(InputError):
            export(model, target)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"part": 'x"; exec rm'}, InputError, "part number"),
        ({"clock_mhz": 0.0}, InputError, "MHz"),
        ({"io": "io_serial"}, InputError, "io_serial"),
        ({"reuse": 0}, InputError, "reuse of 0"),
        ({"reuse": {"aa": 2}}, InputError, "no weights"),
        ({"backend": "quartus"}, UnsupportedError, "quartus"),
    ],
)
def test_settings_that_make_no_project(
    model: QuantizedModel, tmp_path: Path, options: dict[str, object], error: type[HwsimError], words: str
) -> None:
    with pytest.raises(error, match=words):
        export(model, tmp_path / "out", **options)


def test_reuse_goes_to_the_layer_and_a_change_is_noted(model: QuantizedModel, tmp_path: Path) -> None:
    project = export(model, tmp_path / "out", reuse={"a": 4, "fc": 6})
    layers = {layer["layer"]: layer["reuse"] for layer in project.record["layers"] if layer["weight_type"]}
    assert (layers["b"], layers["fc"]) == (1, 6)
    assert layers["a"] != 4 and any(f"a: reuse 4 became {layers['a']}" in note for note in project.notes)


def test_grouped_convolutions_are_noted_and_keep_their_width(tmp_path: Path) -> None:
    project = export(quantized("depthwise", "int4"), tmp_path / "out")
    assert any(note.startswith("g: 3 groups") for note in project.notes)
    assert project.weight_types["g"].startswith("ap_fixed<4,") and project.weight_types["d"].startswith("ap_fixed<4,")


def test_perceptrons_are_parallel_by_default(tmp_path: Path) -> None:
    assert export(quantized("perceptron"), tmp_path / "out").io == "io_parallel"


def test_without_a_compiler_the_missing_tool_is_named(
    model: QuantizedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = export(model, tmp_path / "out")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="g\\+\\+") as caught:
        verify(project, model, samples("residual", 2))
    assert "apt-get install g++" in caught.value.hint


def test_header_and_text_of_a_weight_must_agree(model: QuantizedModel, tmp_path: Path) -> None:
    project = export(model, tmp_path / "out")
    text = next((project.folder / "firmware/weights").glob("w*.txt"))
    text.write_text(text.read_text().replace("0", "1", 1))
    with pytest.raises(VerificationError, match="does not hold the weights"):
        verify(project, model, samples("residual", 2))


def test_verification_data_are_checked_first(model: QuantizedModel, tmp_path: Path) -> None:
    project = export(model, tmp_path / "out")
    for bad in (torch.zeros(0, 3, 6, 10), torch.zeros(2, 3, 6, 9), torch.full((2, 3, 6, 10), float("nan"))):
        with pytest.raises(InputError):
            verify(project, model, bad)
    with pytest.raises(InputError, match="0 samples"):
        verify(project, model, samples("residual", 2), 0)


def test_no_project_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no HLS project"):
        HlsProject.load(tmp_path)


def test_the_room_is_imported_lazily() -> None:
    code = "import sys, hwsim.hls; assert not {'torch', 'hls4ml', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
