"""NUPES: new codes over the whole range, and the exponent of power formats, learned by gradient (arXiv 2308.05600).

A weight is a real position on the format's ordered list of values; the soft weight interpolates between the two values
around it by a smooth step that sharpens, so a position can pass any number of grid points, and with a power format the
values themselves move as the exponent is learned. A regulariser pulls positions to whole numbers. The paper's abstract
gives this much; the shape of the step (a sigmoid around the half, normalised to [0, 1]), its schedule and the bounds of
the exponent (0.3 to 1.5) are ours. For uniform grids it is a rounding that is not bound to up or down.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.core.formats import Power
from hwsim.core.scaled import Scaled
from hwsim.quant.groups import expand_groups
from hwsim.quant.neighbours import grid_values, lower_index

LEAST_EXPONENT, MOST_EXPONENT = 0.3, 1.5
SHARPEST = 16.0


class Nupes(nn.Module):
    """Positions of one weight on its grid, and the exponent of a power format.

    Parameters
    ----------
    rows : float weight, output channels first.
    learn_exponent : of a power format; off where the layer's inputs share the exponent.
    """

    unit: Tensor
    values: Tensor
    beta: float | None

    def __init__(
        self, rows: Tensor, spec: Scaled, scale: Tensor, zero_point: Tensor | None, learn_exponent: bool = True
    ) -> None:
        super().__init__()
        self.spec, self.scale, self.zero_point = spec, scale, zero_point
        unit = expand_groups(scale, spec, rows)
        self._offset = 0.0 if zero_point is None else expand_groups(zero_point, spec, rows)
        self.register_buffer("unit", unit, persistent=False)
        u = rows / torch.where(unit == 0, torch.ones_like(unit), unit) + self._offset
        self.fmt = spec.format
        values = grid_values(self.fmt, rows.dtype)
        self.register_buffer("values", values, persistent=False)
        self.position = nn.Parameter(self._positions(u, values))
        free = isinstance(self.fmt, Power) and learn_exponent
        self.log_exponent = nn.Parameter(torch.zeros((), dtype=rows.dtype)) if free else None
        self.sharpness = 0.0
        self.weight, self.beta = 0.0, None

    def _positions(self, u: Tensor, values: Tensor) -> Tensor:
        """Where each element lies between the values; for power formats in the power domain, where codes are even."""
        if isinstance(self.fmt, Power):
            code = u.abs().clamp(max=1.0) ** self.fmt.exponent * self.fmt.max_code
            return torch.sign(u) * code + self.fmt.max_code
        index = lower_index(u, values)
        share = (u - values[index]) / (values[index + 1] - values[index])
        return index + share.clamp(0.0, 1.0)

    @property
    def exponent(self) -> Tensor | float:
        """The exponent as learned, within its bounds."""
        assert isinstance(self.fmt, Power)
        if self.log_exponent is None:
            return self.fmt.exponent
        return (self.fmt.exponent * torch.exp(self.log_exponent)).clamp(LEAST_EXPONENT, MOST_EXPONENT)

    def forward(self) -> Tensor:
        last = len(self.values) - 1
        position = self.position.clamp(0.0, float(last))
        lower = position.detach().floor().clamp(max=last - 1)
        share = _sharpened(position - lower, self.sharpness)
        if self.beta is not None and self.weight > 0:
            share = _pulled(share, position - lower, self.weight, self.beta)
        if isinstance(self.fmt, Power):
            low, high = self._power_value(lower), self._power_value(lower + 1)
        else:
            index = lower.to(torch.int64)
            low, high = self.values[index], self.values[index + 1]
        return (torch.lerp(low, high, share) - self._offset) * self.unit

    def _power_value(self, position: Tensor) -> Tensor:
        assert isinstance(self.fmt, Power)
        code = position - self.fmt.max_code
        live = code != 0
        ratio = torch.where(live, code.abs() / self.fmt.max_code, torch.ones_like(code))  # |0|^(1/a) has no gradient
        return torch.where(live, code.sign() * ratio ** (1.0 / self.exponent), torch.zeros_like(code))

    def regularise(self, weight: float, beta: float | None) -> None:
        """Set the pull to whole positions and, with it, the sharpness of the step."""
        self.weight, self.beta = weight, beta
        self.sharpness = 0.0 if beta is None else SHARPEST / beta

    def harden(self) -> tuple[Tensor, Scaled, Tensor, Tensor | None]:
        """Values on the grid (rows), format with its exponent as learned, scale and zero point."""
        with torch.no_grad():
            fmt = Power(self.fmt.bits, float(self.exponent)) if isinstance(self.fmt, Power) else self.fmt
            spec = Scaled(fmt, self.spec.block, self.spec.scale, self.spec.zero_point)
            index = self.position.round().clamp(0, len(self.values) - 1).to(torch.int64)
            values = grid_values(fmt, self.values.dtype)[index]
            return (values - self._offset) * self.unit, spec, self.scale, self.zero_point

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"rounding": [self.position], "step": [] if self.log_exponent is None else [self.log_exponent]}


def _sharpened(share: Tensor, sharpness: float) -> Tensor:
    """A smooth step from 0 to 1 over [0, 1]: the identity at sharpness 0, rounding in the limit."""
    if sharpness <= 0.0:
        return share
    edge = 1.0 / (1.0 + math.exp(sharpness / 2))
    return (torch.sigmoid((share - 0.5) * sharpness) - edge) / (1.0 - 2.0 * edge)


def _pulled(share: Tensor, fraction: Tensor, weight: float, beta: float) -> Tensor:
    """The share itself, with the gradient of the regulariser sum 1 - |2f - 1|^beta added to that of the fraction."""
    side = 2.0 * fraction.detach() - 1.0
    pull = -2.0 * beta * weight * side.sign() * side.abs().pow(beta - 1.0)
    return _Pull.apply(share, fraction, pull)


class _Pull(torch.autograd.Function):
    """The first argument; the second gets the third as its gradient."""

    @staticmethod
    def forward(ctx: Any, share: Tensor, fraction: Tensor, pull: Tensor) -> Tensor:
        ctx.save_for_backward(pull)
        return share.view_as(share)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (pull,) = ctx.saved_tensors
        return grad, pull, None
