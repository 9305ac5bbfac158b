"""Save and load a quantized model: tensors in safetensors, everything else in one JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hwsim.capture.graph import Network
from hwsim.capture.graph_json import graph_from_json, graph_to_json
from hwsim.core.assignment import Assignment, LayerFormats, Policy
from hwsim.core.codes import WeightCodes
from hwsim.core.errors import InputError
from hwsim.core.scaled import parse
from hwsim.quant.layers import Quantizer
from hwsim.quant.model import QuantizedLayer, QuantizedModel
from hwsim.quant.recipe import Recipe

LAYOUT = 2


def save_model(model: QuantizedModel, folder: Path) -> Path:
    """Write `model.safetensors` and `model.json` into a folder; each file appears whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(folder), hint="choose a writable folder") from None
    tensors: dict[str, Tensor] = {}
    tensors |= {f"float.{k}": v.contiguous() for k, v in model.network.module.named_buffers()}
    tensors |= {f"quantized.{k}": v.contiguous() for k, v in model.module.named_buffers()}
    tensors |= {f"example.{i}": x.contiguous() for i, x in enumerate(model.network.examples)}
    for name, codes in model.codes.items():
        tensors[f"codes.{name}"] = torch.from_numpy(codes.codes.astype(np.int32))
        tensors[f"scale.{name}"] = torch.from_numpy(np.ascontiguousarray(codes.scale))
        tensors[f"zero.{name}"] = torch.from_numpy(np.ascontiguousarray(codes.zero_point))
    record = {
        "layout": LAYOUT,
        "name": model.network.name,
        "fixed_batch": model.network.fixed_batch,
        "policy": asdict(model.policy),
        "recipe": model.recipe.as_dict(),
        "float_graph": graph_to_json(model.network.module),
        "quantized_graph": graph_to_json(model.module),
        "edges": {name: str(spec) for name, spec in model.assignment.edges.items()},
        "layers": [_layer_record(layer) for layer in model.layers],
        "codes": {name: str(codes.spec) for name, codes in model.codes.items()},
        "quantizers": {
            name: {"spec": str(q.spec), "axis": q.axis}
            for name, q in model.module.named_children()
            if isinstance(q, Quantizer)
        },
    }
    write_whole(folder / "model.safetensors", lambda path: save_file(_separate(tensors), path))
    write_whole(folder / "model.json", lambda path: path.write_text(json.dumps(record, indent=1, sort_keys=True)))
    return folder


def load_model(folder: Path) -> QuantizedModel:
    """Read a saved model.

    Raises
    ------
    InputError
        When a file is missing, damaged or of another layout.
    """
    record, tensors = _read(folder)
    try:
        floats = graph_from_json(record["float_graph"], _part(tensors, "float."))
        examples = tuple(_part(tensors, "example.").values())
        network = Network(record["name"], floats, examples, record["fixed_batch"])
        parts = _part(tensors, "quantized.")
        modules: dict[str, Any] = {k: v for k, v in parts.items() if "." not in k}
        for name, row in record["quantizers"].items():
            zero = parts.get(f"{name}.zero_point")
            modules[name] = Quantizer(parse(row["spec"]), parts[f"{name}.scale"], zero, row["axis"])
        quantized = graph_from_json(record["quantized_graph"], modules)
        layers = tuple(_layer_from(row) for row in record["layers"])
        policy = dict(record["policy"])
        policy["overrides"] = tuple((glob, text) for glob, text in policy["overrides"])
        assignment = Assignment(
            {layer.name: LayerFormats(layer.weight, layer.acts) for layer in layers},
            {name: parse(text) for name, text in record["edges"].items()},
        )
        codes = {name: _codes(name, text, tensors) for name, text in record["codes"].items()}
        recipe = Recipe.from_dict(record["recipe"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"damaged model: {error}", where=str(folder), hint="save it again") from None
    return QuantizedModel(network, quantized, assignment, Policy(**policy), recipe, codes, layers)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        record = json.loads((folder / "model.json").read_text())
        tensors = load_file(folder / "model.safetensors")
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(error.filename or folder)) from None
    except Exception as error:
        raise InputError(f"damaged model: {error}", where=str(folder), hint="save it again") from None
    if not isinstance(record, dict) or record.get("layout") != LAYOUT:
        raise InputError("another layout", where=str(folder / "model.json"), hint=f"this hwsim reads layout {LAYOUT}")
    return record, tensors


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """safetensors refuses tensors that share memory; the float and the quantized graph do."""
    seen: set[int] = set()
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        pointer = tensor.untyped_storage().data_ptr()
        out[name] = tensor.clone() if pointer in seen else tensor
        seen.add(pointer)
    return out


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Have `write` make a file that appears complete or not at all.

    Raises
    ------
    InputError
        Where the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), hint="choose a writable folder") from None
    finally:
        temporary.unlink(missing_ok=True)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): t for name, t in sorted(tensors.items()) if name.startswith(prefix)}


def _codes(name: str, text: str, tensors: dict[str, Tensor]) -> WeightCodes:
    return WeightCodes(
        tensors[f"codes.{name}"].numpy().astype(np.int64),
        parse(text),
        tensors[f"scale.{name}"].numpy(),
        tensors[f"zero.{name}"].numpy(),
    )


def _layer_record(layer: QuantizedLayer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "weight": str(layer.weight) if layer.weight else None,
        "acts": [str(a) for a in layer.acts],
        "weight_sqnr_db": layer.weight_sqnr_db,
    }


def _layer_from(row: dict[str, Any]) -> QuantizedLayer:
    weight = parse(row["weight"]) if row["weight"] else None
    return QuantizedLayer(row["name"], row["kind"], weight, tuple(parse(a) for a in row["acts"]), row["weight_sqnr_db"])
