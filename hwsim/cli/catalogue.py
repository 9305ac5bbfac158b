"""`hwsim formats`, `devices`, `parts`, `recipes`: what there is, with sources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from hwsim.cli import options
from hwsim.cli.output import emit, table
from hwsim.core.formats import Native, default_grid
from hwsim.core.scaled import Scaled, parse

LISTED_BITS = 10
OTHERS = (
    "uint8 uint4 e4m3fn e5m2ieee e4m3fnuz e5m2fnuz e4m3b11fnuz ue2m2 pow4 pow8 binary mxint8 mxfp4 mxfp6_e2m3 "
    "mxfp6_e3m2 mxfp8_e4m3 mxfp8_e5m2 nvfp4 fp32 fp16 bf16 none"
).split()


def run_formats(
    fmt: Annotated[str | None, typer.Argument(metavar="[FMT]", help="one format; all by default")] = None,
    as_json: options.Json = False,
) -> None:
    """List number formats, or one with all its values."""
    if fmt is not None:
        document = describe(parse(fmt), str(fmt))
        emit(document, as_json, lambda: _format_lines(document))
        return
    names = [str(f) for f in default_grid()] + OTHERS
    rows = [describe(parse(name), name) for name in names]
    columns = ("name", "bits", "max", "smallest", "block", "scale")
    emit(
        {"formats": rows},
        as_json,
        lambda: table(columns, ([r[c] for c in columns] for r in rows), right=(1, 2, 3)),
    )


def describe(spec: Scaled, name: str) -> dict[str, Any]:
    """A format as JSON values; `values` up to 10 bits."""
    fmt = spec.format
    listed = not isinstance(fmt, Native) and fmt.bits <= LISTED_BITS
    return {
        "name": spec.label if spec.mx_name else name,
        "bits": spec.bits,
        "max": fmt.max,
        "smallest": fmt.smallest,
        "block": spec.block,
        "scale": "none" if spec.is_native else spec.scale,
        "values": [float(v) for v in fmt.values()] if listed else None,
    }


def _format_lines(document: dict[str, Any]) -> Iterator[str]:
    for key in ("name", "bits", "max", "smallest", "block", "scale"):
        yield f"{key}: {document[key]}"
    values = document["values"]
    if values is not None:
        yield f"{len(values)} values: " + " ".join(f"{v:g}" for v in values)


def run_devices(as_json: options.Json = False) -> None:
    """List GPUs with their sources."""
    from hwsim.latency import devices

    found = devices().values()
    rows = [
        {
            "name": d.name,
            "title": d.title,
            "sms": d.sms,
            "dram_gbps": d.dram_gbps,
            "native": list(d.native),
            "source": d.source,
        }
        for d in found
    ]
    headers = ("name", "device", "SMs", "DRAM GB/s", "executes")
    body = [(r["name"], r["title"], r["sms"], r["dram_gbps"], " ".join(r["native"])) for r in rows]  # type: ignore[arg-type]
    emit({"devices": rows}, as_json, lambda: table(headers, body, right=(2, 3)))


def run_parts(as_json: options.Json = False) -> None:
    """List FPGA parts with their sources."""
    from hwsim.cost_models import parts

    keys = ("name", "title", "lut", "ff", "dsp", "bram18", "uram", "dsp_type", "clock_mhz", "source")
    rows = [{key: getattr(p, key) for key in keys} for p in parts().values()]
    shown = keys[:-1]
    emit({"parts": rows}, as_json, lambda: table(shown, ([r[k] for k in shown] for r in rows), right=range(2, 7)))


def run_recipes(as_json: options.Json = False) -> None:
    """List recipes and the steps they are made of."""
    from hwsim.quant.papers import RECIPES
    from hwsim.quant.steps import STEPS

    recipes = [
        {
            "name": name,
            "summary": entry.summary,
            "steps": entry.recipe.describe(),
            "cost": entry.cost,
            "source": entry.source,
            "chosen": entry.chosen,
        }
        for name, entry in RECIPES.items()
    ]
    steps = [{"name": name, "kind": entry.kind, "summary": entry.summary} for name, entry in STEPS.items()]

    def lines() -> Iterator[str]:
        headers = ("recipe", "what it does", "time", "source")
        yield from table(headers, [(r["name"], r["summary"], r["cost"], r["source"]) for r in recipes])
        yield ""
        yield from table(("step", "kind", "what it does"), [(s["name"], s["kind"], s["summary"]) for s in steps])

    emit({"recipes": recipes, "steps": steps}, as_json, lines)
