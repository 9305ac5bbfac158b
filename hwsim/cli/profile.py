"""`hwsim profile`: measure this machine's device."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from hwsim.cli import options
from hwsim.cli.output import emit, table
from hwsim.core.errors import InputError, nearest

_DEVICES = ("auto", "cuda", "cpu")
_PRECISIONS = {"cuda": "fp32,fp16", "cpu": "fp32"}


def run(
    device: Annotated[str, typer.Option("--device", metavar="auto|cuda|cpu", help="auto takes a GPU if any")] = "auto",
    precision: Annotated[
        str | None,
        typer.Option("--precision", metavar="P[,P]", help="fp32, tf32, fp16, bf16 [fp32,fp16 of a GPU; fp32 of a CPU]"),
    ] = None,
    layout: Annotated[str, typer.Option("--layout", metavar="nchw|nhwc", help="of images and weights")] = "nchw",
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="of a CPU [as torch has them]")] = None,
    networks: Annotated[bool, typer.Option("--networks/--no-networks", help="time a few whole networks, too")] = True,
    minutes: Annotated[float, typer.Option("--minutes", metavar="M", help="nothing is begun later")] = 3.0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="where to write [./profile-DEVICE]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with what DIR holds")] = False,
    as_json: options.Json = False,
) -> int:
    """Measure kernels and networks on this machine's GPU or CPU, and write a device file for `hwsim predict`."""
    if device not in _DEVICES:
        raise InputError(f"{device!r}", where="--device", hint=nearest(device, _DEVICES))
    import torch

    from hwsim.latency.profile.identity import identify
    from hwsim.latency.profile.session import Request, Session, paths

    kind = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    words = tuple(dict.fromkeys((precision or _PRECISIONS[kind]).split(",")))
    count = torch.get_num_threads() if threads is None else threads
    request = Request(kind, words, layout, count, networks, minutes)
    request.settings()
    folder = out or Path(f"profile-{identify(kind).name}")
    session = Session(request, folder, resume)
    try:
        result = session.run()
    except KeyboardInterrupt:
        sys.stderr.write(f"profile: interrupted; what was measured is in {folder}; --resume goes on\n")
        raise
    document = {
        "rows": result.rows, "new": result.new, "device": result.device, "title": result.title, "error": None,
        "seconds": result.seconds, "skipped": result.skipped, "left": result.left, "stopped": result.stopped or None,
        "paths": paths(folder),
    }  # fmt: skip
    emit(document, as_json, lambda: _lines(document))
    return 1 if result.stopped else 0


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"{document['new']} new of {document['rows']} rows of {document['title']} in {document['seconds']} s"
    yield from table(("what", "file"), [(what, path) for what, path in document["paths"].items()])
    for skip in document["skipped"]:
        yield f"note: {skip['what']}: {skip['reason']}"
    left = [f"{count} {what}" for what, count in document["left"].items() if count]
    if left:
        yield f"note: time was up before {' and '.join(left)}: --resume goes on"
    if document["stopped"]:
        yield f"note: the device stopped: {document['stopped']}"
    yield f"use it: hwsim predict .. --device {document['paths']['device']}"
