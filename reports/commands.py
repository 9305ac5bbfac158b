"""The command that takes a reader from a design to the next step: an HLS project, or a closer prediction."""

from __future__ import annotations

import re
import shlex

from hwsim.core.design import DesignPoint
from hwsim.reports.study import Study

_PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8", "int4")
_RUNTIMES = ("eager", "compiled", "tensorrt")


def next_command(study: Study, design: DesignPoint, placeholder: str | None = None) -> str:
    """`hwsim export` for an integer FPGA design, `hwsim cost` for another one, `hwsim predict` for a GPU design.

    `placeholder` stands for the id where one text serves many designs. Batch, precision and runtime of a prediction
    are read from the design's setting (`batch 1, fp16, compiled`).
    """
    if design.device is not None:
        return _predict(study, design)
    if design.family != "integer":  # minifloats are priced, not yet exported
        formats = f"--weights {shlex.quote(design.weights)} --acts {shlex.quote(design.acts)}"
        return f"hwsim cost {_model(study)} --part {shlex.quote(design.part or '')} {formats}"
    name = placeholder or shlex.quote(design.id)
    run = study.run_dir
    return f"hwsim export --run {shlex.quote(run)} --design {name} -o {shlex.quote(run.rstrip('/') + '/hls/')}{name}"


def _model(study: Study) -> str:
    """The MODEL string, with the input shape where the model itself does not give it."""
    shapes = study.workload.input_shapes
    model = shlex.quote(study.model)
    if study.model.startswith("zoo:") or len(shapes) != 1:
        return model
    return f"{model} --input-shape {','.join(str(size) for size in shapes[0])}"


def _predict(study: Study, design: DesignPoint) -> str:
    words = ["hwsim", "predict", _model(study), "--device", shlex.quote(design.device or "")]
    words += ["--weights", shlex.quote(design.weights), "--acts", shlex.quote(design.acts)]
    setting = design.setting
    if batch := re.search(r"\bbatch\s*=?\s*(\d+)", setting):
        words += ["--batch", batch[1]]
    for option, allowed in (("--precision", _PRECISIONS), ("--runtime", _RUNTIMES)):
        if found := next((word for word in allowed if re.search(rf"\b{word}\b", setting)), None):
            words += [option, found]
    return " ".join(words)
