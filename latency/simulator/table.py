"""Kernels as columns: one array a number of `KernelShape`, one row a launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.latency.catalog import element_bytes
from hwsim.latency.shapes import CLASSES, KernelShape

Array = NDArray[np.float64]
MATMUL = CLASSES.index("matmul")


@dataclass(frozen=True, slots=True)
class KernelTable:
    """Launches, batch included: `images` multiplies rows and activations (of `matmul` the count) of a shape.

    Attributes
    ----------
    kind : index into `CLASSES`.
    width_bytes : of one element, by precision.
    The others : as in `KernelShape`, as floats.
    """

    kind: NDArray[np.int64]
    images: Array
    count: Array
    rows: Array
    cols: Array
    depth: Array
    out_h: Array
    out_w: Array
    kernel_h: Array
    kernel_w: Array
    stride: Array
    read_elements: Array
    write_elements: Array
    weight_elements: Array
    width_bytes: Array

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> KernelTable:
        return KernelTable(*(getattr(self, f.name)[rows] for f in fields(self)))

    def at_batch(self, batch: int) -> KernelTable:
        """A table of batch 1 at another one."""
        product = self.kind == MATMUL
        return replace(
            self, images=self.images * batch, count=self.count * np.where(product, batch, 1),
            rows=self.rows * np.where(product, 1, batch), read_elements=self.read_elements * batch,
            write_elements=self.write_elements * batch,
        )  # fmt: skip

    @property
    def macs(self) -> Array:
        return self.count * self.rows * self.cols * self.depth

    @property
    def taps(self) -> Array:
        return self.kernel_h * self.kernel_w

    @property
    def cin(self) -> Array:
        """Input channels, all groups together; of products that are no convolutions their depth."""
        return np.where(self.kind == MATMUL, 1.0, self.count) * self.depth / self.taps

    @property
    def adds_residual(self) -> NDArray[np.bool_]:
        """Whether a convolution that keeps the size reads one more operand of the size of its output."""
        excess = [
            self.read_elements
            - self.images * self.cin * (self.stride * self.out_h - d) * (self.stride * self.out_w - d)
            for d in (0, 1)
        ]
        other = np.where(self.stride > 1, excess[1], excess[0])
        near = np.minimum(np.abs(excess[0] - self.write_elements), np.abs(other - self.write_elements))
        return np.asarray((self.write_elements > 0) & (near < 0.01 * self.write_elements))

    @property
    def bytes_moved(self) -> Array:
        """What has to be read and written once."""
        return (self.read_elements + self.write_elements + self.weight_elements) * self.width_bytes


def stacked(tables: Sequence[KernelTable]) -> KernelTable:
    """The rows of several tables, one after another."""
    return KernelTable(*(np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(KernelTable)))


def table_of(
    shapes: Sequence[KernelShape], images: int | Sequence[int] | NDArray[np.int64], precisions: str | Sequence[str]
) -> KernelTable:
    """A table of shapes, each at its batch and precision.

    Parameters
    ----------
    images : batch size of every launch, or one for all.
    precisions : of every launch, or one for all.
    """
    n = len(shapes)
    column = {
        f.name: np.array([getattr(shape, f.name) for shape in shapes], dtype=np.float64)
        for f in fields(KernelShape)
        if f.name != "kind"
    }
    kind = np.array([_INDEX[shape.kind] for shape in shapes], dtype=np.int64)
    batch = np.broadcast_to(np.asarray(images, dtype=np.float64), (n,))
    if isinstance(precisions, str):
        width = np.full(n, element_bytes(precisions))
    else:
        width = np.array([element_bytes(p) for p in precisions])
    product = kind == MATMUL
    return KernelTable(
        kind, batch, column["count"] * np.where(product, batch, 1.0), column["rows"] * np.where(product, 1.0, batch),
        column["cols"], column["depth"], column["out_h"], column["out_w"],
        column["kernel_h"], column["kernel_w"], column["stride"],
        column["read_elements"] * batch, column["write_elements"] * batch, column["weight_elements"], width,
    )  # fmt: skip


_INDEX = {name: i for i, name in enumerate(CLASSES)}
