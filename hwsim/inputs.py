"""From what a user gives (modules or MODEL strings, tensors or DATA strings) to networks and data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from hwsim.capture.data_spec import Dataset, calibration_rows, check_disjoint, load_data, without_channel
from hwsim.capture.graph import Network, capture
from hwsim.capture.model_spec import load_model
from hwsim.core.errors import InputError

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How DATA strings are read.

    Attributes
    ----------
    mean, std : per-channel normalisation, or None.
    resize : side in pixels, or None.
    rows : calibration rows taken, seeded.
    allow_overlap : accept rows that are both in the calibration and the evaluation set.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: int | None = None
    rows: int = 1024
    allow_overlap: bool = False


def network_of(
    model: nn.Module | Network | str,
    *,
    input_shape: tuple[int, ...] | None = None,
    data: Dataset | None = None,
) -> Network:
    """Capture a model; the input shape comes from the argument, the data or the model itself, in this order.

    Parameters
    ----------
    input_shape : with the batch axis, e.g. (1, 3, 32, 32).

    Raises
    ------
    InputError
        When no source gives an input shape.
    """
    if isinstance(model, Network):
        return model
    name, default_shape = type(model).__name__, None
    program: nn.Module | ExportedProgram
    if isinstance(model, str):
        source = load_model(model, input_shape)
        name, default_shape, program = source.name, source.input_shape, source.model
    elif isinstance(model, nn.Module):
        program = model
    else:
        raise InputError(f"a {type(model).__name__} as model", where="model", hint="an nn.Module or a MODEL string")
    if data is not None and input_shape is None:
        return capture(program, data.x[:1], name=name)
    shape = input_shape or default_shape
    if shape is None:
        if isinstance(program, ExportedProgram):
            return capture(program, name=name)
        raise InputError("no input shape", where=name, hint="give --input-shape, e.g. 1,3,32,32, or data")
    if any(size < 1 for size in shape):
        raise InputError(f"input shape {shape}", where="--input-shape", hint="positive sizes, the batch axis first")
    try:
        return capture(program, torch.zeros(shape), name=name)
    except InputError as error:
        if not isinstance(program, nn.Module) or not any(isinstance(m, nn.Embedding) for m in program.modules()):
            raise
        try:
            return capture(program, torch.zeros(shape, dtype=torch.int64), name=name)  # it takes tokens
        except InputError:
            raise error from None


def dataset_of(data: Any, options: DataOptions, name: str, split: str) -> Dataset:
    """A data set from a DATA string, a tensor, or a pair of tensors (x, y).

    `split` is taken where a DATA string names none and the data have splits.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str):
        return load_data(data, mean=options.mean, std=options.std, resize=options.resize, default_split=split)
    x, y = data if isinstance(data, tuple | list) else (data, None)
    if not isinstance(x, Tensor) or not (y is None or isinstance(y, Tensor)):
        hint = "a DATA string, a tensor or a pair of tensors"
        raise InputError(f"a {type(x).__name__} as data", where=name, hint=hint)
    return Dataset(x=x, y=y, name=name, split="")


def calibration_and_evaluation(
    calib: Any, evaluation: Any, options: DataOptions, seed: int, input_shape: tuple[int, ...] | None = None
) -> tuple[Dataset, Dataset | None]:
    """Both sets, `#train` and `#test` where nothing else is said, checked to share no row."""
    calibration = without_channel(dataset_of(calib, options, "calibration data", "train"), input_shape)
    calibration = calibration_rows(calibration, options.rows, seed)
    if evaluation is None:
        return calibration, None
    held_out = without_channel(dataset_of(evaluation, options, "evaluation data", "test"), input_shape)
    check_disjoint(calibration, held_out, options.allow_overlap)
    return calibration, held_out
