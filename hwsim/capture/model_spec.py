"""MODEL spec strings: `file.py:factory`, `package.module:factory`, `zoo:NAME`, `.pt2`, `.onnx`, `timm:NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from hwsim.capture.factory import call_factory, is_factory
from hwsim.capture.program import program_input, read_program
from hwsim.core.errors import InputError, MissingToolError, UnsupportedError, nearest

Kind = Literal["factory", "zoo", "pt2", "onnx", "timm"]
FORMS = "path/to/file.py:factory, package.module:factory, zoo:NAME, a .pt2 or .onnx file, timm:NAME"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model as its spec string gave it.

    Attributes
    ----------
    name : short, for tables.
    model : a module in eval mode, or the exported program of a `.pt2` file; all weights finite.
    input_shape : with the batch, where the spec, the file or the user gives it.
    default_data : the DATA spec that the model was made for, or None.
    kind : which form of spec it was.
    """

    name: str
    model: nn.Module | ExportedProgram
    input_shape: tuple[int, ...] | None
    default_data: str | None
    kind: Kind


def load_model(spec: str, input_shape: tuple[int, ...] | None = None) -> ModelSource:
    """The model that a spec string names.

    Parameters
    ----------
    input_shape : with the batch axis; where given it wins over the source's own, with which it must agree.

    Raises
    ------
    InputError
        Nothing there, user code that fails, something else than an `nn.Module`, weights that are not finite, or an
        input shape that the file excludes.
    UnsupportedError
        An ONNX operator without a counterpart; several inputs.
    MissingToolError
        onnx or timm is not installed.
    """
    spec = spec.strip()
    if input_shape is not None and (not input_shape or min(input_shape) < 1):
        raise InputError(f"input shape {input_shape}", where=spec, hint="positive sizes with the batch, as 1,3,32,32")
    source = _load(spec, input_shape)
    _check_finite(source.model, spec)
    return source


def _load(spec: str, shape: tuple[int, ...] | None) -> ModelSource:
    head, _, name = spec.partition(":")
    suffix = Path(spec).suffix.lower()
    if head == "zoo":
        return _from_zoo(name, shape)
    if head == "timm":
        return _from_timm(name, shape)
    if suffix in (".pt", ".pth", ".ckpt", ".pkl", ".bin", ".safetensors"):
        raise InputError(
            "a file of weights or a pickle, which is never loaded as a model",
            where=spec,
            hint="give path/to/file.py:factory that builds the network and loads the weights, or a .pt2 program",
        )
    if suffix in (".pt2", ".onnx"):
        path = Path(spec).expanduser()
        if not path.is_file():
            raise InputError("no such file", where=spec, hint=f"MODEL is one of: {FORMS}")
        return _from_pt2(path, shape) if suffix == ".pt2" else _from_onnx(path, shape)
    if is_factory(spec):
        return ModelSource(spec.rpartition(":")[2], call_factory(spec, _build(spec)), shape, None, "factory")
    hint = f"name the factory: {spec}:factory" if suffix == ".py" else f"MODEL is one of: {FORMS}"
    raise InputError("not a MODEL spec", where=repr(spec), hint=hint)


def _build(where: str) -> Any:
    def build(found: Any) -> nn.Module:
        """Accepts a module as well as a callable that makes one."""
        model = found if isinstance(found, nn.Module) else found() if callable(found) else found
        if not isinstance(model, nn.Module):
            what = f"gives a {type(model).__name__}, not a torch.nn.Module"
            raise InputError(what, where=where, hint="MODEL names a callable that returns an nn.Module")
        return model.eval()

    return build


def _from_zoo(name: str, shape: tuple[int, ...] | None) -> ModelSource:
    from hwsim.zoo.networks import network
    from hwsim.zoo.training import trained

    entry = network(name)
    model = trained(name) if entry.trained else entry.factory()
    data = f"zoo:{entry.data}" if entry.data else None
    return ModelSource(name, model, shape or entry.input_shape, data, "zoo")


def _from_timm(name: str, shape: tuple[int, ...] | None) -> ModelSource:
    where = f"timm:{name}"
    try:
        import timm
    except ImportError as error:
        raise MissingToolError("timm is not installed", where=where, hint="pip install timm") from error
    if name not in timm.list_models():
        raise InputError(f"timm has no model named {name!r}", where=where, hint=nearest(name, timm.list_models()))
    try:
        model = timm.create_model(name, pretrained=timm.is_model_pretrained(name)).eval()
    except Exception as error:
        hint = "its pretrained weights are downloaded on first use; offline, give a file.py:factory"
        raise InputError(f"timm cannot make it: {error}", where=where, hint=hint) from error
    declared = getattr(model, "default_cfg", {}).get("input_size")
    return ModelSource(name, model, shape or ((1, *declared) if declared else None), None, "timm")


def _from_pt2(path: Path, shape: tuple[int, ...] | None) -> ModelSource:
    program = read_program(path)
    resolved = _resolve_shape(program_input(program, str(path)), shape, str(path))
    return ModelSource(path.stem, program, resolved, None, "pt2")


def _from_onnx(path: Path, shape: tuple[int, ...] | None) -> ModelSource:
    from hwsim.capture.onnx_import import import_onnx

    model = import_onnx(path)
    if len(model.input_shapes) != 1:
        names = ", ".join(model.input_names)
        raise UnsupportedError(
            f"a graph of {len(model.input_shapes)} inputs ({names})", where=str(path), hint="give a graph of one input"
        )
    return ModelSource(path.stem, model, _resolve_shape(model.input_shapes[0], shape, str(path)), None, "onnx")


def _resolve_shape(
    declared: tuple[int | None, ...] | None, given: tuple[int, ...] | None, where: str
) -> tuple[int, ...] | None:
    """The file's shape with the user's sizes in its open axes; an open batch alone is 1."""
    if given is None:
        if declared is None or None in declared[1:]:
            return None
        return tuple(size or 1 for size in declared)
    fits = declared is None or (
        len(declared) == len(given) and all(d in (None, g) for d, g in zip(declared, given, strict=True))
    )
    if not fits:
        shown = ",".join("any" if size is None else str(size) for size in declared or ())
        raise InputError(f"input shape {','.join(map(str, given))}", where=where, hint=f"the file wants {shown}")
    return given


def _check_finite(model: nn.Module | ExportedProgram, where: str) -> None:
    """Parameters and running statistics must be finite; other buffers may hold infinities (attention masks do)."""
    tensors: list[tuple[str, Tensor, bool]] = [(name, tensor, True) for name, tensor in model.named_parameters()]
    tensors += [(name, tensor, "running_" in name) for name, tensor in model.named_buffers()]
    for name, tensor, finite in tensors:
        if not tensor.is_floating_point():
            continue
        bad = int((~torch.isfinite(tensor) if finite else torch.isnan(tensor)).sum())
        if bad:
            what = f"{bad} of {tensor.numel()} values of {name!r} are NaN or infinite"
            raise InputError(what, where=where, hint="load finite weights")
