"""The accuracy ladder of post-training methods: method x format x seed on a network of the zoo, as a table.

    HWSIM_DATA=FOLDER python tests/benchmarks/ladder.py [--model zoo:fashion_resnet] [--points int4/int4,e2m1/e2m1]
        [--methods "rtn;GPTQ"] [--seeds 3] [--iterations 300] [--out ladder.json]

Weights by channel, activations by tensor, edges at 8 bits, 1,024 calibration rows, 10,000 evaluation rows.
Every run is written to the JSON file as it ends; a second call goes on where the first stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from hwsim.core.assignment import Policy
from hwsim.inputs import DataOptions, calibration_and_evaluation, network_of
from hwsim.quant.metrics import predictions, top1
from hwsim.quant.output_loss import prediction_difference
from hwsim.quant.pipeline import Preparation, quantize_best
from hwsim.quant.recipe import Recipe, compose, parse_recipe
from hwsim.quant.steps import STEPS, step

POINTS = "int4/int4,int3/int3,int2/int4,int2/int2,e2m1/e2m1,e2m0/e2m0"
METHODS = {
    "rtn": "minmax",
    "rtn, L2.4 scales": "lp",
    "+ equalization": "equalize+lp",
    "+ bias correction": "equalize+lp+bias",
    "+ BN re-calibration": "lp+bn",
    "GPTQ": "lp+gptq",
    "GPTQ + BN": "lp+gptq+bn",
    "AdaRound": "lp+adaround",
    "BRECQ": "lp+brecq",
    "joint, no dropping": "lp+joint",
    "QDrop": "lp+qdrop",
    "PD-Quant": "lp+pd-quant",
    "FlexRound": "lp+flexround",
    "NUPES": "lp+nupes",
}


DISTRIBUTION_STEPS = 25  # a batch and block; the paper's code takes 500


def learned(text: str, **settings: Any) -> Recipe:
    """A recipe whose learned rounding has these settings."""
    steps = []
    for word in text.split("+"):
        if word == "joint":  # qdrop without dropping: one of the rungs that facts about the loop are stated for
            steps.append(step("brecq", **settings, steps="joint"))
            continue
        own = settings if STEPS[word].run.startswith("reconstruct") else {}
        own = own | ({"distribution_steps": DISTRIBUTION_STEPS} if word == "pd-quant" else {})
        steps.append(step(word, **own))
    return compose(text, steps)


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    done = json.loads(args.out.read_text()) if args.out.exists() else []
    have = {(r["model"], r["point"], r["method"], r["seed"]) for r in done}
    for seed in range(args.seeds):
        data, held_out = calibration_and_evaluation(args.calib, args.eval, DataOptions(), seed)
        assert held_out is not None and held_out.y is not None
        network = network_of(args.model, data=data)
        prepared = Preparation(network, data.x, seed=seed)
        with torch.no_grad():
            logits = network(held_out.x[:2000])
        reference = top1(predictions(network, held_out.x), held_out.y).value
        for point in args.points.split(","):
            for name in args.methods.split(";") if args.methods else METHODS:
                text = METHODS.get(name, name)
                if (args.model, point, name, seed) in have:
                    continue
                recipe = parse_recipe(text) if "+" not in text else learned(text, iterations=args.iterations)
                weights, acts = point.split("/")
                edge = "int8" if weights.startswith("int") else "e4m3"
                start = time.process_time()
                _, model = quantize_best(prepared, Policy(weights, acts, edge=edge), recipe, seed=seed)
                seconds = time.process_time() - start
                with torch.no_grad():
                    kl = float(prediction_difference(logits, model(held_out.x[:2000])))
                row = {
                    "model": args.model,
                    "point": point,
                    "method": name,
                    "seed": seed,
                    "top1": top1(model.decisions(held_out.x), held_out.y).value,
                    "float": reference,
                    "difference": kl,
                    "cpu_seconds": round(seconds, 2),
                    "iterations": args.iterations,
                }
                done.append(row)
                args.out.write_text(json.dumps(done, indent=1))
                print(row, flush=True)
    print(table(done))


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and spread (standard deviation over seeds) in per cent, a row a method."""
    points = list(dict.fromkeys(r["point"] for r in rows))
    lines = ["| method | " + " | ".join(points) + " |", "|---" * (len(points) + 1) + "|"]
    for method in dict.fromkeys(r["method"] for r in rows):
        cells = []
        for point in points:
            found = [100 * r["top1"] for r in rows if (r["method"], r["point"]) == (method, point)]
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            cells.append(f"{statistics.mean(found):.1f} ± {spread:.1f}" if found else "-")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="zoo:fashion_resnet")
    parser.add_argument("--calib", default="zoo:fashion_mnist#calib")
    parser.add_argument("--eval", default="zoo:fashion_mnist#test")
    parser.add_argument("--points", default=POINTS)
    parser.add_argument("--methods", default="", help="names of the table, or recipes, with ; between; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("ladder.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
