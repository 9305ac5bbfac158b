"""A folder of packed weights: tensors in one file, `layout.json` that says how to read them, `weights.h` for C.

`weights.npz` (or `weights.safetensors`) holds for each quantized layer

* `LAYER.codes` uint8 (rows, row_bytes): the bit stream of `bit_packing`;
* `LAYER.scale` float32, or float64 where float32 is not exact: (1, ...), (rows, 1, ...) or (rows, groups) for groups of
  consecutive elements of a row, the last group possibly short;
* `LAYER.scale_exponent` int16, only for power-of-two scales: scale = 2^exponent;
* `LAYER.zero_point` int32, only for formats with one, shaped like the scale;
* `LAYER.bias` float32, where the layer has one.

value = scale * (decode(code) - zero point). `layout.json` gives for each layer name, format string, shape as rows,
shape as torch keeps it, bits, row_bytes, how the codes are written and the granularity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Minifloat, Power
from hwsim.core.scaled import parse
from hwsim.exchange.bit_packing import is_signed_code, pack_codes, row_bytes, unpack_codes
from hwsim.exchange.c_header import header_of
from hwsim.quant.model import QuantizedModel
from hwsim.quant.storage import write_whole

Container = Literal["npz", "safetensors"]
LAYOUT = 1
_RULES = (
    "value = scale * (decode(code) - zero_point)",
    "a row is one output channel, elements in row-major order over (Cin/groups, kernel)",
    "element i of a row has its lowest bit at bit i * bits; bit k of a row is bit k % 8 of byte k // 8",
    "rows start at bytes: row_bytes = ceil(elements * bits / 8); bits left over are zero",
    "block N: element i of a row has the scale in column i // N; channel: one scale a row; tensor: one scale",
    "transposed convolutions: rows are (groups, Cout/groups), torch's weight is (Cin, Cout/groups, kernel)",
)


def write_packed(model: QuantizedModel, folder: Path, container: Container = "npz") -> Path:
    """Write the folder; each file appears whole or not at all.

    Raises
    ------
    InputError
        For a network without quantized weights, or a folder that cannot be written.
    """
    if not model.codes:
        raise InputError("no quantized weights", where=model.network.name, hint="choose a weight format, e.g. int4")
    if container not in ("npz", "safetensors"):
        raise InputError(f"{container!r}", where="--container", hint="allowed: npz, safetensors")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(folder), hint="choose a writable folder") from None
    packed = {name: pack_codes(codes) for name, codes in model.codes.items()}
    tensors: dict[str, NDArray[Any]] = {}
    for name, codes in model.codes.items():
        tensors |= {f"{name}.{key}": value for key, value in _parts(codes, packed[name]).items()}
    tensors |= {f"{name}.bias": bias for name, bias in _biases(model).items()}
    record = {
        "layout": LAYOUT,
        "network": model.network.name,
        "tensors": f"weights.{container}",
        "rules": list(_RULES),
        "layers": [_record(model, name, codes) for name, codes in model.codes.items()],
        "activations": {name: str(spec) for name, spec in model.assignment.edges.items()},
    }
    write_whole(folder / f"weights.{container}", lambda path: _store(path, tensors, container))
    write_whole(folder / "layout.json", lambda path: path.write_text(json.dumps(record, indent=1) + "\n"))
    write_whole(folder / "weights.h", lambda path: path.write_text(header_of(model.network.name, model.codes, packed)))
    return folder


def read_packed(folder: Path) -> dict[str, WeightCodes]:
    """The codes of every layer in a folder, bit for bit as they were.

    Raises
    ------
    InputError
        When a file is missing, damaged or of another layout.
    """
    try:
        record = json.loads((folder / "layout.json").read_text())
        if record["layout"] != LAYOUT:
            raise InputError("another layout", where=str(folder), hint=f"this hwsim reads layout {LAYOUT}")
        tensors = _load(folder / record["tensors"])
        return {row["name"]: _codes(row, tensors) for row in record["layers"]}
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(error.filename or folder)) from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"damaged folder: {error}", where=str(folder), hint="export it again") from None


def _parts(codes: WeightCodes, packed: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    narrow = codes.scale.astype(np.float32)
    exact = np.array_equal(narrow.astype(np.float64), codes.scale)
    parts: dict[str, NDArray[Any]] = {"codes": packed, "scale": narrow if exact else codes.scale}
    if codes.spec.scale in ("pow2", "e8m0"):
        parts["scale_exponent"] = (np.frexp(codes.scale)[1] - 1).astype(np.int16)
    if codes.spec.zero_point:
        parts["zero_point"] = codes.zero_point.astype(np.int32)
    return parts


def _biases(model: QuantizedModel) -> dict[str, NDArray[Any]]:
    """Biases as the quantized network adds them."""
    found = {}
    for node in model.module.graph.nodes:
        name = node.meta.get("layer")
        if node.op != "call_function" or name not in model.codes or model.network.workload[name].kind == "embedding":
            continue
        bias: Any = node.args[2] if len(node.args) > 2 else None
        if getattr(bias, "op", "") == "get_attr":
            found[name] = getattr(model.module, str(bias.target)).detach().numpy()
    return found


def _record(model: QuantizedModel, name: str, codes: WeightCodes) -> dict[str, Any]:
    spec, shape = codes.spec, codes.codes.shape
    fmt = spec.format
    kind = "two's complement" if is_signed_code(fmt) else "plain binary"
    if isinstance(fmt, Minifloat):
        kind = (
            f"{'sign, ' if fmt.signed else ''}{fmt.exponent} exponent bits, {fmt.mantissa} mantissa bits, high to low"
        )
    elif isinstance(fmt, Binary):
        kind = "0 is -1, 1 is +1"
    elif isinstance(fmt, Power):
        kind = f"two's complement k, value sign(k) (|k| / {fmt.max_code})^(1 / {fmt.exponent:g})"
    return {
        "name": name,
        "format": str(spec),
        "shape": list(shape),
        "weight_shape": list(model.network.workload[name].weight_shape or shape),
        "bits": spec.bits,
        "row_bytes": row_bytes(int(np.prod(shape[1:], dtype=np.int64)), spec.bits),
        "codes": kind,
        "granularity": spec.block,
        "scale": spec.scale,
        "zero_point": spec.zero_point,
        "memory_bits": codes.memory_bits,
    }


def _codes(row: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> WeightCodes:
    name, spec, shape = row["name"], parse(row["format"]), tuple(row["shape"])
    scale = tensors[f"{name}.scale"].astype(np.float64)
    zero = tensors[f"{name}.zero_point"].astype(np.float64) if spec.zero_point else np.zeros_like(scale)
    return WeightCodes(unpack_codes(tensors[f"{name}.codes"], spec.format, shape), spec, scale, zero)


def _store(path: Path, tensors: dict[str, NDArray[Any]], container: Container) -> None:
    if container == "npz":
        with path.open("wb") as file:
            np.savez(file, **tensors)  # type: ignore[arg-type]
        return
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    from safetensors.numpy import load_file

    return dict(load_file(path))
