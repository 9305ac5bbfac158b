"""How far a latency can be trusted, in words, with the figures of the shipped fits."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.latency.errors import shared_chip
from hwsim.latency.networks.models import NetworkModels, network_models


def trust_statement(names: Sequence[str]) -> str:
    """A paragraph for reports on the devices named; its figures are those of `data/networks.npz`."""
    models = network_models()
    parts = [
        "Kernels counted by rule and weighed by class, fitted on published measurements and on an H200 of our own; "
        "nothing was measured for this report. Errors are of networks kept out of the fit.",
        *(_device(name, models) for name in dict.fromkeys(names)),
        _by_kernels(models),
        _elsewhere(models),
    ]
    return " ".join(parts)


def _device(name: str, models: NetworkModels) -> str:
    chip = shared_chip(name)
    found = []
    for key, by_classes in models.models.items():
        device, runtime, precision, layout, *_ = key.split("/")
        if device != chip:
            continue
        model = models.sums.get(key, by_classes)
        splits = [
            f"{models.scores[entry]['mape_pct']:.0f} % for unseen {what}"
            for what in ("models", "families")
            if (entry := f"{key}, {model.stack}, {what}") in models.scores
        ]
        low, high = (f"{value:,.0f}" for value in model.ranges["batch"])
        found.append(
            f"{runtime} {precision} {layout} {' and '.join(splits)} (batch "
            f"{low if low == high else f'{low} to {high}'}; "
            f"{model.networks} measurements of {model.families} kinds of network; 90 % intervals held "
            f"{100 * model.coverage:.0f} %)"
        )
    if not found:
        return f"{name}: no network was measured on this device."
    return f"{name}: mean error {', '.join(found)}."


def _by_kernels(models: NetworkModels) -> str:
    figures = [score["mape_pct"] for key, score in models.scores.items() if key.startswith("kernel sums/")]
    model = models.sums["fp32"]
    return (
        "On other cards an eager network is the sum of its kernels, each by what single kernels took on a few GPUs "
        f"(the networks of {model.families} devices and precisions left out one by one: mean errors "
        f"{min(figures):.0f} to {max(figures):.0f} %, intervals held {100 * model.coverage:.0f} %)."
    )


def _elsewhere(models: NetworkModels) -> str:
    parts = []
    for size, words in (("server", "cards"), ("small", "Jetsons")):
        figures = [score["mape_pct"] for key, score in models.scores.items() if key.startswith(f"transfer/{size}/")]
        errors = models.transfer[size]
        parts.append(
            f"{errors.groups} {words} and runtimes, mean errors {min(figures):.0f} to {max(figures):.0f} %, intervals "
            f"held {100 * errors.coverage:.0f} %"
        )
    return (
        "Jetsons, other runtimes and precisions are predicted from the nearest of these, with the interval of "
        f"devices and runtimes predicted in this way from another one ({'; '.join(parts)})."
    )
