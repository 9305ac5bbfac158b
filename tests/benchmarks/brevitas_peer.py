"""Brevitas 0.13.4 quantizes a network as told, line by line: runs in an environment of its own that has Brevitas.

`compare_brevitas.py` starts it, writes one JSON job a line to its standard input and reads one JSON result a line from
its standard output. Everything that quantizes is Brevitas' own: the preprocessing, the quantizers of its ImageNet
example (`create_quant_maps`), calibration, bias correction, GPTQ and the learned-rounding trainer.

What is done here and not by Brevitas' `fx` backend is the placement of the activation quantizers, because that backend
also requantizes both branches of a residual addition, which hwsim does not:

- a ReLU whose output a compute layer reads quantizes that output (`QuantReLU`), so that the layer and the shortcut read
  the same quantized tensor; integer formats are unsigned there, minifloats signed;
- the first and the last compute layer quantize their own input (`input_quant`), at the edge format;
- sums and the output of the network stay wide; biases stay float.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import importlib.util
import json
import re
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

warnings.filterwarnings("ignore")

from brevitas import config as brevitas_config  # noqa: E402
from brevitas.export.inference import quant_inference_mode  # noqa: E402
from brevitas.fx.brevitas_tracer import symbolic_trace  # noqa: E402
from brevitas.graph.base import ModuleInstanceToModuleInstance, ModuleToModuleByInstance  # noqa: E402
from brevitas.graph.quantize import preprocess_for_quantize  # noqa: E402
from brevitas_examples.common.learned_round.learned_round_args import (  # noqa: E402
    HandlerSpec,
    LossArgs,
    OptimizerArgs,
    TrainerConfig,
    TrainingArgs,
)
from brevitas_examples.common.learned_round.learned_round_method import LearnedRoundArgs  # noqa: E402
from brevitas_examples.common.learned_round.learned_round_trainer import (  # noqa: E402
    LearnedRoundTrainer,
    get_blocks,
)
from brevitas_examples.imagenet_classification.ptq.learned_round_utils import (  # noqa: E402
    CacheVision,
    is_layer,
    vision_block_forward,
    vision_forward,
)
from brevitas_examples.imagenet_classification.ptq.ptq_common import (  # noqa: E402
    apply_bias_correction,
    apply_gptq,
    calibrate,
    create_quant_maps,
)

Batches = list[tuple[Tensor, Tensor]]
COMPUTE = (nn.Conv2d, nn.Linear)


@dataclass(frozen=True, slots=True)
class Job:
    """What to quantize and how; the names are those of a JSON job.

    Attributes
    ----------
    fmt, edge : format of weights and activations, inside and at the first and last compute layer (`int4`, `e2m1`).
    acts : `stats` (integers: the percentile of each batch, averaged; minifloats: the maximum), `percentile`, or `mse`.
    weights : `stats` (absolute maximum of the channel), `mse`.
    percentile : of |activation|, in per cent.
    equalize : sweeps of cross-layer equalization; 0 for none.
    bias_correction : as the last step.
    gptq : None, or the switches `act_order` and `quant_activations`.
    learned : None, or `iterations`, `batch`, `lr`, `parametrization` (`hard_sigmoid`, `sigmoid`, `identity`),
        `regularise`, `scheduler` (`linear` or None), `amp`.
    batch : images a calibration batch.
    seed : chooses the calibration images, and seeds torch.
    measure_float : evaluate the float network too.
    """

    fmt: str
    edge: str
    acts: str = "stats"
    weights: str = "stats"
    percentile: float = 99.999
    equalize: int = 0
    bias_correction: bool = False
    gptq: dict[str, bool] | None = None
    learned: dict[str, Any] | None = None
    batch: int = 64
    seed: int = 0
    measure_float: bool = True


class Stopwatch:
    """Seconds of wall clock and of processor (all threads) by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = time.perf_counter() - start
        self.cpu_seconds[name] = time.process_time() - cpu


def load_network(spec: str, weights: str) -> nn.Module:
    """The module that `zoo:NAME` or `file.py:factory` names, with the weights of a saved state dict."""
    if spec.startswith("zoo:"):
        from hwsim.zoo.networks import network

        model = network(spec.removeprefix("zoo:")).build()
    else:
        path, _, factory = spec.rpartition(":")
        found = importlib.util.spec_from_file_location(Path(path).stem, path)
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        model = getattr(module, factory)()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def quant_maps(fmt: str, job: Job) -> tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any]]:
    """Brevitas' (layer, layer with input quantizer, activation) maps for one format."""
    minifloat = re.fullmatch(r"e(\d+)m(\d+)", fmt)
    exponent, mantissa = (int(g) for g in minifloat.groups()) if minifloat else (None, None)
    bits = 1 + exponent + mantissa if minifloat else int(fmt.removeprefix("int"))
    family = "float" if minifloat else "int"
    layer, layerwise, act, _ = create_quant_maps(
        dtype=torch.float32,
        bias_bit_width=None,
        weight_bit_width=bits,
        weight_param_method=job.weights,
        weight_scale_type="float_scale",
        weight_quant_type="sym",
        weight_quant_granularity="per_channel",
        weight_narrow_range=True,
        weight_quant_format=family,
        act_quant_format=family,
        weight_mantissa_bit_width=mantissa,
        weight_exponent_bit_width=exponent,
        act_mantissa_bit_width=mantissa,
        act_exponent_bit_width=exponent,
        act_bit_width=bits,
        act_scale_type="float_scale",
        act_scale_computation_type="static",
        act_param_method="mse" if job.acts == "mse" else "stats",
        act_quant_type="sym",
        act_quant_granularity="per_tensor",
        act_quant_percentile=job.percentile,
    )
    return layer, layerwise, act


def insert_quantizers(model: nn.Module, job: Job, unsigned_input: bool) -> nn.Module:
    """Replace compute layers and the ReLUs they read by Brevitas' quantized ones (placement: see the module)."""
    nodes = [n for n in model.graph.nodes if n.op == "call_module"]
    module_of = {n: model.get_submodule(n.target) for n in nodes}
    compute = [n for n in nodes if isinstance(module_of[n], COMPUTE)]
    inner, edge = quant_maps(job.fmt, job), quant_maps(job.edge, job)
    for position, node in enumerate(compute):
        module = module_of[node]
        if 0 < position < len(compute) - 1:
            source = node.args[0]
            assert isinstance(module_of.get(source), nn.ReLU), f"{node.target} does not read a ReLU"
            kind, arguments = inner[0][type(module)]
        else:
            kind, arguments = edge[1][type(module)]
            unsigned = unsigned_input if position == 0 else True
            arguments = {**arguments, "input_quant": act_quantizer(arguments["input_quant"], job, job.edge, unsigned)}
        model = ModuleToModuleByInstance(module, kind, **arguments).apply(model)
    for node in nodes:
        if isinstance(module_of[node], nn.ReLU) and any(user in compute for user in node.users):
            kind, arguments = inner[2][nn.ReLU]
            quantizer = act_quantizer(arguments["act_quant"], job, job.fmt, unsigned=True)
            model = ModuleInstanceToModuleInstance(module_of[node], kind(act_quant=quantizer)).apply(model)
    return model


def act_quantizer(quantizer: Any, job: Job, fmt: str, unsigned: bool) -> Any:
    """Brevitas' activation quantizer with the sign and the statistic of the job."""
    if fmt.startswith("int") and unsigned:
        quantizer = quantizer.let(signed=False)
    if job.acts == "percentile":
        quantizer = quantizer.let(scaling_stats_op="percentile", high_percentile_q=job.percentile)
    return quantizer


def learn_rounding(model: nn.Module, batches: Batches, settings: dict[str, Any]) -> None:
    """Brevitas' learned rounding, layer by layer, as its ImageNet example configures it but for the settings."""
    iterations = settings["iterations"]
    mse = {"reduction": "none", "dim": 1}
    losses = [LossArgs(cls="mse", kwargs=mse)]
    if settings["regularise"]:
        losses.insert(0, LossArgs(cls="round_reg", kwargs={"max_count": iterations}))
    training = TrainingArgs(
        optimizers_args=[OptimizerArgs(target_params="learned_round", optimizer_cls="Adam", lr=settings["lr"])],
        batch_size=settings["batch"],
        iters=iterations,
        losses_args=losses,
        use_best_model=False,
        use_amp=settings["amp"],
        amp_dtype="float16",
    )
    handler = HandlerSpec(name="learned_round", config=LearnedRoundArgs(settings["parametrization"]))
    trainer = LearnedRoundTrainer(TrainerConfig(training_args=training, training_handlers=[handler]))
    trainer.train(
        model=model,
        model_forward=vision_forward,
        block_forward=vision_block_forward,
        data_loader=batches,
        cache=CacheVision(),
        get_blocks_fn=functools.partial(get_blocks, block_check_fn=is_layer),
        keep_gpu=True,
    )


def hits(model: nn.Module, x: Tensor, y: Tensor, batch: int = 256) -> Tensor:
    """Where the largest output is the label's."""
    return torch.cat([model(a).argmax(1) for a in x.split(batch)]) == y


def run(job: Job, network: nn.Module, data: dict[str, Tensor]) -> dict[str, Any]:
    """Quantize and measure: `top1`, `float_top1`, `hits` (packed bits in base64), and `seconds` of each step."""
    torch.manual_seed(job.seed)
    watch = Stopwatch()
    x, y = data[f"x_calib_{job.seed}"], data[f"y_calib_{job.seed}"]
    batches: Batches = list(zip(x.split(job.batch), y.split(job.batch), strict=True))
    with torch.no_grad():
        reference = None
        if job.measure_float:
            with watch("float_evaluate"):
                reference = float(hits(network, data["x_test"], data["y_test"]).double().mean())
        with watch("capture"):
            traced = symbolic_trace(network)
        with watch("quantize"):
            model = preprocess_for_quantize(
                traced, trace_model=False, equalize_iters=job.equalize, equalize_merge_bias=True, merge_bn=True
            )
            model = insert_quantizers(model, job, unsigned_input=bool(x.min() >= 0)).eval()
            model(batches[0][0])
        with watch("calibrate"):
            calibrate(batches, model)
    if job.gptq is not None:
        with watch("gptq"):
            apply_gptq(
                batches,
                model,
                act_order=job.gptq["act_order"],
                use_quant_activations=job.gptq["quant_activations"],
                create_weight_orig=True,
            )
    if job.learned is not None:
        with watch("learned"):
            learn_rounding(model, batches, job.learned)
    if job.bias_correction:
        with watch("bias_correction"):
            apply_bias_correction(batches, model)
    with torch.no_grad(), quant_inference_mode(model, cache_quant_weight=True):
        model(batches[0][0])
        with watch("evaluate"):
            right = hits(model, data["x_test"], data["y_test"])
    return {
        "top1": float(right.double().mean()),
        "float_top1": reference,
        "hits": base64.b64encode(np.packbits(right.numpy()).tobytes()).decode(),
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="zoo:NAME or file.py:factory")
    parser.add_argument("weights", help="state dict saved by torch")
    parser.add_argument("data", help=".npz with x_test, y_test, x_calib_SEED, y_calib_SEED")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    brevitas_config.IGNORE_MISSING_KEYS = True
    with np.load(options.data) as arrays:
        data = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    answers = sys.stdout
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            try:
                result = run(Job(**json.loads(line)), load_network(options.model, options.weights), data)
            except Exception as error:
                result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    main()
