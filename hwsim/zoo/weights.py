"""Trained weights kept in the user's cache folder as safetensors with a checksum."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

_CODE = ("convnets.py", "data.py", "networks.py", "training.py", "transformers.py")


def cache_folder() -> Path:
    """`HWSIM_CACHE`, else `hwsim` in the user's cache folder."""
    if folder := os.environ.get("HWSIM_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim"


def cached_file(name: str) -> Path:
    """Where the weights of a built-in network lie; the name changes with the zoo's code and torch's version."""
    return cache_folder() / "zoo" / f"{name}-{_code_hash()}.safetensors"


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


@cache
def _code_hash() -> str:
    digest = hashlib.sha256(torch.__version__.encode())
    for name in _CODE:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:16]
