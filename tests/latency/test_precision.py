"""Which precision a GPU computes a format in: the table of the design, and brute-force oracles."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from hwsim.core.formats import Minifloat, default_grid
from hwsim.core.scaled import Scaled, parse
from hwsim.latency import device, devices, precision_for, represents

NO_GAIN = "no speed gained on this device"
TABLE = {
    # format: (v100, rtx3090, tx2); an asterisk where nothing is gained
    "fp32": ("fp32*", "fp32*", "fp32*"),
    "none": ("fp32*", "fp32*", "fp32*"),
    "fp16": ("fp16", "fp16", "fp16"),
    "bf16": ("fp32*", "bf16", "fp32*"),
    "int8": ("int8", "int8", "fp16*"),
    "uint8": ("int8", "int8", "fp16*"),
    "uint8+zp": ("int8", "int8", "fp16*"),
    "int4": ("int8", "int4", "fp16*"),
    "uint4": ("int8", "int4", "fp16*"),
    "int5": ("int8", "int8", "fp16*"),
    "int9": ("fp16*", "fp16*", "fp16*"),
    "int16": ("fp32*", "fp32*", "fp32*"),
    "binary": ("int8", "int4", "fp16*"),
    "e1m2": ("int8", "int4", "fp16*"),  # the same values as int4
    "e2m1": ("int8", "int8", "fp16*"),  # 0, 1/2 .. 6: up to twelve halves
    "e3m0": ("int8", "int8", "fp16*"),  # 1/4 .. 16: up to 64 quarters
    "e3m1": ("fp16*", "fp16*", "fp16*"),  # up to 192 eighths
    "e4m3": ("fp16*", "fp16*", "fp16*"),
    "e4m3fn": ("fp16*", "fp16*", "fp16*"),
    "e5m2": ("fp16*", "fp16*", "fp16*"),  # 2^-16 .. 1.75 x 2^16: fits once halved, and the scale halves
    "e7m2": ("fp32*", "bf16*", "fp32*"),
    "pow4": ("int8", "int8", "fp16*"),  # squares up to 49
    "pow4~exp=0.4": ("fp32*", "fp32*", "fp32*"),
    "int4@group32": ("fp16*", "fp16*", "fp16*"),  # a scale inside the sum
    "mxint8": ("fp16*", "fp16*", "fp16*"),
    "nvfp4": ("fp16*", "fp16*", "fp16*"),
}


@pytest.mark.exact
@pytest.mark.parametrize("text", TABLE)
def test_mapping_table(text: str) -> None:
    for name, wanted in zip(("v100", "rtx3090", "tx2"), TABLE[text], strict=True):
        spec = parse(text)
        precision, gained, note = precision_for(device(name), spec, spec)
        assert (precision, gained) == (wanted.rstrip("*"), not wanted.endswith("*")), name
        if not gained and text not in ("fp32", "none"):
            assert NO_GAIN in note and spec.label in note


@pytest.mark.exact
def test_the_coarser_operand_does_not_decide() -> None:
    v100 = device("v100")
    assert precision_for(v100, parse("int4"), parse("uint8"))[0] == "int8"
    assert precision_for(v100, parse("int8"), parse("e4m3"))[0] == "fp16"
    assert precision_for(v100, parse("int8"), parse("none"))[:2] == ("fp32", False)
    assert precision_for(v100, None, parse("int8"))[0] == "int8"
    assert precision_for(v100, parse("int8@channel"), parse("int8@tensor"))[0] == "int8"
    assert precision_for(v100, parse("int8@channel"), parse("int8@channel"))[0] == "fp16", "scales along the reduction"


@pytest.mark.exact
def test_int8_on_volta_says_what_it_competes_with() -> None:
    assert "fp16" in precision_for(device("v100"), parse("int8"), parse("int8"))[2]
    assert precision_for(device("rtx3090"), parse("int8"), parse("int8"))[2] == ""


@pytest.mark.exact
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_floats_against_casts_of_all_values(precision: str) -> None:
    """A format fits where some power of two makes every value survive the cast, subnormals and overflow included."""
    kind = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}[precision]
    shifts = 2.0 ** np.arange(-140, 141)[:, None]
    for e, m in [(e, m) for e in range(1, 8) for m in (0, 1, 2, 3)] + [
        (e, m) for e in (1, 2, 4) for m in (6, 7, 8, 10)
    ]:
        fmt = Minifloat(e, m, float((1 << (e - 1)) - 1), "none", False)
        moved = fmt.values() * shifts
        with np.errstate(over="ignore", under="ignore"):
            fits = bool(np.any(np.all(moved.astype(kind).astype(np.float64) == moved, axis=1)))
        assert represents(precision, fmt) == fits, fmt


@pytest.mark.exact
@pytest.mark.parametrize(("precision", "bits"), [("int4", 4), ("int8", 8)])
def test_integers_against_all_steps(precision: str, bits: int) -> None:
    for fmt in default_grid():
        values = fmt.values()
        fits = False
        for step in np.unique(np.abs(values[values != 0])):
            codes = values / step
            whole = np.array_equal(codes, np.rint(codes))
            fits |= bool(whole and codes.min() >= -(2 ** (bits - 1)) and codes.max() <= 2 ** (bits - 1) - 1)
        assert represents(precision, fmt) == fits, fmt


@pytest.mark.property
def test_every_device_answers_every_grid_format() -> None:
    for gpu in devices().values():
        for fmt in default_grid():
            spec = Scaled(fmt, "tensor")
            precision, gained, note = precision_for(gpu, spec, spec)
            assert precision in gpu.native
            assert gained == (precision in ("int4", "int8"))
            assert gained or NO_GAIN in note
