"""HW-NAS-Bench (Li et al., ICLR 2021): HW-NAS-Bench-v1_0.pickle, read without running it.

Layout, from hw_nas_bench_api.py of GATECH-EIC/HW-NAS-Bench @ 6c67e04, all times in milliseconds:

    nasbench201 -> cifar10 | cifar100 | ImageNet16-120 -> edgegpu_latency, ... -> a number an architecture
                                                       -> config -> {"arch_str": ...} an architecture
    fbnet -> edgegpu_latency, ... -> "ConvBlock_H32_W32_Cin16_..." -> a number a block

`edgegpu` is a Jetson TX2 at batch 1, each time a mean of 50 runs with a synchronisation after each (README and
EdgeGPU_Benchmark.py there); networks went through torch2trt, whose default is fp32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hwsim.core.errors import InputError, nearest
from hwsim.latency.importers.imported import Imported, Labels, Skipped, wanted
from hwsim.latency.importers.json_files import is_number
from hwsim.latency.importers.plain_pickle import array, load_plain
from hwsim.latency.measurements import NETWORK, Measurement
from hwsim.latency.shapes import KernelShape, conv, linear, memory

HW_NAS_BENCH = "HW-NAS-Bench pickle"
_METRICS = {
    "tx2": "edgegpu_latency", "zc706": "fpga_latency", "raspi4": "raspi4_latency", "edgetpu": "edgetpu_latency",
    "pixel3": "pixel3_latency", "eyeriss": "eyeriss_latency",
}  # fmt: skip
_SPACES = ("nasbench201", "fbnet")
_US_PER_MS = 1000.0
_NUMBERS = re.compile(r"_([A-Za-z]+)(\d{1,6})")


def read_hw_nas_bench(path: Path, labels: Labels) -> Imported:
    """Network rows `nasbench201:ARCH@DATASET` and rows of FBNet's blocks, `fbnet:BLOCK`, of one device.

    Parameters
    ----------
    labels : `device` chooses the column: tx2 (the default and the only GPU), zc706, raspi4, edgetpu, pixel3, or
        eyeriss, whose numbers upstream estimated. For those but the TX2, runtime and precision have to be said.
    """
    data = load_plain(path)
    spaces = [space for space in _SPACES if isinstance(data, Mapping) and isinstance(data.get(space), Mapping)]
    if not isinstance(data, Mapping) or not spaces:
        hint = f"the pickle of HW-NAS-Bench is wanted: a dict with {' and '.join(_SPACES)}"
        raise InputError("not HW-NAS-Bench", where=str(path), hint=hint)
    device = labels.device or "tx2"
    if device not in _METRICS:
        raise InputError(f"device = {device!r}", where=str(path), hint=nearest(device, _METRICS))
    tx2 = device == "tx2"
    runtime = labels.runtime or ("tensorrt" if tx2 else wanted(labels, "runtime", str(path)))
    precision = labels.precision or ("fp32" if tx2 else wanted(labels, "precision", str(path)))
    rows, skipped = [], []
    for operator, name, shape, value in _entries(data, _METRICS[device], path):
        if not is_number(value) or not 0 < value < float("inf"):
            skipped.append(Skipped(name, "its latency is no number above 0"))
            continue
        rows.append(
            Measurement(
                device, runtime, precision, "nchw", operator, name, 1, shape, float(value) * _US_PER_MS, 0.0,
                50 if tx2 else 1, HW_NAS_BENCH,
            )
        )  # fmt: skip
    others = [key for key in _METRICS if key != device]
    left = [Skipped(key, f"another device: device = {key}") for key in others if _holds(data, _METRICS[key])]
    return Imported(HW_NAS_BENCH, tuple(rows), (*skipped, *left))


def _entries(
    data: Mapping[object, object], metric: str, path: Path
) -> Iterator[tuple[str, str, KernelShape | None, object]]:
    """Operator, name, shape and milliseconds of everything that has this metric."""
    for dataset, table in _items(data.get("nasbench201")):
        if isinstance(table, Mapping) and metric in table:
            where = f"{path}: nasbench201.{dataset}"
            values = _sequence(table[metric], f"{where}.{metric}")
            configs = _sequence(table["config"], f"{where}.config") if "config" in table else []
            for index, value in enumerate(values):
                yield NETWORK, f"nasbench201:{_architecture(configs, index)}@{dataset}", None, value
    fbnet = data.get("fbnet")
    for block, value in _items(fbnet.get(metric) if isinstance(fbnet, Mapping) else None):
        yield *_block(block), value


def _items(value: object) -> list[tuple[str, object]]:
    return [(str(key), item) for key, item in value.items()] if isinstance(value, Mapping) else []


def _sequence(value: object, where: str) -> Sequence[object]:
    """A list or one-dimensional array, an entry an architecture."""
    values = array(value)
    if values is not None and values.ndim == 1:
        entries: list[object] = values.tolist()
        return entries
    if not isinstance(value, list | tuple):
        raise InputError(f"a {type(value).__name__}", where=where, hint="a list is wanted, an entry an architecture")
    return value


def _architecture(configs: Sequence[object], index: int) -> str:
    config = configs[index] if index < len(configs) else None
    name = config.get("arch_str") if isinstance(config, Mapping) else None
    return name if isinstance(name, str) and name else str(index)


def _block(name: str) -> tuple[str, str, KernelShape | None]:
    """One kernel where the block is one (a convolution with its folded normalisation, a linear layer, a pool)."""
    kind = name.partition("_")[0]
    numbers = {key: int(value) for key, value in _NUMBERS.findall(name)}
    try:
        cin, cout = numbers["Cin"], numbers["Cout"]
        if kind == "FC":
            return "linear", f"fbnet:{name}", linear(1, cin, cout)
        size, kernel, stride = (numbers["H"], numbers["W"]), numbers["kernel"], numbers["stride"]
        if kind == "ConvNorm" and not (cin % numbers["group"] or cout % numbers["group"]):
            return "conv2d", f"fbnet:{name}", conv(cin, cout, size, (kernel, kernel), stride, numbers["group"])
        if kind == "AvgP":
            sides = [(side - kernel) // stride + 1 for side in size]
            return "avg_pool2d", f"fbnet:{name}", memory(cin * size[0] * size[1], cout * sides[0] * sides[1])
    except (KeyError, ZeroDivisionError):
        pass
    return NETWORK, f"fbnet:{name}", None


def _holds(data: Mapping[object, object], metric: str) -> bool:
    """Whether any table of the file has this metric."""
    tables = [table for _, table in _items(data.get("nasbench201"))] + [data.get("fbnet")]
    return any(isinstance(table, Mapping) and metric in table for table in tables)
