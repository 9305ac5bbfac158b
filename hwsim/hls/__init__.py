"""HLS projects: a quantized network as hls4ml sources, compiled and compared bit for bit."""

from importlib import import_module
from typing import Any

_HOMES = {
    "HlsProject": "project",
    "export_hls": "project",
    "Verification": "verification",
    "verify": "verification",
    "Plan": "stages",
    "plan_network": "plan",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"hwsim.hls.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hwsim.hls' has no attribute {name!r}")
