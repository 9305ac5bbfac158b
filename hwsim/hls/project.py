"""An exported HLS project: a folder of sources and the record that says what they are."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from hwsim.core.errors import InputError, UnsupportedError, VerificationError, nearest
from hwsim.hls.hls4ml_backend import Generated, version, write_sources
from hwsim.hls.layer_list import Io, Settings
from hwsim.hls.plan import plan_network
from hwsim.hls.sources import RECORD, weight_type, width
from hwsim.hls.stages import MULTIPLIES, Plan, Stage
from hwsim.quant.model import QuantizedModel

Progress = Callable[[str], None]
SCHEMA = 1
MAX_UNROLL = 4096  # `maximum_size` of the project.tcl that hls4ml 1.3 writes
_RESERVED = frozenset(
    (
        "asm auto bool break case catch char class const continue default delete do double else enum explicit export "
        "extern false float for friend goto if inline int long main mutable namespace new nnet operator private "
        "protected public register return short signed sizeof static std struct switch template this throw true try "
        "typedef typename union unsigned using virtual void volatile while"
    ).split()
)
_ON_MAPS = frozenset({"conv", "depthwise", "pad", "max_pool", "average_pool", "global_average", "upsample"})


@dataclass(frozen=True, slots=True)
class HlsProject:
    """A project on disk.

    Attributes
    ----------
    folder : with the sources, scripts and `hwsim_project.json`.
    record : that file: settings, types and weight types of every layer as generated, formats, notes, cost estimates
        as the caller gave them, and the certificate of the last verification.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def top(self) -> str:
        return str(self.record["top"])

    @property
    def io(self) -> Io:
        found: Io = self.record["io"]
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self.record["notes"])

    @property
    def weight_types(self) -> dict[str, str]:
        """By network layer, the type of its weights as the sources spell it."""
        return {layer["layer"]: layer["weight_type"] for layer in self.record["layers"] if layer["weight_type"]}

    @property
    def settings(self) -> Settings:
        reuse = {layer["layer"]: layer["reuse"] for layer in self.record["layers"] if layer["weight_type"]}
        return Settings(self.top, self.record["part"], self.record["clock_mhz"], self.io, reuse, self.record["backend"])

    def with_record(self, **changes: Any) -> HlsProject:
        """The project with keys of its record replaced, on disk too."""
        record = {**self.record, **changes}
        _write_record(self.folder, record)
        return HlsProject(self.folder, record)

    @classmethod
    def load(cls, folder: Path | str) -> HlsProject:
        """Read an exported project; InputError when the folder holds none."""
        path = Path(folder) / RECORD
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"no HLS project: {error}", where=str(folder), hint="a folder that export wrote") from None
        return cls(Path(folder), record)


def export_hls(
    model: QuantizedModel,
    folder: Path | str,
    *,
    part: str,
    clock_mhz: float,
    reuse: int | Mapping[str, int] = 1,
    io: Literal["auto"] | Io = "auto",
    backend: str = "Vitis",
    top: str | None = None,
    cost: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> HlsProject:
    """Write the HLS project of a quantized network.

    Everything is checked before anything is written; the folder appears complete or not at all, and an earlier export
    in its place is replaced.

    Parameters
    ----------
    part : AMD part number, e.g. `xck26-sfvc784-2LV-c`.
    clock_mhz : target clock.
    reuse : multiplications that share a multiplier, for all layers or by layer (1 where it is not listed); hls4ml
        takes the nearest value that divides the layer, which the record then holds.
    io : `io_stream` (one pixel a transfer), `io_parallel` (all at once), `auto`: parallel for pure perceptrons.
    cost : estimates to keep with the project.

    Raises
    ------
    UnsupportedError
        Lists every layer and format that cannot be exported.
    InputError
        For settings that make no project and folders that cannot be written.
    """
    say = progress or (lambda _: None)
    say("checking the network")
    plan = plan_network(model)
    settings = Settings(
        _top(top or plan.name), _part(part), _clock(clock_mhz), _io(io, plan), _reuse(reuse, plan), _backend(backend)
    )
    target = Path(folder).absolute()
    _check_target(target)
    say("writing sources")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
            partial = Path(temporary) / target.name
            partial.mkdir()
            generated = write_sources(plan, settings, partial)
            record = _record(model, plan, settings, generated, partial, cost)
            _write_record(partial, record)
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(target), hint="a folder that can be written") from None
    return HlsProject(target, record)


def _record(
    model: QuantizedModel,
    plan: Plan,
    settings: Settings,
    generated: Mapping[str, Generated],
    folder: Path,
    cost: Mapping[str, Any] | None,
) -> dict[str, Any]:
    layers = [_layer_record(model, stage, generated.get(stage.name), folder) for stage in plan.stages]
    notes = [*plan.notes, *_reuse_notes(plan, settings, generated)]
    return {
        "schema": SCHEMA,
        "network": plan.name,
        "top": settings.project,
        "backend": settings.backend,
        "hls4ml": version(),
        "part": settings.part,
        "clock_mhz": settings.clock_mhz,
        "io": settings.io,
        "build": "vitis-run --mode hls --tcl build_prj.tcl",
        "design": {
            "weights": model.policy.weights,
            "acts": model.policy.acts,
            "edge": model.policy.edge,
            "scale": model.policy.scale,
            "recipe": str(model.recipe),
        },
        "input": {"shape": list(plan.input_shape), "layout": "channels_last", "type": str(plan.stages[0].type)},
        "output": {
            "shape": list(plan.output_shape),
            "order": plan.output.order.tolist(),
            "type": str(plan.output.type),
        },
        "layers": layers,
        "notes": notes,
        "cost": cost,
        "verification": None,
    }


def _layer_record(model: QuantizedModel, stage: Stage, made: Generated | None, folder: Path) -> dict[str, Any]:
    stored = weight_type(folder, made.weight_header) if made and made.weight_header else None
    formats = model.assignment.layers.get(stage.layer) if stored else None
    if stored and formats and formats.weight and width(stored) != formats.weight.bits:
        raise VerificationError(
            f"weights of {formats.weight.bits} bits are stored as {stored}",
            where=f"layer {stage.layer}",
            hint="this version of hls4ml changed the weight type; the design would not be the one that was evaluated",
        )
    bias = stage.weights.bias_type if stage.weights else None
    return {
        "name": stage.name,
        "layer": stage.layer,
        "tensor": stage.tensor,
        "operation": stage.operation,
        "shape": list(stage.shape),
        "result_type": str(stage.type),
        "accumulator_type": str(stage.accumulator) if stage.accumulator else None,
        "weight_type": stored,
        "weight_format": str(formats.weight) if formats else None,
        "bias_type": str(bias) if bias else None,
        "shifts": list(stage.shifts) or None,
        "reuse": made.reuse if made else 1,
    }


def _reuse_notes(plan: Plan, settings: Settings, generated: Mapping[str, Generated]) -> list[str]:
    notes = []
    for stage in plan.stages:
        if stage.operation not in MULTIPLIES:
            continue
        want, got = settings.reuse.get(stage.layer, 1), generated[stage.name].reuse
        if want != got:
            notes.append(f"{stage.layer}: reuse {want} became {got}, the nearest that hls4ml takes for this layer")
        unrolled = -(-prod(stage.multipliers) // got)
        if unrolled > MAX_UNROLL:
            notes.append(
                f"{stage.layer}: {unrolled} multipliers at reuse {got}; hls4ml's scripts let Vitis HLS partition "
                f"arrays of up to {MAX_UNROLL} elements, so give this layer a larger reuse"
            )
    return notes


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    path = folder / RECORD
    fresh = path.with_suffix(".json.new")
    fresh.write_text(json.dumps(record, indent=1) + "\n")
    fresh.replace(path)


def _check_target(target: Path) -> None:
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and not (target / RECORD).exists()):
        raise InputError(
            "it exists and is no HLS project", where=str(target), hint="choose a new folder; only an export is replaced"
        )
    if not target.parent.is_dir():
        try:
            target.parent.mkdir(parents=True)
        except OSError as error:
            raise InputError(error.strerror or str(error), where=str(target.parent), hint="choose another") from None


def _top(name: str) -> str:
    top = re.sub(r"\W", "_", name, flags=re.ASCII)
    return top if top[:1].isalpha() and top not in _RESERVED else f"net_{top}"


def _part(part: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]+", part):
        raise InputError(f"{part!r} is no AMD part number", where="part", hint="e.g. xck26-sfvc784-2LV-c")
    return part


def _clock(clock_mhz: float) -> float:
    if not 1 <= clock_mhz <= 2000:
        raise InputError(f"a clock of {clock_mhz} MHz", where="clock_mhz", hint="allowed: 1..2000")
    return float(clock_mhz)


def _io(io: str, plan: Plan) -> Io:
    if io == "auto":
        return "io_stream" if any(stage.operation in _ON_MAPS for stage in plan.stages) else "io_parallel"
    if io not in ("io_stream", "io_parallel"):
        raise InputError(f"io {io!r}", where="io", hint="allowed: auto, io_stream, io_parallel")
    return io  # type: ignore[return-value]


def _reuse(reuse: int | Mapping[str, int], plan: Plan) -> dict[str, int]:
    layers = list(dict.fromkeys(stage.layer for stage in plan.stages if stage.operation in MULTIPLIES))
    chosen = dict.fromkeys(layers, reuse) if isinstance(reuse, int) else dict(reuse)
    for layer, value in chosen.items():
        if layer not in layers:
            raise InputError(f"reuse for {layer!r}, which has no weights", where="reuse", hint=nearest(layer, layers))
        if value < 1:
            raise InputError(f"a reuse of {value} for {layer}", where="reuse", hint="allowed: 1 and up")
    return chosen


def _backend(backend: str) -> str:
    if backend.lower() != "vitis":
        raise UnsupportedError(f"backend {backend!r}", where="backend", hint="supported: vitis")
    return "Vitis"
