"""trtexec's JSON as it writes it, made by hand with the keys of NVIDIA/TensorRT @ 8fe0539, 26210e9, 922ec5f."""

from __future__ import annotations

from typing import Any


def tensor(*dims: int, text: str = "Row major linear FP32") -> dict[str, Any]:
    return {"Name": "t", "Location": "Device", "Dimensions": list(dims), "Format/Datatype": text}


INT8 = "Thirty-two wide channel vectorized row major Int8 format"
FP16 = "Thirty-two wide channel vectorized row major FP16 format"
NHWC = "Channel major FP16 format where channel % 8 == 0"


def layer(
    name: str, kind: str, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]], **keys: Any
) -> dict[str, Any]:
    return {
        "Name": name,
        "LayerType": "Cask" + kind,
        "Inputs": inputs,
        "Outputs": outputs,
        "ParameterType": kind,
    } | keys


def convolution(
    name: str,
    inputs: list[dict[str, Any]],
    out: dict[str, Any],
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    **keys: Any,
) -> dict[str, Any]:
    pad = [kernel // 2] * 2
    return layer(
        name, "Convolution", inputs, [out],
        **{
            "Kernel": [kernel] * 2, "PaddingMode": "kEXPLICIT_ROUND_DOWN", "PrePadding": pad, "PostPadding": pad,
            "Stride": [stride] * 2, "Dilation": [1, 1], "OutMaps": out["Dimensions"][1], "Groups": groups,
            "Weights": {"Type": "Int8", "Count": 1}, "HasBias": 1, "Activation": "NONE",
        } | keys,
    )  # fmt: skip


def profile(*entries: tuple[str, float], median: bool = True) -> list[dict[str, Any]]:
    def one(name: str, average: float) -> dict[str, Any]:
        times = {"timeMs": 200 * average, "averageMs": average}
        return {"name": name} | times | ({"medianMs": average} if median else {}) | {"percentage": 1.0}

    return [{"count": 200}, *(one(*entry) for entry in entries)]


def run(compute_ms: float) -> dict[str, float]:
    spans = {"startEnqMs": 1.0, "endEnqMs": 1.1, "startH2dMs": 1.0, "endH2dMs": 1.2, "startComputeMs": 1.2}
    return spans | {
        "endComputeMs": 2.0,
        "h2dMs": 0.2,
        "computeMs": compute_ms,
        "d2hMs": 0.1,
        "latencyMs": compute_ms + 0.3,
    }
