"""C simulation: compile a project with g++ and run it in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import MissingToolError, VerificationError
from hwsim.hls.sources import copy_weights

# -fno-gnu-unique: line buffers are static variables of templates, which libraries would share by name otherwise
_FLAGS = "-O1 -std=c++14 -fPIC -shared -w -fno-gnu-unique".split()

_WORKER = Path(__file__).parent / "csim_worker.py"


def compiler() -> str:
    """Path of g++.

    Raises
    ------
    MissingToolError
        When there is none.
    """
    path = shutil.which("g++")
    if path is None:
        raise MissingToolError(
            "g++ is not on the PATH", where="C simulation", hint="install it, e.g. apt-get install g++, and try again"
        )
    return path


def compiler_version() -> str:
    text = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=False).stdout
    return text.splitlines()[0] if text else compiler()


def compile_library(folder: Path, top: str, build: Path) -> Path:
    """Compile the sources of a project into a library in `build`; the project's folder stays as it is.

    Raises
    ------
    MissingToolError
        Without g++.
    VerificationError
        When the sources do not compile, or the weights of simulation and synthesis differ.
    """
    tool = compiler()
    weights = build / "weights"
    copy_weights(folder, weights)
    library = build / f"{top}.so"
    sources = [f"firmware/{top}.cpp", f"{top}_bridge.cpp"]
    command = [tool, *_FLAGS, f'-DWEIGHTS_DIR="{weights}"', "-Ifirmware/ap_types", *sources, "-o", str(library)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-300:])
        raise VerificationError(f"the sources do not compile: {first}", where=str(folder), hint="see build_lib.sh")
    return library


def simulate(library: Path, top: str, x: NDArray[np.float64], outputs: int) -> NDArray[np.float64]:
    """Run rows through the top function.

    Parameters
    ----------
    x : (rows, elements), in the hardware's order.

    Returns
    -------
    (rows, outputs), exact.
    """
    return _run(library, top, x, {}, outputs)[0]


def simulate_traced(
    library: Path, top: str, x: NDArray[np.float64], outputs: int, sizes: dict[str, int]
) -> dict[str, NDArray[np.float64]]:
    """Results of the traced stages for one row; `sizes` holds their number of elements."""
    return _run(library, top, x, sizes, outputs)[1]


def _run(
    library: Path, top: str, x: NDArray[np.float64], sizes: dict[str, int], outputs: int
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """An assertion of the C code ends the worker, not this process."""
    job = {"library": str(library), "top": top, "outputs": outputs, "trace": sizes}
    given, made = library.with_suffix(".in.npy"), library.with_suffix(".out.npz")
    np.save(given, np.ascontiguousarray(x, dtype=np.float64))
    command = [sys.executable, "-P", str(_WORKER), json.dumps(job), str(given), str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not made.exists():
        said = (done.stderr or done.stdout).strip().splitlines()
        raise VerificationError(
            f"C simulation stopped (exit {done.returncode}): {said[-1] if said else 'no message'}",
            where=top,
            hint="the project cannot be trusted; please report the network",
        )
    with np.load(made) as results:
        return results["outputs"], {name: results[name] for name in sizes}
