"""A run as its directory tells it: everything that a report of the study is made of. Needs neither model nor data."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hwsim.core.design import DesignPoint, ParetoFront
from hwsim.core.devices import Gpu, Part
from hwsim.core.errors import InputError
from hwsim.core.fronts import canonical_order, fronts_of
from hwsim.core.workload import Workload
from hwsim.search.codec import Failure, Score, workload_from_json
from hwsim.search.run_dir import CONFIG, MANIFEST, STORE, read_manifest
from hwsim.search.settings import StudyConfig
from hwsim.search.store import Store, open_store

FLOAT = "float"
"""Key of the evaluation of the float network."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A study, finished or not.

    Attributes
    ----------
    run_dir, config : where it lies and what was asked for; `config_toml` is the text of `run.toml`.
    manifest : versions, seeds, digests.
    workload : the network.
    float_score : the metric before quantization; None if the run was stopped before it.
    designs : in `canonical_order`; `failures` maps ids to what was tried and why it failed.
    fronts : under the objectives of the configuration.
    planned : designs that the finished study has.
    notes : what was left out of the grid.
    parts, gpus : the targets as they were when the run began.
    seconds : spent in evaluations and in designs, summed over workers.
    """

    run_dir: Path
    config: StudyConfig
    config_toml: str
    manifest: Mapping[str, Any]
    workload: Workload
    float_score: Score | None
    designs: tuple[DesignPoint, ...]
    failures: Mapping[str, tuple[str, Failure]]
    fronts: tuple[ParetoFront, ...]
    planned: int
    notes: tuple[str, ...]
    parts: tuple[Part, ...]
    gpus: tuple[Gpu, ...]
    seconds: tuple[float, float]

    @property
    def complete(self) -> bool:
        return len(self.designs) + len(self.failures) >= self.planned

    def design(self, id: str) -> DesignPoint:
        """The design with this id, or the only one whose id begins so."""
        found = [design for design in self.designs if design.id.startswith(id)] if id else []
        if len(found) != 1:
            what = f"{len(found)} designs begin with {id!r}" if found else f"no design {id!r}"
            if id in self.failures:
                what = f"design {id!r} failed: {self.failures[id][1]}"
            raise InputError(what, where=str(self.run_dir), hint="ids are in designs.csv")
        return found[0]


def load_run(run_dir: Path | str) -> RunRecord:
    """Read a run directory.

    Raises
    ------
    InputError
        No run there, or a damaged file; the file is named.
    """
    folder = Path(run_dir)
    manifest = read_manifest(folder)
    config, text = _read_config(folder / CONFIG)
    with open_store(folder / STORE) as store:
        return _record(folder, config, text, manifest, store)


def _record(folder: Path, config: StudyConfig, text: str, manifest: Mapping[str, Any], store: Store) -> RunRecord:
    try:
        designs = canonical_order(DesignPoint.from_json(json.loads(row)) for row in store.designs().values())
        names = store.failed_names()
        failures = {id: (names[id], Failure(**json.loads(row))) for id, row in store.designs("failed").items()}
        scored = store.evaluations().get(FLOAT)
        float_score = Score(**json.loads(scored)) if scored else None
    except (ValueError, TypeError, KeyError) as error:
        hint = "run the study again into a new folder"
        raise InputError(f"a row that cannot be read: {error}", where=str(folder / STORE), hint=hint) from error
    try:
        workload = workload_from_json(manifest["workload"])
        parts = tuple(Part(**part) for part in manifest["parts"])
        gpus = tuple(Gpu(**{**gpu, "native": tuple(gpu["native"])}) for gpu in manifest["gpus"])
        planned, notes = int(manifest["designs"]), tuple(manifest["notes"])
    except (ValueError, TypeError, KeyError) as error:
        hint = "run the study again into a new folder"
        raise InputError(f"a damaged manifest: {error!r}", where=str(folder / MANIFEST), hint=hint) from error
    fronts = fronts_of(designs, config.search.objectives)
    return RunRecord(
        folder, config, text, manifest, workload, float_score, designs, failures, fronts, planned, notes, parts, gpus,
        store.seconds(),
    )  # fmt: skip


def _read_config(path: Path) -> tuple[StudyConfig, str]:
    """The configuration as it was checked when the run began: a target's file may be gone since."""
    try:
        text = path.read_text(encoding="utf-8")
        return StudyConfig.model_validate(tomllib.loads(text)), text
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), hint="a run directory is wanted") from None
    except (ValidationError, ValueError) as error:
        hint = "run the study again into a new folder"
        raise InputError(f"a damaged configuration: {str(error).splitlines()[0]}", where=str(path), hint=hint) from None
