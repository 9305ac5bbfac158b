"""The data behind the live half of a latency page: predictions by batch, bars, points of the roofline, packed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from hwsim.core.cost import BatchLatency
from hwsim.reports.latency import (
    Latencies,
    Timed,
    attained,
    bound_legend,
    kernel_bars,
    per_second,
    rate_unit,
    roofline_caption,
    roofs,
    rows_of,
)
from hwsim.reports.latency_figures import batch_ticks, line_style
from hwsim.reports.pagedata import Pool, embed, json_number
from hwsim.reports.style import BOUNDS


def latency_data(latencies: Latencies) -> str:
    """JSON, safe inside a `script` element; columns that return (names, precisions) are written once."""
    columns = Pool()
    timed = [_timed(place, t, columns) for place, t in enumerate(latencies.timed)]
    used = {k.precision for t in latencies.timed for b in t.prediction.batches for k in b.layers}
    return embed(
        {
            "timed": timed,
            "columns": [json.loads(text) for text in columns.items],
            "bounds": {name: asdict(style) for name, style in BOUNDS.items()},
            "sizes": latencies.sizes,
            "ticks": batch_ticks(latencies.sizes),
            "batch": latencies.shown,
            "deadline": latencies.deadline_us,
            "unit": rate_unit(used),
        }
    )


def _timed(place: int, timed: Timed, columns: Pool) -> dict[str, Any]:
    colour, dashed = line_style(place)
    return {
        "label": timed.label,
        "colour": colour,
        "dash": "dash" if dashed else "solid",
        "roofs": [{key: roof[key] for key in ("ops", "gbps", "label")} for roof in roofs(timed)],
        "batches": [_batch(timed, found, columns) for found in timed.sweep],
    }


def _batch(timed: Timed, found: BatchLatency, columns: Pool) -> dict[str, Any]:
    time, points = found.latency_us, attained(found.layers)

    def column(values: list[Any]) -> int:
        return columns.of(json.dumps(values, separators=(",", ":")))

    return {
        "batch": found.batch,
        "us": [json_number(x) for x in (time.lo, time.mid, time.hi)],
        "rate": [json_number(per_second(found.batch, x)) for x in (time.hi, time.mid, time.lo)],
        "out": found.out_of_domain,
        "bars": rows_of(kernel_bars(found.layers)),
        "legend": bound_legend(found.layers),
        "caption": roofline_caption(timed, found),
        "whole": json_number(sum(k.latency_us for k in found.layers)),
        "x": column([json_number(x) for x, _, _ in points]),
        "y": column([json_number(y) for _, y, _ in points]),
        "time": column([json_number(k.latency_us) for _, _, k in points]),
        "name": column([k.name for _, _, k in points]),
        "what": column([f"{k.kind}, {k.precision}" for _, _, k in points]),
        "bound": column([k.bound for _, _, k in points]),
    }
