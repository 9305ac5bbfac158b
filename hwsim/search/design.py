"""One candidate on one target: the quantized network's figures and the target's cost, joined in a DesignPoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hwsim.core.assignment import Policy, assign
from hwsim.core.cost import Cost, KernelTime, LayerCost
from hwsim.core.design import DesignPoint
from hwsim.core.devices import Gpu, Part
from hwsim.core.workload import Workload
from hwsim.quant.model import QuantizedModel
from hwsim.search.codec import Score
from hwsim.search.plan import Candidate, Target

if TYPE_CHECKING:
    from hwsim.cost_models.operators.multiplier import DspPolicy

REFERENCE = "int8"
_RESOURCES = ("lut", "ff", "dsp", "bram18")
_LAYER_COSTS = ("lut", "ff", "dsp", "bram18", "cycles", "reuse")
_KERNEL_TIMES = ("latency_us", "precision", "bound")
Rows = Sequence[Mapping[str, Any]]


def price(
    id: str, candidate: Candidate, score: Score, model: QuantizedModel, rows: Rows, target: Target
) -> DesignPoint:
    """The design of a quantized network on a target; analytic, a few milliseconds.

    Parameters
    ----------
    rows : `layer_rows(model)`, made once for all targets.
    """
    common: dict[str, Any] = {
        "id": id,
        "weights": candidate.weights,
        "acts": candidate.acts,
        "edge": model.policy.edge,
        "scale": candidate.scale,
        "recipe": candidate.recipe,
        "seed": candidate.seed,
        "metric": score.value,
        "metric_lo": score.lo,
        "metric_hi": score.hi,
        "metric_name": score.name,
        "memory_bits": model.memory_bits,
    }
    on_target = _on_part if isinstance(target.device, Part) else _on_gpu
    return DesignPoint(**common, **on_target(model, rows, target))


def layer_rows(model: QuantizedModel) -> list[dict[str, Any]]:
    """Formats, work and accumulators of each layer that holds weights or multiplies, in order of execution."""
    rows = []
    workload = model.network.workload
    for made in model.layers:
        layer = workload[made.name]
        rows.append(
            {
                "name": made.name,
                "kind": made.kind,
                "weight": str(made.weight) if made.weight else None,
                "act": ",".join(str(spec) for spec in made.acts),
                "macs": layer.macs,
                "params": layer.params,
                "accumulator_bits": model.accumulator_bits(layer) if made.acts else None,
                "weight_sqnr_db": None if made.weight_sqnr_db is None else round(made.weight_sqnr_db, 3),
            }
        )
    return rows


def _on_part(model: QuantizedModel, rows: Rows, target: Target) -> dict[str, Any]:
    from hwsim.cost_models import estimate

    knobs, part = target.knobs, target.device
    assert isinstance(part, Part)
    workload = model.network.workload
    reuse = "by layer" if isinstance(knobs["reuse"], Mapping) else knobs["reuse"]
    if reuse == "auto" and knobs["arch"] == "dataflow":
        knobs = {**knobs, "reuse": dict(reference_folding(workload, part, knobs["dsp"]))}
        reuse = f"as {REFERENCE} needs"
    cost: Cost = estimate(workload, model.assignment, part, codes=model.codes, search_constants=False, **knobs)
    dsp = "" if knobs["dsp"] == "auto" else f", DSPs: {knobs['dsp']}"
    return {
        "part": target.name,
        "device": None,
        "setting": f"{knobs['arch']}, reuse {reuse}{dsp}",
        "lut": cost.lut,
        "ff": cost.ff,
        "dsp": cost.dsp,
        "bram18": cost.bram18,
        "latency_us": cost.latency_us,
        "fits": cost.fits,
        "fill": max(getattr(cost, name).mid / getattr(part, name) for name in _RESOURCES if getattr(part, name)),
        "note": "; ".join(cost.notes),
        "layers": _joined(model.network.workload, rows, cost.layers, _LAYER_COSTS),
    }


@lru_cache(maxsize=64)
def reference_folding(workload: Workload, part: Part, dsp: DspPolicy) -> tuple[tuple[str, int], ...]:
    """Reuse factors of a study with `reuse = "auto"`: the fastest at which the reference format fits the part.

    All formats get them, so that LUTs compare formats at one throughput: were each folded by itself, a smaller format
    would be spread over the whole part and look as large.
    """
    from hwsim.cost_models import estimate

    assignment = assign(workload, Policy(REFERENCE, REFERENCE, scale="pow2"))
    cost = estimate(workload, assignment, part, reuse="auto", dsp=dsp)
    compute = {layer.name for layer in workload.compute}
    return tuple((layer.name, layer.reuse) for layer in cost.layers if layer.name in compute)


def _on_gpu(model: QuantizedModel, rows: Rows, target: Target) -> dict[str, Any]:
    from hwsim.latency import predict

    knobs, gpu = target.knobs, target.device
    assert isinstance(gpu, Gpu)
    prediction = predict(
        model.network.workload,
        gpu,
        batches=(knobs["batch"],),
        precision=knobs["precision"],
        runtime=knobs["runtime"],
        assignment=model.assignment,
    )
    (batch,) = prediction.batches
    notes = [*prediction.notes, *(["outside what the predictor was fitted on"] if batch.out_of_domain else [])]
    return {
        "part": None,
        "device": target.name,
        "setting": f"batch {batch.batch}, {prediction.precision}, {prediction.runtime}",
        "lut": None,
        "ff": None,
        "dsp": None,
        "bram18": None,
        "latency_us": batch.latency_us,
        "fits": None,
        "note": "; ".join(notes),
        "layers": _joined(model.network.workload, rows, batch.layers, _KERNEL_TIMES),
    }


def _joined(
    workload: Workload, rows: Rows, costs: Iterable[LayerCost | KernelTime], columns: tuple[str, ...]
) -> tuple[Mapping[str, Any], ...]:
    """Each layer with its cost in order of execution, then what costs something without being a layer of its own."""
    by_name = {row["name"]: dict(row) for row in rows}
    for cost in costs:
        row = by_name.setdefault(cost.name, {"name": cost.name, "kind": cost.kind})
        row |= {name: getattr(cost, name) for name in columns}
        if isinstance(cost, LayerCost):
            row["terms"] = dict(cost.terms)
    in_order = [layer.name for layer in workload if layer.name in by_name]
    return tuple(by_name[name] for name in dict.fromkeys((*in_order, *by_name)))
