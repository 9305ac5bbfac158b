"""QuantizedModel: a network whose weights are on their grids and whose tensors pass through quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from hwsim.capture.graph import Network
from hwsim.core.accumulator import accumulator_bits, accumulator_bits_of_weights
from hwsim.core.assignment import Assignment, Policy
from hwsim.core.codes import WeightCodes
from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Int, Minifloat
from hwsim.core.scaled import Scaled
from hwsim.core.workload import Layer
from hwsim.quant.calibration import Calibration, layer_outputs
from hwsim.quant.layers import Quantizer, sqnr_db
from hwsim.quant.metrics import predictions
from hwsim.quant.recipe import Recipe


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """What became of one layer that holds weights or multiplies.

    Attributes
    ----------
    weight, acts : formats as resolved; weight None for products of activations.
    weight_sqnr_db : signal-to-noise of the weights, None without weights.
    """

    name: str
    kind: str
    weight: Scaled | None
    acts: tuple[Scaled, ...]
    weight_sqnr_db: float | None


class QuantizedModel:
    """A quantized network, runnable and inspectable.

    Attributes
    ----------
    network : the float network it was made from, batch normalisation folded.
    module : the quantized graph; calling the model runs its fast form.
    assignment : the format of every weight and tensor.
    policy, recipe : what was asked for.
    codes : by layer, the integer codes and scales of its weight (None entries: unquantized layers are left out).
    layers : per-layer record.
    """

    def __init__(
        self,
        network: Network,
        module: GraphModule,
        assignment: Assignment,
        policy: Policy,
        recipe: Recipe,
        codes: Mapping[str, WeightCodes],
        layers: tuple[QuantizedLayer, ...],
    ) -> None:
        self.network = network
        self.module = module
        self.assignment = assignment
        self.policy = policy
        self.recipe = recipe
        self.codes = codes
        self.layers = layers
        self._fast: dict[torch.dtype, GraphModule] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        """Run without gradients, in float64 when the first floating-point input is float64, else in float32."""
        floating = [x.dtype for x in inputs if x.is_floating_point()]
        dtype = torch.float64 if floating[:1] == [torch.float64] else torch.float32
        if dtype not in self._fast:
            from hwsim.quant.fast_graph import fast_graph

            self._fast[dtype] = fast_graph(self.module, dtype)
        with torch.inference_mode():
            return self._fast[dtype](*inputs)

    @property
    def evaluation_dtype(self) -> torch.dtype:
        """float32, or float64 for a power-of-two design whose accumulators outgrow float32's significand."""
        if self.policy.scale == "pow2" and not self.is_exact_in(torch.float32):
            return torch.float64
        return torch.float32

    def evaluation_input(self, x: Tensor) -> Tensor:
        """Inputs in `evaluation_dtype`; tokens as they are."""
        return x.to(self.evaluation_dtype) if x.is_floating_point() else x

    def decisions(self, x: Tensor, batch: int = 256) -> Tensor:
        """Class decisions for inputs (rows, ...), in `evaluation_dtype`."""
        x = self.evaluation_input(x)
        return predictions(self, x, batch=batch, fixed_batch=self.network.fixed_batch)

    def quantizer(self, tensor: str) -> Quantizer:
        """The quantizer on the tensor of a layer or network input."""
        for node in self.module.graph.nodes:
            if node.op == "call_module" and node.meta.get("quantizes") == tensor:
                module = self.module.get_submodule(str(node.target))
                assert isinstance(module, Quantizer)
                return module
        raise InputError(f"tensor {tensor!r} has no quantizer", where=self.network.name)

    @property
    def memory_bits(self) -> int:
        return self.assignment.memory_bits(self.network.workload)

    def accumulator_bits(self, layer: Layer) -> int | None:
        """Signed bits that hold every dot product of a layer for these weights; None without an exact format."""
        formats = self.assignment.layers[layer.name]
        acts = formats.acts[0].format
        if not isinstance(acts, Int | Minifloat | Binary):
            return None
        offset = int(any(spec.zero_point for spec in formats.acts))  # |code - zero point| is below 2^bits
        if layer.name in self.codes:
            codes = self.codes[layer.name]
            if not isinstance(codes.spec.format, Int | Minifloat | Binary):
                return None
            zero_point = codes.zero_point if codes.spec.zero_point else 0.0
            return offset + accumulator_bits_of_weights(codes.codes, codes.spec.format, acts, zero_point)
        other = formats.acts[-1].format
        if not isinstance(other, Int | Minifloat | Binary):
            return None
        return 2 * offset + accumulator_bits(layer.reduction, other, acts)

    def is_exact_in(self, dtype: torch.dtype) -> bool:
        """Whether float32 or float64 computes the network without any rounding, whatever the order of summation."""
        from hwsim.quant.exactness import is_exact

        return is_exact(self, {torch.float32: 24, torch.float64: 53}[dtype])

    def layer_sqnr_db(self, calibration: Calibration) -> dict[str, float]:
        """Signal-to-noise of every compute layer's output against the float network on the calibration sample."""
        quantized = Network.__new__(Network)
        quantized.module, quantized.workload = self.module, self.network.workload
        outputs = layer_outputs(quantized, calibration.sample)
        return {name: sqnr_db(calibration.reference[name], outputs[name]) for name in outputs}

    def save(self, folder: Path | str) -> Path:
        """Write model.safetensors and model.json; see `QuantizedModel.load`."""
        from hwsim.quant.storage import save_model

        return save_model(self, Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> QuantizedModel:
        """Read what `save` wrote; needs neither the original model nor its source."""
        from hwsim.quant.storage import load_model

        return load_model(Path(folder))
