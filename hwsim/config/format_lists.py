"""Lists of formats as a configuration writes them: `default`, `3..8`, `int4..int6`, `e4m3`, or a list of those."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hwsim.core.assignment import Policy
from hwsim.core.errors import InputError
from hwsim.core.formats import default_grid, int_format

_WIDTHS = re.compile(r"([0-9]{1,2})\.\.([0-9]{1,2})")
_INTEGERS = re.compile(r"int([0-9]{1,2})\.\.int([0-9]{1,2})")
NARROWEST, WIDEST = 2, 16


def expand_formats(words: Iterable[str]) -> tuple[str, ...]:
    """Every format that the words stand for, in order, each once.

    `default` is the default grid of 3 to 8 bits (24 formats); `A..B` its members of these widths; `intA..intB`
    the integers of these widths. Anything else is one format and stays as it is.
    """
    found: dict[str, None] = {}
    for word in words:
        found.update(dict.fromkeys(_expand(word.strip())))
    return tuple(found)


def _expand(word: str) -> list[str]:
    if word == "default":
        return [str(fmt) for fmt in default_grid()]
    if match := _WIDTHS.fullmatch(word):
        return [str(fmt) for fmt in default_grid(_widths(word, match))]
    if match := _INTEGERS.fullmatch(word):
        return [str(int_format(bits)) for bits in _widths(word, match)]
    return [word]


def _widths(word: str, match: re.Match[str]) -> range:
    first, last = int(match[1]), int(match[2])
    if not NARROWEST <= first <= last <= WIDEST:
        raise InputError(f"widths {word!r}", hint=f"allowed: A..B with {NARROWEST} <= A <= B <= {WIDEST}, e.g. 3..8")
    return range(first, last + 1)


def check_pair(policy: Policy, text: str) -> None:
    """Refuse an edge or override value `FMT`, `FMT,FMT`, `FMT,` or `,FMT` whose formats do not parse."""
    weight, comma, act = text.partition(",")
    if not weight and not act:
        raise InputError(f"no format in {text!r}", hint="wanted: FMT or FMT,FMT")
    if weight:
        policy.weight_spec(weight)
    if act or not comma:
        policy.act_spec(act or weight)
