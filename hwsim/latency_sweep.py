"""Latency of a study's designs by batch size: the GPU designs on its fronts, predicted again from the store alone."""

from __future__ import annotations

from dataclasses import replace

from hwsim.core.assignment import Assignment, LayerFormats
from hwsim.core.cost import LatencyPrediction
from hwsim.core.design import DesignPoint
from hwsim.core.devices import Gpu
from hwsim.core.errors import HwsimError, UnsupportedError
from hwsim.core.scaled import Scaled, parse
from hwsim.latency import predict
from hwsim.reports.latency import Latencies, Timed
from hwsim.reports.words import pair_names
from hwsim.search.record import RunRecord

BATCHES = (1, 4, 16, 64, 256)
MOST = 6
"""So many designs at most: a front's further designs differ little, and each has bars and a roofline in print."""


def study_latencies(record: RunRecord) -> Latencies | None:
    """Batch sweeps of the GPU designs on the fronts; None where there are none or none can be predicted."""
    knobs, names, gpus = record.config.gpu, pair_names(record.designs), {gpu.name: gpu for gpu in record.gpus}
    designs = _chosen(record)
    timed, notes = [], []
    for design in designs[:MOST]:
        gpu = gpus[design.device or ""]
        label = f"{names[design.id]} on {gpu.title}"
        try:
            prediction = _predicted(record, design, gpu)
        except HwsimError as error:
            notes.append(f"{label} is left out: {error.message}")
            continue
        timed.append(Timed(f"{label}, {prediction.precision}, {prediction.runtime}", prediction, gpu))
    if designs[MOST:]:
        notes.append(f"{len(designs[MOST:])} further latencies of the fronts are left out")
    if not timed:
        return None
    return Latencies(record.workload.name, tuple(timed), batch=knobs.batch, notes=tuple(notes))


def _chosen(record: RunRecord) -> list[DesignPoint]:
    """Knees of the fronts of error against GPU latency, then their other designs; one for each latency of a device."""
    devices = {gpu.name for gpu in record.gpus}
    fronts = [f for f in record.fronts if f.objectives == ("error", "latency_us") and f.target in devices]
    knees = [d for front in fronts for d in front.designs if d.id == front.knee]
    rest = [d for front in fronts for d in front.designs if d.id != front.knee]
    found: dict[tuple[str | None, str, float], DesignPoint] = {}
    for design in (*knees, *rest):
        found.setdefault((design.device, design.setting, design.latency_us.mid), design)
    return list(found.values())


def _predicted(record: RunRecord, design: DesignPoint, gpu: Gpu) -> LatencyPrediction:
    knobs = record.config.gpu
    known = {layer.name for layer in record.workload}
    if other := [name for row in design.layers if (name := str(row["name"])) not in known]:
        raise UnsupportedError(f"its recipe changed the layers ({other[0]!r} is new)", where=design.id)
    found = predict(
        record.workload,
        gpu,
        batches=sorted({*BATCHES, knobs.batch}),
        precision=knobs.precision,
        runtime=knobs.runtime,
        assignment=_assignment(design),
    )
    (now,) = (b.latency_us.mid for b in found.batches if b.batch == knobs.batch)
    stored = design.latency_us.mid
    if abs(now - stored) <= 1e-6 * stored:
        return found
    changed = f"predicted again for this page; the study's own figure at batch {knobs.batch} is {stored:,.0f} us"
    return replace(found, notes=(*found.notes, changed))


def _assignment(design: DesignPoint) -> Assignment:
    """Formats of the compute layers, from the design's layer table."""
    layers = {
        str(row["name"]): LayerFormats(parse(row["weight"]) if row.get("weight") else None, _acts(row["act"]))
        for row in design.layers
        if row.get("act")
    }
    return Assignment(layers, {})


def _acts(text: str) -> tuple[Scaled, ...]:
    return tuple(parse(part) for part in text.split(","))
