"""Exchange: a quantized network as a file that other tools read (ONNX with QDQ, QONNX, packed weights)."""

from importlib import import_module
from typing import Any

_HOMES = {
    "write_onnx": "onnx_file",
    "write_packed": "packed_folder",
    "read_packed": "packed_folder",
    "pack_codes": "bit_packing",
    "unpack_codes": "bit_packing",
    "Agreement": "agreement",
    "compare_onnx": "agreement",
    "compare_qonnx": "agreement",
    "compare_packed": "agreement",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"hwsim.exchange.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hwsim.exchange' has no attribute {name!r}")
