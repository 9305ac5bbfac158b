"""GPTQ: columns rounded one after the other, the error of each made up for by those that follow (arXiv 2210.17323).

One sweep serves every format: only the rounding of a column differs. Scales are fixed before the sweep (of groups and
blocks too, so columns may be taken in any order).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.core.scaled import Scaled
from hwsim.core.workload import Layer
from hwsim.quant.draft import Draft
from hwsim.quant.grids import grid_of, needs_scratch, new_scratch, round_, stretched, working_dtype
from hwsim.quant.groups import expand_groups
from hwsim.quant.patches import gram
from hwsim.quant.settings import check_ranges
from hwsim.quant.sweep import safe_divisor
from hwsim.quant.walk import LayerByLayer, Stage, each_layer


@dataclass(frozen=True, slots=True)
class GPTQ(LayerByLayer):
    """Settings of the sweep, beside those of every layer-by-layer step.

    Attributes
    ----------
    damping : added to the diagonal of the Hessian, times its mean.
    order : columns by falling diagonal (act_order); else as they stand.
    block : columns that are updated together.
    """

    damping: float = 0.01
    order: bool = True
    block: int = 128

    def __post_init__(self) -> None:
        LayerByLayer.__post_init__(self)
        check_ranges("gptq", damping=(self.damping, 0.0, 1e6), block=(self.block, 1, 1e9))


def gptq(draft: Draft, config: GPTQ) -> None:
    """Round every weight of a draft, layer by layer, on inputs that the quantized layers before give."""
    for stage, weight in each_layer(draft, config, "gptq", follow_float=False):
        if weight.codes is None or weight.scale is None or weight.layer.kind == "embedding":
            continue
        moments = _moments(stage, weight.layer)
        rows = compensated(weight.rows, moments, weight.spec, weight.scale, weight.zero_point, config)
        draft.set_codes(weight.layer.name, rows, weight.spec, weight.scale, weight.zero_point)


def _moments(stage: Stage, layer: Layer) -> Tensor:
    """Mean of x x^T over what the layer reads, shape (groups, K, K), float64."""
    node = stage.walk.draft.nodes[layer.name]
    source = node.args[0]
    segment = stage.segment([source])  # type: ignore[list-item]
    stores = [stage.walk.quantized[n] for n in segment.inputs]
    total, count = None, 0
    with torch.no_grad():
        for index in range(stage.walk.batches):
            (x,) = segment(*(store.batch(index) for store in stores))
            found, positions = gram(layer, x)
            total = found.double() if total is None else total.add_(found)
            count += positions
    assert total is not None
    return total / max(1, count)


def compensated(
    rows: Tensor, moments: Tensor, spec: Scaled, scale: Tensor, zero_point: Tensor | None, config: GPTQ
) -> Tensor:
    """Rows on the grid of a format, with little error on inputs of the given second moments.

    Parameters
    ----------
    rows : float weight, output channels first, shape (Cout, Cin / groups, ...).
    moments : mean x x^T by group of the convolution, shape (groups, K, K).

    Returns
    -------
    Tensor
        Shaped and typed like `rows`.
    """
    groups, count = moments.shape[:2]
    matrix = rows.reshape(rows.shape[0], -1)
    dtype = working_dtype(rows.dtype, spec.format)
    _, stretch = grid_of(spec.format, dtype)
    unit = expand_groups(stretched(scale, stretch, dtype), spec, rows).expand_as(rows).reshape_as(matrix)
    zero = None
    if zero_point is not None:
        zero = expand_groups(zero_point.to(dtype), spec, rows).expand_as(rows).reshape_as(matrix)
    out = torch.empty_like(matrix, dtype=dtype)
    share = matrix.shape[0] // groups
    for g in range(groups):
        cut = slice(g * share, (g + 1) * share)
        order, factor = _factor(moments[g], config)
        part = _Columns(matrix[cut][:, order], unit[cut][:, order], None if zero is None else zero[cut][:, order], spec)
        out[cut, order] = part.swept(factor, config.block)
    assert count == matrix.shape[1]
    return out.to(rows.dtype).reshape(rows.shape)


def _factor(moments: Tensor, config: GPTQ) -> tuple[Tensor, Tensor]:
    """The order of columns, and the Cholesky factor of the inverse Hessian in it: upper, with a unit diagonal."""
    hessian = moments.clone()
    diagonal = hessian.diagonal()
    dead = diagonal == 0
    diagonal[dead] = 1.0
    order = torch.argsort(diagonal, descending=True, stable=True) if config.order else torch.arange(len(diagonal))
    hessian = hessian[order][:, order]
    damping = config.damping * float(diagonal.mean())
    for _ in range(8):
        damped = hessian.clone()
        damped.diagonal().add_(damping)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not int(failed):
            inverse = torch.cholesky_inverse(lower)
            upper, failed = torch.linalg.cholesky_ex(inverse, upper=True)
            if not int(failed):
                return order, upper / upper.diagonal().unsqueeze(1)
        damping *= 10.0
    return order, torch.eye(len(order), dtype=hessian.dtype)  # no curvature to speak of: rounding to nearest


class _Columns:
    """The columns of one group of rows while they are swept."""

    def __init__(self, matrix: Tensor, unit: Tensor, zero: Tensor | None, spec: Scaled) -> None:
        dtype = unit.dtype
        self.grid, _ = grid_of(spec.format, dtype)
        self.work = matrix.to(dtype).t().contiguous()  # a column is a contiguous row here
        self.unit = unit.t().contiguous()
        self.divisor = safe_divisor(self.unit)
        self.zero = None if zero is None else zero.t().contiguous()
        self.scratch = new_scratch(self.work, self.work.shape[1:]) if needs_scratch(self.grid) else None

    def swept(self, factor: Tensor, block: int) -> Tensor:
        """All columns rounded, in the order of the factor; shape (rows, K)."""
        factor = factor.to(self.work.dtype)
        work, out = self.work, torch.empty_like(self.work)
        for start in range(0, len(work), block):
            end = min(start + block, len(work))
            errors = torch.empty_like(work[start:end])
            inner = factor[start:end, start:end]
            for i in range(end - start):
                column = work[start + i]
                out[start + i] = self._rounded(start + i, column)
                torch.sub(column, out[start + i], out=errors[i])
                if i + 1 < end - start:
                    work[start + i + 1 : end].addr_(inner[i, i + 1 :], errors[i], alpha=-1.0)
            if end < len(work):
                work[end:].addmm_(factor[start:end, end:].t(), errors, alpha=-1.0)
        return out.t()

    def _rounded(self, index: int, column: Tensor) -> Tensor:
        u = column / self.divisor[index]
        if self.zero is not None:
            u += self.zero[index]
        round_(u, self.grid, self.scratch)
        if self.zero is not None:
            u -= self.zero[index]
        return u.mul_(self.unit[index])


def output_error(layer: Layer, difference: Tensor, moments: Tensor) -> float:
    """Mean squared change of the layer's outputs for a change of its rows: sum of d H d^T, for tests and reports."""
    rows = difference.double().reshape(difference.shape[0], -1)
    share = rows.shape[0] // len(moments)
    parts = [rows[g * share : (g + 1) * share] for g in range(len(moments))]
    return float(sum((p @ h * p).sum() for p, h in zip(parts, moments.double(), strict=True)))
