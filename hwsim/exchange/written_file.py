"""One call for the three file backends: write, then compare with the quantized network where data are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hwsim.core.errors import UnsupportedError, nearest
from hwsim.exchange.agreement import Agreement, compare_onnx, compare_packed, compare_qonnx, onnxruntime_package
from hwsim.exchange.onnx_file import write_onnx
from hwsim.exchange.packed_folder import Container, write_packed
from hwsim.quant.calibration import check_inputs
from hwsim.quant.model import QuantizedModel

FileBackend = Literal["onnx", "qonnx", "packed"]
FILE_BACKENDS: tuple[FileBackend, ...] = ("onnx", "qonnx", "packed")


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A network exported as a file.

    Attributes
    ----------
    backend, folder, files : what was written where.
    formats : by layer, the format of its weight.
    agreement : outcome of the comparison, or None when it was not asked for.
    """

    backend: FileBackend
    folder: Path
    files: tuple[Path, ...]
    formats: dict[str, str]
    agreement: Agreement | None

    def as_dict(self) -> dict[str, Any]:
        """The document of `hwsim export --json`."""
        checked = self.agreement
        plain = {
            "project": str(self.folder),
            "metric": checked.metric if checked else None,
            "bit_exact": checked.bit_exact if checked else None,
            "mismatches": checked.mismatches if checked else None,
            "samples": checked.samples if checked else 0,
        }
        more = {key: value for key, value in (checked.as_dict() if checked else {}).items() if key not in plain}
        files = [str(path) for path in self.files]
        return plain | more | {"backend": self.backend, "files": files, "weight_types": dict(self.formats)}


def export_file(
    model: QuantizedModel,
    folder: Path,
    backend: FileBackend,
    *,
    verify: Any = None,
    labels: Any = None,
    container: Container = "npz",
    progress: Callable[[str], None] | None = None,
) -> WrittenFile:
    """Write `model.onnx` (onnx, qonnx) or `weights.*`, `weights.h` and `layout.json` (packed) into a folder.

    Parameters
    ----------
    verify : inputs (rows, ...), or None to leave the comparison out. onnx: onnxruntime; qonnx: hwsim's own importer;
        packed: every weight is decoded, whatever the inputs.

    Raises
    ------
    VerificationError
        When less than 99.9 % of the decisions agree, or a single packed weight differs.
    """
    if backend not in FILE_BACKENDS:
        hint = nearest(backend, ("vitis", *FILE_BACKENDS))
        raise UnsupportedError(f"backend {backend!r}", where="--backend", hint=hint)
    say = progress or (lambda _: None)
    if verify is not None and backend != "packed":
        check_inputs(model.network, verify, "verification data")
        if backend == "onnx":
            onnxruntime_package()  # say that it is missing before anything is written
    formats = {name: str(codes.spec) for name, codes in model.codes.items()}
    say(f"writing {folder}")
    if backend == "packed":
        write_packed(model, folder, container)
        files = tuple(folder / name for name in (f"weights.{container}", "layout.json", "weights.h"))
        return WrittenFile(
            backend, folder, files, formats, compare_packed(model, folder) if verify is not None else None
        )
    path = write_onnx(model, folder / "model.onnx", backend)
    outcome = None
    if verify is not None:
        say(f"comparing {len(verify)} rows")
        outcome = (compare_onnx if backend == "onnx" else compare_qonnx)(model, path, verify, labels)
    return WrittenFile(backend, folder, (path,), formats, outcome)
