"""Weights of the built-in networks: trained on first use with a fixed seed, then kept in the cache folder."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from hwsim.core.errors import InputError
from hwsim.zoo import data
from hwsim.zoo.detector_training import DetectorConfig, train_detector
from hwsim.zoo.networks import NETWORKS, network
from hwsim.zoo.sgd import Progress, TrainConfig, train_classifier
from hwsim.zoo.weights import cached_file, load_weights, recipe_key, save_weights

_log = logging.getLogger(__name__)

CONFIGS: dict[str, TrainConfig | DetectorConfig] = {
    "digits_resnet": TrainConfig(epochs=60),
    "mlp": TrainConfig(epochs=200, weight_decay=5e-4),
    "fashion_resnet": TrainConfig(7, 128, 0.2, 5e-4, 0.0, flip=True, channels_last=True),
    "fashion_mobilenet": TrainConfig(8, 128, 0.2, 1e-4, 0.0, flip=True, channels_last=True),
    "fashion_repvgg_train": TrainConfig(
        3, 128, 0.3, 5e-4, 0.0, flip=True, vector_decay=3e-3, undecayed="bn0", channels_last=True
    ),
    "fashion_vit": TrainConfig(8, 128, 2e-3, 0.05, 0.0, shift=0, flip=True, vector_decay=0.0, adam=True),
    "bccd_detector": DetectorConfig(40),
}


def trained(name: str, progress: Progress | None = None) -> nn.Module:
    """The built-in network with its trained weights, in eval mode.

    The first use trains (seconds for digits, minutes for larger images) and keeps the weights under `HWSIM_CACHE`
    (else the user's cache folder), keyed by what decides them: the network, its code, its training and the version of
    torch; a damaged file is trained anew.

    Parameters
    ----------
    progress : called with (epochs done, epochs in all, message); by default a line on stderr.

    Raises
    ------
    InputError
        No such network, one without data to train on, or its data are not in the folder that `HWSIM_DATA` names.
    """
    entry = network(name)
    if not entry.trained:
        names = ", ".join(e.name for e in NETWORKS.values() if e.trained)
        raise InputError(f"{name!r} has no trained weights", where=f"zoo:{name}", hint=f"networks with them: {names}")
    if entry.source and entry.convert:
        return entry.convert(trained(entry.source, progress)).eval()
    model = entry.factory(seed=0)
    path = weights_file(name)
    state = load_weights(path, model)
    if state is None:
        train(model, name, seed=0, progress=progress or print_progress)
        try:
            save_weights(path, model)
        except OSError as error:
            _log.warning("%s: weights not kept (%s); set HWSIM_CACHE to a writable folder", path, error.strerror)
    else:
        model.load_state_dict(state)
    return model.eval()


def weights_file(name: str) -> Path:
    """Where the weights of a built-in network lie; the name changes with all that decides them."""
    entry = network(name)
    config = CONFIGS[name]
    detector = isinstance(config, DetectorConfig)
    trainer = ("detector_training.py", "detection_head.py") if detector else ("sgd.py",)
    decisions = (config, entry.data, data.dataset(str(entry.data)).version)
    return cached_file(name, recipe_key(entry.factory(seed=0), decisions, trainer))


def train(model: nn.Module, name: str, seed: int, progress: Progress | None = None) -> None:
    """Train a fresh built-in network in place on the training split of its data, on one thread."""
    entry, config = network(name), CONFIGS[name]
    x, y = data.load(str(entry.data), "train")

    def report(done: int) -> None:
        if progress:
            progress(done, config.epochs, f"training zoo:{name}")

    if isinstance(config, DetectorConfig):
        if entry.head is None:
            raise InputError(f"{name!r} has no head to read", where=f"zoo:{name}", hint="a detector needs one")
        train_detector(model, torch.from_numpy(x), y, entry.head, config, seed, report)
    else:
        train_classifier(model, torch.from_numpy(x), torch.from_numpy(y), config, seed, report)


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of rows whose largest logit is the label's."""
    with torch.no_grad():
        decisions = torch.cat([model(part).argmax(dim=1) for part in x.split(1000)])
        return float((decisions == y).double().mean())


def print_progress(done: int, total: int, message: str) -> None:
    """One line on stderr: rewritten in place on a terminal, else written at the start and at the end."""
    live = sys.stderr.isatty()
    if live or done in (1, total):
        end = "\r" if live and done < total else "\n"
        print(f"{message}: {done}/{total} epochs", end=end, file=sys.stderr, flush=True)
