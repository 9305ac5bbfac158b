"""`hwsim demo`: all three jobs on real data in a few minutes: a Pareto report, a latency prediction, an HLS design."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli import options
from hwsim.cli.output import ProgressLine, emit

if TYPE_CHECKING:
    from hwsim.core.design import DesignPoint
    from hwsim.search.record import RunRecord

CONFIG: dict[str, Any] = {
    "model": {"spec": "zoo:digits_resnet"},
    "formats": {"weights": ["default"], "acts": ["default"]},
    "quant": {"recipes": ["rtn-lp"]},
    "fpga": {"parts": ["kv260", "pynq-z2"]},
    "gpu": {"devices": ["v100", "rtx3090", "tx2"]},
}
GPU_BATCHES = (1, 32)
VERIFIED = 500


def run(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="run directory")] = Path("runs/demo"),
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="processes")] = 2,
    as_json: options.Json = False,
) -> None:
    """Explore, predict and export a small residual network on handwritten digits."""
    start = time.perf_counter()
    from hwsim.api import predict
    from hwsim.exporting import export_design
    from hwsim.study import run_study

    _say("training or loading zoo:digits_resnet (scikit-learn's handwritten digits)")
    line = ProgressLine("exploring")
    resume = (out / "designs.sqlite").exists()
    record = run_study(CONFIG, out, resume=resume, workers=workers, progress=lambda p: line(p.done, p.total))
    _say("predicting GPU latency")
    latencies = {gpu: predict("zoo:digits_resnet", gpu, batch=GPU_BATCHES) for gpu in CONFIG["gpu"]["devices"]}
    design = best_integer(record, CONFIG["fpga"]["parts"][0])
    _say(f"exporting design {design.id} ({design.weights} weights, {design.acts} activations)")
    _, exported = export_design(out, design.id, out / "hls" / design.id, samples=VERIFIED, progress=_say)
    seconds = time.perf_counter() - start
    document = {
        "run_dir": str(out),
        "report": str(out / "report.html"),
        "designs": len(record.designs),
        "latency": {gpu: found.as_dict() for gpu, found in latencies.items()},
        "export": exported.as_dict() | {"design": design.id},
        "seconds": seconds,
    }
    emit(document, as_json, lambda: _five_lines(record, latencies, design, exported, seconds))


def best_integer(record: RunRecord, part: str) -> DesignPoint:
    """The knee among the integer designs of a part that are not ruled out by its size."""
    from hwsim.core.design import ParetoFront

    fitting = [d for d in record.designs if d.part == part and d.family == "integer" and d.buildable]
    integers = fitting or [d for d in record.designs if d.part == part and d.family == "integer"]
    front = ParetoFront.of(part, ("error", "lut"), integers)
    return next(d for d in front.designs if d.id == front.knee)


def _five_lines(record: RunRecord, latencies: Any, design: DesignPoint, exported: Any, seconds: float) -> list[str]:
    score, checked = record.float_score, exported.verification
    assert score is not None and checked is not None
    family_best = {
        family: max(
            (d for d in record.designs if d.family == family and d.part == design.part and d.buildable),
            key=lambda d: (d.metric, -d.objective("lut")[1]),
        )
        for family in ("integer", "minifloat")
    }
    lut = design.lut
    times = "; ".join(f"{gpu} {p.batches[0].latency_us}" for gpu, p in latencies.items())
    return [
        f"1. float accuracy {score.value:.4f} ({score.lo:.4f} to {score.hi:.4f}, {score.n} held-out digits); "
        f"{len(record.designs)} designs explored",
        f"2. {design.part}: the integer knee is {design.weights} weights x {design.acts} activations: accuracy "
        f"{design.metric:.4f} for {lut}, {design.latency_us}; fits: {design.fits}",
        "3. most accurate that fits, by family: "
        + ", ".join(f"{f} {d.weights} x {d.acts} {d.metric:.4f} ({d.lut})" for f, d in family_best.items()),
        f"4. GPU latency at batch 1, fp32: {times}",
        f"5. HLS design {exported.project.folder}: {checked.mismatches} mismatches in {checked.samples} samples of C "
        f"simulation; {seconds:.0f} s in all",
        f"report: {record.run_dir / 'report.html'}",
    ]


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
