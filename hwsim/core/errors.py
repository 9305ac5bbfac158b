"""Errors that name what failed, where, what is allowed and the next step. Each class is one exit code."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class HwsimError(Exception):
    """Any failure that hwsim foresees.

    Parameters
    ----------
    message : what failed, in one sentence.
    where : the file, key or layer it failed at.
    hint : what is allowed, or the next step.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}\n  {self.hint}" if self.hint else head

    def as_dict(self) -> dict[str, str]:
        """The `error` object of `--json`."""
        return {"code": self.code, "message": self.message, "where": self.where, "hint": self.hint}


class InputError(HwsimError):
    """Usage, configuration or input: exit 2."""

    exit_code = 2
    code = "input"


class UnsupportedError(HwsimError):
    """A model or operator that hwsim cannot handle: exit 3."""

    exit_code = 3
    code = "unsupported"


class InfeasibleError(HwsimError):
    """No design meets the budget; the hint names the nearest feasible one: exit 4."""

    exit_code = 4
    code = "infeasible"


class MissingToolError(HwsimError):
    """An optional tool or package is not there; the hint says how to get it: exit 5."""

    exit_code = 5
    code = "missing_tool"


class VerificationError(HwsimError):
    """An exported design does not compute what was evaluated: exit 6."""

    exit_code = 6
    code = "verification"


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint: the nearest allowed word, and the allowed words when they are few."""
    words = sorted(allowed)
    close = get_close_matches(word, words, n=1, cutoff=0.5)
    start = f"did you mean {close[0]!r}? " if close else ""
    shown = ", ".join(words[:24]) + (f", ... ({len(words)} in all)" if len(words) > 24 else "")
    return f"{start}allowed: {shown}"
