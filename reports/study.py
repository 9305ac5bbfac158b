"""A finished study as one value: what the tables, the figures and the page are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hwsim.core.design import DesignPoint, ParetoFront
from hwsim.core.devices import Gpu, Part
from hwsim.core.workload import Shape, Workload


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One line of the table of the network's layers; shape is the output's at batch 1."""

    name: str
    kind: str
    shape: Shape
    macs: int
    params: int


@dataclass(frozen=True, slots=True)
class WorkloadSummary:
    """The network as a table."""

    input_shapes: tuple[Shape, ...] = ()
    layers: tuple[LayerSummary, ...] = ()

    @classmethod
    def of(cls, workload: Workload) -> WorkloadSummary:
        rows = (LayerSummary(x.name, x.op, x.out_shape, x.macs, x.params) for x in workload)
        return cls(workload.input_shapes, tuple(rows))

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def params(self) -> int:
        return sum(layer.params for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Study:
    """Everything that a report shows.

    Attributes
    ----------
    name : heading of the page.
    model : the MODEL spec string of the command line.
    metric_name : what `metric` of the designs is (`accuracy`, `top-1 accuracy`, ...), a fraction in [0, 1].
    float_metric : the metric of the network before quantization, on the same samples.
    n_eval : how many samples the metric was measured on.
    designs, fronts : every evaluated design; `fronts_of(designs)` gives the fronts.
    config_toml : the resolved configuration, a valid input of `hwsim explore`.
    provenance : name -> value in the order of the page: versions, seeds, hashes of the data, the command.
    accuracy_statements : (title, text) pairs: how far each kind of figure can be trusted, with what was measured.
    workload : the network.
    run_dir : the run directory as the user wrote it, for the commands that the page shows.
    float_interval : sampling interval of `float_metric`; None where it is the Wilson interval of a proportion.
    parts, gpus : the targets' own data, for their titles, capacities and sources; may be left out.
    """

    name: str
    model: str
    metric_name: str
    float_metric: float
    n_eval: int
    designs: tuple[DesignPoint, ...]
    fronts: tuple[ParetoFront, ...]
    config_toml: str
    provenance: Mapping[str, str]
    accuracy_statements: tuple[tuple[str, str], ...] = ()
    workload: WorkloadSummary = field(default_factory=WorkloadSummary)
    run_dir: str = "RUN_DIR"
    float_interval: tuple[float, float] | None = None
    parts: tuple[Part, ...] = ()
    gpus: tuple[Gpu, ...] = ()

    def part(self, name: str) -> Part | None:
        return next((part for part in self.parts if part.name == name), None)

    def title(self, target: str) -> str:
        """The full name of a part or device where it is known."""
        titles = {part.name: part.title for part in self.parts} | {gpu.name: gpu.title for gpu in self.gpus}
        return titles.get(target, target)

    def to_json(self) -> str:
        """The study as JSON text; `from_json` gives an equal study back."""
        names = ("name", "model", "metric_name", "float_metric", "n_eval", "config_toml", "run_dir", "float_interval")
        data: dict[str, Any] = {name: getattr(self, name) for name in names}
        data["designs"] = [design.as_json() for design in self.designs]
        data["fronts"] = [_front_to_json(front) for front in self.fronts]
        data["provenance"] = dict(self.provenance)
        data["accuracy_statements"] = self.accuracy_statements
        data["workload"] = asdict(self.workload)
        data["parts"] = [asdict(part) for part in self.parts]
        data["gpus"] = [asdict(gpu) for gpu in self.gpus]
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Study:
        data: dict[str, Any] = json.loads(text)
        data["designs"] = tuple(DesignPoint.from_json(row) for row in data["designs"])
        by_id = {design.id: design for design in data["designs"]}
        data["fronts"] = tuple(_front_from_json(front, by_id) for front in data["fronts"])
        data["accuracy_statements"] = tuple((title, words) for title, words in data["accuracy_statements"])
        interval = data["float_interval"]
        data["float_interval"] = (interval[0], interval[1]) if interval else None
        network = data["workload"]
        layers = (LayerSummary(**{**row, "shape": tuple(row["shape"])}) for row in network["layers"])
        data["workload"] = WorkloadSummary(tuple(tuple(s) for s in network["input_shapes"]), tuple(layers))
        data["parts"] = tuple(Part(**part) for part in data["parts"])
        data["gpus"] = tuple(Gpu(**{**gpu, "native": tuple(gpu["native"])}) for gpu in data["gpus"])
        return cls(**data)


def _front_to_json(front: ParetoFront) -> dict[str, Any]:
    return {
        "target": front.target,
        "objectives": front.objectives,
        "designs": [design.id for design in front.designs],
        "contenders": [design.id for design in front.contenders],
        "knee": front.knee,
        "hypervolume": front.hypervolume,
    }


def _front_from_json(data: Mapping[str, Any], by_id: Mapping[str, DesignPoint]) -> ParetoFront:
    return ParetoFront(
        data["target"],
        tuple(data["objectives"]),
        tuple(by_id[name] for name in data["designs"]),
        tuple(by_id[name] for name in data["contenders"]),
        data["knee"],
        data["hypervolume"],
    )
