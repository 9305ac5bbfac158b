"""Does the exported file compute what the quantized network computes? Counted in decisions, row by row.

Sums of floats depend on their order, and a value that falls within an ulp of the middle between two codes may take
either one. So files that other tools execute are compared by their class decisions; packed weights bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwsim.core.errors import MissingToolError, VerificationError
from hwsim.exchange.packed_folder import read_packed
from hwsim.quant.metrics import predictions, top1
from hwsim.quant.model import QuantizedModel

LEAST = 0.999  # share of decisions that must agree


@dataclass(frozen=True, slots=True)
class Agreement:
    """Outcome of a comparison.

    Attributes
    ----------
    compared : what is counted: `decisions`, or `weights` for packed folders.
    samples : rows of data (of packed folders: weights) compared.
    decisions, mismatches : decisions compared, and those that differ; a map of scores has one a position.
    max_abs_difference : of the outputs, relative to nothing.
    bit_exact : whether every output (every weight) is equal.
    metric : accuracy of the exported file, where labels were given.
    optimised : the same share of agreement under onnxruntime's graph optimisations, or why it did not run; None where
        that is not asked.
    """

    compared: str
    samples: int
    decisions: int
    mismatches: int
    max_abs_difference: float
    bit_exact: bool
    metric: float | None = None
    optimised: float | str | None = None

    @property
    def share(self) -> float:
        """Share of decisions that agree."""
        return 1.0 - self.mismatches / self.decisions if self.decisions else 1.0

    def as_dict(self) -> dict[str, Any]:
        names = ("compared", "samples", "decisions", "mismatches", "max_abs_difference", "bit_exact", "metric")
        return {name: getattr(self, name) for name in names} | {"agreement": self.share, "optimised": self.optimised}


def onnxruntime_package() -> Any:
    """The `onnxruntime` package, or MissingToolError."""
    try:
        import onnxruntime
    except ImportError as error:
        hint = "pip install onnxruntime, or --verify 0"
        raise MissingToolError("onnxruntime is not installed", where="--verify", hint=hint) from error
    return onnxruntime


def compare_onnx(model: QuantizedModel, path: Path, x: Tensor, labels: Tensor | None = None) -> Agreement:
    """Run an .onnx file in onnxruntime on the CPU, graph optimisations off, and then on.

    Raises
    ------
    VerificationError
        When less than 99.9 % of the decisions agree with the optimisations off.
    MissingToolError
        Without onnxruntime.
    """
    plain = _outcome(model, onnx_session(path, optimised=False), x, labels)
    optimised: float | str
    try:
        run = onnx_session(path, optimised=True)
        optimised = _outcome(model, run, x, None).share
    except Exception as error:  # onnxruntime raises types of its own for graphs that its optimiser breaks
        optimised = f"onnxruntime cannot run it: {str(error).strip().splitlines()[0][:200]}"
    found = Agreement(
        plain.compared,
        plain.samples,
        plain.decisions,
        plain.mismatches,
        plain.max_abs_difference,
        plain.bit_exact,
        plain.metric,
        optimised,
    )
    return _checked(found, path)


def compare_qonnx(model: QuantizedModel, path: Path, x: Tensor, labels: Tensor | None = None) -> Agreement:
    """Read a QONNX file back with hwsim's importer and run it."""
    from hwsim.capture.onnx_import import import_onnx

    read = import_onnx(path)
    return _checked(_outcome(model, read, x, labels), path)


def compare_packed(model: QuantizedModel, folder: Path) -> Agreement:
    """Decode every weight of a packed folder and compare it with the codes of the network, bit for bit."""
    found = read_packed(folder)
    weights = wrong = 0
    worst = 0.0
    for name, codes in model.codes.items():
        values, expected = found[name].dequantize(), codes.dequantize()
        differs = (values != expected) | (found[name].codes != codes.codes)
        weights, wrong = weights + differs.size, wrong + int(differs.sum())
        worst = max(worst, float(np.abs(values - expected).max(initial=0.0)))
    outcome = Agreement("weights", weights, weights, wrong, worst, wrong == 0)
    if wrong:
        raise VerificationError(f"{wrong} of {weights} weights differ", where=str(folder), hint="export it again")
    return outcome


def onnx_session(path: Path, *, optimised: bool) -> Callable[[Tensor], Tensor]:
    """A file as a function of one input, on the CPU."""
    runtime = onnxruntime_package()
    options = runtime.SessionOptions()
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda rows: torch.from_numpy(session.run(None, {name: rows.numpy()})[0])


def _outcome(model: QuantizedModel, run: Callable[[Tensor], Any], x: Tensor, labels: Tensor | None) -> Agreement:
    worst = 0.0

    def noted(rows: Tensor) -> Tensor:
        nonlocal worst
        found, expected = _first(run(rows)), _first(model(rows))
        worst = max(worst, float((found.double() - expected.double()).abs().max()))
        return found

    rows = x.float() if x.is_floating_point() else x
    fixed = model.network.fixed_batch
    found = predictions(noted, rows, fixed_batch=fixed)
    expected = predictions(model, rows, fixed_batch=fixed)
    metric = None if labels is None else top1(found, labels).value
    wrong = int((found != expected).sum())
    return Agreement("decisions", len(rows), found.numel(), wrong, worst, worst == 0.0, metric)


def _first(outputs: Any) -> Tensor:
    found = outputs[0] if isinstance(outputs, tuple | list) else outputs
    assert isinstance(found, Tensor)
    return found


def _checked(found: Agreement, path: Path) -> Agreement:
    if found.share < LEAST:
        raise VerificationError(
            f"{found.mismatches} of {found.decisions} decisions differ from those of the quantized network "
            f"({found.share:.4%} agree), largest difference of an output {found.max_abs_difference:g}",
            where=str(path),
            hint=f"at least {LEAST:.1%} must agree; report the network if its decisions are not near ties",
        )
    return found
