"""Quantization: everything that changes what a network computes."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Calibration": "calibration",
    "prepare": "pipeline",
    "QuantizedModel": "model",
    "quantize_network": "pipeline",
    "Recipe": "recipe",
    "RECIPES": "papers",
    "parse_recipe": "recipe",
    "Metric": "metrics",
    "fold_batchnorm": "rewrite.fold_batchnorm",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"hwsim.quant.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hwsim.quant' has no attribute {name!r}")
