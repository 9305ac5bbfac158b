"""The cost of a constant matrix whose codes are not known, or too many to search: a fit over random matrices.

Adders are a share of what the digits would need without sharing, LUTs are so many an adder, and so on. The logarithm
of each such ratio is a quadratic form in whether inputs are signed and the logarithms of: digits an output, outputs,
digit places in use, share of weights that are not zero, digits of such a weight, input bits. `fit.py` builds graphs of
random matrices and writes the coefficients to `expected.json`, with the errors on matrices that were left out. Outside
the range of the fit (`range` there; 4 inputs and up) ratios stay as at its edge.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.accumulator import unit
from hwsim.core.codes import decode
from hwsim.core.errors import InputError, UnsupportedError
from hwsim.core.formats import Format, Int, Native, Power
from hwsim.cost_models.adder_graph.digits import LARGEST, STORED_INSTEAD, signed_digits

FILE = Path(__file__).with_name("expected.json")
RATIOS = ("adders", "lut", "inverters", "depth", "ff")


@dataclass(frozen=True, slots=True)
class DigitStatistics:
    """Nonzero digits of weights.

    Attributes
    ----------
    nonzero : share of weights that are not zero.
    digits : nonzero digits of a weight that is not zero.
    places : how many places the digits are spread over: the exponential of the entropy of their places.
    """

    nonzero: float
    digits: float
    places: float


@dataclass(frozen=True, slots=True)
class ExpectedCounts:
    """Mean counts over random matrices; `ff` is 0 without registers."""

    lut: float
    inverters: float
    adders: float
    depth: float
    ff: float


def digit_statistics(matrix: NDArray[np.int64]) -> DigitStatistics:
    """Of actual weights."""
    used = signed_digits(matrix) != 0
    counts = used.reshape(-1, used.shape[-1]).sum(axis=0)
    share = counts[counts > 0] / max(1, counts.sum())
    weights = int(np.count_nonzero(matrix))
    places = float(np.exp(-(share * np.log(share)).sum()))
    return DigitStatistics(weights / max(1, matrix.size), int(counts.sum()) / max(1, weights), places)


@lru_cache(maxsize=1024)
def format_statistics(fmt: Format) -> DigitStatistics:
    """Of weights whose codes are all equally likely."""
    return digit_statistics(all_multiples(fmt))


def all_multiples(fmt: Format) -> NDArray[np.int64]:
    """The value of every finite code of a format in units of its smallest step.

    Raises
    ------
    InputError
        For formats of more than 16 bits.
    UnsupportedError
        For ranges wider than graphs of constants hold.
    """
    if isinstance(fmt, Native) or fmt.bits > 16:
        raise InputError(f"{fmt} has no list of codes", where="adder graph", hint="allowed: formats of up to 16 bits")
    if isinstance(fmt, Int):
        codes = np.arange(fmt.min_code, fmt.max_code + 1)
    elif isinstance(fmt, Power):
        codes = np.arange(-fmt.max_code, fmt.max_code + 1)
    else:
        codes = np.arange(1 << fmt.bits)
    values = decode(codes, fmt) / unit(fmt)
    values = values[np.isfinite(values)]
    if np.abs(values).max() > LARGEST:
        raise UnsupportedError(
            f"{fmt} spans more than {LARGEST.bit_length() - 1} bits, too many for constants in an adder graph",
            hint=f"{STORED_INSTEAD}; or fewer exponent bits",
        )
    return np.rint(values).astype(np.int64)


def expected_counts(
    digits: DigitStatistics, outputs: int, inputs: int, input_bits: float, signed: bool, levels_per_stage: int = 0
) -> ExpectedCounts:
    """Mean counts of graphs of matrices with such digits."""
    terms = digits.nonzero * digits.digits * inputs
    alone = without_sharing(terms, outputs)
    if alone <= 0:
        return ExpectedCounts(0.0, 0.0, 0.0, 0.0, 0.0)
    table = _table()
    raw = logarithms(digits, terms, outputs, input_bits, max(1, levels_per_stage))
    form = quadratic(np.append(np.clip(raw, table["low"], table["high"]), float(signed)))
    ratio = {name: float(np.exp(form @ table[name])) for name in RATIOS}
    adders = alone * min(1.0, ratio["adders"])
    lut = adders * ratio["lut"]
    depth = ratio["depth"] * np.log2(1.0 + terms)
    ff = lut * ratio["ff"] if levels_per_stage else 0.0
    return ExpectedCounts(lut, adders * ratio["inverters"], adders, float(depth), ff)


def without_sharing(terms: float, outputs: int) -> float:
    """Adders of `outputs` sums of `terms` digits on average; a row without digits needs none, nor saves one."""
    return float(outputs * (terms - 1.0 + np.exp(-terms)))


def logarithms(
    digits: DigitStatistics, terms: float, outputs: int, input_bits: float, levels: int
) -> NDArray[np.float64]:
    """What the fit depends on, whether inputs are signed apart; `terms` are the digits of an output."""
    return np.log(
        [max(terms, 1.0), outputs, digits.places, digits.nonzero, digits.digits, max(input_bits, 1.0), levels]
    )


def quadratic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1, the features, and their products two by two, along the last axis."""
    rows, columns = np.triu_indices(x.shape[-1])
    return np.concatenate([np.ones((*x.shape[:-1], 1)), x, x[..., rows] * x[..., columns]], axis=-1)


@cache
def _table() -> dict[str, NDArray[np.float64]]:
    stored: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    edges = {name: np.array(stored["range"][name]) for name in ("low", "high")}
    return edges | {name: np.array(stored["coefficients"][name]) for name in RATIOS}
