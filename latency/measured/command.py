"""A fit or a score as a command with one argument, the data folder: `python -m hwsim.latency... FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from hwsim.core.errors import HwsimError, InputError
from hwsim.latency.measured.tables import data_folder


def run(name: str, work: Callable[[Path], None]) -> None:
    """Do the work on the folder that the command line names, and leave with an exit code; errors go to stderr."""
    try:
        if len(sys.argv) != 2:
            raise InputError("one argument is wanted", where=name, hint="the data folder")
        work(data_folder(Path(sys.argv[1])))
    except HwsimError as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(failure.exit_code)
