"""A plan in the words of hls4ml: the layer dictionaries its own front ends make, and the precision of every type.

The dictionaries are made directly rather than through hls4ml's PyTorch front end, which transposes tensors and
refuses grouped convolutions, adaptive pooling and sums that read the network's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hwsim.hls.stages import MULTIPLIES, Plan, Stage

Io = Literal["io_stream", "io_parallel"]
LayerDict = dict[str, Any]
SHIFT_LAYER = "HwsimChannelShift"
CLAMP_LAYER = "HwsimClamp"
_SIDES = (("left", "right"),), (("top", "bottom"), ("left", "right"))
_AXES = ("width",), ("height", "width")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a plan becomes a project.

    Attributes
    ----------
    project : name of the top function and of the files.
    part : AMD part number.
    clock_mhz : target clock.
    reuse : by network layer; 1 where it is not listed.
    """

    project: str
    part: str
    clock_mhz: float
    io: Io
    reuse: Mapping[str, int]
    backend: str = "Vitis"


def layer_list(plan: Plan) -> list[LayerDict]:
    """One dictionary a stage, in order."""
    shapes = {stage.name: stage.shape for stage in plan.stages}
    return [_layer(stage, shapes[stage.inputs[0]] if stage.inputs else ()) for stage in plan.stages]


def hls4ml_config(plan: Plan, settings: Settings, folder: str, trace: bool) -> dict[str, Any]:
    """The configuration: types of every layer by name."""
    layers = {stage.name: _layer_config(stage, settings, trace) for stage in plan.stages}
    return {
        "OutputDir": folder,
        "ProjectName": settings.project,
        "Backend": settings.backend,
        "Part": settings.part,
        "ClockPeriod": round(1000 / settings.clock_mhz, 4),
        "ClockUncertainty": "27%",
        "IOType": settings.io,
        "HLSConfig": {
            "Model": {"Precision": {"default": str(plan.output.type)}, "ReuseFactor": 1, "Strategy": "Latency"},
            "LayerName": layers,
        },
        "TraceOutput": trace,
        "WriterConfig": {
            "Namespace": None,
            "WriteWeightsTxt": True,
            "WriteTar": False,
            "TBOutputStream": "both",
            "WriteEmulationConstants": False,
        },
    }


def reuse_of(stage: Stage, settings: Settings) -> int:
    """The reuse factor that a stage is given.

    hls4ml's parallel convolutions take at most one dot product's length, and its parallel depthwise ones take none.
    """
    asked = settings.reuse.get(stage.layer, 1) if stage.operation in MULTIPLIES else 1
    if settings.io == "io_parallel" and stage.operation != "dense":
        return min(asked, stage.multipliers[0]) if stage.operation == "conv" else 1
    return asked


def _layer_config(stage: Stage, settings: Settings, trace: bool) -> dict[str, Any]:
    precision = {"result": str(stage.type)}
    if stage.accumulator is not None:
        precision["accum"] = str(stage.accumulator)
    if stage.weights is not None:
        precision["weight"] = str(stage.weights.type)
        if stage.weights.bias_type is not None:
            precision["bias"] = str(stage.weights.bias_type)
    reuse = reuse_of(stage, settings)
    strategy = "Latency" if reuse == 1 else "Resource"
    return {
        "Precision": precision,
        "ReuseFactor": reuse,
        "Strategy": strategy,
        "Trace": trace and stage.tensor is not None,
    }


def _layer(stage: Stage, source: tuple[int, ...]) -> LayerDict:
    base: LayerDict = {"name": stage.name, "inputs": list(stage.inputs), "data_format": "channels_last"}
    match stage.operation:
        case "input":
            return {"name": stage.name, "class_name": "InputLayer", "input_shape": list(stage.shape)}
        case "conv" | "depthwise":
            return base | _convolution(stage, source)
        case "dense":
            return base | _weights(stage) | {"class_name": "Dense", "n_in": source[0], "n_out": stage.shape[0]}
        case "relu":
            return base | {"class_name": "Activation", "activation": "relu"}
        case "cast":
            return base | {"class_name": "Activation", "activation": "linear"}
        case "shift":
            return base | {"class_name": SHIFT_LAYER, "shifts": list(stage.shifts), "wide": str(stage.accumulator)}
        case "clamp":
            return base | {"class_name": CLAMP_LAYER, "bounds": stage.bounds, "wide": str(stage.accumulator)}
        case "add":
            return base | {"class_name": "Merge", "op": "add"}
        case "concat":
            return base | {"class_name": "Concatenate", "op": f"concatenate{len(stage.shape)}d", "axis": -1}
        case "pad":
            return base | _padding(stage, source)
        case "upsample":
            return (
                base
                | {"class_name": "Resize", "algorithm": "nearest", "n_chan": source[-1]}
                | _sizes(source, stage.shape)
            )
        case "flatten":
            return base | {"class_name": "Reshape", "target_shape": list(stage.shape)}
        case "max_pool" | "average_pool":
            return base | _pooling(stage, source)
        case "global_average":
            rank = len(source) - 1
            size = {"n_in": source[0]} if rank == 1 else {"in_height": source[0], "in_width": source[1]}
            return base | size | {"class_name": f"GlobalAveragePooling{rank}D", "n_filt": source[-1]}


def _convolution(stage: Stage, source: tuple[int, ...]) -> LayerDict:
    rank = len(source) - 1
    kind = "DepthwiseConv" if stage.operation == "depthwise" else "Conv"
    layer = {"class_name": f"{kind}{rank}D", "n_chan": source[-1], "n_filt": stage.shape[-1], "dilation": 1}
    layer |= _sizes(source, stage.shape) | _no_pads(rank) | {"padding": "valid"}
    for axis, kernel, stride in zip(_AXES[rank - 1], stage.geometry["kernel"], stage.geometry["stride"], strict=True):
        layer |= {f"filt_{axis}": kernel, f"stride_{axis}": stride}
    if kind == "DepthwiseConv":
        layer["depth_multiplier"] = 1
    return layer | _weights(stage)


def _weights(stage: Stage) -> LayerDict:
    assert stage.weights is not None
    key = "depthwise_data" if stage.operation == "depthwise" else "weight_data"
    return {key: stage.weights.values, "bias_data": stage.weights.bias, "use_bias": stage.weights.bias is not None}


def _padding(stage: Stage, source: tuple[int, ...]) -> LayerDict:
    rank = len(source) - 1
    sides = [side for pair in _SIDES[rank - 1] for side in pair]
    pads = dict(zip((f"pad_{side}" for side in sides), stage.geometry["pads"], strict=True))
    return {"class_name": f"ZeroPadding{rank}D", "n_chan": source[-1]} | _sizes(source, stage.shape) | pads


def _pooling(stage: Stage, source: tuple[int, ...]) -> LayerDict:
    rank = len(source) - 1
    kind = "Max" if stage.operation == "max_pool" else "Average"
    layer: LayerDict = {
        "class_name": f"{kind}Pooling{rank}D",
        "n_filt": source[-1],
        "padding": "valid",
        "count_pad": True,
    }
    for axis, size in zip(_AXES[rank - 1], stage.geometry["kernel"], strict=True):
        layer |= {f"pool_{axis}": size, f"stride_{axis}": size}
    sizes = {"n_in": source[0], "n_out": stage.shape[0]} if rank == 1 else _sizes(source, stage.shape)
    return layer | sizes | _no_pads(rank)


def _sizes(source: tuple[int, ...], result: tuple[int, ...]) -> LayerDict:
    axes = _AXES[len(source) - 2]
    return {f"in_{a}": n for a, n in zip(axes, source, strict=False)} | {
        f"out_{a}": n for a, n in zip(axes, result, strict=False)
    }


def _no_pads(rank: int) -> LayerDict:
    return {f"pad_{side}": 0 for pair in _SIDES[rank - 1] for side in pair}
