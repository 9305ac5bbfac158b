"""Exploration: every combination of formats, recipes and targets that a configuration asks for, kept in a store."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Failure": "codec",
    "Interrupted": "run",
    "Progress": "run",
    "RunRecord": "record",
    "Score": "codec",
    "Subject": "subject",
    "explore": "run",
    "load_run": "record",
    "load_subject": "subject",
    "make_plan": "plan",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"hwsim.search.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hwsim.search' has no attribute {name!r}")
