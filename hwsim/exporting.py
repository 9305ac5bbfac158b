"""From a quantized network, or a design of a finished study, to a bit-exact HLS project or a file for other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hwsim.core.assignment import Policy
from hwsim.core.cost import Cost
from hwsim.core.design import DesignPoint
from hwsim.core.devices import Part
from hwsim.core.errors import InputError, UnsupportedError
from hwsim.cost_models import estimate
from hwsim.cost_models import part as part_named
from hwsim.exchange.packed_folder import Container
from hwsim.exchange.written_file import WrittenFile, export_file
from hwsim.hls.csim import compiler
from hwsim.hls.project import HlsProject, export_hls
from hwsim.hls.verification import Verification, verify
from hwsim.inputs import DataOptions, calibration_and_evaluation, network_of
from hwsim.quant.model import QuantizedModel
from hwsim.quant.pipeline import Preparation, quantize_best
from hwsim.quant.recipe import parse_recipe
from hwsim.search.record import RunRecord, load_run
from hwsim.search.subject import Subject, load_subject

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported design.

    Attributes
    ----------
    project : the folder and its record.
    cost : the estimate that goes with it.
    verification : outcome of the C simulation, or None when it was not asked for.
    """

    project: HlsProject
    cost: Cost
    verification: Verification | None

    def as_dict(self) -> dict[str, Any]:
        """The document of `hwsim export --json`."""
        checked = self.verification
        return {
            "project": str(self.project.folder),
            "metric": checked.metric if checked else None,
            "bit_exact": checked.mismatches == 0 if checked else None,
            "mismatches": checked.mismatches if checked else None,
            "samples": checked.samples if checked else 0,
            "weight_types": self.project.weight_types,
            "io": self.project.io,
            "cost": self.cost.as_dict(),
            "notes": list(self.project.notes),
        }


def export_project(
    model: QuantizedModel,
    folder: Path,
    *,
    part: str | Part,
    reuse: int | Mapping[str, int] | Literal["auto"] = "auto",
    verify: Any = None,
    labels: Any = None,
    progress: Say | None = None,
) -> Exported:
    """Write the HLS project of a quantized network and, with data, compare its C simulation with the network.

    Parameters
    ----------
    part : as `hwsim parts` lists them; it must be an AMD part with a part number.
    reuse : as for `cost`; `auto` takes the factors that the estimate chose.
    verify : inputs (rows, ...), or None to leave the comparison out.

    Raises
    ------
    VerificationError
        When a single value differs; layer and first sample are named.
    """
    target = part_named(part) if isinstance(part, str) else part
    if verify is not None:
        compiler()  # say that it is missing before anything is written
    if not target.part_number:
        hint = "add part_number to its TOML file, e.g. xck26-sfvc784-2LV-c"
        raise InputError("no vendor part number", where=f"part {target.name}", hint=hint)
    cost = estimate(model.network.workload, model.assignment, target, reuse=reuse, codes=model.codes)
    chosen = {layer.name: layer.reuse for layer in cost.layers if layer.name in model.codes}
    project = export_hls(
        model,
        folder,
        part=target.part_number,
        clock_mhz=target.clock_mhz,
        reuse=chosen,
        cost=cost.as_dict(),
        progress=progress,
    )
    outcome = None
    if verify is not None:
        outcome = _verify(project, model, verify, labels, progress)
    return Exported(HlsProject.load(project.folder), cost, outcome)


def export_model(
    model: str,
    data: tuple[str, str | None],
    folder: Path,
    *,
    policy: Policy,
    recipe: str,
    options: DataOptions,
    input_shape: tuple[int, ...] | None,
    seed: int,
    part: str,
    reuse: int | Mapping[str, int] | Literal["auto"],
    samples: int,
    backend: str = "vitis",
    container: Container = "npz",
    progress: Say | None = None,
) -> Exported | WrittenFile:
    """Quantize a MODEL on (calibration, evaluation) DATA and export it, checked on the first rows of the latter.

    Without evaluation data the calibration rows serve. Part and reuse factors belong to the backend `vitis`, the
    container to `packed`.
    """
    plan = parse_recipe(recipe)
    policy.check()
    calibration, held_out = calibration_and_evaluation(*data, options, seed, input_shape)
    network = network_of(model, input_shape=input_shape, data=calibration)
    _, quantized = quantize_best(Preparation(network, calibration.x, seed=seed), policy, plan, seed=seed)
    rows = held_out or calibration
    x, y = (rows.x[:samples], None if rows.y is None else rows.y[:samples]) if samples else (None, None)
    if backend != "vitis":
        chosen: Any = backend
        return export_file(quantized, folder, chosen, verify=x, labels=y, container=container, progress=progress)
    return export_project(quantized, folder, part=part, reuse=reuse, verify=x, labels=y, progress=progress)


def export_design(
    run_dir: Path,
    design_id: str,
    folder: Path,
    *,
    samples: int,
    backend: str = "vitis",
    container: Container = "npz",
    progress: Say | None = None,
) -> tuple[DesignPoint, Exported | WrittenFile]:
    """Export a design of a study exactly as it was evaluated, checked on rows of the study's evaluation data.

    Raises
    ------
    InputError
        For an unknown design, or when model or data changed since the study.
    UnsupportedError
        For an HLS project of a design on a GPU.
    """
    record = load_run(run_dir)
    design = record.design(design_id)
    if design.part is None and backend == "vitis":
        raise UnsupportedError(
            f"design {design.id} is for {design.device}, a GPU",
            where=str(run_dir),
            hint="HLS projects are made of designs on an FPGA part (column part of designs.csv); or --backend onnx",
        )
    subject = load_subject(record.config)
    _check_unchanged(record, subject)
    model = rebuild(record, subject, design)
    x, y = subject.evaluation.x, subject.evaluation.y
    count = min(samples, len(x))
    rows, labels = x[:count] if count else None, None if y is None else y[:count]
    if backend != "vitis":
        chosen: Any = backend
        return design, export_file(
            model, folder, chosen, verify=rows, labels=labels, container=container, progress=progress
        )
    factors = {row["name"]: row["reuse"] for row in design.layers if row["name"] in model.codes}
    exported = export_project(
        model,
        folder,
        part=next(part for part in record.parts if part.name == design.part),
        reuse=factors,
        verify=rows,
        labels=labels,
        progress=progress,
    )
    return design, exported


def rebuild(record: RunRecord, subject: Subject, design: DesignPoint) -> QuantizedModel:
    """The quantized network of a design."""
    policy = record.config.policy(design.weights, design.acts, design.scale)  # type: ignore[arg-type]
    return subject.quantized(policy, subject.recipes[design.recipe], design.seed)


def _check_unchanged(record: RunRecord, subject: Subject) -> None:
    now, then = subject.identity(), record.manifest["identity"]
    for key, value in now.items():
        if value != then[key]:
            raise InputError(
                f"the {key} changed since the study", where=str(record.run_dir), hint="run the study again, then export"
            )


def _verify(project: HlsProject, model: QuantizedModel, x: Any, labels: Any, progress: Say | None) -> Verification:
    return verify(project, model, x, len(x), labels=labels, progress=progress)
