"""Hypothesis strategies: integer matrices and ranges of inputs."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]
Ranges = list[tuple[int, int]]


@st.composite
def matrices(draw: Any, most: int = 7, largest: int = 300) -> Matrix:
    """Outputs x inputs, with zeros, repeated, opposite and shifted rows among them."""
    columns = draw(st.integers(1, most))
    weight = st.one_of(st.just(0), st.integers(-largest, largest), st.sampled_from([1, -1, 2, -4, 64]))
    rows = [draw(st.lists(weight, min_size=columns, max_size=columns)) for _ in range(draw(st.integers(1, most)))]
    for _ in range(draw(st.integers(0, 2))):
        factor = draw(st.sampled_from([1, -1, 4, -2, 0]))
        rows.append([factor * w for w in draw(st.sampled_from(rows))])
    return np.array(rows, dtype=np.int64)


@st.composite
def ranges(draw: Any, count: int) -> Ranges:
    """Signed, unsigned, one-sided, single-valued and zero inputs."""
    one = st.tuples(st.integers(-140, 140), st.integers(0, 260)).map(lambda t: (t[0], t[0] + t[1]))
    usual = st.sampled_from([(-8, 7), (0, 15), (-127, 127), (0, 1), (0, 0), (-1, 0)])
    return draw(st.lists(st.one_of(usual, one), min_size=count, max_size=count))  # type: ignore[no-any-return]


def vectors(given: Ranges, count: int, seed: int = 0) -> Matrix:
    """Inputs within ranges, shape (count, inputs): all low, all high, then random ones."""
    rng = np.random.default_rng(seed)
    low, high = np.array(given, dtype=np.int64).T
    drawn = rng.integers(low, high + 1, (count - 2, len(given)))
    return np.vstack([low, high, drawn])
