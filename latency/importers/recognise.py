"""A file of measured times, whatever tool wrote it: its format is told by its content, never by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hwsim.core.errors import InputError
from hwsim.latency.importers.hw_nas_bench import HW_NAS_BENCH, read_hw_nas_bench
from hwsim.latency.importers.imported import Imported, Labels
from hwsim.latency.importers.json_files import content, load
from hwsim.latency.importers.tables import EASY, OWN, read_csv
from hwsim.latency.importers.torch_trace import TRACE, read_torch_trace
from hwsim.latency.importers.trtexec import PROFILE, TIMES, read_trtexec_profile, read_trtexec_times

FORMATS = (OWN, EASY, PROFILE, TIMES, TRACE, HW_NAS_BENCH)
_HINT = f"formats: {', '.join(FORMATS)}"


def read_measurements(
    path: Path,
    *,
    device: str = "",
    runtime: str = "",
    precision: str = "",
    name: str = "",
    batch: int = 0,
    layers: Path | None = None,
) -> Imported:
    """Read a file of measured times.

    Parameters
    ----------
    device, runtime, precision : said where the file does not say them; of a table, rows without them. Precision `tf32`
        renames fp32. For HW-NAS-Bench, `device` chooses the column.
    name, batch : of the network whose runs `trtexec --exportTimes` timed.
    layers : the file of `trtexec --exportLayerInfo` that belongs to a profile.

    Raises
    ------
    InputError
        For a file of no known format, a bad one, one that does not say what was not given either, or one in which no
        entry gives a row.
    """
    found = _read(path, Labels(device, runtime, precision, name, batch), layers)
    if not found.rows:
        reasons = "; ".join(dict.fromkeys(f"{s.name:.60}: {s.reason}" for s in found.skipped[:3]))
        hint = f"skipped {len(found.skipped)}: {reasons}" if reasons else _HINT
        raise InputError(f"no measurement in this {found.format}", where=str(path), hint=hint)
    return found


def _read(path: Path, labels: Labels, layers: Path | None) -> Imported:
    start = content(path).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start in (b"\x80", b"(", b"}"):
        return read_hw_nas_bench(path, labels)
    if start not in (b"{", b"["):
        return read_csv(path, labels)
    kind = _kind(path)
    if kind == TRACE:
        return read_torch_trace(path, labels)
    return read_trtexec_profile(path, labels, layers) if kind == PROFILE else read_trtexec_times(path, labels)


def _kind(path: Path) -> str:
    """The format of a JSON file."""
    value = load(path)
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(value, Mapping) and "Layers" in value:
        hint = "give the file of --exportProfile, and this one as layers="
        raise InputError("a layer file holds shapes, no times", where=str(path), hint=hint)
    if isinstance(value, Mapping) and "traceEvents" in value:
        return TRACE
    for key, kind in (("ph", TRACE), ("count", PROFILE), ("computeMs", TIMES)):
        if isinstance(first, Mapping) and key in first:
            return kind
    raise InputError("JSON of no known format", where=str(path), hint=_HINT)
