"""Writing TOML: what `tomllib` leaves out, for the values that a configuration holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(data: Mapping[str, Any]) -> str:
    """TOML text of nested mappings of strings, numbers, booleans and lists; `tomllib` reads equal values back.

    Entries that are None are left out, since TOML has no null.
    """
    return "\n\n".join(_table(data, ())) + "\n"


def _table(data: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """The table's own block, then one for each table inside it."""
    plain = [f"{_key(k)} = {_value(v)}" for k, v in data.items() if v is not None and not isinstance(v, Mapping)]
    tables = {k: v for k, v in data.items() if isinstance(v, Mapping)}
    head = ["[" + ".".join(_key(k) for k in path) + "]"] if path and (plain or not tables) else []
    blocks = ["\n".join(head + plain)] if head or plain else []
    for key, inner in tables.items():
        blocks += _table(inner, (*path, key))
    return blocks


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):  # JSON escapes all that TOML wants escaped but DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"a {type(value).__name__} in a configuration")
