"""The source text of the standard library as bytes: a text that every installation of Python carries."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LENGTH = 128
_MODULES = {
    "train": (
        "abc argparse ast base64 bdb bisect calendar cmd code codecs collections contextlib copy csv dataclasses "
        "datetime decimal difflib dis doctest email enum fractions ftplib functools gettext glob heapq html http "
        "imaplib inspect ipaddress json locale logging mailbox mimetypes numbers operator optparse os pdb pickle "
        "platform plistlib pprint profile pydoc queue random re reprlib sched selectors shelve shlex shutil smtplib"
    ),
    "calib": "statistics string struct subprocess sysconfig tarfile",
    "test": "tempfile textwrap threading timeit tokenize traceback types typing unittest urllib uuid warnings weakref",
}


@cache
def python_text(split: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Non-overlapping windows of source text; y holds the byte that follows each byte of x."""
    windows: dict[bytes, None] = {}
    for name in _MODULES[split].split():
        for path in _sources(name):
            text = path.read_bytes()
            last = len(text) - LENGTH - 1
            windows.update(dict.fromkeys(text[i : i + LENGTH + 1] for i in range(0, last, LENGTH)))
    rows = np.frombuffer(b"".join(windows), np.uint8).reshape(-1, LENGTH + 1).astype(np.int64)
    return rows[:, :-1].copy(), rows[:, 1:].copy()


def _sources(module: str) -> list[Path]:
    found = find_spec(module)
    origin = Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None
    if origin is None:
        return []
    return sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]
