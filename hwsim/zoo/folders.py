"""Where data that the user keeps in a folder lie: `HWSIM_DATA`, else `HWSIM_SHARED` or the `data` in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hwsim.core.errors import InputError


def data_folders() -> tuple[Path, ...]:
    """The folders to search, most specific first; none where no variable is set.

    Raises
    ------
    InputError
        `HWSIM_DATA` names no folder.
    """
    if named := os.environ.get("HWSIM_DATA"):
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise InputError(f"HWSIM_DATA={named} is not a folder", where="HWSIM_DATA", hint="name the folder of data")
        return (folder,)
    if named := os.environ.get("HWSIM_SHARED"):
        folder = Path(named).expanduser()
        return tuple(place for place in (folder / "data", folder) if place.is_dir())
    return ()


def places(subfolders: Sequence[str]) -> list[Path]:
    """The existing subfolders, in this order, of every folder to search; the folder itself is the last."""
    found = [folder / name for folder in data_folders() for name in (*subfolders, ".")]
    return [place for place in found if place.is_dir()]


def missing(dataset: str, files: str, subfolders: Sequence[str], source: str) -> InputError:
    """The error to raise where no file is found: what is looked for, where, and where the data come from."""
    tried = ", ".join(map(str, data_folders())) or "no folder: neither HWSIM_DATA nor HWSIM_SHARED is set"
    return InputError(
        f"the files of {dataset} are not there (searched: {tried})",
        where=f"zoo:{dataset}",
        hint=f"set HWSIM_DATA to a folder that holds {files}, there or in {', '.join(subfolders)}; data: {source}",
    )
