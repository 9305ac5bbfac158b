"""A quantized network as one ONNX file, checked by onnx itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from hwsim.core.errors import InputError, UnsupportedError
from hwsim.exchange.graph_walk import write_graph
from hwsim.exchange.observed import observe
from hwsim.exchange.onnx_writer import QONNX_DOMAIN, OnnxWriter, onnx_package
from hwsim.exchange.qdq import Qdq
from hwsim.exchange.qonnx import Qonnx
from hwsim.exchange.translation import Scheme, Translation
from hwsim.quant.model import QuantizedModel

Backend = Literal["onnx", "qonnx"]
SCHEMES: dict[str, Scheme] = {"onnx": Qdq(), "qonnx": Qonnx()}
LARGEST_FILE = 2**31 - 1  # of a protobuf message
_IR_VERSION = 10


def onnx_model(model: QuantizedModel, backend: Backend) -> Any:
    """The network as an `onnx.ModelProto`, with open batch axis where the network has one.

    `metadata_props` hold `hwsim.format.NAME` for each quantized tensor and weight (`LAYER.weight`), with its true
    format also where a wider ONNX type carries it.

    Raises
    ------
    UnsupportedError
        For an operator or a format that has no counterpart; the layer is named.
    MissingToolError
        Without the `onnx` package.
    """
    onnx = onnx_package()
    scheme = SCHEMES[backend]
    writer = OnnxWriter(scheme.opset(model))
    observed = observe(model.module, model.network.examples, model.network.fixed_batch)
    t = Translation(writer, scheme, model, observed)
    inputs, outputs = write_graph(t)
    known = {value.name for value in (*inputs, *outputs)}
    info = [value for name, value in writer.value_info.items() if name not in known]
    graph = onnx.helper.make_graph(
        writer.nodes, _identifier(model.network.name), inputs, outputs, writer.initializers, value_info=info
    )
    opsets = [onnx.helper.make_opsetid("", writer.opset)]
    opsets += [onnx.helper.make_opsetid(QONNX_DOMAIN, 1)] if QONNX_DOMAIN in writer.domains else []
    made = onnx.helper.make_model(graph, opset_imports=opsets, producer_name="hwsim", ir_version=_IR_VERSION)
    onnx.helper.set_model_props(made, _metadata(model, t))
    return made


def write_onnx(model: QuantizedModel, path: Path, backend: Backend = "onnx") -> Path:
    """Write an .onnx file that passes onnx.checker and strict shape inference.

    Parameters
    ----------
    backend : `onnx` for QuantizeLinear and DequantizeLinear, `qonnx` for Quant and FloatQuant.
    """
    onnx = onnx_package()
    made = onnx_model(model, backend)
    if made.ByteSize() > LARGEST_FILE:
        hint = "export the weights alone with --backend packed"
        raise UnsupportedError("a file above 2 GiB", where=str(path), hint=hint)
    onnx.checker.check_model(made, full_check=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(made.SerializeToString())
        temporary.replace(path)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), hint="choose a writable folder") from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _metadata(model: QuantizedModel, t: Translation) -> dict[str, str]:
    props = {
        "hwsim.network": model.network.name,
        "hwsim.recipe": model.recipe.name,
        "hwsim.biases": "float32, as the quantized network adds them",
    }
    return props | {f"hwsim.format.{name}": text for name, text in t.formats.items()}


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "network"
