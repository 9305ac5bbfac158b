"""Which designs a configuration asks for: every candidate network on every target, each combination once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from hwsim.core.assignment import Policy
from hwsim.core.design import content_id
from hwsim.core.devices import Gpu, Part
from hwsim.core.formats import Minifloat, canonical
from hwsim.core.scaled import Scaled, ScaleType
from hwsim.search.settings import StudyConfig

CODE_EPOCH = "8"
"""Part of every key: raised by hand when equal inputs begin to give other results."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One quantized network that a study evaluates; formats are short names under the candidate's scale type."""

    weights: str
    acts: str
    recipe: str
    seed: int
    scale: ScaleType

    def policy(self, config: StudyConfig) -> Policy:
        return config.policy(self.weights, self.acts, self.scale)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a network goes.

    Attributes
    ----------
    device : the part or GPU.
    knobs : architecture and reuse, or batch, precision and runtime.
    """

    device: Part | Gpu
    knobs: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.device.name

    @property
    def scale(self) -> ScaleType:
        """The scale type of designs for it: shifts in hardware, floats on a GPU."""
        return "pow2" if isinstance(self.device, Part) else "f32"

    @property
    def digest(self) -> str:
        return content_id(device=asdict(self.device), knobs=dict(self.knobs))


@dataclass(frozen=True, slots=True)
class Job:
    """A candidate and the targets that share its evaluation, with their keys in the store."""

    candidate: Candidate
    key: str
    targets: tuple[Target, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs of a study.

    Attributes
    ----------
    merged : combinations left out because an equal one, otherwise written, is there.
    dropped : designs left out because the grid exceeds the budget.
    """

    jobs: tuple[Job, ...]
    merged: int
    dropped: int

    @property
    def designs(self) -> int:
        return sum(len(job.targets) for job in self.jobs)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know about what was left out."""
        notes = []
        if self.merged:
            notes.append(f"{self.merged} combinations were written twice (E1M(b-2) is INT_b) and are one design each")
        if self.dropped:
            notes.append(f"the budget keeps {self.designs} of {self.designs + self.dropped} designs, a seeded sample")
        return tuple(notes)


def targets_of(config: StudyConfig) -> tuple[Target, ...]:
    """The parts and GPUs of a configuration, loaded."""
    from hwsim.cost_models import part
    from hwsim.latency import device

    fpga = {"arch": config.fpga.arch, "reuse": config.fpga.reuse, "dsp": config.fpga.dsp}
    gpu = {"batch": config.gpu.batch, "precision": config.gpu.precision, "runtime": config.gpu.runtime}
    parts = tuple(Target(part(name), fpga) for name in config.fpga.parts)
    return parts + tuple(Target(device(name), gpu) for name in config.gpu.devices)


def make_plan(config: StudyConfig, identity: Mapping[str, Any], targets: tuple[Target, ...]) -> Plan:
    """Enumerate a study.

    Parameters
    ----------
    identity : digests of network, weights, data and recipes; part of every key.
    """
    cells, merged = _cells(config)
    wanted = [(cell, target) for cell in cells for target in targets]
    kept = set(range(len(wanted)))
    if config.search.budget is not None and len(wanted) > config.search.budget:
        order = sorted(range(len(cells)), key=lambda i: _draw(cells[i], config.quant.seeds[0]))
        shuffled = [i * len(targets) + j for i in order for j in range(len(targets))]
        kept = set(shuffled[: config.search.budget])
    by_candidate: dict[Candidate, list[Target]] = {}
    for index, (cell, target) in enumerate(wanted):
        if index in kept:
            candidate = _candidate(config, cell, target.scale)
            by_candidate.setdefault(candidate, []).append(target)
    jobs = tuple(_job(config, identity, candidate, tuple(found)) for candidate, found in by_candidate.items())
    return Plan(jobs, merged, len(wanted) - len(kept))


def evaluation_key(config: StudyConfig, identity: Mapping[str, Any], candidate: Candidate) -> str:
    """Key of everything that decides how well a quantized network does."""
    policy = candidate.policy(config)
    return content_id(
        epoch=CODE_EPOCH,
        network=identity["network"],
        weights=identity["weights"],
        calibration=identity["calibration"][str(candidate.seed)],
        evaluation=identity["evaluation"],
        recipe=identity["recipes"][candidate.recipe],
        formats=[policy.weight_spec(candidate.weights), policy.act_spec(candidate.acts)],
        policy=[policy.edge, policy.overrides, policy.scale, policy.acts_signed, policy.unsigned_minifloat],
        seed=candidate.seed,
    )


Cell = tuple[str, str, str, int]


def _cells(config: StudyConfig) -> tuple[list[Cell], int]:
    """(weights, acts, recipe, seed) of the grid, each set of values once, and how many were written twice."""
    formats = config.formats
    if formats.pairs == "same":
        pairs = [(text, text) for text in formats.weights]
    else:
        pairs = [(w, a) for w in formats.weights for a in formats.acts]
    once: dict[tuple[str, str], tuple[str, str]] = {}
    for weights, acts in pairs:
        policy = config.policy(weights, acts)
        key = str(_one_name(policy.weight_spec(weights))), str(_one_name(policy.act_spec(acts)))
        once.setdefault(key, (weights, acts))
    cells = [(w, a, r, s) for s in config.quant.seeds for r in config.quant.recipes for w, a in once.values()]
    return cells, (len(pairs) - len(once)) * len(config.quant.recipes) * len(config.quant.seeds)


def _candidate(config: StudyConfig, cell: Cell, scale: ScaleType) -> Candidate:
    weights, acts, recipe, seed = cell
    policy = config.policy(weights, acts, scale)
    w, a = _one_name(policy.weight_spec(weights)), _one_name(policy.act_spec(acts))
    return Candidate(_short(w, "channel", scale), _short(a, "tensor", scale), recipe, seed, scale)


def _job(config: StudyConfig, identity: Mapping[str, Any], candidate: Candidate, targets: tuple[Target, ...]) -> Job:
    key = evaluation_key(config, identity, candidate)
    return Job(candidate, key, targets, tuple(content_id(evaluation=key, target=t.digest) for t in targets))


def _one_name(spec: Scaled) -> Scaled:
    """E1M(b-2) under the name of INT_b. A real bias stays: with power-of-two scales it shifts the grid."""
    fmt = spec.format
    if isinstance(fmt, Minifloat) and not float(fmt.bias).is_integer():
        return spec
    return replace(spec, format=canonical(fmt))


def _short(spec: Scaled, block: str, scale: ScaleType) -> str:
    """The name without what goes without saying: the side's granularity and the design's scale type."""
    text = str(spec)
    if spec.scale == scale:
        text = text.removesuffix(f":{scale}")
    return text.removesuffix(f"@{block}")


def _draw(cell: Cell, seed: int) -> str:
    """A place in a random order that does not depend on what else is in the grid."""
    return hashlib.sha256(repr((seed, *cell)).encode()).hexdigest()
