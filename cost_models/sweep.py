"""Many format assignments of one folded network at once: a table of layers by formats, and sums of its entries.

Formats of weights differ from layer to layer; one activation format serves a network. Folding and timing are the same
for all, as they depend on shapes alone. Layers without weights are counted with the one whose results they get first:
exact for networks of one weight format; where the branches of an addition differ, it is that of its first branch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.core.assignment import Policy, assign
from hwsim.core.devices import Part
from hwsim.core.errors import InputError
from hwsim.core.workload import Workload
from hwsim.cost_models.bill import Bill
from hwsim.cost_models.dataflow import build_pipeline
from hwsim.cost_models.operators.multiplier import DspPolicy
from hwsim.cost_models.residuals import lut_interval
from hwsim.cost_models.trust import joined_factor

RESOURCES = ("lut", "lut_low", "lut_high", "ff", "dsp", "bram18")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FormatTable:
    """Resources of every layer under every pair of formats.

    Attributes
    ----------
    layers : with weights, whose formats can be chosen; what stands before all of them is in `rest`.
    weights, acts : formats.
    own : (acts, layers, weights, resources).
    rest : (acts, resources).
    """

    layers: tuple[str, ...]
    weights: tuple[str, ...]
    acts: tuple[str, ...]
    own: Floats
    rest: Floats

    def estimate(self, weights: ArrayLike, acts: ArrayLike) -> dict[str, Floats]:
        """Resources of networks.

        Parameters
        ----------
        weights : (networks, layers), indices into `weights`.
        acts : (networks,), indices into `acts`.

        Raises
        ------
        InputError
            For a wrong shape or an index out of range.
        """
        w, a = np.asarray(weights, dtype=np.intp), np.asarray(acts, dtype=np.intp)
        if w.ndim != 2 or w.shape[1] != len(self.layers) or a.shape != w.shape[:1]:
            raise InputError(
                f"choices of shape {w.shape} and {a.shape}", where="sweep", hint=f"{len(self.layers)} layers"
            )
        if w.size and not (0 <= w.min() <= w.max() < len(self.weights) and 0 <= a.min() <= a.max() < len(self.acts)):
            raise InputError("an index without a format", where="sweep", hint="indices into the table's formats")
        picked = self.own[a[:, None], np.arange(w.shape[1])[None, :], w].sum(axis=1) + self.rest[a]
        return {name: picked[:, i] for i, name in enumerate(RESOURCES)}


def format_table(
    workload: Workload,
    policy: Policy,
    weights: Sequence[str],
    acts: Sequence[str],
    part: Part,
    *,
    reuse: Mapping[str, int],
    dsp: DspPolicy = "auto",
    non_negative: frozenset[str] = frozenset(),
) -> FormatTable:
    """Price every layer under every pair of formats.

    Parameters
    ----------
    policy : everything but the formats of weights and activations, which replace its own.
    reuse : cycles a position by layer; others 1.
    non_negative : tensors that never hold a negative value, as calibration saw them.
    """
    chosen = [layer.name for layer in workload.weighted]
    heads = _heads(workload, frozenset(chosen))
    own = np.zeros((len(acts), len(chosen), len(weights), len(RESOURCES)))
    rest = np.zeros((len(acts), len(RESOURCES)))
    for i, act in enumerate(acts):
        for j, weight in enumerate(weights):
            assignment = assign(workload, replace(policy, weights=weight, acts=act), non_negative)
            placed = build_pipeline(workload, assignment, part, reuse, dsp).placed
            for p in placed:
                head = heads[p.layer.name]
                if head is not None:
                    own[i, chosen.index(head), j] += _resources(p.bill)
                elif j == 0:
                    rest[i] += _resources(p.bill)
    return FormatTable(tuple(chosen), tuple(weights), tuple(acts), own, rest)


def _heads(workload: Workload, weighted: frozenset[str]) -> dict[str, str | None]:
    """The layer with weights that each layer is, or whose results it gets first; None before all of them."""
    heads: dict[str, str | None] = {}
    for layer in workload:
        before = heads.get(layer.inputs[0]) if layer.inputs else None
        heads[layer.name] = layer.name if layer.name in weighted else before
    return heads


def _resources(bill: Bill) -> Floats:
    lut = lut_interval([bill], joined=joined_factor())
    return np.array([lut.mid, lut.lo, lut.hi, bill.ff, bill.dsp, bill.bram18], dtype=np.float64)
