"""The quantized network in float64, where sums of products of a power-of-two design are exact."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from hwsim.quant.model import QuantizedModel

_ROWS = 64


class Reference:
    """Evaluates a quantized network exactly."""

    def __init__(self, model: QuantizedModel) -> None:
        self._module: GraphModule = deepcopy(model.module).double()
        self._fixed = model.network.fixed_batch

    def outputs(self, x: Tensor) -> NDArray[np.float64]:
        """(rows, elements) for inputs (rows, ...)."""
        with torch.inference_mode():
            parts = [self._module(part.double()) for part in self._batches(x)]
        return torch.cat(parts)[: len(x)].reshape(len(x), -1).numpy()

    def tensors(self, x: Tensor) -> dict[str, NDArray[np.float64]]:
        """Every tensor of the network for the first row, quantized where it has a quantizer, flat."""
        run = _Keep(self._module)
        with torch.inference_mode():
            run.run(next(iter(self._batches(x[:1]))).double())
        return run.kept

    def _batches(self, x: Tensor) -> list[Tensor]:
        parts = list(torch.split(x, self._fixed or _ROWS))
        if self._fixed and len(parts[-1]) < self._fixed:  # fill up with the last row
            missing = self._fixed - len(parts[-1])
            parts[-1] = torch.cat([parts[-1], parts[-1][-1:].expand(missing, *x.shape[1:])])
        return parts


class _Keep(Interpreter):
    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.kept: dict[str, NDArray[np.float64]] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        name = n.meta.get("quantizes", n.meta.get("layer"))
        if name is not None and isinstance(result, Tensor):
            self.kept[name] = result[0].double().reshape(-1).numpy().copy()
        return result
