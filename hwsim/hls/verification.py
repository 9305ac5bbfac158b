"""C simulation of a project against the quantized network, value for value."""

from __future__ import annotations

import hashlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hwsim.core.errors import InputError, VerificationError
from hwsim.hls.csim import compile_library, compiler_version, simulate, simulate_traced
from hwsim.hls.hls4ml_backend import write_sources
from hwsim.hls.plan import plan_network
from hwsim.hls.project import HlsProject, Progress
from hwsim.hls.reference import Reference
from hwsim.hls.sources import sources_hash
from hwsim.hls.stages import Plan
from hwsim.quant.calibration import check_inputs
from hwsim.quant.model import QuantizedModel

VECTORS = 20  # rows that a project keeps for the vendor's own simulation


@dataclass(frozen=True, slots=True)
class Verification:
    """Outcome of a comparison.

    Attributes
    ----------
    samples, mismatches : rows compared, and rows with any value that differs.
    first_mismatch : (layer, row), or None.
    max_abs_difference : 0 when bit-exact.
    metric : accuracy of the simulated hardware, where labels were given.
    compile_seconds, simulate_seconds : wall time.
    """

    samples: int
    mismatches: int
    first_mismatch: tuple[str, int] | None
    max_abs_difference: float
    metric: float | None
    compile_seconds: float
    simulate_seconds: float

    @property
    def bit_exact(self) -> bool:
        return self.mismatches == 0

    def as_dict(self) -> dict[str, Any]:
        names = ("samples", "mismatches", "bit_exact", "max_abs_difference", "metric")
        times = {"compile_seconds": round(self.compile_seconds, 2), "simulate_seconds": round(self.simulate_seconds, 2)}
        first = self.first_mismatch
        where = None if first is None else {"layer": first[0], "sample": first[1]}
        return {name: getattr(self, name) for name in names} | {"first_mismatch": where} | times


def verify(
    project: HlsProject,
    model: QuantizedModel,
    x: Tensor | ArrayLike,
    n: int | None = None,
    *,
    labels: ArrayLike | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compile a project, run real inputs through it, and compare with the quantized network in float64.

    All values of a power-of-two design are dyadic, so both sides are exact and are compared for equality. The outcome
    goes into the project's record with a hash of its sources, and the first rows become its test bench vectors.

    Parameters
    ----------
    x : inputs (rows, ...), float; the first `n` are used.
    labels : classes of the rows; gives the accuracy of the exported network.

    Raises
    ------
    VerificationError
        At the first difference; names the first layer and row that differ.
    MissingToolError
        Without g++.
    """
    say = progress or (lambda _: None)
    rows = _rows(model, x, n)
    plan = plan_network(model)
    reference = Reference(model)
    expected = reference.outputs(rows)[:, plan.output.order]
    given = _hardware_order(rows, plan)
    with tempfile.TemporaryDirectory(prefix="hwsim-csim-") as build:
        say("compiling C simulation")
        start = time.perf_counter()
        library = compile_library(project.folder.resolve(), project.top, Path(build))
        compiled = time.perf_counter()
        say(f"simulating {len(rows)} rows")
        found = simulate(library, project.top, given, expected.shape[1])
        simulated = time.perf_counter()
    wrong = (found != expected).any(axis=1)
    outcome = Verification(
        len(rows),
        int(wrong.sum()),
        None,
        float(np.abs(found - expected).max()),
        None if labels is None else _accuracy(found, plan, np.asarray(labels)[: len(rows)]),
        compiled - start,
        simulated - compiled,
    )
    if not outcome.bit_exact:
        say("looking for the first layer that differs")
        row = int(np.flatnonzero(wrong)[0])
        layer = _first_layer(project, plan, reference, rows[row : row + 1])
        outcome = replace(outcome, first_mismatch=(layer, row))
    _certify(project, outcome, given, expected)
    if outcome.first_mismatch is not None:
        layer, row = outcome.first_mismatch
        raise VerificationError(
            f"C simulation differs from the quantized network in {outcome.mismatches} of {len(rows)} samples, first in "
            f"layer {layer} at sample {row}; largest difference {outcome.max_abs_difference:g}",
            where=f"layer {layer}",
            hint="do not build this project; export it again, and report the network if it still differs",
        )
    return outcome


def _rows(model: QuantizedModel, x: Tensor | ArrayLike, n: int | None) -> Tensor:
    rows = x if isinstance(x, Tensor) else torch.from_numpy(np.asarray(x))
    if n is not None and n < 1:
        raise InputError(f"{n} samples to verify", where="verify", hint="allowed: 1 and up")
    rows = rows[:n].to(torch.float32) if rows.dtype != torch.float64 else rows[:n]
    check_inputs(model.network, rows, "verification data")
    return rows


def _hardware_order(rows: Tensor, plan: Plan) -> NDArray[np.float64]:
    flat: NDArray[np.float64] = rows.double().reshape(len(rows), -1).numpy()
    return np.ascontiguousarray(flat[:, plan.stages[0].order])


def _accuracy(found: NDArray[np.float64], plan: Plan, labels: NDArray[Any]) -> float:
    if len(plan.output_shape) != 1 or len(labels) != len(found):
        raise InputError(
            f"{len(labels)} labels for {len(found)} outputs of shape {plan.output_shape}",
            where="labels",
            hint="one class a row, for networks that give one score a class",
        )
    scores = np.empty_like(found)
    scores[:, plan.output.order] = found
    return float((scores.argmax(axis=1) == labels).mean())


def _first_layer(project: HlsProject, plan: Plan, reference: Reference, row: Tensor) -> str:
    """The first layer whose traced result differs for one row: the same project, written with traces."""
    wanted = reference.tensors(row)
    given = _hardware_order(row, plan)
    with tempfile.TemporaryDirectory(prefix="hwsim-trace-") as work:
        traced, build = Path(work) / "project", Path(work) / "build"
        traced.mkdir()
        build.mkdir()
        made = write_sources(plan, project.settings, traced, trace=True)
        for name in ("defines.h", "parameters.h", *(f"weights/{p.name}" for p in _weight_files(project.folder))):
            (traced / "firmware" / name).write_bytes((project.folder / "firmware" / name).read_bytes())
        stages = [s for s in plan.stages if s.tensor and s.inputs and s.name in made]
        library = compile_library(traced, project.top, build)
        sizes = {stage.name: len(stage.order) for stage in stages}
        found = simulate_traced(library, project.top, given, len(plan.output.order), sizes)
    for stage in stages:
        assert stage.tensor is not None
        if not np.array_equal(found[stage.name], wanted[stage.tensor][stage.order]):
            return stage.layer
    return plan.output.layer


def _weight_files(folder: Path) -> list[Path]:
    return sorted((folder / "firmware/weights").iterdir())


def _certify(
    project: HlsProject, outcome: Verification, given: NDArray[np.float64], expected: NDArray[np.float64]
) -> None:
    vectors = project.folder / "tb_data"
    vectors.mkdir(exist_ok=True)
    for name, values in (("tb_input_features", given), ("tb_output_predictions", expected)):
        lines = (" ".join(repr(float(v)) for v in row) for row in values[:VECTORS])
        (vectors / f"{name}.dat").write_text("\n".join(lines) + "\n")
    certificate = outcome.as_dict() | {
        "reference": "the quantized network in float64",
        "sources_sha256": sources_hash(project.folder),
        "vectors_sha256": hashlib.sha256(given.tobytes() + expected.tobytes()).hexdigest(),
        "compiler": compiler_version(),
    }
    project.with_record(verification=certificate)
