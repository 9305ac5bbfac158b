"""What is written as TOML reads back as it was."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.search.toml_text import to_toml

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
VALUES = NUMBERS | st.lists(NUMBERS | st.lists(NUMBERS, max_size=2), max_size=4)
TABLES = st.recursive(
    st.dictionaries(TEXT, VALUES, max_size=4), lambda t: st.dictionaries(TEXT, VALUES | t, max_size=4), max_leaves=12
)


@pytest.mark.property
@given(TABLES)
def test_tomllib_reads_back_what_was_written(data: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(data)) == data


@pytest.mark.exact
def test_layout() -> None:
    text = to_toml({"top": 1, "model": {"spec": 'a"b\\', "none": None}, "t": {"inner": {"a.b*": "int8,"}}, "empty": {}})
    assert text == 'top = 1\n\n[model]\nspec = "a\\"b\\\\"\n\n[t.inner]\n"a.b*" = "int8,"\n\n[empty]\n'


@pytest.mark.exact
def test_other_values_are_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        to_toml({"x": 1j})
