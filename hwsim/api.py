"""The Python interface: quantize, cost, predict, explore, export. The command line is a thin layer over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from hwsim.capture.graph import Network
from hwsim.core.assignment import Policy, assign
from hwsim.core.cost import Cost, LatencyPrediction
from hwsim.core.scaled import ScaleType
from hwsim.inputs import DataOptions, calibration_and_evaluation, network_of
from hwsim.quant.calibration import Calibration
from hwsim.quant.metrics import Metric, evaluate, predictions, top1
from hwsim.quant.model import QuantizedModel
from hwsim.quant.papers import default_edge
from hwsim.quant.pipeline import Preparation, quantize_best
from hwsim.quant.recipe import parse_recipe
from hwsim.quant.rewrite.fold_batchnorm import fold_batchnorm

if TYPE_CHECKING:
    from hwsim.exchange.written_file import WrittenFile
    from hwsim.exporting import Exported

Model = nn.Module | Network | str


@dataclass(frozen=True)
class Quantized:
    """A quantized network and how well it does.

    Attributes
    ----------
    model : runnable; codes, scales, save.
    metric, float_metric : on the evaluation data, or None without any.
    seconds : of calibration, quantization and evaluation.
    calibration : what was observed.
    """

    model: QuantizedModel
    metric: Metric | None
    float_metric: Metric | None
    seconds: float
    calibration: Calibration

    @cached_property
    def layers(self) -> tuple[Mapping[str, Any], ...]:
        """Per-layer rows (name, kind, weight, act, weight_sqnr_db, sqnr_db), measured when first asked for."""
        noise = self.model.layer_sqnr_db(self.calibration)
        return tuple(_layer_row(layer, noise) for layer in self.model.layers)

    def as_dict(self) -> dict[str, Any]:
        """The document of `hwsim quantize --json`."""
        metric, reference = self.metric, self.float_metric
        return {
            "float_metric": reference.value if reference else None,
            "metric": metric.value if metric else None,
            "metric_lo": metric.lo if metric else None,
            "metric_hi": metric.hi if metric else None,
            "metric_name": metric.name if metric else None,
            "samples": metric.n if metric else 0,
            "layers": list(self.layers),
            "recipe": self.model.recipe.name,
            "steps": self.model.recipe.describe(),
            "edge": self.model.policy.edge,
            "scale": self.model.policy.scale,
            "memory_bits": self.model.memory_bits,
            "seconds": self.seconds,
        }

    def _repr_html_(self) -> str:
        head = f"{self.metric.name} {self.metric.value:.4f}" if self.metric else "not evaluated"
        rows = "".join(
            f"<tr><td>{escape(r['name'])}</td><td>{escape(r['weight'] or '-')}</td><td>{escape(r['act'])}</td></tr>"
            for r in self.layers
        )
        return f"<table><caption>{escape(head)}</caption>{rows}</table>"


def quantize(
    model: Model,
    calib: Any,
    evaluate: Any = None,
    *,
    weights: str = "int8",
    acts: str = "int8",
    recipe: str = "rtn",
    edge: str | None = None,
    overrides: Sequence[tuple[str, str]] = (),
    scale: ScaleType = "f32",
    acts_signed: bool = False,
    unsigned_minifloat: bool = False,
    seed: int = 0,
    input_shape: tuple[int, ...] | None = None,
    options: DataOptions | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Quantized:
    """Quantize a network after training and measure it.

    Parameters
    ----------
    model : an nn.Module or a MODEL string.
    calib, evaluate : DATA strings, tensors, or pairs (x, y).
    weights, acts : format strings, e.g. `int4`, `e2m1`, `int4@group32`, `nvfp4`.
    recipe : a recipe's name, steps joined by `+`, or a TOML file.
    edge : `same`, or `FMT[,FMT]` for the first and last compute layer; by default 8 bits in papers' recipes, else same.
    overrides : (glob over layer names, `FMT[,FMT]`); the last match wins.
    scale : `f32`, or `pow2` for designs that go to an FPGA.
    seed : of the calibration rows and of what a recipe draws at random.
    progress : called with (what, done, in all).

    Raises
    ------
    InputError, UnsupportedError
        For bad arguments or data, and for operators hwsim has no model of.
    """
    start = time.perf_counter()
    plan = parse_recipe(recipe)
    edge = edge or default_edge(recipe, weights)
    policy = Policy(weights, acts, edge, tuple(overrides), scale, acts_signed, unsigned_minifloat)
    policy.check()
    data, held_out = calibration_and_evaluation(calib, evaluate, options or DataOptions(), seed, input_shape)
    network = network_of(model, input_shape=input_shape, data=data)
    prepared = Preparation(network, data.x, recipes=(plan,), seed=seed, progress=progress)
    calibration, quantized = quantize_best(prepared, policy, plan, seed=seed, progress=progress)
    metric = reference = None
    if held_out is not None:
        reference, metric = measure(calibration.network, quantized, held_out.x, held_out.y)
    return Quantized(quantized, metric, reference, time.perf_counter() - start, calibration)


def measure(network: Network, quantized: QuantizedModel, x: Any, y: Any) -> tuple[Metric, Metric]:
    """(float metric, quantized metric): accuracy or average precision, agreement with the float decisions without y."""
    if y is not None:
        metrics = (
            evaluate(run, part, y, head=network.head, fixed_batch=network.fixed_batch)
            for run, part in ((network, x), (quantized, quantized.evaluation_input(x)))
        )
        return next(metrics), next(metrics)
    reference = predictions(network, x, fixed_batch=network.fixed_batch)
    decisions = quantized.decisions(x)
    return top1(reference, reference, "agreement"), top1(decisions, reference, "agreement")


def cost(
    model: Model,
    part: str,
    *,
    weights: str = "int8",
    acts: str = "int8",
    edge: str = "same",
    overrides: Sequence[tuple[str, str]] = (),
    scale: ScaleType = "pow2",
    arch: Literal["dataflow", "overlay"] = "dataflow",
    reuse: int | Mapping[str, int] | Literal["auto"] = "auto",
    target_ii_cycles: int | None = None,
    input_shape: tuple[int, ...] | None = None,
    energy: str | Path | None = None,
    dsp: Literal["auto", "pack", "never"] = "auto",
) -> Cost:
    """FPGA resources, timing and relative energy of a network before synthesis; needs no data.

    Parameters
    ----------
    target_ii_cycles : with `auto`, the smallest design with an inference every so many cycles or fewer.
    energy : a file of energy coefficients that replaces the shipped one.
    dsp : where products go: see `hwsim.cost_models.estimate`.
    """
    from hwsim.cost_models import energy_table, estimate, with_energy
    from hwsim.cost_models import part as part_named
    from hwsim.cost_models.overlay import holds_activations

    target = part_named(part)
    table = None if energy is None else energy_table(energy)
    network = fold_batchnorm(network_of(model, input_shape=input_shape))
    workload = network.workload
    policy = Policy(weights, acts, edge, tuple(overrides), scale)
    policy.check()
    assignment = assign(workload, policy)
    found = estimate(workload, assignment, target, arch=arch, reuse=reuse, dsp=dsp, target_ii_cycles=target_ii_cycles)
    on_chip = holds_activations(workload, assignment, target)
    return with_energy(found, workload, assignment, table, activations_on_chip=on_chip)


def predict(
    model: Model,
    device: str,
    *,
    batch: Sequence[int] = (1,),
    precision: str | None = None,
    runtime: str = "eager",
    weights: str = "none",
    acts: str = "none",
    deadline_us: float | None = None,
    input_shape: tuple[int, ...] | None = None,
    layout: str = "nchw",
    calibration: str | Path | None = "auto",
) -> LatencyPrediction:
    """GPU latency of a network by batch size, with intervals; needs no GPU.

    Parameters
    ----------
    calibration : a file that `hwsim calibrate gpu` wrote; `auto` takes the one in the cache folder that was made for
        just this device, if any; None or `none` takes none.
    """
    from hwsim.latency import predict as predict_latency
    from hwsim.latency.calibration import kept, read
    from hwsim.latency.catalog import device as find_device
    from hwsim.zoo.weights import cache_folder

    gpu = find_device(device)
    known = None
    if calibration == "auto":
        known = kept(cache_folder(), gpu)
    elif calibration not in (None, "none"):
        known = read(Path(str(calibration)))
    network = network_of(model, input_shape=input_shape)
    assignment = None
    if (weights, acts) != ("none", "none"):
        network = fold_batchnorm(network)  # as every quantized network is
        assignment = assign(network.workload, Policy(weights, acts))
    return predict_latency(
        network.workload,
        gpu,
        batches=tuple(batch),
        precision=precision,
        runtime=runtime,
        assignment=assignment,
        deadline_us=deadline_us,
        layout=layout,
        calibration=known,
    )


def explore(
    config: str | Path | Mapping[str, Any], run_dir: str | Path, *, resume: bool = False, workers: int = 1
) -> Any:
    """Run a study into a run directory and write its report; returns the record of the run."""
    from hwsim.study import run_study

    return run_study(config, Path(run_dir), resume=resume, workers=workers)


def export(
    quantized: Quantized | QuantizedModel,
    folder: str | Path,
    *,
    part: str = "kv260",
    reuse: int | Mapping[str, int] | Literal["auto"] = "auto",
    backend: str = "vitis",
    container: Literal["npz", "safetensors"] = "npz",
    verify: Any = None,
    labels: Any = None,
) -> Exported | WrittenFile:
    """Export a quantized network.

    Parameters
    ----------
    backend : `vitis`, an hls4ml project of an integer `pow2` design; `onnx`, a file with QuantizeLinear and
        DequantizeLinear; `qonnx`, a file with Quant and FloatQuant; `packed`, weights at their true width.
    part, reuse : of `vitis`.
    container : of `packed`.
    verify : inputs (rows, ...) to compare on. `vitis`: C simulation, bit for bit; `onnx` and `qonnx`: class decisions
        in onnxruntime and in hwsim's importer; `packed`: every weight is decoded.

    Raises
    ------
    VerificationError
        When the comparison fails; for decisions, when less than 99.9 % agree.
    """
    model = quantized.model if isinstance(quantized, Quantized) else quantized
    if backend.lower() != "vitis":
        from hwsim.exchange.written_file import export_file

        chosen: Any = backend.lower()
        return export_file(model, Path(folder), chosen, verify=verify, labels=labels, container=container)
    from hwsim.exporting import export_project

    return export_project(model, Path(folder), part=part, reuse=reuse, verify=verify, labels=labels)


def _layer_row(layer: Any, noise: Mapping[str, float]) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "weight": str(layer.weight) if layer.weight else None,
        "act": ",".join(str(a) for a in layer.acts),
        "weight_sqnr_db": layer.weight_sqnr_db,
        "sqnr_db": noise.get(layer.name),
    }
