"""What every room's tests share: a hypothesis profile and the folder of outside data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("hwsim", deadline=None, print_blob=True)
settings.load_profile("hwsim")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of outside data (`fpga/`, `latency/`, ...): the one HWSIM_SHARED names, or the `data` in it."""
    folder = os.environ.get("HWSIM_SHARED")
    if not folder:
        pytest.skip("HWSIM_SHARED is not set: it names the folder of outside data")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"HWSIM_SHARED={folder} is not a folder")
    return path / "data" if (path / "data").is_dir() else path
