"""What outputs need, against an enumeration of every tap."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cost_models.pipeline.windows import Axis, adaptive, enlarged, in_step, needs, part, transposed, whole, window

pytestmark = pytest.mark.exact


def by_enumeration(sizes: tuple[int, ...], outputs: list[set[tuple[int, ...]]]) -> tuple[list[int], list[int]]:
    """Needs and oldest words from the set of input positions that each output reads."""
    words = int(np.prod(sizes))
    numbers = [{int(np.ravel_multi_index(p, sizes)) for p in taps} for taps in outputs]
    need = [max((n + 1 for taps in numbers[: k + 1] for n in taps), default=0) for k in range(len(numbers))]
    oldest = [min((n for taps in numbers[k:] for n in taps), default=words) for k in range(len(numbers))]
    return need, oldest


@given(
    sizes=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    data=st.data(),
)
def test_sliding_windows(sizes: tuple[int, int], kernel: int, stride: int, dilation: int, data: st.DataObject) -> None:
    padding = data.draw(st.integers(0, kernel // 2))
    outs = tuple((n + 2 * padding - (kernel - 1) * dilation - 1) // stride + 1 for n in sizes)
    if min(outs) < 1:
        return
    offsets = [t * dilation - padding for t in range(kernel)]
    outputs = [
        {
            (y * stride + dy, x * stride + dx)
            for dy, dx in product(offsets, offsets)
            if 0 <= y * stride + dy < sizes[0] and 0 <= x * stride + dx < sizes[1]
        }
        for y, x in product(*(range(out) for out in outs))
    ]
    found = needs(tuple(window(n, out, kernel, stride, padding, dilation) for n, out in zip(sizes, outs, strict=True)))
    assert (found.need.tolist(), found.oldest.tolist()) == by_enumeration(sizes, outputs)


@given(size=st.integers(1, 7), kernel=st.integers(1, 4), stride=st.integers(1, 3), dilation=st.integers(1, 2))
def test_transposed_windows_are_what_scatters_into_an_output(
    size: int, kernel: int, stride: int, dilation: int
) -> None:
    padding = (kernel - 1) // 2
    out = (size - 1) * stride - 2 * padding + (kernel - 1) * dilation + 1
    if out < 1:
        return
    outputs: list[set[tuple[int, ...]]] = [set() for _ in range(out)]
    for position, tap in product(range(size), range(kernel)):
        target = position * stride + tap * dilation - padding
        if 0 <= target < out:
            outputs[target].add((position,))
    found = needs((transposed(size, out, kernel, stride, padding, dilation),))
    assert (found.need.tolist(), found.oldest.tolist()) == by_enumeration((size,), outputs)


@given(size=st.integers(1, 20), out=st.integers(1, 20))
def test_bins_of_adaptive_pools(size: int, out: int) -> None:
    axis = adaptive(size, out)
    for o in range(out):
        assert axis.first[o] == int(np.floor(o * size / out))
        assert axis.last[o] == int(np.ceil((o + 1) * size / out)) - 1


@pytest.mark.parametrize("size, out", [(1, 2), (3, 6), (4, 8), (5, 15), (7, 7), (4, 10)])
def test_upsampling(size: int, out: int) -> None:
    nearest, linear = enlarged(size, out, False), enlarged(size, out, True)
    for o in range(out):
        assert nearest.first[o] == nearest.last[o] == int(np.floor(o * size / out))
        below = int(np.floor((o + 0.5) * size / out - 0.5))
        assert linear.first[o] == max(0, below) and linear.last[o] == min(size - 1, below + 1)


def test_other_rules_by_hand() -> None:
    assert needs((whole(5, 2),)).need.tolist() == [5, 5] and needs((whole(5, 2),)).oldest.tolist() == [0, 0]
    assert needs((in_step(3, 6),)).need.tolist() == [1, 1, 2, 2, 3, 3]
    assert needs((in_step(6, 3),)).need.tolist() == [2, 4, 6]
    second = needs((part(2, 5, 3),))  # words 3 and 4 of a concatenation of five
    assert second.need.tolist() == [0, 0, 0, 1, 2] and second.oldest.tolist() == [0, 0, 0, 0, 1]


def test_span_is_that_of_rows_and_a_window() -> None:
    axis = window(9, 9, 3, 1, 1)
    assert needs((axis, axis)).span == 2 * 9 + 3
    assert needs((Axis(1, (0,), (0,)),)).span == 1
