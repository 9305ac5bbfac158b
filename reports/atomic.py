"""Files that are whole or absent: written beside their place under another name, then moved there in one step."""

from __future__ import annotations

import os
from pathlib import Path

from hwsim.core.errors import InputError


def write_atomic(path: Path, data: str | bytes) -> Path:
    """Write a file so that a kill at any moment leaves the old file or the new one, never a part of it.

    Text is written as UTF-8 with its line ends as they are. Left-overs of killed writers of the same file are removed.
    """
    try:
        return _write(path, data.encode() if isinstance(data, str) else data)
    except OSError as error:
        hint = "choose a folder that can be written"
        raise InputError(error.strerror or str(error), where=str(path), hint=hint) from None


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*.part"):
        if not _is_running(stale.name.split(".")[-2]):
            stale.unlink(missing_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        pass
    return True
