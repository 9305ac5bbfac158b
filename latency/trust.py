"""How far a latency can be trusted, in words, with the figures of the calibration file."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.latency.calibration import Calibration, load, shared_chip


def trust_statement(names: Sequence[str]) -> str:
    """A paragraph for reports on the devices named; its figures are those of `data/calibration.json`."""
    calibration = load()
    parts = [
        "A roofline over compute, memory and launches, fitted on published measurements; no latency was measured here. "
        "Errors are of networks whose whole family (on the TX2: which themselves) was kept out of the fit.",
        *(_device(name, calibration) for name in dict.fromkeys(names)),
        _elsewhere(calibration),
    ]
    return " ".join(parts)


def _device(name: str, calibration: Calibration) -> str:
    chip = shared_chip(name)
    found = []
    for key, fit in calibration.networks.items():
        if key.startswith(f"{chip}/") and fit.errors is not None:
            score = calibration.scores[key]
            runtime, precision = key.split("/")[1:]
            low, high = (f"{value:,.0f}" for value in fit.range["batch"])
            found.append(
                f"{runtime} {precision} {score['mape_pct']:.0f} % (batch {low if low == high else f'{low} to {high}'}; "
                f"{score['rows']:.0f} measurements of {fit.errors.groups} kinds of network; 90 % intervals held "
                f"{score['coverage_pct']:.0f} %)"
            )
    if not found:
        return f"{name}: nothing was measured on this device."
    return f"{name}: mean error {', '.join(found)}."


def _elsewhere(calibration: Calibration) -> str:
    errors = calibration.transfer
    assert errors is not None, "a calibration without transfer errors"
    figures = [score["mape_pct"] for key, score in calibration.scores.items() if key.startswith("transfer/")]
    return (
        "Every other runtime, precision, batch or kind of network is predicted from the nearest of these, and its "
        f"interval is that of {errors.groups} pairs of device and runtime predicted in this way: mean errors of "
        f"{min(figures):.0f} to {max(figures):.0f} %, intervals held {100 * errors.coverage:.0f} %."
    )
