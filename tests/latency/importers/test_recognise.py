"""Formats are told by content; files of none, cut, empty and unreadable ones are errors with a next step."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trtexec_files import layer, profile, run, tensor

from hwsim.core.errors import InputError
from hwsim.latency.importers import FORMATS, read_measurements

TRACE = {
    "traceEvents": [
        {"ph": "X", "cat": "cpu_op", "name": "aten::relu", "pid": 1, "tid": 1, "ts": 0.5, "dur": 2.5,
         "args": {"External id": 1, "Input Dims": [[3, 4]], "Input type": ["float"]}}
    ]
}  # fmt: skip
TEXTS = {
    "CSV with op and latency": "op,latency_us,cin\nrelu,1,3\n",
    "trtexec --exportProfile": json.dumps(profile(("r", 0.1))),
    "trtexec --exportTimes": json.dumps([run(1.0), run(1.1)]),
    "torch.profiler trace": json.dumps(TRACE, indent=1),
}
SAID: dict[str, Any] = {"device": "v100", "runtime": "eager", "precision": "fp32", "name": "n", "batch": 1}


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    path = tmp_path / "layers.json"
    path.write_text(json.dumps({"Layers": [layer("r", "Reformat", [tensor(1, 4)], [tensor(1, 4)])]}))
    return path


@pytest.mark.exact
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("before", ["", " \n", "\ufeff"])
def test_the_name_of_a_file_does_not_matter(tmp_path: Path, layers: Path, name: str, before: str) -> None:
    if before and name.startswith("CSV") and before != "\ufeff":
        pytest.skip("a CSV begins with its columns")
    path = tmp_path / "measured.pickle"
    path.write_text(before + TEXTS[name], encoding="utf-8")
    found = read_measurements(path, layers=layers, **SAID)
    assert found.format == name and found.format in FORMATS and len(found.rows) == 1


@pytest.mark.exact
def test_a_gzipped_trace_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.json.gz"
    path.write_bytes(gzip.compress(json.dumps(TRACE).encode()))
    assert read_measurements(path, device="cpu").rows[0].latency_us == 2.5
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match=r"trace\.json\.gz"):
        read_measurements(path, device="cpu")


@pytest.mark.parametrize("name", [name for name in TEXTS if not name.startswith("CSV")])
def test_cut_json_is_an_error_at_every_length(tmp_path: Path, layers: Path, name: str) -> None:
    path, text = tmp_path / "cut.json", TEXTS[name].rstrip()
    for end in range(len(text)):
        path.write_text(text[:end])
        with pytest.raises(InputError) as error:
            read_measurements(path, layers=layers, **SAID)
        assert error.value.where.startswith(str(path)) and error.value.hint
    path.write_text(text[:-2])
    with pytest.raises(InputError, match="stopped while it wrote"):
        read_measurements(path, layers=layers, **SAID)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"), (b" \n\t", "empty"), (b"{}", "no known format"), (b"[]", "no known format"),
        (b"[1]", "no known format"),
        (b'{"a": 1}', "no known format"), (b"[" * 100_000, "not JSON"),
        (b'[{"count": ' + b"9" * 5000 + b"}]", "not JSON"),
        (b'{"a": "\xff"}', "not JSON"), (b"\x00\x01", "unknown column"), (b"\x89PNG\r\n", "codec"),
        (b"hello\n", "unknown column"),
        (b"\x80", "not a pickle"),
    ],
)  # fmt: skip
def test_other_files_are_errors(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_measurements(path, **SAID)
    assert message in error.value.message and error.value.where.startswith(str(path)) and error.value.hint


def test_the_formats_are_named_for_a_file_of_none(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError) as error:
        read_measurements(tmp_path / "x.json")
    assert all(name in error.value.hint for name in FORMATS)


def test_a_folder_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError, match=str(path)):
            read_measurements(path)


@pytest.mark.property
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_an_error_or_rows(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_measurements(path, **SAID)


def test_importers_load_neither_torch_nor_pandas() -> None:
    code = "import sys, hwsim.latency.importers; print({'torch', 'pandas', 'scipy'} & set(sys.modules))"
    lean = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=lean)
    assert done.stdout.strip() == "set()"
