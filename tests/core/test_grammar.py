"""The string grammar: what it writes it reads back; all else is an error that says what is wrong, what is allowed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import scaled_formats

from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Int, Minifloat, Native, Power, int_format, minifloat, uint_format
from hwsim.core.scaled import Scaled, ScaleType, parse, parse_format

BLOCK_FORMATS = ["mxint8", "mxfp4", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp8_e4m3", "mxfp8_e5m2", "nvfp4"]


@pytest.mark.property
@settings(max_examples=400)
@given(scaled_formats())
def test_every_value_is_read_back_from_its_string(spec: Scaled) -> None:
    assert parse(str(spec)) == spec
    assert parse_format(str(spec.format)) == spec.format
    assert hash(parse(str(spec))) == hash(spec)


@pytest.mark.property
@settings(max_examples=200)
@given(scaled_formats(), st.sampled_from(["tensor", "channel", 16]), st.sampled_from(["f32", "pow2"]))
def test_the_string_leaves_nothing_open(spec: Scaled, block: str | int, scale: ScaleType) -> None:
    assert parse(str(spec), block=block, scale=scale) == spec


@pytest.mark.property
@settings(max_examples=200)
@given(scaled_formats(), st.sampled_from(["tensor", "channel", 16]), st.sampled_from(["f32", "pow2"]))
def test_defaults_fill_what_a_string_leaves_open(spec: Scaled, block: str | int, scale: ScaleType) -> None:
    full = str(spec)
    assert parse(full.rpartition(":")[0] or full, scale=scale) == (
        spec if ":" not in full else Scaled(spec.format, spec.block, scale, spec.zero_point)
    )
    bare = full.partition("@")[0]
    assert parse(f"  {bare}\n", block=block, scale=scale) == (
        spec if "@" not in full else Scaled(spec.format, block, scale, spec.zero_point)
    )


@pytest.mark.property
@settings(max_examples=500)
@given(st.text("uintefmxpowbfvz0123456789.+~@:=-_anry ", max_size=24) | st.text(max_size=12))
def test_any_text_is_a_format_or_an_input_error(text: str) -> None:
    try:
        spec = parse(text)
    except InputError as error:
        assert text in error.where or repr(text) in error.where
        assert error.hint
    else:
        assert parse(str(spec)) == spec


@pytest.mark.property
@settings(max_examples=400)
@given(scaled_formats().map(str), st.data())
def test_a_string_with_one_letter_changed_is_a_format_or_an_input_error(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    letter = data.draw(st.sampled_from("uintefmxpow0123456789.+~@:=-_"))
    text = text[:at] + letter + text[at + data.draw(st.integers(0, 1)) :]
    try:
        spec = parse(text)
    except InputError as error:
        assert repr(text) in error.where
    else:
        assert parse(str(spec)) == spec


@pytest.mark.exact
@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("int4", Int(4, True, True)),
        ("int4.narrow", Int(4, True, True)),
        ("int4.full", Int(4, True, False)),
        ("uint4", Int(4, False, False)),
        ("uint4.full", Int(4, False, False)),
        ("uint4.narrow", Int(4, False, True)),
        ("e2m1", Minifloat(2, 1, 1.0, "none", True)),
        ("ue2m2", Minifloat(2, 2, 1.0, "none", False)),
        ("e4m3", Minifloat(4, 3, 7.0, "none", True)),
        ("e4m3fn", Minifloat(4, 3, 7.0, "fn", True)),
        ("e4m3ocp", Minifloat(4, 3, 7.0, "fn", True)),
        ("e5m2ocp", Minifloat(5, 2, 15.0, "ieee", True)),
        ("e2m1ocp", Minifloat(2, 1, 1.0, "none", True)),
        ("e5m2ieee", Minifloat(5, 2, 15.0, "ieee", True)),
        ("e4m3fnuz", Minifloat(4, 3, 8.0, "fnuz", True)),
        ("e4m3b11fnuz", Minifloat(4, 3, 11.0, "fnuz", True)),
        ("e4m3~bias=9.5", Minifloat(4, 3, 9.5, "none", True)),
        ("e4m3~bias=-3", Minifloat(4, 3, -3.0, "none", True)),
        ("e4m3~bias=1e-05", Minifloat(4, 3, 1e-05, "none", True)),
        ("pow4", Power(4, 0.5)),
        ("pow4~exp=0.4", Power(4, 0.4)),
        ("binary", Binary()),
        ("fp16", Native("fp16")),
    ],
)
def test_names(text: str, format: object) -> None:
    assert parse_format(text) == format
    if not isinstance(format, Native):
        assert parse(f"{text}@group32:pow2") == Scaled(format, 32, "pow2")  # type: ignore[arg-type]


@pytest.mark.exact
@pytest.mark.parametrize("name", ["int4", "uint4.narrow", "ue2m2", "e4m3fn", "e5m2ieee", "e4m3fnuz", "e5m2fnuz"])
def test_usual_names_are_written_without_their_bias(name: str) -> None:
    assert str(parse_format(name)) == name


@pytest.mark.exact
def test_block_formats_are_what_their_specifications_say() -> None:
    """OCP Microscaling Formats 1.0, table 1: blocks of 32, E8M0; NVFP4: blocks of 16, E4M3."""
    assert parse("mxfp4") == Scaled(minifloat(2, 1), 32, "e8m0")
    assert parse("mxfp8_e4m3") == Scaled(minifloat(4, 3, specials="fn"), 32, "e8m0")
    assert parse("mxfp8_e5m2").format.max == 57344
    assert parse("mxint8") == Scaled(int_format(8), 32, "e8m0")
    assert parse("nvfp4") == Scaled(minifloat(2, 1), 16, "e4m3")
    for name in BLOCK_FORMATS:
        spec = parse(name, block="channel", scale="pow2")
        assert (str(spec), spec.label, spec.mx_name) == (name, name, name)
    assert (parse("mxfp4").stored_bits, parse("nvfp4").stored_bits) == (4.25, 4.5)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("e4m3+zp", "zero point on e4m3"),
        ("pow4+zp", "zero point"),
        ("binary+zp", "zero point"),
        ("mxint8+zp", "option on mxint8"),
        ("fp16+zp", "option on fp16"),
        ("int4+xp", "+xp"),
        ("int4+", "'+'"),
        ("mxfp4@group32", "option on mxfp4"),
        ("mxfp4@tensor", "option on mxfp4"),
        ("nvfp4@channel", "option on nvfp4"),
        ("nvfp4:pow2", "option on nvfp4"),
        ("nvfp4:", "option on nvfp4"),
        ("mxfp4.full", "option on mxfp4"),
        ("mxfp4~bias=3", "option on mxfp4"),
        ("fp32@channel", "option on fp32"),
        ("none:pow2", "option on none"),
        ("fp32:", "option on fp32"),
        ("e4m3.full", ".full"),
        ("int4.wide", ".wide"),
        ("int4.", "'.'"),
        ("int4~bias=3", "~bias=3"),
        ("e4m3~", "'~'"),
        ("e4m3~exp=3", "~exp=3"),
        ("e4m3~bias=x", "'x' for bias"),
        ("e4m3~bias=nan", "bias nan"),
        ("e4m3~bias=inf", "bias inf"),
        ("e4m3b11fnuz~bias=9", "second bias"),
        ("pow4~bias=3", "~bias=3"),
        ("pow4~exp=9", "exponent 9"),
        ("binary.full", "option on binary"),
        ("int4@row", "@row"),
        ("int4@", "'@'"),
        ("int4@group", "@group"),
        ("int4@group0", "groups of 0"),
        ("int4:f16", ":f16"),
        ("int4:e8m0", ":e8m0"),
        ("e2m1@group32:e8m0", ":e8m0"),
        ("int4:", "':'"),
        ("int1", "1 bits"),
        ("uint0", "0 bits"),
        ("int33", "33 bits"),
        ("int" + "9" * 5000, "no format named"),
        ("int\u0664", "no format named"),
        ("uint1.narrow", "single value"),
        ("e0m3", "no exponent"),
        ("e8m0", "outside what is built"),
        ("e4m11", "outside what is built"),
        ("e2000m3", "no format named"),
        ("e999m3", "outside what is built"),
        ("e1m2ieee", "two exponent bits"),
        ("e1m0fn", "no code left"),
        ("ue4m3fnuz", "fnuz"),
        ("pow17", "17 bits"),
        ("", "no format named ''"),
    ],
)
def test_errors_name_the_string_the_part_and_what_is_allowed(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert part in caught.value.message
    assert repr(text) in caught.value.where
    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.exact
@pytest.mark.parametrize(
    ("text", "nearest"),
    [("Int4", "int4"), ("e4m3fm", "e4m3fn"), ("mxint4", "mxint8"), ("nvfp", "nvfp4"), ("binry", "binary")],
)
def test_unknown_names_get_the_nearest(text: str, nearest: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert f"did you mean {nearest!r}?" in caught.value.hint


@pytest.mark.exact
def test_combinations_without_a_string_cannot_be_built() -> None:
    with pytest.raises(InputError):
        Scaled(int_format(8), 32, "e8m0", zero_point=True)
    with pytest.raises(InputError):
        Scaled(Native("fp32"), "channel")
    with pytest.raises(InputError):
        Scaled(int_format(4), 32, "e8m0")
    with pytest.raises(InputError):
        Scaled(minifloat(2, 1), 0)


@pytest.mark.exact
def test_bits_with_their_scales() -> None:
    assert parse("int4@tensor").stored_bits == parse("int4@channel").stored_bits == 4
    assert parse("int4@group32").stored_bits == 5
    assert parse("int4@group32:pow2").stored_bits == 4.25
    assert parse("int4+zp@group32:pow2").stored_bits == 4.25 + 4 / 32
    assert parse("int4+zp@channel").stored_bits == 4
    assert parse("none").stored_bits == 32
    assert parse("int4+zp@channel").label == "int4+zp"
    assert uint_format(4) == Int(4, False, False)
