"""Trained weights kept in the user's cache folder as safetensors with a checksum."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn


def cache_folder() -> Path:
    """`HWSIM_CACHE`, else `hwsim` in the user's cache folder."""
    if folder := os.environ.get("HWSIM_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim"


def cached_file(name: str, key: str) -> Path:
    """Where the weights of a built-in network lie that `key` decides."""
    return cache_folder() / "zoo" / f"{name}-{key}.safetensors"


def recipe_key(model: nn.Module, decisions: tuple[object, ...], code: Iterable[str]) -> str:
    """A short digest of what decides the weights of one network, and of nothing else.

    Parameters
    ----------
    model : freshly made; its structure counts, and the files of the zoo that define its classes.
    decisions : what else counts, by its repr: the configuration of the training, the version of the data.
    code : other files of the zoo that count: the trainer's.

    Notes
    -----
    Files count by their statements: comments, docstrings and layout may change. The version of torch counts too.
    """
    here = Path(__file__).parent
    modules = {type(module).__module__ for module in model.modules()}
    files = {Path(str(sys.modules[name].__file__)) for name in modules if name.startswith("hwsim.zoo.")}
    digest = hashlib.sha256(f"{torch.__version__}\n{model!r}\n{decisions!r}".encode())
    for path in sorted(files | {here / name for name in code}):
        digest.update(f"{path.name}\n{_statements(path)}".encode())
    return digest.hexdigest()[:16]


def load_weights(path: Path, model: nn.Module) -> dict[str, Tensor] | None:
    """The weights in `path`, or None when there are none, they are damaged, or do not fit the model."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            recorded = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    wanted = {key: (value.shape, value.dtype) for key, value in model.state_dict().items()}
    if {key: (value.shape, value.dtype) for key, value in state.items()} != wanted or checksum(state) != recorded:
        return None
    return state


def save_weights(path: Path, model: nn.Module) -> None:
    """Write the model's weights to `path`: whole or not at all.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    from safetensors.torch import save

    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    content = save(state, metadata={"sha256": checksum(state), "format": "pt"})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def checksum(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names and values, in the order of names."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _statements(path: Path) -> str:
    """The syntax tree of a source file without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
