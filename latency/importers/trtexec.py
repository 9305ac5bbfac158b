"""JSON files of TensorRT's trtexec: times of layers (--exportProfile, --exportLayerInfo) and of runs (--exportTimes).

Formats: samples/common/sampleReporting.cpp of NVIDIA/TensorRT @ 052281f and the files that it wrote among the tests of
the engine explorer. Layer times are those of TensorRT's profiler, layers apart from each other; a run's time is its
GPU compute time, without the copies from and to the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hwsim.core.errors import InputError
from hwsim.latency.importers.imported import Imported, Labels, Skipped, Unreadable, settled, summary, wanted
from hwsim.latency.importers.json_files import load, milliseconds
from hwsim.latency.importers.trtexec_layers import layer_kernel
from hwsim.latency.measurements import NETWORK, Measurement

PROFILE, TIMES = "trtexec --exportProfile", "trtexec --exportTimes"
_US_PER_MS = 1000.0


def read_trtexec_profile(path: Path, labels: Labels, layers: Path | None) -> Imported:
    """A kernel row for each layer of a profile whose shape the layer file tells.

    Parameters
    ----------
    layers : the file of --exportLayerInfo of the same engine, made with --profilingVerbosity=detailed.
    """
    entries = _entries(path)
    if layers is None:
        hint = "give the file of --exportLayerInfo (with --profilingVerbosity=detailed) as layers="
        raise InputError("a profile holds names and times, no shapes", where=str(path), hint=hint)
    wanted(labels, "device", str(path))
    known = _layers(layers)
    samples = _count(entries, path)
    rows, skipped = [], []
    for index, entry in enumerate(entries[1:], 1):
        where = f"{path}[{index}]"
        name = str(entry.get("name", ""))
        latency_us = milliseconds(entry, "medianMs" if "medianMs" in entry else "averageMs", where) * _US_PER_MS
        try:
            rows.append(_row(name, latency_us, known, labels, samples))
        except Unreadable as reason:
            skipped.append(Skipped(name, str(reason), 1, latency_us))
    return Imported(PROFILE, tuple(rows), tuple(skipped))


def read_trtexec_times(path: Path, labels: Labels) -> Imported:
    """One network row: median and spread of the runs' compute times. Needs all labels but the runtime."""
    times = [milliseconds(e, "computeMs", f"{path}[{i}]") * _US_PER_MS for i, e in enumerate(_entries(path))]
    device, precision, name = (wanted(labels, key, str(path)) for key in ("device", "precision", "name"))
    if not labels.batch:
        raise InputError("the file does not say its batch", where=str(path), hint="say it: batch = 1")
    median, spread, samples = summary(times)
    if not median:
        raise InputError("computeMs is 0", where=str(path), hint="time runs that compute something")
    runtime = labels.runtime or "tensorrt"
    row = Measurement(
        device, runtime, precision, "nchw", NETWORK, name, labels.batch, None, median, spread, samples, TIMES
    )
    return Imported(TIMES, (row,))


def _row(
    name: str, latency_us: float, known: Mapping[str, Mapping[str, object] | None], labels: Labels, samples: int
) -> Measurement:
    if not latency_us:
        raise Unreadable("took no time")
    if name not in known:
        raise Unreadable("not in the layer file")
    layer = known[name]
    if layer is None:
        raise Unreadable("the layer file has several layers of this name")
    kernel = layer_kernel(layer)
    return Measurement(
        labels.device, labels.runtime or "tensorrt", settled(kernel.precision, labels), kernel.layout, kernel.operator,
        name, kernel.batch, kernel.shape, latency_us, 0.0, samples, PROFILE,
    )  # fmt: skip


def _entries(path: Path) -> list[Mapping[str, object]]:
    value = load(path)
    if not isinstance(value, list) or not value or not all(isinstance(entry, Mapping) for entry in value):
        raise InputError("not a list of objects", where=str(path), hint=f"a file of {PROFILE} or {TIMES} is wanted")
    return value


def _count(entries: list[Mapping[str, object]], path: Path) -> int:
    count = entries[0].get("count")
    if not isinstance(count, int) or count < 1:
        hint = f'a file of {PROFILE} begins with {{"count": runs}}'
        raise InputError(f"count = {count!r:.40}", where=f"{path}[0]", hint=hint)
    return count


def _layers(path: Path) -> dict[str, Mapping[str, object] | None]:
    """Layers by name; None where several have the name."""
    value = load(path)
    layers = value.get("Layers") if isinstance(value, Mapping) else None
    if not isinstance(layers, list):
        raise InputError("key 'Layers' is missing", where=str(path), hint="a file of --exportLayerInfo is wanted")
    if layers and all(isinstance(layer, str) for layer in layers):
        hint = "build and export with --profilingVerbosity=detailed"
        raise InputError("the layers are names alone, without shapes", where=str(path), hint=hint)
    found: dict[str, Mapping[str, object] | None] = {}
    for layer in layers:
        if isinstance(layer, Mapping):
            name = str(layer.get("Name", ""))
            found[name] = None if name in found else layer
    return found
