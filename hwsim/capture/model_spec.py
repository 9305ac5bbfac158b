"""MODEL spec strings: `file.py:factory`, `package.module:factory`, `zoo:NAME`, `.pt2`, `.onnx`, `timm:NAME`."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from hwsim.capture.factory import call_factory, is_factory
from hwsim.capture.program import program_input, read_program
from hwsim.core.errors import InputError, MissingToolError, UnsupportedError, nearest
from hwsim.zoo.detection_head import HeadSpec

Kind = Literal["factory", "zoo", "pt2", "onnx", "timm"]
FORMS = "path/to/file.py:factory, package.module:factory, zoo:NAME, a .pt2 or .onnx file, timm:NAME[?random]"


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
    head : how to read the output where it is a detector's: the zoo's, or the `head_spec` of the user's module; or None.
    """

    name: str
    model: nn.Module | ExportedProgram
    input_shape: tuple[int, ...] | None
    default_data: str | None
    kind: Kind
    head: HeadSpec | None = None


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
        model = call_factory(spec, _build(spec))
        return ModelSource(spec.rpartition(":")[2], model, shape, None, "factory", getattr(model, "head_spec", None))
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
    if entry.head is not None:
        model.head_spec = entry.head  # type: ignore[assignment]  # what `capture` looks for
    return ModelSource(name, model, shape or entry.input_shape, data, "zoo", entry.head)


def _from_timm(spec: str, shape: tuple[int, ...] | None) -> ModelSource:
    """A network of timm: `NAME` with its pretrained weights where it has any, `NAME?random` with seeded random ones."""
    name, question, wish = spec.partition("?")
    where = f"timm:{spec}"
    if question and wish != "random":
        raise InputError(f"no choice named {wish!r}", where=where, hint=f"timm:{name} or timm:{name}?random")
    timm = import_timm(where)
    if name not in timm.list_models():
        raise InputError(f"timm has no model named {name!r}", where=where, hint=nearest(name, timm.list_models()))
    try:
        model = _timm_model(timm, name, not question and timm.is_model_pretrained(name), shape)
    except Exception as error:
        hint = f"its weights are downloaded on first use; without them: 'timm:{name}?random' (seeded random weights)"
        raise InputError(f"timm cannot make it: {error}", where=where, hint=hint) from error
    declared = getattr(model, "default_cfg", {}).get("input_size")
    return ModelSource(name, model, shape or ((1, *declared) if declared else None), None, "timm")


def _timm_model(timm: Any, name: str, pretrained: bool, shape: tuple[int, ...] | None) -> nn.Module:
    """In eval mode; transformers are made for the image size asked for, where they take one."""
    if shape is not None and len(shape) == 4:
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return timm.create_model(name, pretrained=pretrained, img_size=tuple(shape[2:])).eval()
        except TypeError:
            pass  # a network for images of any size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(name, pretrained=pretrained).eval()


def import_timm(where: str) -> Any:
    """timm, which imports torchvision; that fails where torchvision's operators were built for another torch.

    Its Python part then asks for two operators that its binary would have declared. Classification networks use
    neither, so they are declared here without code, and the import goes on.
    """
    hint = "pip install timm (with a torchvision of the release that goes with your torch)"
    try:
        import timm
    except ImportError as error:
        raise MissingToolError("timm is not installed", where=where, hint=hint) from error
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise MissingToolError(f"timm cannot be imported: {error}", where=where, hint=hint) from error
        for operator in ("nms", "qnms"):
            with contextlib.suppress(RuntimeError):  # declared already
                signature = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                _DECLARED.define(signature)
        for module in [m for m in sys.modules if m.partition(".")[0] in ("timm", "torchvision")]:
            del sys.modules[module]
        try:
            import timm
        except (ImportError, RuntimeError) as again:
            raise MissingToolError(f"timm cannot be imported: {again}", where=where, hint=hint) from again
    return timm


_DECLARED = torch.library.Library("torchvision", "FRAGMENT")


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
