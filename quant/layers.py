"""Quantizers as modules of the graph, and weights as output-channel rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwsim.core.scaled import Scaled
from hwsim.core.workload import Layer
from hwsim.quant.block_kernels import fake_quantize_blocks
from hwsim.quant.kernels import fake_quantize


class Quantizer(nn.Module):
    """Fake quantization of one activation tensor.

    Attributes
    ----------
    spec : the format.
    axis : the channel (reduction) axis, along which block formats lay their blocks.
    inplace : overwrite the input, where the graph knows that nobody else reads it.
    active : off while weights are looked at alone.
    """

    scale: Tensor
    zero_point: Tensor | None

    def __init__(
        self, spec: Scaled, scale: Tensor, zero_point: Tensor | None, axis: int, inplace: bool = False
    ) -> None:
        super().__init__()
        self.spec = spec
        self.axis = axis
        self.inplace = inplace
        self.active = True
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero_point)

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return x
        if self.spec.mx_name is not None:
            return fake_quantize_blocks(x.movedim(self.axis, -1), self.spec).movedim(-1, self.axis)
        return fake_quantize(x, self.spec, self.scale, self.zero_point, inplace=self.inplace)

    def extra_repr(self) -> str:
        return str(self.spec)


def weight_rows(layer: Layer, weight: Tensor) -> Tensor:
    """A weight with output channels first: (Cout, Cin/groups, ...). Only transposed convolutions change.

    Embedding tables keep one row an entry.
    """
    if not layer.op.startswith("conv_transpose"):
        return weight
    groups, (cin, cout, *kernel) = layer.groups, weight.shape
    split = weight.reshape(groups, cin // groups, cout, *kernel).transpose(1, 2)
    return split.reshape(groups * cout, cin // groups, *kernel)


def rows_to_weight(layer: Layer, rows: Tensor) -> Tensor:
    """The inverse of `weight_rows`."""
    if not layer.op.startswith("conv_transpose"):
        return rows
    groups, (cout, cin, *kernel) = layer.groups, rows.shape
    split = rows.reshape(groups, cout // groups, cin, *kernel).transpose(1, 2)
    return split.reshape(groups * cin, cout // groups, *kernel)


def sqnr_db(reference: Tensor, approximation: Tensor) -> float:
    """Signal-to-quantization-noise ratio, 10 log10(sum x^2 / sum (x - y)^2), capped at 200 dB; 0 for no signal."""
    signal = float(reference.double().square().sum())
    noise = float((reference.double() - approximation.double()).square().sum())
    if signal == 0:
        return 0.0
    return 200.0 if noise <= signal * 1e-20 else float(10 * torch.log10(torch.tensor(signal / noise)))
