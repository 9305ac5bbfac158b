"""What the papers of the grammar claim, measured: a table a claim, each with mean and spread over seeds.

    HWSIM_DATA=FOLDER python tests/benchmarks/claims.py pd|flexround|nupes|bell|cfws|detptq [--seeds 3]
        [--iterations N] [--points ..] [--model ..] [--out claims.json]

    pd         PD-Quant against QDrop: difference of predictions on held-out data; distribution correction on and off
    flexround  FlexRound against AdaRound in the same setting, at budgets of tens of iterations a block
    nupes      uniform, PowerQuant and NUPES at 4 and 3 bits, on trained networks
    bell       the same on one linear layer of bell-shaped weights
    cfws       coarse and fine weight splitting at 8 bits, with what it adds to the multiply-accumulates
    detptq     the p of each tensor and weight against one p for all, by output loss and mean average precision

A seed draws the calibration rows and what methods draw. Every run is written to the JSON file as it ends; a second call
goes on where the first stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.capture.data_spec import Dataset
from hwsim.capture.graph import Network
from hwsim.core.assignment import Policy, assign
from hwsim.inputs import DataOptions, calibration_and_evaluation, network_of
from hwsim.quant.calibrate.adaptive_lp import AdaptiveLp, output_loss
from hwsim.quant.draft import Draft
from hwsim.quant.output_loss import prediction_difference, relative_change
from hwsim.quant.pipeline import Preparation
from hwsim.quant.recipe import Recipe, compose, parse_recipe
from hwsim.quant.steps import STEPS, step
from hwsim.zoo.detection import DetectionTruth
from hwsim.zoo.mean_ap import evaluate_detector

POWERS = AdaptiveLp().powers
PAPER_RATE = 1e-3  # of AdaRound and BRECQ, whatever the iterations


@dataclass(frozen=True, slots=True)
class Trial:
    """One cell of a table before it is measured.

    Attributes
    ----------
    point : the group of rows that it is compared in.
    """

    model: str
    point: str
    method: str
    weights: str
    acts: str
    recipe: Recipe
    edge: str = "int8"


@dataclass(frozen=True, slots=True)
class Claim:
    """A table.

    Attributes
    ----------
    trials : (models, points, iterations) -> what to measure.
    models, points, iterations : unless the user says otherwise.
    columns : of the table: (key of a measured row, heading, factor, digits).
    """

    trials: Callable[[list[str], list[str], list[int]], Iterator[Trial]]
    models: str
    points: str
    iterations: str
    columns: tuple[tuple[str, str, float, int], ...]


def recipe_of(*words: str | tuple[str, dict[str, Any]]) -> Recipe:
    return compose("claim", [step(w) if isinstance(w, str) else step(w[0], **w[1]) for w in words])


def pd_trials(models: list[str], points: list[str], iterations: list[int]) -> Iterator[Trial]:
    for model, point, count in ((m, p, i) for m in models for p in points for i in iterations):
        correction = {"iterations": count, "distribution_steps": 25}  # the paper's code takes 500
        for method, word, settings in (
            ("joint, no dropping", "brecq", {"iterations": count, "steps": "joint"}),
            ("QDrop", "qdrop", {"iterations": count}),
            ("PD-Quant without correction", "pd-quant", {"iterations": count, "distribution": False}),
            ("QDrop with correction", "qdrop", correction | {"distribution": True}),
            ("PD-Quant", "pd-quant", correction),
        ):
            yield Trial(model, point, method, *point.split("/"), recipe_of("lp", (word, settings)))


def flexround_trials(models: list[str], points: list[str], iterations: list[int]) -> Iterator[Trial]:
    """All learn activation steps jointly, so that only the rounding differs."""
    for model, point, count in ((m, p, i) for m in models for p in points for i in iterations):
        joint = {"iterations": count, "steps": "joint"}
        fixed = recipe_of("lp", ("brecq", joint))
        # a rate that the library refuses, since with it roundings stay where they start
        object.__setattr__(fixed.steps[-1].config, "learning_rate", PAPER_RATE)
        for method, recipe in (
            ("nearest", recipe_of("lp")),
            ("AdaRound, rate 1e-3 as in the paper", fixed),
            ("AdaRound, rate by the budget", recipe_of("lp", ("brecq", joint))),
            ("FlexRound", recipe_of("lp", ("flexround", {"iterations": count}))),
        ):
            yield Trial(model, f"{point}, {count} iterations", method, *point.split("/"), recipe)


def nupes_trials(models: list[str], points: list[str], iterations: list[int]) -> Iterator[Trial]:
    learned = {"iterations": iterations[0]}
    for model, point in ((m, p) for m in models for p in points):
        bits, at, grain = point.partition("@")
        for method, kind, recipe in (
            ("uniform", "int", recipe_of("minmax")),
            ("PowerQuant", "pow", recipe_of("minmax", "power")),
            ("NUPES", "pow", recipe_of("minmax", "power", ("nupes", learned))),
            ("uniform, codes learned as in NUPES", "int", recipe_of("minmax", ("nupes", learned))),
            ("uniform, MSE scales", "int", recipe_of("mse")),
        ):
            yield Trial(model, f"W{bits}{at}{grain}", method, f"{kind}{bits}{at}{grain}", "int8", recipe)


def cfws_trials(models: list[str], points: list[str], iterations: list[int]) -> Iterator[Trial]:
    kl = ("kl", {"variant": "positive"})
    for model, point in ((m, p) for m in models for p in points):
        for method, recipe in (
            ("rtn", recipe_of("minmax")),
            ("rtn-mse", recipe_of("mse")),
            ("cfws", recipe_of("split", kl, "weights-minmax")),
            ("split, min-max ranges", recipe_of("split", "minmax")),
            ("split, MSE ranges", recipe_of("split", "mse")),
            ("equalize", recipe_of("equalize", "minmax")),
            ("equalize + cfws", recipe_of("equalize", "split", kl, "weights-minmax")),
            ("equalize + split, min-max ranges", recipe_of("equalize", "split", "minmax")),
        ):
            weights, acts = point.split("/")
            yield Trial(model, point, method, weights, acts, recipe, edge="same")


def detptq_trials(models: list[str], points: list[str], iterations: list[int]) -> Iterator[Trial]:
    for model, point in ((m, p) for m in models for p in points):
        formats = point.split("/")
        for p in POWERS:
            yield Trial(model, point, f"one p = {p:g}", *formats, recipe_of(("lp", {"p": p})))
        acts_only = ("adaptive-lp", {"weights": False})
        yield Trial(model, point, "DetPTQ, tensors alone", *formats, recipe_of("lp", acts_only))
        yield Trial(model, point, "DetPTQ", *formats, parse_recipe("detptq"))


TOP1 = ("top1", "top-1, %", 100.0, 2)
CHANGE = ("change", "change of outputs, %", 100.0, 3)
KL = (("kl1", "difference, T = 1, x 1000", 1000.0, 2), ("kl4", "T = 4, x 1000", 1000.0, 3))
ERROR = ("weight_error", "error of weights, %", 100.0, 3)
EXPONENT = ("exponent", "exponent found", 1.0, 3)
CLAIMS = {
    "pd": Claim(pd_trials, "zoo:fashion_resnet", "int2/int2,int2/int4,int4/int4", "300", (*KL, TOP1)),
    "flexround": Claim(
        flexround_trials,
        "zoo:fashion_resnet,zoo:fashion_mobilenet",
        "int2/int4,int3@tensor/int3",
        "20,80",
        (TOP1, KL[0]),
    ),
    "nupes": Claim(
        nupes_trials,
        "zoo:fashion_resnet,zoo:fashion_mobilenet,zoo:fashion_vit",
        "4@channel,4@tensor,3@tensor",
        "300",
        (TOP1, CHANGE, ERROR, EXPONENT),
    ),
    "bell": Claim(
        nupes_trials,
        "bell:normal,bell:laplace,bell:student5,bell:uniform",
        "4@channel,4@tensor",
        "300",
        (CHANGE, ERROR, EXPONENT),
    ),
    "cfws": Claim(
        cfws_trials,
        "zoo:fashion_repvgg,zoo:fashion_resnet",
        "int8@tensor/int8,int8@channel/int8",
        "0",
        (TOP1, ("loss", "points lost", 100.0, 2), CHANGE, ("more_macs", "more MACs, %", 100.0, 1)),
    ),
    "detptq": Claim(
        detptq_trials,
        "zoo:bccd_detector",
        "int4/int4",
        "0",
        (
            ("loss_calib", "output loss, rows looked at", 1.0, 4),
            ("loss_held_out", "output loss, test images", 1.0, 4),
            ("map", "mAP, %", 100.0, 1),
            ("float", "mAP of float, %", 100.0, 1),
        ),
    ),
}


@lru_cache(maxsize=1)
def prepared(model: str, seed: int) -> tuple[Dataset, Dataset, Network, Preparation, Tensor]:
    """Calibration rows, test rows, network, its calibrations, and its outputs on the test rows."""
    if model.startswith("bell:"):
        data, held_out, network = bell(model.removeprefix("bell:"), seed)
    else:
        name = "bccd" if "bccd" in model else "fashion_mnist"
        calib = f"zoo:{name}#{'train' if name == 'bccd' else 'calib'}"
        data, found = calibration_and_evaluation(calib, f"zoo:{name}#test", DataOptions(), seed)
        assert found is not None
        held_out, network = found, network_of(model, data=data)
    return data, held_out, network, Preparation(network, data.x, seed=seed), outputs(network, held_out.x)


def bell(shape: str, seed: int) -> tuple[Dataset, Dataset, Network]:
    """A linear layer with weights of a distribution, on correlated inputs."""
    draw = torch.Generator().manual_seed(seed)
    size = (128, 256)
    uniform = torch.rand(size, generator=draw) - 0.5
    normal = torch.randn(size, generator=draw)
    chi = torch.randn(5, *size, generator=draw).square().mean(0).sqrt()
    laplace = -uniform.sign() * torch.log1p(-2 * uniform.abs())
    weight = {"normal": normal, "laplace": laplace, "student5": normal / chi, "uniform": uniform}[shape]
    layer = nn.Linear(size[1], size[0])
    with torch.no_grad():
        layer.weight.copy_(weight / size[1] ** 0.5)
    x = torch.randn(2048, 64, generator=draw) @ torch.randn(64, size[1], generator=draw) / 8
    x = x + 0.5 * torch.randn(2048, size[1], generator=draw)
    data, held_out = (Dataset(x=part, y=None, name=shape, split="") for part in x.split(1024))
    return data, held_out, network_of(layer, data=data)


def measure(trial: Trial, seed: int) -> dict[str, Any]:
    data, held_out, network, preparation, wanted = prepared(trial.model, seed)
    calibration = preparation(trial.recipe)
    policy = Policy(trial.weights, trial.acts, edge="same" if trial.model.startswith("bell:") else trial.edge)
    start = time.process_time()
    assignment = assign(calibration.network.workload, policy, calibration.non_negative)
    draft = Draft(calibration, assignment, policy, trial.recipe, seed=seed)
    draft.choose_scales()
    for found in trial.recipe.steps:
        if found.kind != "rewrite" and STEPS[found.word].run:
            STEPS[found.word].function()(draft, found.config)
    errors = [
        relative_change(w.float_values, getattr(draft.module, draft.attribute(n))) for n, w in draft.weights.items()
    ]
    model = draft.finish()
    row = {
        "seconds": round(time.process_time() - start, 2),
        "weight_error": statistics.mean(errors),
        "exponent": draft.notes.get("power", {}).get("exponent"),
        "more_macs": model.network.workload.macs / network.workload.macs - 1.0,
    }
    if network.head is not None:
        return row | detection(network, model, data, held_out, wanted) | {"notes": draft.notes}
    logits = outputs(model, held_out.x)
    row["change"] = relative_change(wanted, logits)
    if held_out.y is not None:
        row["top1"], row["float"] = (float((z.argmax(1) == held_out.y).float().mean()) for z in (logits, wanted))
        row["loss"] = row["float"] - row["top1"]
        row |= {f"kl{t}": float(prediction_difference(wanted, logits, t)) for t in (1, 4)}
    return row


def detection(network: Network, model: Callable[..., Any], data: Dataset, held_out: Dataset, wanted: Tensor) -> Any:
    """The detection output loss on the rows that the search looks at and on test images, and average precision."""
    config, head, found = AdaptiveLp(), network.head, outputs(model, held_out.x)
    assert head is not None and isinstance(held_out.y, DetectionTruth)
    x = data.x[: config.rows]
    return {
        "loss_calib": output_loss([outputs(network, x)], [outputs(model, x)], head, config.threshold),
        "loss_held_out": output_loss([wanted], [found], head, config.threshold),
        "map": evaluate_detector(found, head, held_out.y)["map"],
        "float": evaluate_detector(wanted, head, held_out.y)["map"],
    }


def outputs(run: Callable[..., Any], x: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([run(part) for part in x.split(256)])


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    claim = CLAIMS[args.claim]
    models, points = (
        (given or default).split(",") for given, default in ((args.model, claim.models), (args.points, claim.points))
    )
    iterations = [int(part) for part in (args.iterations or claim.iterations).split(",")]
    done = json.loads(args.out.read_text()) if args.out.exists() else []
    have = {(r["claim"], r["model"], r["point"], r["method"], r["seed"], r["recipe"]) for r in done}
    for model in models:
        for seed in range(args.seeds):
            for trial in claim.trials([model], points, iterations):
                recipe = trial.recipe.describe()
                if (args.claim, model, trial.point, trial.method, seed, recipe) in have:
                    continue
                key = {"claim": args.claim, "model": model, "point": trial.point, "method": trial.method}
                done.append(key | {"seed": seed, "recipe": recipe} | measure(trial, seed))
                args.out.write_text(json.dumps(done, indent=1))
                print({k: v for k, v in done[-1].items() if k not in ("recipe", "notes")}, flush=True)
    print(table([r for r in done if r["claim"] == args.claim], claim.columns))


def table(rows: list[dict[str, Any]], columns: tuple[tuple[str, str, float, int], ...]) -> str:
    """Mean and spread (standard deviation over seeds), a row a method."""
    heads = ["network", "formats", "method", *(heading for _, heading, _, _ in columns), "CPU s", "seeds"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for key in dict.fromkeys((r["model"], r["point"], r["method"]) for r in rows):
        mine = [r for r in rows if (r["model"], r["point"], r["method"]) == key]
        cells = []
        for name, _, factor, digits in columns:
            found = [factor * r[name] for r in mine if r.get(name) is not None]
            spread = f" ± {statistics.stdev(found):.{digits}f}" if len(found) > 1 and len(set(found)) > 1 else ""
            cells.append(f"{statistics.mean(found):.{digits}f}{spread}" if found else "")
        seconds = statistics.mean(r["seconds"] for r in mine)
        lines.append(f"| {' | '.join([*key, *cells])} | {seconds:.1f} | {len(mine)} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claim", choices=list(CLAIMS))
    parser.add_argument("--model", default="", help="MODEL strings, comma-separated; those of the claim by default")
    parser.add_argument("--points", default="", help="WEIGHTS/ACTS, or BITS@GRAIN of weights for nupes and bell")
    parser.add_argument("--iterations", default="", help="of a block; several for flexround")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("claims.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
