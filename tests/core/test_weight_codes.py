"""WeightCodes: integer codes and scales give back the weights, element by element."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hwsim.core.codes import WeightCodes, decode, encode
from hwsim.core.scaled import parse

pytestmark = pytest.mark.exact


def random_codes(text: str, shape: tuple[int, ...], seed: int = 0) -> WeightCodes:
    spec = parse(text)
    rng = np.random.default_rng(seed)
    codes = encode(rng.standard_normal(shape) * spec.format.max / 2, spec.format)
    rows, reduction = shape[0], int(np.prod(shape[1:]))
    ones = (1,) * (len(shape) - 1)
    if isinstance(spec.block, int):
        scale_shape: tuple[int, ...] = (rows, -(-reduction // spec.block))
    else:
        scale_shape = (1, *ones) if spec.block == "tensor" else (rows, *ones)
    scale = 2.0 ** rng.integers(-9, 3, scale_shape)
    zero = rng.integers(0, 5, scale_shape).astype(float) if spec.zero_point else np.zeros(scale_shape)
    return WeightCodes(codes, spec, scale, zero)


@pytest.mark.parametrize("text", ["int4", "uint4+zp", "e2m1", "pow4", "binary", "e4m3~bias=6.3"])
@pytest.mark.parametrize("where", ["@tensor", "@channel", "@group4", "@group7", "@group100"])
@pytest.mark.parametrize("shape", [(3, 10), (4, 2, 3, 3), (2, 5, 1)])
def test_dequantize_element_by_element(text: str, where: str, shape: tuple[int, ...]) -> None:
    weight = random_codes(text + where, shape)
    block = weight.spec.block
    values = decode(weight.codes, weight.spec.format)
    result = weight.dequantize()
    assert result.shape == shape
    for index in product(*map(range, shape)):
        along = int(np.ravel_multi_index(index[1:], shape[1:]))
        if isinstance(block, int):
            at: tuple[int, ...] = (index[0], along // block)
        else:
            at = (0 if block == "tensor" else index[0],) + (0,) * (len(shape) - 1)
        assert result[index] == (values[index] - weight.zero_point[at]) * weight.scale[at]


def test_block_formats() -> None:
    for text in ("mxfp4", "mxint8", "nvfp4"):
        weight = random_codes(text, (2, 3, 5, 5))
        flat = decode(weight.codes, weight.spec.format).reshape(2, 75)
        size = weight.spec.block
        assert isinstance(size, int)
        expected = [[flat[r, i] * weight.scale[r, i // size] for i in range(75)] for r in range(2)]
        assert_array_equal(weight.dequantize().reshape(2, 75), expected)


def test_memory_counts_elements_and_the_scales_of_blocks() -> None:
    assert random_codes("int4@channel", (8, 10)).memory_bits == 320
    assert random_codes("int4@group4:f32", (8, 10)).memory_bits == 320 + 8 * 3 * 32  # the last group is short
    assert random_codes("uint4+zp@group5:pow2", (8, 10)).memory_bits == 320 + 8 * 2 * (8 + 4)
    assert random_codes("nvfp4", (8, 32)).memory_bits == 8 * (32 * 4 + 2 * 8)
