"""The exponent search of PowerQuant against an independent table of signal-to-noise ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from hwsim.core.errors import InputError
from hwsim.core.scaled import parse
from hwsim.quant.calibrate.power_exponent import power_error, power_exponent
from hwsim.quant.kernels import fake_quantize
from hwsim.quant.observers import MinMax, weight_scale

# bits: best exponent on a grid of 0.05 (dB there), dB at 1, dB at 0.5; measured apart from this code on one sample each
TABLE = {
    "normal": {3: (0.65, 9.37, 7.61, 8.80), 4: (0.65, 16.65, 15.00, 16.27), 8: (0.60, 41.83, 40.14, 41.47)},
    "laplace": {3: (0.50, 6.71, 3.93, 6.71), 4: (0.50, 14.19, 10.03, 14.19), 8: (0.45, 39.33, 34.90, 39.33)},
}


def quantiles(name: str, n: int = 1 << 16) -> torch.Tensor:
    """Values at equal steps of probability, unit power, with the largest that the table's 8 bits at exponent 1 imply.

    Of equally spaced values the noise is step^2 / 12, so its largest magnitude is 127 sqrt(12) 10^(-dB / 20).
    """
    values = getattr(stats, {"normal": "norm"}.get(name, name)).ppf((np.arange(n) + 0.5) / n)
    values /= math.sqrt(np.mean(values**2))
    top = 127 * math.sqrt(12) * 10 ** (-TABLE[name][8][2] / 20)
    values[0], values[-1] = -top, top
    return torch.from_numpy(values)[None]


def sqnr_db(x: torch.Tensor, bits: int, exponent: float) -> float:
    spec = parse(f"pow{bits}~exp={exponent}")
    y = fake_quantize(x, spec, weight_scale(x, spec, MinMax())[0])
    return float(10 * torch.log10(x.square().sum() / (x - y).square().sum()))


@pytest.mark.truth
@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("name", ["normal", "laplace"])
def test_table_of_ratios(name: str, bits: int) -> None:
    """Tolerance: 0.1 dB, the sampling error of 65,536 values; a grid step for the exponent, whose optimum is flat."""
    x = quantiles(name)
    exponent, best, linear, root = TABLE[name][bits]
    assert sqnr_db(x, bits, exponent) == pytest.approx(best, abs=0.1)
    assert sqnr_db(x, bits, 1.0) == pytest.approx(linear, abs=0.1)
    assert sqnr_db(x, bits, 0.5) == pytest.approx(root, abs=0.1)
    found = power_exponent([x], bits, "tensor")
    assert found == pytest.approx(exponent, abs=0.06)
    assert sqnr_db(x, bits, found) >= max(sqnr_db(x, bits, k / 20) for k in range(4, 31)) - 1e-3


@pytest.mark.truth
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_uniform_values_want_equal_steps(bits: int) -> None:
    x = torch.linspace(-1, 1, 1 << 15, dtype=torch.float64)[None]
    assert power_exponent([x], bits, "tensor") == pytest.approx(1.0, abs=0.02)


@pytest.mark.property
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_one_exponent_for_all_layers_is_the_best_of_a_scan(granularity: str, p: float) -> None:
    rng = np.random.default_rng(0)
    weights = [torch.from_numpy(rng.laplace(size=(8, 4, 3, 3))), torch.from_numpy(rng.normal(size=(6, 200)) * 3)]
    found = power_exponent(weights, 4, granularity, p)  # type: ignore[arg-type]
    errors = [power_error(weights, 4, a, granularity, p) for a in np.linspace(0.2, 1.5, 131)]  # type: ignore[arg-type]
    assert 0.2 <= found <= 1.5
    assert power_error(weights, 4, found, granularity, p) <= min(errors) * 1.01  # type: ignore[arg-type]


@pytest.mark.property
def test_the_gain_shrinks_with_searched_scales() -> None:
    """Where scales are searched, a larger step inside the range is bought by clipping instead."""
    w = [torch.from_numpy(np.random.default_rng(0).laplace(size=(4, 500)))]
    gains = []
    for rule in ("absmax", "mse"):
        a = power_exponent(w, 4, "channel", 2.0, rule)  # type: ignore[arg-type]
        gains.append(power_error(w, 4, 1.0, "channel", 2.0, rule) / power_error(w, 4, a, "channel", 2.0, rule))  # type: ignore[arg-type]
    assert gains[0] > gains[1] >= 1.0


def test_no_weights_are_refused() -> None:
    with pytest.raises(InputError, match="no weights"):
        power_exponent([], 4)
