"""Canonical signed digits of integer matrices.

A digit is -1, 0 or 1 and no two neighbours are both nonzero, which makes the form unique and its nonzero digits as few
as any signed-digit form has (Avizienis 1961; Reitwiesner 1960).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.accumulator import unit
from hwsim.core.codes import WeightCodes, decode
from hwsim.core.errors import InputError
from hwsim.core.formats import Format, Minifloat

LARGEST = 1 << 60
STORED_INSTEAD = "a reuse of 2 and more stores weights in memory: --reuse 2"


def nonzero_digits(values: ArrayLike) -> NDArray[np.int64]:
    """How many digits of each integer are not zero; 0 for 0, 1 for powers of two."""
    v = np.abs(checked(values))
    count: NDArray[np.int64] = np.bitwise_count(v ^ (3 * v)).astype(np.int64)
    return count


def signed_digits(values: ArrayLike) -> NDArray[np.int8]:
    """Digits of each integer, shape `values.shape + (places,)`, the lowest place first."""
    v = checked(values)
    absolute = np.abs(v)
    triple = 3 * absolute
    changed = (absolute ^ triple) >> 1  # places with a nonzero digit
    positive = changed & (triple >> 1)
    places = np.arange(max(1, int(changed.max(initial=0)).bit_length()))
    nonzero = (changed[..., None] >> places) & 1
    plus = (positive[..., None] >> places) & 1
    digits: NDArray[np.int8] = (np.sign(v)[..., None] * (2 * plus - nonzero)).astype(np.int8)
    return digits


def from_digits(digits: NDArray[np.int8]) -> NDArray[np.int64]:
    """The integers that digits stand for."""
    powers = np.int64(1) << np.arange(digits.shape[-1], dtype=np.int64)
    return np.asarray(digits.astype(np.int64) @ powers, dtype=np.int64)


def multiples(codes: ArrayLike, fmt: Format) -> NDArray[np.int64]:
    """Values of codes in units of the smallest step of their format."""
    if isinstance(fmt, Minifloat):  # multiples do not depend on the bias; the usual one keeps them exact
        fmt = replace(fmt, bias=float(fmt.usual_bias))
    return np.rint(decode(codes, fmt) / unit(fmt)).astype(np.int64)


def multiples_of_weight(weight: WeightCodes) -> NDArray[np.int64]:
    """A quantized weight as integers, in the shape of its codes; a zero point is subtracted."""
    found = multiples(weight.codes, weight.spec.format)
    if not weight.spec.zero_point:
        return found
    if isinstance(weight.spec.block, int):
        rows, size = found.shape[0], weight.spec.block
        flat = found.reshape(rows, -1)
        each = np.repeat(np.arange(weight.scale.shape[1]), size)[: flat.shape[1]]
        return (flat - np.rint(weight.zero_point[:, each]).astype(np.int64)).reshape(found.shape)
    return np.asarray(found - np.rint(weight.zero_point).astype(np.int64), dtype=np.int64)


def checked(values: ArrayLike) -> NDArray[np.int64]:
    """Integers within 2^60, as int64.

    Raises
    ------
    InputError
        For values that are not integers, or larger.
    """
    v = np.asarray(values)
    if v.dtype.kind not in "iu" and not (v.dtype.kind in "fO" and all(int(x) == x for x in v.ravel())):
        raise InputError("constants are to be integers", where="adder graph", hint="divide by the smallest step first")
    if v.size and max(abs(int(v.max())), abs(int(v.min()))) > LARGEST:
        raise InputError(f"a constant above 2^{LARGEST.bit_length() - 1}", where="adder graph", hint=STORED_INSTEAD)
    return v.astype(np.int64)
