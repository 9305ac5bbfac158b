"""hwsim against Brevitas 0.13.4: accuracy and time, same network, data, formats and edge policy, taking turns.

    HWSIM_DATA=FOLDER python tests/benchmarks/compare_brevitas.py --threads 2 --out comparison.jsonl

makes an environment for Brevitas where there is none, runs every case on both sides in turn, keeps a line a case in
`--out` (a second call goes on where the first stopped), and prints two tables: top-1 on the evaluation images, and
seconds. `--table` prints them from the file without running anything.

Both sides quantize weights by output channel (narrow, symmetric), activations by tensor (integers unsigned after a
ReLU, minifloats signed without Inf and NaN), first and last compute layer at 8 bits, with float scales. Percentiles
(minifloats: maxima) are means over batches of 64 images on both sides. Capturing the module is timed apart: hwsim's
torch.export checks more than Brevitas' symbolic trace, once a network.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.api import quantize
from hwsim.capture.data_spec import load_data
from hwsim.capture.graph import capture
from hwsim.capture.model_spec import load_model
from hwsim.quant.metrics import predictions
from hwsim.zoo.weights import cache_folder

VERSION = "0.13.4"
PACKAGES = ["torch==2.13.0", f"brevitas=={VERSION}", "tqdm", "accelerate", "onnx"]
FORMATS = ("int8", "int6", "int4", "int3", "e4m3", "e3m2", "e2m3", "e2m1")
CALIBRATION_ROWS = 1024
ROOT = Path(__file__).resolve().parents[2]


def learned(iterations: int, rate: float, parametrization: str = "hard_sigmoid") -> dict[str, Any]:
    """Brevitas' learned rounding; the regulariser goes with its hard sigmoid."""
    return {
        "iterations": iterations,
        "batch": 32,
        "lr": rate,
        "parametrization": parametrization,
        "regularise": parametrization == "hard_sigmoid",
        "amp": False,
    }


@dataclass(frozen=True, slots=True)
class Technique:
    """One row of the comparison.

    Attributes
    ----------
    steps : words of hwsim's grammar; `settings` change a step's, `minifloats` those of some for minifloats.
    brevitas : settings of a job (`brevitas_peer.Job`) for every format; `by_format` changes them for some.
    phase : the step of Brevitas that the technique adds to rounding to nearest, or empty.
    """

    steps: tuple[str, ...]
    brevitas: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    minifloats: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    by_format: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    phase: str = ""


# Brevitas' settings are the best that were found among its options on `zoo:fashion_resnet` with one calibration set,
# chosen on the evaluation images, which favours it: for all formats activation scales by percentile (99.9 to 99.999),
# maximum and MSE, weight scales by maximum and MSE; for int4, int3 and e2m1 both switches of GPTQ, and hard-sigmoid and
# identity rounding at rates of 1e-3 to 3e-2. Differences below 0.2 points counted as noise and went to the faster
# setting or the one that serves more formats. float16 autocast (three times slower on processors) and BREVITAS_JIT (it
# fails with MSE scales and is no faster without) stay off; `round_reg` anneals over the iterations asked for, not over
# its default of 1000.
_WIDE_FLOATS: dict[str, Mapping[str, Any]] = {fmt: {"acts": "stats"} for fmt in ("e4m3", "e3m2", "e2m3")}
_MINIFLOATS = ("e4m3", "e3m2", "e2m3", "e2m1")


def _learned_rounding(iterations: int) -> Technique:
    """Hard sigmoid with its regulariser for integers; for minifloats the identity, which alone starts at nearest."""
    by_format = {fmt: {"learned": learned(iterations, 1e-3, "identity")} for fmt in _MINIFLOATS}
    return Technique(
        ("mse", "weights-minmax", "adaround"),
        {"acts": "mse", "learned": learned(iterations, 1e-2)},
        {"adaround": {"iterations": iterations, "batch": 32}},
        by_format={fmt: {**by_format.get(fmt, {}), **_WIDE_FLOATS.get(fmt, {})} for fmt in _MINIFLOATS},
        phase="learned",
    )


TECHNIQUES: dict[str, Technique] = {
    "rtn": Technique(
        ("percentile", "weights-minmax"),
        {"acts": "stats"},
        {"percentile": {"batch": 64}},
        {"percentile": {"batch": 64, "percent": 100}},
    ),
    "rtn-mse": Technique(("mse", "weights-minmax"), {"acts": "mse"}),
    "bias": Technique(
        ("mse", "weights-minmax", "bias"),
        {"acts": "mse", "bias_correction": True},
        by_format=_WIDE_FLOATS,
        phase="bias_correction",
    ),
    "equalize-bias": Technique(
        ("equalize", "mse", "weights-minmax", "bias"),
        {"acts": "mse", "equalize": 20, "bias_correction": True},
        by_format=_WIDE_FLOATS,
        phase="bias_correction",
    ),
    "gptq": Technique(
        ("mse", "weights-minmax", "gptq"),
        {"acts": "mse", "gptq": {"act_order": True, "quant_activations": True}},
        by_format=_WIDE_FLOATS,
        phase="gptq",
    ),
    "learned-300": _learned_rounding(300),
    "learned-1000": _learned_rounding(1000),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One side's result of one case; `hits` are packed bits, one an evaluation image, in base64.

    `seconds`: `capture` (from the module to a graph), `make` (from the graph to the quantized network), `evaluate`,
    `float_evaluate`, and on Brevitas' side its steps; `cpu_seconds` the same in processor time.
    """

    side: str
    technique: str
    fmt: str
    seed: int
    top1: float
    float_top1: float
    hits: str
    seconds: Mapping[str, float]
    cpu_seconds: Mapping[str, float]


def main() -> None:
    options = _options()
    if options.table:
        print(tables(read_rows(options.out)))
        return
    torch.set_num_threads(options.threads)
    python = brevitas_environment(options.env)
    model = load_model(options.model).model
    assert isinstance(model, nn.Module)
    with tempfile.TemporaryDirectory() as folder:
        data = write_inputs(Path(folder), model, options)
        with Peer(python, options, Path(folder)) as peer:
            compare(peer, model, data, options)
    print(tables(read_rows(options.out)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="hwsim against Brevitas")
    parser.add_argument("--env", type=Path, default=cache_folder() / "brevitas", help="Brevitas' environment")
    parser.add_argument("--model", default="zoo:fashion_resnet", help="MODEL: zoo:NAME or file.py:factory")
    parser.add_argument("--calib", default="zoo:fashion_mnist#train", help="DATA to draw calibration rows from")
    parser.add_argument("--eval", default="zoo:fashion_mnist#test", help="DATA to evaluate on")
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS)
    parser.add_argument("--techniques", nargs="+", default=tuple(TECHNIQUES), choices=tuple(TECHNIQUES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("compare_brevitas.jsonl"))
    parser.add_argument("--table", action="store_true", help="only print the tables of --out")
    return parser.parse_args()


def brevitas_environment(folder: Path) -> Path:
    """The interpreter of an environment with Brevitas, made where it is missing (about a minute)."""
    python = folder / "bin" / "python"
    probe = (
        f"from importlib.metadata import version as v; assert v('brevitas') == '{VERSION}'; v('onnx'); v('accelerate')"
    )
    if not python.exists() or subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode:
        print(f"making an environment with Brevitas {VERSION} in {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def write_inputs(folder: Path, model: nn.Module, options: argparse.Namespace) -> dict[str, Tensor]:
    """Weights and data for the peer in `folder`; the same tensors for this side."""
    held_out, pool = load_data(options.eval), load_data(options.calib)
    assert isinstance(held_out.y, Tensor) and isinstance(pool.y, Tensor)
    data = {"x_test": held_out.x, "y_test": held_out.y}
    for seed in range(options.seeds):
        rows = np.random.default_rng(seed).choice(len(pool), CALIBRATION_ROWS, replace=False)
        data |= {f"x_calib_{seed}": pool.x[rows], f"y_calib_{seed}": pool.y[rows]}
    np.savez(folder / "data.npz", **{name: value.numpy() for name, value in data.items()})
    torch.save(model.state_dict(), folder / "weights.pt")
    return data


class Peer:
    """Brevitas in a process of its own, which answers one job at a time."""

    def __init__(self, python: Path, options: argparse.Namespace, folder: Path) -> None:
        script = Path(__file__).with_name("brevitas_peer.py")
        arguments = [options.model, folder / "weights.pt", folder / "data.npz", "--threads", options.threads]
        threads = {"OMP_NUM_THREADS": str(options.threads)}
        self.log = folder / "brevitas.log"
        self.process = subprocess.Popen(
            [python, script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env={**os.environ, **threads, "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"},
        )

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended: " + self.log.read_text()[-2000:]}
        if "error" in answer:
            raise RuntimeError(f"Brevitas: {answer['error']}\nin {json.dumps(job)}")
        return answer


def compare(peer: Peer, model: nn.Module, data: dict[str, Tensor], options: argparse.Namespace) -> None:
    """Run what `--out` does not hold yet, the two sides in turn, after a run of each that is not kept."""
    done = {(row.side, row.technique, row.fmt, row.seed) for row in read_rows(options.out)}
    sides = {
        "hwsim": lambda *case: run_hwsim(model, data, *case),
        "brevitas": lambda *case: run_brevitas(peer, *case),
    }
    for run in sides.values():
        run(options.techniques[0], options.formats[0], 0)
    turn = 0
    for seed in range(options.seeds):
        for fmt in options.formats:
            for technique in options.techniques:
                turn += 1
                for side in sorted(sides, reverse=bool(turn % 2)):
                    if (side, technique, fmt, seed) in done:
                        continue
                    row = sides[side](technique, fmt, seed)
                    with options.out.open("a") as file:
                        file.write(json.dumps(asdict(row)) + "\n")
                    print(f"{side:8} {technique:13} {fmt} seed {seed}: {row.top1:.4f}", file=sys.stderr, flush=True)


def edge_of(fmt: str) -> str:
    """8 bits of the same family."""
    return "int8" if fmt.startswith("int") else "e4m3"


def run_brevitas(peer: Peer, technique: str, fmt: str, seed: int) -> Row:
    """One case on Brevitas' side."""
    plan = TECHNIQUES[technique]
    settings = {**plan.brevitas, **plan.by_format.get(fmt, {})}
    answer = peer.ask({"fmt": fmt, "edge": edge_of(fmt), "seed": seed, **settings})
    clocks = {}
    for clock in ("seconds", "cpu_seconds"):
        steps = answer[clock]
        apart = ("capture", "evaluate", "float_evaluate")
        clocks[clock] = {**steps, "make": sum(s for name, s in steps.items() if name not in apart)}
    return Row("brevitas", technique, fmt, seed, answer["top1"], answer["float_top1"], answer["hits"], **clocks)


def run_hwsim(model: nn.Module, data: dict[str, Tensor], technique: str, fmt: str, seed: int) -> Row:
    """One case on hwsim's side."""
    plan, marks = TECHNIQUES[technique], [(time.perf_counter(), time.process_time())]
    x = data[f"x_calib_{seed}"]
    network = capture(model, x[:1])
    marks.append((time.perf_counter(), time.process_time()))
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as recipe:
        recipe.write(f"steps = {json.dumps(plan.steps)}\n")
        for step, settings in {**plan.settings, **(plan.minifloats if fmt in _MINIFLOATS else {})}.items():
            recipe.write(f"[{step}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
        recipe.flush()
        made = quantize(network, x, weights=fmt, acts=fmt, edge=edge_of(fmt), recipe=recipe.name, seed=seed)
    marks.append((time.perf_counter(), time.process_time()))
    decisions = made.model.decisions(data["x_test"])
    marks.append((time.perf_counter(), time.process_time()))
    reference = predictions(made.calibration.network, data["x_test"])
    marks.append((time.perf_counter(), time.process_time()))
    spans = [
        dict(
            zip(
                ("capture", "make", "evaluate", "float_evaluate"), np.diff([mark[clock] for mark in marks]), strict=True
            )
        )
        for clock in (0, 1)
    ]
    y = data["y_test"].numpy()
    hits, float_hits = (np.asarray(d).ravel() == y for d in (decisions, reference))
    packed = base64.b64encode(np.packbits(hits).tobytes()).decode()
    return Row("hwsim", technique, fmt, seed, float(hits.mean()), float(float_hits.mean()), packed, *spans)


def read_rows(path: Path) -> list[Row]:
    """The rows that are already there."""
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def tables(rows: list[Row]) -> str:
    """Accuracy and time as Markdown."""
    cases = {(row.technique, row.fmt): None for row in rows}
    accuracy = [
        "| technique | format | Brevitas | hwsim | difference | standard error | |",
        "|---|---|---|---|---|---|---|",
    ]
    seconds = [
        "| technique | format | make: Brevitas | hwsim | ratio | step: Brevitas | hwsim | ratio "
        "| evaluate: Brevitas | hwsim | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    paired: list[tuple[Row, Row]] = []
    base = {(r.fmt, r.seed): r.seconds["make"] for r in rows if (r.side, r.technique) == ("hwsim", "rtn-mse")}
    for technique, fmt in cases:
        theirs, ours = (
            sorted((r for r in rows if (r.side, r.technique, r.fmt) == (side, technique, fmt)), key=lambda r: r.seed)
            for side in ("brevitas", "hwsim")
        )
        pairs = [(a, b) for a in theirs for b in ours if a.seed == b.seed]
        paired += pairs
        if pairs:
            accuracy.append(f"| {technique} | {fmt} | {_accuracy(pairs)} |")
            step = _step_seconds(pairs, TECHNIQUES[technique].phase, base)
            columns = [_seconds(pairs, "make"), step, _seconds(pairs, "evaluate")]
            seconds.append(f"| {technique} | {fmt} | {' | '.join(columns)} |")
    apart = [f"{step}: {_seconds(paired, step)}" for step in ("capture", "float_evaluate")] if paired else []
    return "\n".join([*accuracy, "", *seconds, "", "Not in `make` (Brevitas | hwsim | ratio):", *apart])


def _accuracy(pairs: list[tuple[Row, Row]]) -> str:
    """Means with spread over seeds, their difference in points and its standard error (images and seeds)."""
    columns = [[row.top1 * 100 for row in side] for side in zip(*pairs, strict=True)]
    spreads = [stdev(column) if len(column) > 1 else 0.0 for column in columns]
    per_image = np.mean([unpacked(b.hits) - unpacked(a.hits) for a, b in pairs], axis=0)
    difference = mean(columns[1]) - mean(columns[0])
    image_error = 100 * per_image.std() / np.sqrt(len(per_image))
    error = float(np.sqrt(image_error**2 + sum(s**2 for s in spreads) / len(pairs)))
    verdict = "better" if difference > 2 * error else "worse" if difference < -2 * error else "equal"
    shown = [f"{mean(c):.2f} ± {s:.2f}" for c, s in zip(columns, spreads, strict=True)]
    return " | ".join([*shown, f"{difference:+.2f}", f"{error:.2f}", verdict])


def unpacked(hits: str) -> NDArray[np.float64]:
    """1 where an image was decided rightly, filled up with zeros to whole bytes."""
    return np.unpackbits(np.frombuffer(base64.b64decode(hits), np.uint8)).astype(np.float64)


def _seconds(pairs: list[tuple[Row, Row]], step: str) -> str:
    """Medians of both sides and the median of their ratios."""
    return _shown([(a.seconds.get(step, 0.0), b.seconds.get(step, 0.0)) for a, b in pairs])


def _step_seconds(pairs: list[tuple[Row, Row]], phase: str, base: Mapping[tuple[str, int], float]) -> str:
    """The technique alone: Brevitas' step; what hwsim takes longer than to round to nearest with the same scales."""
    if not phase or any((b.fmt, b.seed) not in base for _, b in pairs):
        return "| |"
    return _shown([(a.seconds[phase], max(b.seconds["make"] - base[b.fmt, b.seed], 1e-3)) for a, b in pairs])


def _shown(pairs: list[tuple[float, float]]) -> str:
    theirs, ours = (median(side) for side in zip(*pairs, strict=True))
    return f"{theirs:.2f} | {ours:.2f} | {median(a / max(b, 1e-9) for a, b in pairs):.2f}"


if __name__ == "__main__":
    main()
