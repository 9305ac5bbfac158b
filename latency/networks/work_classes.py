"""Classes of kernels in a network, and the ideal time of each: what a network's time is a sum over.

A class is a kind of kernel that libraries serve by one implementation, or by a few that run alike: depthwise
convolutions by their size, grouped ones by their width, element-wise operators by what they move. A kernel of a class
gives two ideal times: its products in the best tiling at the peak of its precision (`:compute`), and its data once
through DRAM (`:memory`). Their sums over a network, and its number of launches, are all that is fitted on
(class_model.py): a few dozen factors, none of which knows a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hwsim.core.devices import Gpu
from hwsim.latency.kernels import Kernel
from hwsim.latency.shapes import KernelShape
from hwsim.latency.simulator.algorithms import gemm_us
from hwsim.latency.simulator.table import Array, KernelTable, table_of

_NARROW = 32  # input channels below which a 3x3 convolution fills no tile's depth
_IMAGE = 4  # input channels up to which a convolution is a network's first
_WIDEST_GROUP = 64
_MEMORY = {
    "batch_norm": "batch_norm", "layer_norm": "layer_norm", "rms_norm": "layer_norm",
    "group_norm": "group_norm", "instance_norm": "group_norm", "softmax": "softmax", "log_softmax": "softmax",
    "max_pool2d": "pool", "max_pool2d_with_indices": "pool", "avg_pool2d": "pool",
    "mean": "reduce", "sum": "reduce", "linalg_vector_norm": "reduce", "var": "reduce", "amax": "reduce",
    "max": "reduce", "adaptive_avg_pool2d": "reduce", "adaptive_max_pool2d": "reduce",
    "add": "arithmetic", "mul": "arithmetic", "sub": "arithmetic", "div": "arithmetic", "addcmul": "arithmetic",
    "clone": "copy", "cat": "copy", "concat": "copy", "index": "copy", "constant_pad_nd": "copy", "pad": "copy",
    "roll": "copy", "stack": "copy", "to_copy": "copy", "copy": "copy", "unsafe_split": "copy", "repeat": "copy",
    "reflection_pad2d": "copy", "im2col": "copy", "col2im": "copy", "reshape": "copy", "view": "copy",
    "flatten": "copy",
    "upsample_nearest2d": "upsample", "upsample_bilinear2d": "upsample", "upsample_bicubic2d": "upsample",
    "interpolate": "upsample",
}  # fmt: skip
_ACTIVATIONS = frozenset(
    "relu relu6 silu gelu sigmoid tanh hardswish hardtanh leaky_relu clamp_min hardsigmoid elu softplus mish selu "
    "prelu exp celu logsigmoid".split()
)
LAUNCHES = "launches"
WEIGHTS = "weights"  # what autocast converts anew at every run


@cache
def work_class(operator: str, shape: KernelShape) -> str:
    """The class of a kernel."""
    if shape.kind == "depthwise":
        return f"depthwise{min(max(shape.kernel_w, 3), 7)}"
    if shape.kind == "grouped":
        return f"grouped{min(_WIDEST_GROUP, 1 << (max(shape.cols, 1).bit_length() - 1))}"
    if shape.kind in ("conv3x3", "conv"):
        width = shape.depth // (shape.kernel_h * shape.kernel_w)
        if shape.kind == "conv3x3":
            return "conv3x3" if width >= _NARROW else "conv3x3_narrow"
        return "first_conv" if width <= _IMAGE else "conv"
    if shape.kind == "matmul":
        return "attention" if operator.startswith("scaled_dot") else "matmul"
    if shape.kind != "memory":
        return shape.kind
    name = operator.strip("_").removeprefix("native_")
    return _MEMORY.get(name) or ("activation" if name in _ACTIVATIONS else "other")


PRODUCTS = (
    "conv3x3", "conv3x3_narrow", "conv", "first_conv", "pointwise", "depthwise3", "depthwise4", "depthwise5",
    "depthwise6", "depthwise7", *(f"grouped{1 << i}" for i in range(7)), "linear", "matmul", "attention",
)  # fmt: skip
MOVES = (*dict.fromkeys(_MEMORY.values()), "activation", "other")
TERMS = (
    *(f"{name}:{part}" for name in PRODUCTS for part in ("compute", "memory")),
    *(f"{name}:memory" for name in MOVES), LAUNCHES, WEIGHTS,
)  # fmt: skip
_TERM = {name: i for i, name in enumerate(TERMS)}


@dataclass(frozen=True, slots=True)
class Work:
    """Kernels of one network at one batch size as what they ideally take.

    Attributes
    ----------
    compute_us, memory_us : of every kernel at the datasheet's rates.
    compute_term, memory_term : indices into `TERMS` of the factors on them; -1 where there is none.
    weights_us : the network's weights once through DRAM.
    """

    compute_us: Array
    memory_us: Array
    compute_term: NDArray[np.int64]
    memory_term: NDArray[np.int64]
    weights_us: Array

    def sums(self, counts: Array | None = None) -> Array:
        """The terms of the network, in the order of `TERMS`; `counts` says how often each kernel runs."""
        n = np.ones(len(self.compute_us)) if counts is None else counts
        total = np.bincount(self.memory_term, self.memory_us * n, len(TERMS))
        total += np.bincount(np.maximum(self.compute_term, 0), self.compute_us * n, len(TERMS))
        total[_TERM[LAUNCHES]] = n.sum()
        total[_TERM[WEIGHTS]] = float(self.weights_us @ n)
        return np.asarray(total, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class NetworkTable:
    """Kernels of a network at batch 1, with what does not depend on the batch.

    Attributes
    ----------
    same : of every kernel the first one of its shape and precision.
    """

    table: KernelTable
    classes: tuple[str, ...]
    precisions: tuple[str, ...]
    same: NDArray[np.int64]

    @classmethod
    def of(cls, made: Sequence[Kernel]) -> NetworkTable:
        table = table_of([k.shape for k in made], 1, [k.precision for k in made])
        first: dict[tuple[KernelShape, str], int] = {}
        same = np.array([first.setdefault((k.shape, k.precision), i) for i, k in enumerate(made)], dtype=np.int64)
        classes = tuple(work_class(k.operator, k.shape) for k in made)
        return cls(table, classes, tuple(k.precision for k in made), same)

    def work(self, gpu: Gpu, batch: int) -> Work:
        """Ideal times at a batch size on a GPU."""
        peak = np.array([gpu.peak_tflops[p] for p in self.precisions])
        return work_of(self.table.at_batch(batch), self.classes, gpu, peak)


def network_work(made: Sequence[Kernel], gpu: Gpu, batch: int) -> Work:
    """The kernels of a network at a batch size on a GPU."""
    return NetworkTable.of(made).work(gpu, batch)


def weights_us(table: KernelTable, gpu: Gpu) -> Array:
    """Weights of every row once through DRAM, microseconds."""
    return np.asarray(table.weight_elements * table.width_bytes / (gpu.dram_gbps_spec * 1e3))


def timed_work(kernel_us: Array, classes: Sequence[str], weights: Array) -> Work:
    """Kernels whose times are known as they are: in place of ideal times all of it counts as `:memory`."""
    memory_term = np.array([_TERM[f"{name}:memory"] for name in classes], dtype=np.int64)
    none = np.zeros(len(kernel_us))
    return Work(none, kernel_us, np.full(len(kernel_us), -1), memory_term, weights)


def work_of(table: KernelTable, classes: Sequence[str], gpu: Gpu, peak_tflops: Array) -> Work:
    """Ideal times of the rows of a table whose classes are known."""
    products = table.macs > 0
    compute = np.where(products, gemm_us(table, gpu, peak_tflops), 0.0)
    memory = table.bytes_moved / (gpu.dram_gbps_spec * 1e3)
    compute_term = np.array([_TERM.get(f"{name}:compute", -1) for name in classes], dtype=np.int64)
    memory_term = np.array([_TERM[f"{name}:memory"] for name in classes], dtype=np.int64)
    return Work(compute, memory, compute_term, memory_term, weights_us(table, gpu))
