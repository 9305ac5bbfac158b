"""QONNX files: executed by the qonnx package where it is installed, and read back by our own importer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from exchange_networks import mixed, relative, rows

from hwsim.capture.onnx_import import import_onnx
from hwsim.core.errors import UnsupportedError
from hwsim.exchange.onnx_file import write_onnx

FORMATS = [
    ("int8", "int8"),
    ("int3", "int4"),
    ("int4@group10", "uint5+zp"),
    ("uint3+zp", "int6.full"),
    ("binary", "ue2m2"),
    ("e4m3fn", "e3m2"),
    ("e2m1@group7", "e4m3"),
    ("mxfp4", "e5m2ieee~bias=13.5"),
    ("nvfp4", "int4@channel"),
    ("e4m3fnuz", "fp16"),
]


@pytest.mark.exact
@pytest.mark.parametrize(("weights", "acts"), FORMATS)
def test_the_importer_reads_the_same_network(weights: str, acts: str, tmp_path: Path) -> None:
    model, x = mixed(weights, acts), rows(6, seed=2)
    read = import_onnx(write_onnx(model, tmp_path / "net.onnx", "qonnx"))
    expected = model(x)
    assert relative(read(x), expected) < 1e-5


@pytest.mark.truth
@pytest.mark.parametrize(("weights", "acts"), FORMATS)
def test_qonnx_computes_the_same(weights: str, acts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("qonnx")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    make_model = onnx.helper.make_model

    def readable(*args: Any, **options: Any) -> Any:
        made = make_model(*args, **options)
        made.ir_version = 10  # qonnx makes a model a node, of onnx's newest version, which onnxruntime may not know
        return made

    monkeypatch.setattr(onnx.helper, "make_model", readable)
    model, x = mixed(weights, acts), rows(3, seed=2)
    made = onnx.load(write_onnx(model, tmp_path / "net.onnx", "qonnx"))
    for value in (*made.graph.input, *made.graph.output, *made.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == "batch":
                dim.dim_value = len(x)
    wrapped = ModelWrapper(made).transform(InferShapes())
    (found,) = execute_onnx(wrapped, {wrapped.graph.input[0].name: x.numpy()}).values()
    assert relative(torch.from_numpy(found), model(x)) < 1e-5


@pytest.mark.exact
def test_operators_and_their_attributes(tmp_path: Path) -> None:
    made = onnx.load(write_onnx(mixed("e4m3fn", "int4"), tmp_path / "net.onnx", "qonnx"))
    nodes = [n for n in made.graph.node if n.domain == "qonnx.custom_op.general"]
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in made.graph.initializer}
    floats = [n for n in nodes if n.op_type == "FloatQuant"]
    quants = [n for n in nodes if n.op_type == "Quant"]
    assert len(floats) == 6 and quants and len(nodes) == len(floats) + len(quants)
    assert [float(constants[name]) for name in floats[0].input[2:]] == [4, 3, 7, 448]
    assert {a.name: a.i for a in floats[0].attribute if a.name.startswith("has_")} == {
        "has_inf": 0,
        "has_nan": 1,
        "has_subnormal": 1,
    }
    attributes = {a.name: a for a in quants[0].attribute}
    assert (attributes["signed"].i, attributes["narrow"].i) == (1, 1) and constants[quants[0].input[3]] == 4


@pytest.mark.exact
@pytest.mark.parametrize(("weights", "acts"), [("pow4", "int8"), ("int8", "mxfp4"), ("int8", "pow5")])
def test_formats_beyond_qonnx_are_refused(weights: str, acts: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="packed"):
        write_onnx(mixed(weights, acts), tmp_path / "net.onnx", "qonnx")
