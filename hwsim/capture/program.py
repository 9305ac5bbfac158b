"""Reading `.pt2` programs (torch.export) without running code that they may carry."""

from __future__ import annotations

import json
import logging
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.export import ExportedProgram

from hwsim.core.errors import InputError, UnsupportedError

_SAVE_AGAIN = f"save it again with torch.export.save of torch {torch.__version__.split('+')[0]}"
_CARRIES = "it carries pickled or compiled objects, which are not loaded"
_FORCED, _FORBIDDEN = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def read_program(path: Path) -> ExportedProgram:
    """Load a `.pt2` file whose tensors are stored plainly.

    Raises
    ------
    InputError
        Not a `.pt2` archive, one of an older layout, one that carries pickled or compiled objects, or a damaged one.
    """
    _refuse_code(path)
    with _weights_only(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.export.load(path)
        except Exception as error:
            if "Weights only" in str(error):
                raise InputError(_CARRIES, where=str(path), hint=_SAVE_AGAIN) from error
            last = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(f"cannot be read: {last}", where=str(path), hint=_SAVE_AGAIN) from error


def program_input(program: ExportedProgram, where: str) -> tuple[int | None, ...]:
    """Shape of the program's one tensor input; None for axes of any size.

    Raises
    ------
    UnsupportedError
        Several inputs, or one that is no tensor.
    """
    user = program.graph_signature.user_inputs
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in user]
    if len(values) != 1 or not isinstance(values[0], torch.Tensor):
        names = ", ".join(str(name) for name in user)
        raise UnsupportedError(
            f"a program of {len(user)} inputs ({names})", where=where, hint="export a module that takes one tensor"
        )
    return tuple(size if isinstance(size, int) else None for size in values[0].shape)


def _refuse_code(path: Path) -> None:
    """torch.export.load unpickles some archive members and loads compiled ones: refuse archives that hold any."""
    where = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
            configs = [json.loads(archive.read(name)) for name in archive.namelist() if name.endswith("_config.json")]
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise InputError("not a torch.export archive", where=where, hint=_SAVE_AGAIN) from error
    if "models/model.json" not in names:
        raise InputError("no program named 'model' inside", where=where, hint=_SAVE_AGAIN)
    payloads = [p for c in configs for p in c.get("config", {}).values() if isinstance(p, dict)]
    pickled = any(p.get("use_pickle") for p in payloads)
    objects = [n for n in names if n.startswith("data/constants/") and "_obj" in n]
    legacy = [n for n in names if n.startswith(("data/weights/", "data/constants/")) and n.endswith(".pt")]
    compiled = [n for n in names if n.startswith("data/aotinductor/")]
    if len(set(names)) != len(names) or pickled or objects or legacy or compiled:
        raise InputError(
            _CARRIES,
            where=where,
            hint="export a module whose weights are plain tensors; " + _SAVE_AGAIN,
        )


@contextmanager
def _weights_only() -> Iterator[None]:
    """torch.load may not fall back on full unpickling, and torch's own traceback stays off stderr."""
    kept = {key: os.environ.pop(key, None) for key in (_FORCED, _FORBIDDEN)}
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export")]
    levels = [logger.level for logger in loggers]
    os.environ[_FORCED] = "1"
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        del os.environ[_FORCED]
        os.environ.update({key: value for key, value in kept.items() if value is not None})
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
