"""`hwsim calibrate gpu`: draw the latency model of a device to measured kernels and networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.cli.output import ProgressLine, table
from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError

if TYPE_CHECKING:
    from hwsim.latency.calibrate import Resolve
    from hwsim.latency.measurements import Measurement

_FEW = 20
_COLOURS = 3


def to_gpu(files: Sequence[Path], device: str | None, runtime: str, precision: str, out: Path | None) -> dict[str, Any]:
    """Read, fit, write; the document of the verb."""
    from hwsim.inputs import network_of
    from hwsim.latency.calibrate import calibrate
    from hwsim.latency.calibration import file_of, write
    from hwsim.zoo.weights import cache_folder

    if not files:
        hint = "hwsim calibrate gpu profile-DEVICE/rows.csv, which hwsim profile wrote; or traces of torch or trtexec"
        raise InputError("no file of measured times", where="calibrate gpu", hint=hint)
    gpu = _device(files[0], device)
    rows, skipped = _rows(files, gpu, runtime, precision)
    names = {row.name for row in rows if row.shape is None}
    made = calibrate(rows, gpu, _resolver(network_of, len(names)))
    target = out or file_of(cache_folder(), gpu)
    write(target, made.calibration)
    found = made.calibration
    return {
        "rows": found.about["rows"],
        "error": {"before": dict(found.before), "after": dict(found.after)},
        "device": gpu.name,
        "settings": list(found.settings),
        "calibration": str(target),
        "skipped": skipped + list(made.skipped),
        "notes": _notes(found.after),
    }


def _device(path: Path, given: str | None) -> Gpu:
    """The device named, else the one whose file lies beside the rows."""
    from hwsim.latency.catalog import device

    beside = path.parent / "device.toml"
    if given is None and not beside.is_file():
        raise InputError(
            f"no device.toml beside {path}", where="--device", hint="--device NAME (hwsim devices) or FILE.toml"
        )
    found: Gpu = device(given or str(beside))
    return found


def _rows(
    files: Sequence[Path], gpu: Gpu, runtime: str, precision: str
) -> tuple[list[Measurement], list[dict[str, Any]]]:
    from hwsim.latency.importers import read_measurements

    rows: list[Measurement] = []
    skipped: list[dict[str, Any]] = []
    for path in files:
        found = read_measurements(path, device=gpu.name, runtime=runtime, precision=precision)
        rows += found.rows
        skipped += [{"what": s.name, "reason": s.reason, "rows": s.count} for s in found.skipped]
    return rows, skipped


def _resolver(network_of: Any, total: int) -> Resolve:
    """Kernels of networks by their names in rows: MODEL, and `@` with the side of its images where that is known."""
    from hwsim.latency.kernels import kernels
    from hwsim.latency.measured.launches import Launches, traced

    known: dict[tuple[str, str], Launches] = {}
    progress = ProgressLine("networks")

    def captured(spec: str, side: int, runtime: str) -> Launches:
        shape = (1, _COLOURS, side, side) if side else None
        return Launches.of(
            (k.operator, k.shape) for k in kernels(network_of(spec, input_shape=shape).workload, runtime)
        )

    def resolve(name: str, runtime: str) -> Launches:
        if (name, runtime) not in known:
            spec, _, after = name.rpartition("@")
            spec, side = (spec, int(after)) if spec and after.isdecimal() else (name, 0)
            timm = spec.removeprefix("timm:") if spec.startswith("timm:") else ""
            found = traced([(timm, side)]) if timm and side and runtime == "eager" else {}
            known[name, runtime] = found.get((timm, side)) or captured(
                f"{spec}?random" if timm else spec, side, runtime
            )
            progress(len(known), total)
        return known[name, runtime]

    return resolve


def _notes(after: Any) -> list[str]:
    return [
        f"few data: {after[what]['rows']:.0f} {what}" for what in ("kernels", "networks")
        if what in after and after[what]["rows"] < _FEW
    ]  # fmt: skip


def gpu_lines(document: dict[str, Any]) -> Iterator[str]:
    """What the verb prints."""
    yield f"{document['rows']} rows of {document['device']} in {document['seconds']} s: {document['calibration']}"
    yield "errors in percent; after: by fits that did not see a row's shape or network"
    rows = []
    for what, after in document["error"]["after"].items():
        for when, found in (("before", document["error"]["before"][what]), ("after", after)):
            shown = (found[name] for name in ("mape_pct", "median_pct", "within10_pct", "within20_pct"))
            rows.append((what, when, int(found["rows"]), *(f"{value:.1f}" for value in shown)))
    yield from table(
        ("what", "when", "rows", "mean", "median", "within 10 %", "within 20 %"), rows, right=(2, 3, 4, 5, 6)
    )
    for skip in document["skipped"]:
        yield f"note: {skip['rows']} left out: {skip['what']}: {skip['reason']}"
    for note in document["notes"]:
        yield f"note: {note}"
    yield "hwsim predict uses it for this device file from now on; --calibration none does not"
