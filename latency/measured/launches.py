"""The kernels of the networks that measured tables name: from builders here, or traced from timm's definitions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from hwsim.core.devices import Gpu
from hwsim.core.errors import InputError, MissingToolError
from hwsim.latency.kernels import kernels
from hwsim.latency.networks.kernel_sums import gpu_us
from hwsim.latency.networks.work_classes import Work, timed_work, weights_us, work_class, work_of
from hwsim.latency.published import nasbench201, ofa_mobilenet_v3, published
from hwsim.latency.shapes import CLASSES, KernelShape
from hwsim.latency.simulator.table import Array, table_of

_SHAPE = tuple(f.name for f in fields(KernelShape))
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Launches:
    """Different kernels of a network at batch 1, and how often each runs; `family` is the file of timm it is from."""

    operators: tuple[str, ...]
    shapes: tuple[KernelShape, ...]
    counts: Array
    family: str = ""

    @classmethod
    def of(cls, made: Iterable[tuple[str, KernelShape]], family: str = "") -> Launches:
        found = Counter(made)
        counts = np.array(list(found.values()), dtype=np.float64)
        return cls(tuple(o for o, _ in found), tuple(s for _, s in found), counts, family)

    @property
    def macs(self) -> float:
        """Multiply-accumulates an image."""
        return float(sum(s.macs * n for s, n in zip(self.shapes, self.counts, strict=True)))

    def work(self, gpu: Gpu, batch: int, precision: str) -> Work:
        """Ideal times of the different kernels."""
        table = table_of(self.shapes, batch, precision)
        classes = [work_class(o, s) for o, s in zip(self.operators, self.shapes, strict=True)]
        return work_of(table, classes, gpu, np.full(len(table), gpu.peak_tflops[precision]))

    def sums(self, gpu: Gpu, batch: int, precision: str) -> Array:
        """What a class model is fitted on."""
        return self.work(gpu, batch, precision).sums(self.counts)

    def kernel_sums(self, gpu: Gpu, batch: int, precision: str, layout: str) -> Array | None:
        """The same of times by the experts of single kernels; None where a kind of kernel was never measured."""
        table = table_of(self.shapes, batch, precision)
        times = gpu_us(table, [precision] * len(table), gpu, layout)
        if times is None:
            return None
        classes = [work_class(o, s) for o, s in zip(self.operators, self.shapes, strict=True)]
        return timed_work(times, classes, weights_us(table, gpu)).sums(self.counts)


@cache
def built(name: str, runtime: str) -> Launches:
    """A network of the package's own builders: `model@side`, `ofa@genes/side`, `nasbench201@cell`."""
    kind, _, rest = name.partition("@")
    if kind == "ofa":
        *genes, side = rest.split("/")
        kernel, expand, depth = ([int(v) for v in gene.split()] for gene in genes)
        workload = ofa_mobilenet_v3(kernel, expand, depth, int(side))
    else:
        workload = nasbench201(rest) if kind == "nasbench201" else published(kind, int(rest))
    return Launches.of((k.operator, k.shape) for k in kernels(workload, runtime))


def traced(wanted: Iterable[tuple[str, int]], progress: Progress | None = None) -> dict[tuple[str, int], Launches]:
    """Networks of timm by (name, image side), from the cache folder or traced now: a quarter of a second each.

    Names that the installed timm does not know are left out.

    Raises
    ------
    MissingToolError
        Where something has to be traced and timm is not installed.
    """
    path = cache_file()
    known = _read(path) if path.is_file() else {}
    missing = [pair for pair in dict.fromkeys(wanted) if pair not in known]
    for i, pair in enumerate(missing):
        known[pair] = _trace(*pair)
        if progress:
            progress(i + 1, len(missing))
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, known)
    return {pair: found for pair, found in known.items() if found is not None}


def cache_file() -> Path:
    """Where traces are kept between runs."""
    folder = os.environ.get("HWSIM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hwsim"
    return Path(folder) / "latency" / "timm_launches.npz"


def _trace(name: str, side: int) -> Launches | None:
    try:
        from hwsim.latency.profile.timm_traces import trace_timm
    except ImportError as error:
        raise MissingToolError(str(error), where=f"timm:{name}", hint="pip install 'hwsim[timm]'") from None
    try:
        family, found = trace_timm(name, side)
    except InputError:
        return None
    return Launches.of(((launch.operator, launch.shape) for launch in found), family)


def _write(path: Path, known: Mapping[tuple[str, int], Launches | None]) -> None:
    shapes = list(dict.fromkeys(s for found in known.values() if found for s in found.shapes))
    index = {shape: i for i, shape in enumerate(shapes)}
    operators = sorted({o for found in known.values() if found for o in found.operators})
    names = {name: i for i, name in enumerate(operators)}
    pairs = list(known)
    rows = [
        (i, names[o], index[s], int(n))
        for i, pair in enumerate(pairs)
        if (found := known[pair])
        for o, s, n in zip(found.operators, found.shapes, found.counts, strict=True)
    ]
    np.savez_compressed(
        path, networks=np.array([f"{name}@{side}" for name, side in pairs]), operators=np.array(operators),
        families=np.array([found.family if (found := known[pair]) else "" for pair in pairs]),
        shapes=np.array([(CLASSES.index(s.kind), *astuple(s)[1:]) for s in shapes], dtype=np.int64),
        rows=np.array(rows, dtype=np.int64),
    )  # fmt: skip


def _read(path: Path) -> dict[tuple[str, int], Launches | None]:
    with np.load(path, allow_pickle=False) as data:
        pairs = [(name, int(side)) for name, _, side in (str(n).rpartition("@") for n in data["networks"])]
        operators = [str(o) for o in data["operators"]]
        shapes = [KernelShape(CLASSES[row[0]], *row[1:]) for row in data["shapes"].tolist()]
        families = [str(family) for family in data["families"]]
        rows = data["rows"]
    found: dict[tuple[str, int], Launches | None] = dict.fromkeys(pairs)
    bounds = np.searchsorted(rows[:, 0], np.arange(len(pairs) + 1))
    for i, pair in enumerate(pairs):
        mine = rows[bounds[i] : bounds[i + 1]]
        if len(mine):
            found[pair] = Launches(
                tuple(operators[j] for j in mine[:, 1]),
                tuple(shapes[j] for j in mine[:, 2]),
                mine[:, 3].astype(float),
                families[i],
            )
    return found
