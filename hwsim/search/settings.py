"""What a study is asked for: the tables of its configuration and their defaults.

Values are checked one by one here; `hwsim.config` reads files and checks formats, recipes and targets.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hwsim.core.assignment import Policy
from hwsim.core.scaled import ScaleType


def _words(value: Any) -> Any:
    """A list of strings, or one string with commas."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return tuple(value) if isinstance(value, list) else value


def _row(value: Any) -> Any:
    """A list, or its only element."""
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelTable(_Table):
    """`[model]`.

    Attributes
    ----------
    spec : a MODEL string.
    input_shape : with the batch axis, where neither data nor model give it.
    """

    spec: Annotated[str, Field(min_length=1)]
    input_shape: Annotated[tuple[Positive, ...], BeforeValidator(_row)] | None = None


class DataTable(_Table):
    """`[data]`.

    Attributes
    ----------
    calib, eval : DATA strings; left empty, the data that the model names as its own. Without a split they mean
        `#train` and `#test`.
    calib_rows : rows drawn for calibration, with each seed.
    mean, std : one number a channel.
    resize : side in pixels.
    allow_overlap : accept rows that are in both sets.
    """

    calib: str = ""
    eval: str = ""
    calib_rows: Positive = 1024
    mean: Annotated[tuple[float, ...], BeforeValidator(_row)] | None = None
    std: Annotated[tuple[float, ...], BeforeValidator(_row)] | None = None
    resize: Positive | None = None
    allow_overlap: bool = False


class FormatsTable(_Table):
    """`[formats]`.

    Attributes
    ----------
    weights, acts : format strings, `default`, width ranges (`3..8`, `int3..int8`).
    edge : `same` or `FMT[,FMT]`, for the first and last compute layer.
    pairs : `product` (every weight format with every activation format) or `same` (one format for both).
    overrides : `"GLOB" = "FMT[,FMT]"`, the last match wins.
    acts_signed, unsigned_minifloat : see `Policy`.
    """

    weights: Words = ("default",)
    acts: Words = ("default",)
    edge: str = "same"
    pairs: Literal["product", "same"] = "product"
    overrides: dict[str, str] = {}
    acts_signed: bool = False
    unsigned_minifloat: bool = False


class FpgaTable(_Table):
    """`[fpga]`.

    Attributes
    ----------
    parts : FPGA parts; none, and no FPGA design is made.
    arch, reuse : as `hwsim cost` takes them; `reuse` may be a table of layer names.
    dsp : what goes into DSPs: `never`, so that LUTs tell the whole cost of a format; `auto`, as tools choose; `pack`,
        four 4 x 4 products in one.
    """

    parts: Words = ()
    arch: Literal["dataflow", "overlay"] = "dataflow"
    reuse: Positive | Literal["auto"] | dict[str, Positive] = "auto"
    dsp: Literal["auto", "never", "pack"] = "never"


class GpuTable(_Table):
    """`[gpu]`.

    Attributes
    ----------
    devices : GPUs; none, and no GPU design is made.
    precision : executed precision; left out, the cheapest that holds the formats.
    """

    devices: Words = ()
    batch: Positive = 1
    precision: str | None = None
    runtime: Literal["eager", "compiled", "tensorrt"] = "eager"


class QuantTable(_Table):
    """`[quant]`: recipes, and seeds that draw the calibration rows."""

    recipes: Words = ("rtn",)
    seeds: Annotated[tuple[Natural, ...], BeforeValidator(_row), Field(min_length=1)] = (0,)


class SearchTable(_Table):
    """`[search]`.

    Attributes
    ----------
    budget : the largest number of designs; a larger grid is sampled.
    objectives : `error` and the costs that it is set against, each in a front of its own.
    workers : processes.
    """

    budget: Positive | None = None
    objectives: Words = ("error", "lut", "latency_us", "memory_bits")
    workers: Positive = 1


class StudyConfig(_Table):
    """A whole study, with every list of formats written out; `hwsim.config.load_config` reads one from a file."""

    model: ModelTable
    data: DataTable = DataTable()
    formats: FormatsTable = FormatsTable()
    fpga: FpgaTable = FpgaTable()
    gpu: GpuTable = GpuTable()
    quant: QuantTable = QuantTable()
    search: SearchTable = SearchTable()

    def policy(self, weights: str, acts: str, scale: ScaleType = "f32") -> Policy:
        """The policy of one pair of formats."""
        formats = self.formats
        overrides = tuple(formats.overrides.items())
        return Policy(weights, acts, formats.edge, overrides, scale, formats.acts_signed, formats.unsigned_minifloat)

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, all defaults filled in; what was left open is left out."""
        return self.model_dump(exclude_none=True)
