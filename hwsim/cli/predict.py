"""`hwsim predict`: GPU latency before deployment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hwsim.cli import options
from hwsim.cli.output import emit, table
from hwsim.core.cost import LatencyPrediction
from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError


def run(
    model: options.Model,
    device: Annotated[str, typer.Option("--device", metavar="DEV[,DEV..]", help="GPUs (hwsim devices) or TOML files")],
    batch: Annotated[str, typer.Option("--batch", metavar="N[,N..]", help="batch sizes")] = "1",
    precision: Annotated[str | None, typer.Option("--precision", metavar="P", help="fp32, fp16, int8, ...")] = None,
    runtime: Annotated[str, typer.Option("--runtime", metavar="eager|compiled|tensorrt")] = "eager",
    layout: Annotated[str, typer.Option("--layout", metavar="nchw|nhwc", help="images in memory")] = "nchw",
    weights: Annotated[
        str, typer.Option("--weights", metavar="FMT", help="weight format of a quantized network")
    ] = "none",
    acts: Annotated[
        str, typer.Option("--acts", metavar="FMT", help="activation format of a quantized network")
    ] = "none",
    deadline_us: Annotated[
        float | None, typer.Option("--deadline-us", metavar="T", help="report the miss probability")
    ] = None,
    input_shape: options.InputShape = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="write the latency page of the network")
    ] = None,
    calibration: Annotated[
        str, typer.Option("--calibration", metavar="FILE|none", help="of the device [what hwsim calibrate gpu kept]")
    ] = "auto",
    as_json: options.Json = False,
) -> None:
    """Predict the latency of a network on a GPU, with an interval, without the GPU."""
    if deadline_us is not None and deadline_us <= 0:
        raise InputError(f"{deadline_us}", where="--deadline-us", hint="a positive number of microseconds")
    sizes = options.batches_of(batch)
    from hwsim.api import predict
    from hwsim.inputs import network_of
    from hwsim.latency import device as device_named

    gpus = {name: device_named(name) for name in options.devices_of(device)}
    network = network_of(model, input_shape=options.shape_of(input_shape))
    knobs: dict[str, Any] = {"precision": precision, "runtime": runtime, "layout": layout}
    knobs |= {"weights": weights, "acts": acts}
    knobs["calibration"] = calibration
    found = [predict(network, name, batch=sizes, deadline_us=deadline_us, **knobs) for name in gpus]
    rows = [prediction.as_dict() for prediction in found]
    document: dict[str, Any] = rows[0] if len(rows) == 1 else {"devices": rows}
    if report is not None:
        name = model if (weights, acts) == ("none", "none") else f"{model}: {weights} weights, {acts} activations"
        document["report"] = str(_write_page(name, tuple(gpus.values()), found, deadline_us, report))
    emit(document, as_json, lambda: _all_lines(found, report))


def _write_page(
    name: str, gpus: Sequence[Gpu], found: Sequence[LatencyPrediction], deadline_us: float | None, path: Path
) -> Path:
    from hwsim.reports import write_latency_page
    from hwsim.reports.latency import Latencies, Timed

    timed = (Timed(f"{gpu.title}, {x.precision}, {x.runtime}", x, gpu) for gpu, x in zip(gpus, found, strict=True))
    return write_latency_page(Latencies(name, tuple(timed), deadline_us=deadline_us), path)


def _all_lines(found: Sequence[LatencyPrediction], report: Path | None) -> Iterator[str]:
    for place, prediction in enumerate(found):
        if place:
            yield ""
        yield from _lines(prediction)
    if report is not None:
        yield f"report: {report}"


def _lines(prediction: LatencyPrediction) -> Iterator[str]:
    yield f"{prediction.device}, {prediction.runtime}, {prediction.precision}"
    rows = []
    for b in prediction.batches:
        t = b.latency_us
        miss = "-" if b.p_miss is None else f"{b.p_miss:.3f}"
        rows.append(
            (b.batch, t.mid, f"{t.lo:,.0f} to {t.hi:,.0f}", t.coverage, miss, "yes" if b.out_of_domain else "no")
        )
    headers = ("batch", "latency us", "interval us", "coverage", "P(miss)", "out of domain")
    yield from table(headers, rows, right=(0, 1, 2, 3, 4))
    slowest = sorted(prediction.batches[0].layers, key=lambda k: -k.latency_us)[:10]
    yield f"\nslowest kernels at batch {prediction.batches[0].batch}"
    kernels = [(k.name, k.kind, k.latency_us, k.bound, k.precision) for k in slowest]
    yield from table(("kernel", "kind", "us", "bound by", "precision"), kernels, right=(2,))
    for note in prediction.notes:
        yield f"note: {note}"
