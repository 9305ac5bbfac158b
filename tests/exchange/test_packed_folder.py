"""The packed folder: read back bit for bit, and decoded by a C compiler to the same doubles."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from exchange_networks import mixed

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import InputError
from hwsim.exchange.c_header import identifier
from hwsim.exchange.packed_folder import read_packed, write_packed

FORMATS = (
    "int8 int3 uint4+zp int5.full@group7 binary pow4 pow5~exp=0.4 e4m3 e2m1@group10 e3m0 e5m2ieee e4m3fn e4m3fnuz "
    "ue3m2 e3m2~bias=4.3 int13 mxint8 mxfp4 mxfp6_e3m2 mxfp8_e4m3 nvfp4 int4@tensor:pow2 e2m3:pow2"
).split()


def same(a: WeightCodes, b: WeightCodes) -> bool:
    values = np.array_equal(a.codes, b.codes) and np.array_equal(a.scale, b.scale)
    return values and np.array_equal(a.zero_point, b.zero_point) and a.spec == b.spec


@pytest.mark.exact
@pytest.mark.parametrize("text", FORMATS)
def test_round_trip_of_a_folder(text: str, tmp_path: Path) -> None:
    model = mixed(text, "none")
    for container in ("npz", "safetensors"):
        found = read_packed(write_packed(model, tmp_path / container, container))  # type: ignore[arg-type]
        assert found.keys() == model.codes.keys()
        for name, codes in model.codes.items():
            assert same(found[name], codes)
            assert np.array_equal(found[name].dequantize(), codes.dequantize())


@pytest.mark.truth
@pytest.mark.parametrize(
    "formats",
    [("uint4+zp", "e3m2~bias=4.3", "pow4"), pytest.param(FORMATS, marks=pytest.mark.slow)],
    ids=["few", "all"],
)
def test_c_decodes_the_same_doubles(formats: tuple[str, ...], tmp_path: Path) -> None:
    """One program for all formats; the doubles come back as bytes and are compared for equality."""
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    parts, wanted = [], []
    for i, text in enumerate(formats):
        model = mixed(text, "none")
        write_packed(model, tmp_path / str(i))
        loops = [
            f"for (size_t r = 0; r < {s}_ROWS; r++) for (size_t e = 0; e < {s}_ELEMENTS; e++) "
            f"{{ double v = {s}_weight(r, e); fwrite(&v, 8, 1, stdout); }}"
            for s in map(identifier, model.codes)
        ]
        source = tmp_path / f"{i}.cpp"
        body = f'#include <stdio.h>\n#include "{i}/weights.h"\nvoid dump_{i}() {{ {" ".join(loops)} }}\n'
        source.write_text(body)
        parts.append(source)
        wanted += [codes.dequantize().ravel() for codes in model.codes.values()]
    calls = "".join(f"void dump_{i}();\n" for i in range(len(formats)))
    (tmp_path / "main.cpp").write_text(
        calls + "int main() { " + " ".join(f"dump_{i}();" for i in range(len(formats))) + " }"
    )
    program = tmp_path / "decode"
    flags = ["g++", "-O0", "-Wall", "-Werror", "-Wno-unused-function", "-o", str(program)]
    subprocess.run([*flags, *map(str, parts), str(tmp_path / "main.cpp")], check=True, cwd=tmp_path)
    found = np.frombuffer(subprocess.run([str(program)], check=True, capture_output=True).stdout, np.float64)
    assert np.array_equal(found, np.concatenate(wanted))


@pytest.mark.exact
def test_layout_tells_what_is_needed(tmp_path: Path) -> None:
    model = mixed("int3@group10:pow2", "int8")
    folder = write_packed(model, tmp_path / "p")
    record = json.loads((folder / "layout.json").read_text())
    row = next(r for r in record["layers"] if r["name"] == "up")
    assert row["shape"] == [8, 4, 2, 2] and row["weight_shape"] == [8, 4, 2, 2]
    assert (row["bits"], row["row_bytes"], row["granularity"]) == (3, 6, 10)
    with np.load(folder / "weights.npz") as tensors:
        exponents = tensors["up.scale_exponent"].astype(float)
        assert np.array_equal(2.0**exponents, tensors["up.scale"])
        assert tensors["up.codes"].nbytes == 8 * 6 and tensors["up.bias"].shape == (8,)


@pytest.mark.exact
def test_a_damaged_folder_is_an_input_error(tmp_path: Path) -> None:
    folder = write_packed(mixed("int8", "int8"), tmp_path / "p")
    text = (folder / "layout.json").read_text()
    (folder / "layout.json").write_text(text.replace('"layout": 1', '"layout": 9'))
    with pytest.raises(InputError, match="layout"):
        read_packed(folder)
    (folder / "layout.json").write_text(text)
    (folder / "weights.npz").unlink()
    with pytest.raises(InputError):
        read_packed(folder)
    with pytest.raises(InputError, match="no quantized weights"):
        write_packed(mixed("none", "int8"), tmp_path / "q")
