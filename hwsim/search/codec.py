"""What a study finds out, as values and as JSON: evaluations, designs and failures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hwsim.core.design import DesignPoint
from hwsim.core.errors import HwsimError
from hwsim.core.workload import Layer, Workload


@dataclass(frozen=True, slots=True)
class Score:
    """A metric as stored: a share of `n` samples with its sampling interval."""

    name: str
    value: float
    lo: float
    hi: float
    n: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a design has no result.

    Attributes
    ----------
    code, message, where, hint : as in the `error` object of the command line.
    exit_code : of that kind of error.
    """

    code: str
    message: str
    where: str
    hint: str
    exit_code: int

    @classmethod
    def of(cls, error: Exception) -> Failure:
        if isinstance(error, HwsimError):
            return cls(error.code, error.message, error.where, error.hint, error.exit_code)
        return cls("internal", f"{type(error).__name__}: {error}", "", "", HwsimError.exit_code)

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


def to_json(value: Score | Failure | DesignPoint) -> str:
    """Compact JSON; equal values give equal text."""
    row = value.as_json() if isinstance(value, DesignPoint) else asdict(value)
    return json.dumps(row, separators=(",", ":"))


def workload_to_json(workload: Workload) -> dict[str, Any]:
    """A workload as JSON values."""
    return asdict(workload)


def workload_from_json(data: Mapping[str, Any]) -> Workload:
    """The inverse of `workload_to_json`: lists become the tuples that they were."""
    layers = tuple(Layer(**{key: _tuples(value) for key, value in row.items()}) for row in data["layers"])
    return Workload(**{key: _tuples(value) for key, value in data.items() if key != "layers"}, layers=layers)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
