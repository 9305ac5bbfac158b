"""What the command line prints: results to stdout, progress and errors to stderr, JSON when asked."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from hwsim.core.errors import HwsimError

_stdout: TextIO | None = None


@contextmanager
def keep_stdout_clean() -> Iterator[None]:
    """Send what a user's model or a library prints to stderr: stdout carries one JSON document."""
    global _stdout
    _stdout = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _stdout = None


def _out() -> TextIO:
    return _stdout or sys.stdout


def emit(document: dict[str, Any], as_json: bool, text: Callable[[], Iterable[str]]) -> None:
    """Print one JSON document, or lines of text."""
    if as_json:
        _out().write(json.dumps(_finite(document), indent=1, default=str) + "\n")
    else:
        _out().write("\n".join(text()) + "\n")
    _out().flush()


def emit_error(error: HwsimError, as_json: bool) -> None:
    """Say what failed: to stdout as the `error` object under --json, in words to stderr otherwise."""
    if as_json:
        sys.stdout.write(json.dumps({"error": error.as_dict()}, indent=1) + "\n")
    else:
        sys.stderr.write(f"hwsim: error: {error}\n")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> list[str]:
    """Aligned columns; `right` lists the columns to align right."""
    body = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(h), *(len(r[i]) for r in body)]) for i, h in enumerate(headers)]
    lines = []
    for row in [list(headers), *body]:
        cells = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "  ".join("-" * w for w in widths), *lines[1:]]


class ProgressLine:
    """A line on stderr that counts; silent unless stderr is a terminal."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        share = int(100 * done / total) if total else 100
        if self._shown and share != self._last:
            bar = "#" * (share // 4)
            sys.stderr.write(f"\r{self._title} [{bar:<25}] {done}/{total}")
            sys.stderr.flush()
            self._last = share
            if done >= total:
                sys.stderr.write("\n")


class ProgressLines:
    """Progress of several things one after the other, each on a line of its own."""

    def __init__(self) -> None:
        self._lines: dict[str, ProgressLine] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        stage = what.partition(" ")[0]
        if stage not in self._lines:
            self._lines[stage] = ProgressLine(stage)
        self._lines[stage](done, total)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
