"""`hwsim doctor`: is everything there, and what would each missing thing give."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hwsim import __version__
from hwsim.cli import options
from hwsim.cli.output import emit, table

REQUIRED = (
    "torch numpy pandas scipy scikit-learn hls4ml plotly matplotlib typer pydantic jinja2 joblib safetensors"
).split()
OPTIONAL = {
    "onnx": "ONNX and QONNX models: pip install 'hwsim[onnx]'",
    "timm": "timm:NAME models: pip install timm",
    "onnxruntime": "checking exported ONNX files: pip install onnxruntime",
    "pycocotools": "average precision of detectors: pip install 'hwsim[detection]'",
    "pyarrow": "refitting predictors on tables: pip install 'hwsim[train]'",
    "distributed": "exploration on a cluster: pip install 'hwsim[dask]'",
}
TOOLS = {"g++": "C simulation of exported projects: apt-get install g++", "vitis_hls": "vendor synthesis: AMD Vitis"}


def run(as_json: options.Json = False) -> int:
    """Check the installation; exit 5 when a required package is missing."""
    rows: list[dict[str, Any]] = [_row("python", "required", platform.python_version(), "3.11 or newer")]
    rows += [_row(name, "required", _version(name), f"pip install {name}") for name in REQUIRED]
    rows += [_row(name, "optional", _version(name), hint) for name, hint in OPTIONAL.items()]
    rows += [_row(name, "tool", shutil.which(name), hint) for name, hint in TOOLS.items()]
    missing = [r["name"] for r in rows if r["need"] == "required" and not r["found"]]
    healthy = not missing and sys.version_info >= (3, 11)
    document = {"hwsim": __version__, "platform": platform.platform(), "healthy": healthy, "checks": rows}
    body = [(r["name"], r["need"], r["found"] or "missing", "" if r["found"] else r["hint"]) for r in rows]
    emit(document, as_json, lambda: [f"hwsim {__version__}", *table(("what", "need", "found", "to get it"), body)])
    return 0 if healthy else 5


def _row(name: str, need: str, found: str | None, hint: str) -> dict[str, Any]:
    return {"name": name, "need": need, "found": found, "hint": hint}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
