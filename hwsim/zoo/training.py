"""Training of the built-in networks on first use.

Seeded and on one thread, so that the weights of a machine do not depend on its load or its thread settings.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwsim.core.errors import InputError
from hwsim.zoo import data
from hwsim.zoo.networks import NETWORKS, network
from hwsim.zoo.weights import cached_file, load_weights, save_weights

Progress = Callable[[int, int, str], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """SGD with Nesterov momentum under a one-cycle learning rate.

    Attributes
    ----------
    epochs, batch : passes over the training split, rows a step.
    learning_rate : the peak.
    weight_decay, label_smoothing, momentum : as in torch.
    shift : images move by up to this many pixels each way, at random.
    """

    epochs: int
    batch: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 2e-3
    label_smoothing: float = 0.05
    momentum: float = 0.9
    shift: int = 1


CONFIGS: dict[str, TrainConfig] = {
    "digits_resnet": TrainConfig(epochs=60),
    "mlp": TrainConfig(epochs=200, weight_decay=5e-4),
}


def trained(name: str, progress: Progress | None = None) -> nn.Module:
    """The built-in network with its trained weights, in eval mode.

    The first use trains (seconds) and keeps the weights under `HWSIM_CACHE` (else the user's cache folder), keyed
    by the code of the zoo and the version of torch; a damaged file is trained anew.

    Parameters
    ----------
    progress : called with (epochs done, epochs in all, message); by default a line on stderr.

    Raises
    ------
    InputError
        No such network, or one without data to train on.
    """
    entry = network(name)
    if not entry.trained:
        names = ", ".join(e.name for e in NETWORKS.values() if e.trained)
        raise InputError(f"{name!r} has no trained weights", where=f"zoo:{name}", hint=f"networks with them: {names}")
    model = entry.factory(seed=0)
    path = cached_file(name)
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


def train(model: nn.Module, name: str, seed: int, progress: Progress | None = None) -> None:
    """Train a fresh built-in network in place on the training split of its data, on one thread."""
    entry, config = network(name), CONFIGS[name]
    x, y = (torch.from_numpy(a) for a in data.load(str(entry.data), "train"))
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        model.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay, nesterov=True
    )
    steps = config.epochs * (len(x) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            for epoch in range(config.epochs):
                model.train()
                moved = shifted(x, config.shift, draw)
                for rows in torch.randperm(len(x), generator=draw).split(config.batch):
                    if len(rows) < config.batch:
                        continue
                    loss = F.cross_entropy(model(moved[rows]), y[rows], label_smoothing=config.label_smoothing)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                if progress:
                    progress(epoch + 1, config.epochs, f"training zoo:{name}")
    finally:
        torch.set_num_threads(threads)
    model.eval()


def shifted(x: Tensor, reach: int, draw: torch.Generator) -> Tensor:
    """Each image of x (N, C, H, W) moved by up to `reach` pixels on each axis, zeros shifted in."""
    if reach == 0:
        return x
    n, _, height, width = x.shape
    offsets = torch.randint(0, 2 * reach + 1, (2, n, 1), generator=draw)
    padded = F.pad(x, (reach,) * 4)
    rows = (offsets[0] + torch.arange(height))[:, None, :, None]
    columns = (offsets[1] + torch.arange(width))[:, None, None, :]
    return padded[torch.arange(n)[:, None, None, None], torch.arange(x.shape[1])[:, None, None], rows, columns]


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of rows whose largest logit is the label's."""
    with torch.no_grad():
        return float((model(x).argmax(dim=1) == y).double().mean())


def print_progress(done: int, total: int, message: str) -> None:
    """One line on stderr: rewritten in place on a terminal, else written at the start and at the end."""
    live = sys.stderr.isatty()
    if live or done in (1, total):
        end = "\r" if live and done < total else "\n"
        print(f"{message}: {done}/{total} epochs", end=end, file=sys.stderr, flush=True)
