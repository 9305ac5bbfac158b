"""What a study looks at: the float network with its data, and the calibrations that all its designs share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hwsim.capture.data_spec import Dataset, calibration_rows, check_disjoint, load_data, without_channel
from hwsim.capture.detectors import DetectionTruth
from hwsim.capture.graph import Network, capture
from hwsim.capture.model_spec import ModelSource, load_model
from hwsim.core.assignment import Policy, assign
from hwsim.core.design import content_id
from hwsim.core.errors import InputError
from hwsim.quant.calibration import Calibration, check_inputs
from hwsim.quant.metrics import Metric, evaluate, predictions, top1
from hwsim.quant.model import QuantizedModel
from hwsim.quant.pipeline import Preparation, quantize_best
from hwsim.quant.recipe import Recipe, parse_recipe
from hwsim.quant.rewrite.fold_batchnorm import fold_batchnorm
from hwsim.search.codec import Score, workload_to_json
from hwsim.search.settings import StudyConfig

CACHE_BYTES = 1 << 30
"""Quantized weights kept for later designs, in each process."""


@dataclass(slots=True, eq=False)
class Subject:
    """A captured network with the data it is calibrated and evaluated on.

    Attributes
    ----------
    network : float, batch normalisation folded.
    calibration : calibration rows by seed.
    evaluation : the held-out rows; without labels the metric is the agreement with the float network.
    """

    network: Network
    calibration: dict[int, Dataset]
    evaluation: Dataset
    recipes: dict[str, Recipe]
    _prepared: dict[int, Preparation] = field(default_factory=dict)
    _decisions: Tensor | None = None

    def calibrated(self, seed: int, recipe: Recipe | None = None) -> Calibration:
        """The calibration of a seed for a recipe's rewrites, made on first use; designs share it and its weights."""
        if seed not in self._prepared:
            self._prepared[seed] = Preparation(
                self.network, self.calibration[seed].x, recipes=self.recipes.values(), seed=seed
            )
        calibration = self._prepared[seed](recipe or next(iter(self.recipes.values())))
        if sum(kept.codes.codes.nbytes + kept.values.nbytes for kept in calibration.weights.values()) > CACHE_BYTES:
            calibration.weights.clear()
        return calibration

    def quantized(self, policy: Policy, recipe: Recipe, seed: int) -> QuantizedModel:
        """The quantized network of a candidate."""
        return quantize_best(lambda chosen: self.calibrated(seed, chosen), policy, recipe, seed=seed)[1]

    def score(self, model: QuantizedModel | None = None) -> Score:
        """The metric on the evaluation rows: of a quantized network, or of the float network itself."""
        x, y = self.evaluation.x, self.evaluation.y
        if isinstance(y, DetectionTruth):
            part = x if model is None else model.evaluation_input(x)
            return _score(evaluate(model or self.network, part, y, head=self.network.head, fixed_batch=None))
        found = self._float_decisions() if model is None else model.decisions(x)
        if y is not None:
            return _score(top1(found, y))
        return _score(top1(found, self._float_decisions(), "agreement"))

    def _float_decisions(self) -> Tensor:
        if self._decisions is None:
            self._decisions = predictions(self.network, self.evaluation.x, fixed_batch=self.network.fixed_batch)
        return self._decisions

    def identity(self) -> dict[str, Any]:
        """Digests of all that decides a result, as JSON values."""
        return {
            "network": content_id(**workload_to_json(self.network.workload)),
            "weights": _digest(self.network),
            "calibration": {str(seed): rows.sha256 for seed, rows in self.calibration.items()},
            "evaluation": self.evaluation.sha256,
            "recipes": {name: recipe.describe() for name, recipe in self.recipes.items()},
        }


def load_subject(config: StudyConfig) -> Subject:
    """Load model and data of a configuration.

    Raises
    ------
    InputError, UnsupportedError, MissingToolError
        As the MODEL and DATA strings say; overlapping rows; a model without data of its own and none given.
    """
    source = load_model(config.model.spec, config.model.input_shape)
    shape = config.model.input_shape
    calib, evaluation = (without_channel(data, shape) for data in _load_data(config, source))
    example = torch.zeros(shape, dtype=calib.x.dtype) if shape else calib.x[:1]
    network = fold_batchnorm(capture(source.model, example, name=source.name))
    rows = {seed: calibration_rows(calib, config.data.calib_rows, seed) for seed in config.quant.seeds}
    for drawn in rows.values():
        check_disjoint(drawn, evaluation, config.data.allow_overlap)
    check_inputs(network, evaluation.x, "evaluation data")
    _check_overrides(config, network)
    return Subject(network, rows, evaluation, {text: parse_recipe(text) for text in config.quant.recipes})


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, so that sums are made in one order whatever machine or process they run on.

    Studies use their cores through `workers` instead.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _load_data(config: StudyConfig, source: ModelSource) -> tuple[Dataset, Dataset]:
    specs = {"calib": config.data.calib or source.default_data, "eval": config.data.eval or source.default_data}
    for key, spec in specs.items():
        if not spec:
            hint = f'the model names no data of its own: give [data] {key}, e.g. "digits.npz"'
            raise InputError("no data", where=f"data.{key}", hint=hint)
    options: Any = {"mean": config.data.mean, "std": config.data.std, "resize": config.data.resize}
    return (
        load_data(str(specs["calib"]), default_split="train", **options),
        load_data(str(specs["eval"]), default_split="test", **options),
    )


def _check_overrides(config: StudyConfig, network: Network) -> None:
    """A glob that matches nothing, or a reuse factor of no layer, would fail every design: say so now."""
    assign(network.workload, config.policy(config.formats.weights[0], config.formats.acts[0]))
    if isinstance(config.fpga.reuse, dict):
        for name in config.fpga.reuse:
            network.workload[name]


def _score(metric: Metric) -> Score:
    return Score(metric.name, metric.value, metric.lo, metric.hi, metric.n)


def _digest(network: Network) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.module.named_buffers()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
