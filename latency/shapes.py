"""What one kernel launch computes, as numbers that measured tables, profiles and networks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OperatorClass = Literal["conv3x3", "conv", "pointwise", "depthwise", "grouped", "linear", "matmul", "memory"]
CLASSES: tuple[OperatorClass, ...] = (
    "conv3x3", "conv", "pointwise", "depthwise", "grouped", "linear", "matmul", "memory"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KernelShape:
    """One launch at batch 1: `count` products of `rows` x `depth` by `depth` x `cols`, and the data it moves.

    A batch multiplies `rows`, but for `matmul`, whose operands both belong to an image, `count`.

    Attributes
    ----------
    kind : the operator class. `conv3x3` is dense, 3x3, stride 1, where libraries use Winograd's algorithm; `memory`
        is everything that computes next to nothing.
    count : products an image: groups of a convolution, heads of an attention; 0 for `memory`.
    rows, cols, depth : of each product; of a convolution its output positions, output channels a group, and input
        channels a group times taps.
    out_h, out_w, kernel_h, kernel_w, stride : of a convolution; 1 elsewhere.
    read_elements, write_elements : activations an image.
    weight_elements : weights and biases, read once a launch.
    """

    kind: OperatorClass
    count: int
    rows: int
    cols: int
    depth: int
    out_h: int
    out_w: int
    kernel_h: int
    kernel_w: int
    stride: int
    read_elements: int
    write_elements: int
    weight_elements: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates an image."""
        return self.count * self.rows * self.cols * self.depth

    @property
    def cin(self) -> int:
        """Input channels of a convolution, all groups together."""
        return self.count * self.depth // (self.kernel_h * self.kernel_w)

    @property
    def cout(self) -> int:
        """Output channels of a convolution, all groups together."""
        return self.count * self.cols


def conv(
    cin: int,
    cout: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int = 1,
    groups: int = 1,
    padding: tuple[int, int] | None = None,
    dilated: bool = False,
) -> KernelShape:
    """A two-dimensional convolution of an input of `size`.

    Parameters
    ----------
    padding : on each side; None pads by half the kernel, which keeps the size at stride 1.
    dilated : whether taps are apart, which no Winograd kernel serves.
    """
    pad = padding or (kernel[0] // 2, kernel[1] // 2)
    out_h, out_w = ((size[i] + 2 * pad[i] - kernel[i]) // stride + 1 for i in (0, 1))
    taps = kernel[0] * kernel[1]
    return KernelShape(
        conv_class(cin, groups, kernel, stride, dilated), groups, out_h * out_w, cout // groups, cin // groups * taps,
        out_h, out_w, *kernel, stride, cin * size[0] * size[1], cout * out_h * out_w, cin // groups * taps * cout,
    )  # fmt: skip


def conv_class(cin: int, groups: int, kernel: tuple[int, ...], stride: int, dilated: bool = False) -> OperatorClass:
    """The class of a convolution."""
    if groups > 1:
        return "depthwise" if groups == cin else "grouped"
    if all(k == 1 for k in kernel):
        return "pointwise"
    return "conv3x3" if kernel == (3, 3) and stride == 1 and not dilated else "conv"


def linear(rows: int, cin: int, cout: int) -> KernelShape:
    """A fully connected layer on `rows` rows (tokens) an image."""
    return KernelShape("linear", 1, rows, cout, cin, 1, 1, 1, 1, 1, rows * cin, rows * cout, cin * cout)


def matmul(count: int, rows: int, cols: int, depth: int) -> KernelShape:
    """`count` products of two activations an image."""
    read = count * depth * (rows + cols)
    return KernelShape("matmul", count, rows, cols, depth, 1, 1, 1, 1, 1, read, count * rows * cols, 0)


def memory(read_elements: int, write_elements: int) -> KernelShape:
    """An operator that computes next to nothing: element by element, normalisation, pooling, copies."""
    return KernelShape("memory", 0, 0, 0, 0, 1, 1, 1, 1, 1, read_elements, write_elements, 0)
