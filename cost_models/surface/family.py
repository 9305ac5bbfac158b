"""What a surface has to know about a family of units: its axes, and the features of its structural law."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError

Floats = NDArray[np.float64]
Columns = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter of a family on its lattice.

    Attributes
    ----------
    name : of the column.
    nodes : values at which predictions are tabulated, ascending; between them they are interpolated.
    rising : whether the count may not fall along it.
    scale : on which distances along it are measured and values between nodes interpolated.
    """

    name: str
    nodes: tuple[float, ...]
    rising: bool = True
    scale: Literal["linear", "log2"] = "linear"

    def position(self, values: Floats) -> Floats:
        """Values on the scale of distances."""
        return np.log2(np.maximum(values, 2.0**-10)) if self.scale == "log2" else values


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Units whose counts are known.

    Attributes
    ----------
    rows : axis columns of units of the family, and `count`.
    kin : of units of its kin, columns that `Family.features` takes, and `count`; empty without any.
    """

    rows: Columns
    kin: Columns

    def take(self, known: NDArray[np.bool_], kin: NDArray[np.bool_] | None = None) -> Counted:
        """The rows at a mask, and all of the kin or those at another."""
        rows = {name: values[known] for name, values in self.rows.items()}
        return Counted(rows, self.kin if kin is None else {name: values[kin] for name, values in self.kin.items()})

    def between(self, axes: Iterable[str], low: float, high: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Masks of rows, and of kin, with low <= axis <= high for any of some axes, those that they have."""

        def inside(part: Columns) -> NDArray[np.bool_]:
            found = np.zeros(len(part.get("count", ())), dtype=np.bool_)
            for axis in axes:
                if axis in part:
                    found |= (part[axis] >= low) & (part[axis] <= high)
            return found

        return inside(self.rows), inside(self.kin)


@dataclass(frozen=True, slots=True)
class Family:
    """Units that one surface covers.

    Attributes
    ----------
    name : the surface's name; without its `[...]` it is the family of the units.
    axes : the lattice.
    features : of axis columns, the terms of the structural law.
    columns : axis columns of a unit's parameters; the parameters themselves where it is None.
    places : of axis columns, coordinates in which near units resemble each other; those of the axes where it is None.
    only : values of parameters that are not axes, which a unit needs to belong here.
    sides : axes of one operand and, at the same place, of the other, where swapping signed operands makes the same
        unit, and swapping others one much like it.
    kin : surfaces whose units obey the same law, each with its axis columns in the words of `features`; rows of those
        units help to fit the law, so that it is known where one family alone has no rows.
    words : what the axes mean, for tables.
    """

    name: str
    axes: tuple[Axis, ...]
    features: Callable[[Columns], Columns]
    columns: Callable[[Columns], Columns] | None = None
    places: Callable[[Columns], list[Floats]] | None = None
    only: Mapping[str, Any] | None = None
    sides: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    kin: Mapping[str, Callable[[Columns], Columns]] = field(default_factory=dict)
    words: str = ""

    @property
    def unit_family(self) -> str:
        return self.name.partition("[")[0]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(axis.nodes) for axis in self.axes)

    def holds(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a unit of `unit_family` with these parameters belongs to this surface."""
        return all(parameters.get(name) == value for name, value in (self.only or {}).items())

    def axis_columns(self, parameters: Columns) -> Columns:
        """The columns of the axes, as floats of one length.

        Raises
        ------
        InputError
            Where a parameter is missing.
        """
        try:
            found = parameters if self.columns is None else self.columns(parameters)
            columns = [np.atleast_1d(np.asarray(found[axis.name], dtype=np.float64)) for axis in self.axes]
        except KeyError as error:
            raise InputError(
                f"no parameter {error}", where=self.name, hint=f"axes: {self.words or self._names}"
            ) from None
        return {axis.name: c for axis, c in zip(self.axes, np.broadcast_arrays(*columns), strict=True)}

    def with_twin(self, axis: str) -> tuple[str, ...]:
        """The axis, and that of the other operand which means the same."""
        twins = dict(zip(*self.sides, strict=True)) | dict(zip(*reversed(self.sides), strict=True))
        return (axis, twins[axis]) if axis in twins else (axis,)

    def keys(self, columns: Columns) -> list[tuple[float, ...]]:
        """One for each row; the same for units of equal axes, and for those that swapping operands makes equal."""
        free = [axis.name for axis in self.axes if all(axis.name not in side for side in self.sides)]
        one, other = (list(zip(*(columns[name].tolist() for name in side), strict=True)) for side in self.sides)
        rest = list(zip(*(columns[name].tolist() for name in free), strict=True)) or [()] * len(one)
        if not one:
            return rest
        return [(*max(a, b), *min(a, b), *c) for a, b, c in zip(one, other, rest, strict=True)]

    def positions(self, columns: Columns) -> Floats:
        """(rows, coordinates), in which the process measures distances."""
        if self.places is not None:
            return np.stack(self.places(columns), axis=1)
        return np.stack([axis.position(columns[axis.name]) for axis in self.axes], axis=1)

    def counted(
        self, parameters: Columns, counts: Floats, kin: Mapping[str, tuple[Columns, Floats]] | None = None
    ) -> Counted:
        """Units by their parameters, and those of the kin by name, with axis columns of their own."""
        rows = {**self.axis_columns(parameters), "count": counts}
        others = [{**self.kin[name](columns), "count": count} for name, (columns, count) in (kin or {}).items()]
        names = set.intersection(*map(set, others)) if others else set()
        return Counted(rows, {name: np.concatenate([other[name] for other in others]) for name in sorted(names)})

    def feature_matrix(self, columns: Columns) -> tuple[tuple[str, ...], Floats]:
        """Names of the features and their values, (rows, features)."""
        found = self.features(columns)
        rows = len(next(iter(columns.values())))
        values = [np.broadcast_to(np.asarray(v, dtype=np.float64), (rows,)) for v in found.values()]
        return tuple(found), np.stack(values, axis=1)

    def lattice(self) -> Columns:
        """The axis columns of all lattice points, the last axis fastest."""
        grids = np.meshgrid(*(np.array(axis.nodes, dtype=np.float64) for axis in self.axes), indexing="ij")
        return {axis.name: grid.ravel() for axis, grid in zip(self.axes, grids, strict=True)}

    @property
    def _names(self) -> str:
        return ", ".join(axis.name for axis in self.axes)
