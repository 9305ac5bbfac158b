"""The files of a run directory besides the store: its lock, the configuration and the manifest."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hwsim.core.errors import InputError
from hwsim.search.settings import StudyConfig
from hwsim.search.toml_text import to_toml

CONFIG, MANIFEST, STORE, LOCK = "run.toml", "manifest.json", "designs.sqlite", ".lock"
_FREE = ("search.workers",)  # may differ on resume: decides when results come, not what they are
_PACKAGES = ("hwsim", "torch", "numpy", "pandas", "scikit-learn", "hls4ml")


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold a run directory, made if it is not there; one process at a time.

    The lock belongs to the open file, so the operating system frees it however the process ends. A directory that
    was made here and is still empty at the end is taken away again.

    Raises
    ------
    InputError
        Another process holds it, or it cannot be written.
    """
    made = not run_dir.exists()
    path = run_dir / LOCK
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path)
    except BlockingIOError:
        raise InputError(
            "another process is working on this run", where=str(run_dir), hint="wait for it, or choose another folder"
        ) from None
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(run_dir), hint="choose a writable folder") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        if made and not any(run_dir.iterdir()):
            run_dir.rmdir()


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor  # not a file that its last holder has just removed
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def check_config(run_dir: Path, config: StudyConfig, resume: bool) -> None:
    """Refuse to mix studies: a folder with a run in it wants `resume`, and the configuration that it began with."""
    path = run_dir / CONFIG
    if not path.exists():
        return
    if not resume:
        hint = "continue it with --resume, or choose another folder"
        raise InputError("there is a run in this folder", where=str(run_dir), hint=hint)
    try:
        begun = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(str(error), where=str(path), hint="run the study again into a new folder") from None
    key, before, now = first_difference(begun, tomllib.loads(to_toml(config.as_dict())))
    if key:
        hint = f"it was begun with {_shown(before)} and is now {_shown(now)}; set it back, or choose another folder"
        raise InputError(f"{key} differs", where=str(path), hint=hint)


def write_config(run_dir: Path, config: StudyConfig) -> None:
    """`run.toml`, unless it is there: a resumed run keeps the one it began with."""
    if not (run_dir / CONFIG).exists():
        write_whole(run_dir / CONFIG, to_toml(config.as_dict()))


def settle_manifest(run_dir: Path, manifest: Mapping[str, Any]) -> None:
    """Write `manifest.json`, or check that what is there describes the same inputs.

    Raises
    ------
    InputError
        Network, weights, data, a recipe, a target's file or the code epoch changed since the run began; it is named.
    """
    path = run_dir / MANIFEST
    if not path.exists():
        write_whole(path, json.dumps(manifest, indent=1) + "\n")
        return
    key, _, _ = first_difference(read_manifest(run_dir)["identity"], manifest["identity"])
    if key:
        hint = "the store holds results of the old one; choose another folder"
        raise InputError(f"{key} has changed since the run began", where=str(path), hint=hint)


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """The manifest of a run; InputError names the file if there is none or it is damaged."""
    path = run_dir / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or "identity" not in data:
            raise ValueError("no manifest of hwsim explore")
    except OSError as error:
        hint = "a run directory of hwsim explore is wanted"
        raise InputError(error.strerror or str(error), where=str(path), hint=hint) from None
    except ValueError as error:
        raise InputError(str(error), where=str(path), hint="run the study again into a new folder") from None
    return data


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results may depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def first_difference(a: Any, b: Any, path: str = "") -> tuple[str, Any, Any]:
    """Dotted key of the first entry in which two nested mappings differ, with both values; "" if none does."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys((*a, *b)):
            found = first_difference(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
            if found[0]:
                return found
        return "", None, None
    return (path, a, b) if a != b and path not in _FREE else ("", None, None)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a kill at any moment leaves the old one or the new one."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
