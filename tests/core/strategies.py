"""Hypothesis strategies over formats, the whole grammar included."""

from __future__ import annotations

from hypothesis import strategies as st

from hwsim.core.formats import Binary, Format, Int, Minifloat, Native, Power, minifloat
from hwsim.core.scaled import Scaled, parse


def real_biases() -> st.SearchStrategy[float]:
    return st.floats(-20, 20, allow_nan=False) | st.integers(-20, 20).map(float)


@st.composite
def ints(draw: st.DrawFn, most: int = 32) -> Int:
    signed, narrow = draw(st.booleans()), draw(st.booleans())
    return Int(draw(st.integers(2, most)), signed, narrow)


@st.composite
def minifloats(draw: st.DrawFn, most_e: int = 7, most_m: int = 10, biased: bool = True) -> Minifloat:
    e, m = draw(st.integers(1, most_e)), draw(st.integers(0, most_m))
    allowed = ["none", "fnuz"] + (["ieee"] if e > 1 else []) + (["fn"] if e + m > 1 else [])
    specials = draw(st.sampled_from(allowed))
    signed = specials == "fnuz" or draw(st.booleans())
    bias = draw(st.none() | real_biases()) if biased else None
    return minifloat(e, m, bias=bias, specials=specials, signed=signed)


def powers() -> st.SearchStrategy[Power]:
    return st.builds(Power, st.integers(2, 16), st.just(0.5) | st.floats(0.05, 4))


def coded_formats() -> st.SearchStrategy[Format]:
    """Every format that has codes, at widths where float64 holds all of it."""
    small = st.builds(Power, st.integers(2, 10), st.sampled_from([0.3, 0.4, 0.5, 1.0, 2.0]))
    return st.one_of(ints(24), minifloats(), small, st.just(Binary()), st.just(Int(1, False, False)))


def scaled_formats() -> st.SearchStrategy[Scaled]:
    """Every value that the grammar can write."""
    blocks = st.sampled_from(["tensor", "channel"]) | st.integers(1, 4096)
    scales = st.sampled_from(["f32", "pow2"])
    one_bit = st.just(Int(1, False, False))
    integers = st.builds(Scaled, ints() | one_bit, blocks, scales, st.booleans())
    others = st.builds(Scaled, minifloats() | powers() | st.just(Binary()), blocks, scales)
    native = st.sampled_from(["fp32", "fp16", "bf16", "none"]).map(lambda name: Scaled(Native(name)))
    names = ["mxint8", "mxfp4", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp8_e4m3", "mxfp8_e5m2", "nvfp4"]
    return st.one_of(integers, others, native, st.sampled_from(names).map(parse))
