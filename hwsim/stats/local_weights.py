"""A small network from features to the logits of weights: trained by torch, evaluated by numpy alone.

Hidden layers are ELU (Clevert, Unterthiner and Hochreiter, arXiv 1511.07289); the last layer starts at zero with the
logits of global weights as its bias, so that training starts from the global optimum and the early stop, on rows that
training never sees, may keep exactly that. Protocol (Adam with amsgrad, batches that grow with the logarithm of the
rows, an evaluation every ten steps): Fakoor et al., JMLR 2023, arXiv 2103.00083.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError
from hwsim.stats.aggregation_weights import AggregationLoss, explored, mix, softmax
from hwsim.stats.monotone_quantiles import Monotonise, monotone
from hwsim.stats.quantile_metrics import Floats, pinball_loss

if TYPE_CHECKING:
    from torch import Tensor

Layer = tuple[Floats, Floats]
_CHUNK = 8192  # rows evaluated at once: fine weights of 4 models and 9 levels take 21 MB
_CLIP = 8.0  # standardised features beyond it are pulled in: a net knows nothing there


@dataclass(frozen=True, slots=True)
class Training:
    """How local weights are trained.

    Parameters
    ----------
    hidden : widths of the hidden layers.
    steps, patience : most steps, and steps without a better validation loss before the end.
    learning_rate, weight_decay, dropout : of Adam and the hidden layers.
    validation : share of the rows, in whole groups, kept for the early stop.
    refit : after the early stop, train once more on all rows for as many steps.
    """

    hidden: tuple[int, ...] = (64, 64)
    steps: int = 3000
    patience: int = 500
    learning_rate: float = 1e-3
    weight_decay: float = 1e-7
    dropout: float = 0.05
    validation: float = 0.2
    refit: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.validation < 1 or not 0 <= self.dropout < 1:
            raise InputError(
                f"validation {self.validation}, dropout {self.dropout}",
                where="training",
                hint="allowed: shares below 1",
            )
        if min(self.steps, self.patience, *self.hidden) < 1 or self.learning_rate <= 0 or self.weight_decay < 0:
            raise InputError("steps, patience, widths and rates have to be positive", where="training")


@dataclass(frozen=True, slots=True)
class WeightNet:
    """Arrays of the network: features are centred, scaled and clipped, then pass `layers`, ELU between them."""

    centre: Floats
    spread: Floats
    layers: tuple[Layer, ...]

    def logits(self, x: Floats) -> Floats:
        """(rows, outputs)."""
        h = self.standardised(x)
        for k, (matrix, bias) in enumerate(self.layers):
            h = h @ matrix + bias
            if k < len(self.layers) - 1:
                h = np.where(h > 0, h, np.expm1(np.minimum(h, 0)))
        return h

    def standardised(self, x: Floats) -> Floats:
        return np.clip((x - self.centre) / self.spread, -_CLIP, _CLIP)

    def chunks(self, x: Floats, shape: tuple[int, ...]) -> Iterator[tuple[slice, Floats]]:
        """Rows and their weights (rows, *shape), some thousand rows at a time."""
        for start in range(0, len(x), _CHUNK):
            rows = slice(start, start + _CHUNK)
            yield rows, softmax(self.logits(x[rows]).reshape(-1, *shape))

    def as_dict(self) -> dict[str, Any]:
        layers = [[matrix.tolist(), bias.tolist()] for matrix, bias in self.layers]
        return {"centre": self.centre.tolist(), "spread": self.spread.tolist(), "layers": layers}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WeightNet:
        layers = tuple((np.array(m, dtype=np.float64), np.array(b, dtype=np.float64)) for m, b in data["layers"])
        return cls(np.array(data["centre"], dtype=np.float64), np.array(data["spread"], dtype=np.float64), layers)


def fit_local(
    loss: AggregationLoss,
    x: Floats,
    start: Floats,
    training: Training,
    held_out: tuple[Floats, Floats, Floats],
    monotonise: Monotonise | None,
    seed: int,
) -> tuple[WeightNet, int]:
    """The network with the least validation loss on the path of training, and the step it was met at, 0 at the start.

    Parameters
    ----------
    x : features of the rows of `loss`.
    start : logits of global weights.
    held_out : base, truth and features of the rows of the early stop.
    monotonise : applied before the validation loss, as it will be at prediction.
    """
    best, at = constant_net(x, start), 0
    least = _validation(best, loss, start.shape, held_out, monotonise)
    for step, net in path(loss, x, start, training, training.steps, seed):
        now = _validation(net, loss, start.shape, held_out, monotonise)
        if now < least:
            best, at, least = net, step, now
        if step - at >= training.patience:
            break
    return best, at


def refitted(loss: AggregationLoss, x: Floats, start: Floats, training: Training, steps: int, seed: int) -> WeightNet:
    """The network after as many steps as the early stop chose, on the rows of `loss`."""
    last = constant_net(x, start)
    for _, net in path(loss, x, start, training, steps, seed):
        last = net
    return last


def constant_net(x: Floats, start: Floats) -> WeightNet:
    """Gives `start` everywhere."""
    spread = x.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return WeightNet(x.mean(axis=0), spread, ((np.zeros((x.shape[1], start.size)), start.ravel().copy()),))


def path(
    loss: AggregationLoss, x: Floats, start: Floats, training: Training, steps: int, seed: int
) -> Iterator[tuple[int, WeightNet]]:
    """(step, network) every ten steps of Adam on the loss of batches of rows."""
    import torch

    rng = np.random.default_rng(seed)
    scales = constant_net(x, start)
    layers = _initial(x.shape[1], training.hidden, explored(start), rng)
    parameters = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for layer in layers for a in layer]
    optimiser = torch.optim.Adam(
        parameters, lr=training.learning_rate, weight_decay=training.weight_decay, amsgrad=True
    )
    features = scales.standardised(x)
    for step, rows in enumerate(_batches(len(x), steps, rng), start=1):
        masks = [rng.random((len(rows), h)) >= training.dropout for h in training.hidden]
        optimiser.zero_grad()
        value = _torch_loss(parameters, loss, features[rows], rows, start.shape, masks, training.dropout)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % 10 == 0:
            arrays = [p.detach().numpy().copy() for p in parameters]
            yield step, WeightNet(scales.centre, scales.spread, tuple(zip(arrays[::2], arrays[1::2], strict=True)))


def _validation(
    net: WeightNet,
    loss: AggregationLoss,
    shape: tuple[int, ...],
    held_out: tuple[Floats, Floats, Floats],
    monotonise: Monotonise | None,
) -> float:
    base, truth, x = held_out
    quantiles = mix(softmax(net.logits(x).reshape(-1, *shape)), base, loss.resolution)
    return pinball_loss(truth, monotone(quantiles, monotonise), loss.levels)


def _initial(inputs: int, hidden: Sequence[int], start: Floats, rng: np.random.Generator) -> list[Layer]:
    layers, width = [], inputs
    for h in hidden:
        layers.append((rng.standard_normal((width, h)) / np.sqrt(width), np.zeros(h)))
        width = h
    return [*layers, (np.zeros((width, start.size)), start.ravel().copy())]


def _batches(rows: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Batches of 2^(3 + floor(log10 rows)) rows, pass after pass in new orders, `steps` in all."""
    size = min(rows, 2 ** (3 + floor(log10(max(rows, 1)))))
    made = 0
    while made < steps:
        order = rng.permutation(rows)
        for k in range(0, rows - size + 1, size):
            yield order[k : k + size]
            made += 1
            if made == steps:
                return


def _torch_loss(
    parameters: list[Tensor],
    loss: AggregationLoss,
    features: Floats,
    rows: NDArray[np.intp],
    shape: tuple[int, ...],
    masks: list[NDArray[np.bool_]],
    dropout: float,
) -> Tensor:
    """What `AggregationLoss.of_quantiles` computes without smoothing, of the network's weights on `rows`."""
    import torch

    h = torch.from_numpy(features)
    for k, mask in enumerate(masks):
        h = torch.nn.functional.elu(h @ parameters[2 * k] + parameters[2 * k + 1])
        h = h * torch.from_numpy(mask) / (1 - dropout)
    weights = torch.softmax((h @ parameters[-2] + parameters[-1]).reshape(-1, *shape), dim=-1)
    base, tau = torch.from_numpy(loss.base[rows]), torch.from_numpy(loss.levels)
    if loss.resolution == "coarse":
        quantiles = (weights[:, :, None] * base).sum(dim=1)
    elif loss.resolution == "medium":
        quantiles = (weights * base.transpose(1, 2)).sum(dim=2)
    else:
        quantiles = (weights @ base.flatten(1)[:, :, None])[..., 0]
    u = torch.from_numpy(loss.truth[rows])[:, None] - quantiles
    value = torch.maximum(tau * u, (tau - 1) * u).mean()
    if loss.weight > 0 and len(loss.pairs):
        gap = quantiles @ torch.from_numpy(loss.pairs).T + torch.from_numpy(loss.margins)
        value = value + loss.weight * torch.relu(gap).mean()
    return value
