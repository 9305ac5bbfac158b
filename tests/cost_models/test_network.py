"""Networks: hand-computed small cases, additivity, monotone folding, every kind of layer, the whole default grid."""

from __future__ import annotations

from itertools import product as pairs
from math import isfinite

import cost_networks as nets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.core.assignment import Policy, assign
from hwsim.core.codes import WeightCodes
from hwsim.core.cost import Cost, Interval
from hwsim.core.errors import InputError, UnsupportedError
from hwsim.core.formats import default_grid
from hwsim.core.scaled import parse
from hwsim.core.workload import Layer, Workload
from hwsim.cost_models import estimate, fits_part, part
from hwsim.cost_models.geometry import fold, legal_reuse, products

PART = part("zcu102")
SHAPE = (1, 8, 6, 6)


def cost(workload: Workload, weights: str = "int4", acts: str = "int4", **options: object) -> Cost:
    assignment = assign(workload, Policy(weights, acts, scale="pow2"))
    return estimate(workload, assignment, PART, **options)  # type: ignore[arg-type]


@pytest.mark.exact
def test_a_linear_layer_by_hand() -> None:
    # 8 inputs, 4 outputs, reuse 4: 2 products a dot product, 4 dot products; K = 8 signed int4: 1 + bit_length(392)
    made = cost(nets.chain(8, 4), reuse=4, dsp="never").layers[0]
    assert made.accumulator_bits == 10 and made.reuse == 4 and made.cycles == 4
    assert made.terms["multipliers"] == 8 * 12  # two Booth digits over four bits
    assert made.terms["tree"] == pytest.approx(4 * 8, rel=0.1) and made.terms["accumulators"] == 40
    assert made.terms["control"] < 15  # counts four words
    assert made.terms["weights"] < 8  # of 32 functions of two address bits, four take a LUT
    assert made.terms["bias"] == 40
    # the input FIFO holds words of 32 bits, the output FIFO words of 40: registers of two words each
    assert made.terms["fifo"] == (32 + 5) + (40 + 5)


@pytest.mark.exact
def test_reuse_one_builds_constants_without_memory() -> None:
    made = cost(nets.chain(64, 16), "int8", "int8").layers[0]
    assert made.dsp == 0 and made.bram18 == 0
    assert "multipliers" not in made.terms and made.terms["constant multipliers"] > 0
    folded = cost(nets.chain(64, 16), "int8", "int8", reuse=2).layers[0]
    assert folded.dsp == 512


@pytest.mark.exact
def test_codes_replace_the_mean() -> None:
    workload = nets.chain(8, 4)
    spec = parse("int4", block="channel", scale="pow2")
    none = np.zeros((4, 1))
    powers = WeightCodes(np.full((4, 8), 4), spec, none + 1, none)
    zeros = WeightCodes(np.zeros((4, 8), dtype=np.int64), spec, none + 1, none)
    mean = cost(workload).layers[0].terms
    free = cost(workload, codes={"fc": powers}).layers[0].terms
    assert free["constant multipliers"] == 0 < mean["constant multipliers"]
    assert 0 < free["tree"] < sum(mean[name] for name in ("constant multipliers", "tree"))
    assert cost(workload, codes={"fc": zeros}).layers[0].terms["tree"] == 0
    assert any("their own codes" in note for note in cost(workload, codes={"fc": _random_codes(8, 4)}).notes)
    with pytest.raises(InputError, match="32 weight codes"):
        cost(nets.chain(8, 5), codes={"fc": powers})


def _random_codes(inputs: int, outputs: int) -> WeightCodes:
    codes = np.random.default_rng(1).integers(-7, 8, (outputs, inputs))
    none = np.zeros((outputs, 1))
    return WeightCodes(codes, parse("int4", block="channel", scale="pow2"), none + 1, none)


@pytest.mark.exact
def test_cycles_and_latency() -> None:
    layer = nets.conv("c", "x", (1, 2, 8, 8), 4)
    made = cost(nets.network("c", (1, 2, 8, 8), [layer]), reuse=9)
    assert made.ii_cycles.mid == 64 * 9
    assert made.latency_us.mid * PART.clock_mhz >= 64 * 9  # and the fill of a row
    assert made.latency_us.mid * PART.clock_mhz < 64 * 9 + 64
    assert made.latency_us.lo < made.latency_us.mid <= made.latency_us.hi


@pytest.mark.exact
@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (nets.conv("c", "x", SHAPE, 16), (36, 72, 16, 1)),
        (nets.conv("c", "x", SHAPE, 8, groups=8), (36, 9, 8, 8)),
        (nets.conv("c", "x", SHAPE, 16, groups=4), (36, 18, 16, 4)),
        (nets.conv("c", "x", SHAPE, 4, k=4, stride=2, transposed=True), (36, 8, 64, 1)),
        (nets.conv("c", "x", (1, 4, 32), 8), (32, 12, 8, 1)),
        (nets.conv("c", "x", (1, 2, 6, 6, 6), 4), (216, 54, 4, 1)),
        (nets.linear("c", "x", (1, 10, 16), 8), (10, 16, 8, 1)),
    ],
)
def test_layers_as_matrix_products(layer: Layer, wanted: tuple[int, ...]) -> None:
    (found,) = products(layer)
    assert (found.positions, found.inputs, found.outputs, found.groups) == wanted
    assert found.positions * found.inputs * found.outputs == layer.macs


@pytest.mark.property
@given(st.integers(1, 200), st.integers(1, 100))
def test_legal_reuse_divides_the_work(inputs: int, outputs: int) -> None:
    for reuse in legal_reuse(inputs, outputs):
        made = fold(reuse, inputs, outputs)
        assert made.multipliers * reuse == inputs * outputs


@pytest.mark.truth
@pytest.mark.slow
def test_legal_reuse_is_hls4mls() -> None:
    backend = pytest.importorskip("hls4ml.backends.fpga.fpga_backend").FPGABackend
    for inputs, outputs in pairs((1, 6, 16, 27, 30, 72), (1, 5, 10, 16, 24)):
        theirs = [r for r in range(1, inputs * outputs + 1) if backend._validate_reuse_factor(None, inputs, outputs, r)]
        assert list(legal_reuse(inputs, outputs)) == theirs


@pytest.mark.exact
def test_one_factor_for_all_is_moved_where_it_does_not_divide() -> None:
    made = cost(nets.small_residual(), reuse=4)  # 72 x 8 and 128 x 10 products, but 9 x 8 in the first layer
    assert {layer.name: layer.reuse for layer in made.layers if layer.reuse > 1} == {"conv1": 3, "conv2": 4, "fc": 4}
    assert [note for note in made.notes if "is built" in note] == [
        "conv1: reuse 4 does not divide the layer, 3 is built"
    ]
    assert cost(nets.chain(8, 4), reuse={"fc": 8}).layers[0].reuse == 8


@pytest.mark.exact
@pytest.mark.parametrize(("reuse", "hint"), [(3, "2 and 4"), ({"fc": 3}, "2 and 4"), (100, "32"), ({"fc": 0}, "1")])
def test_an_illegal_reuse_is_refused_with_the_nearest_legal_one(reuse: int | dict[str, int], hint: str) -> None:
    with pytest.raises(InputError) as caught:
        cost(nets.chain(8, 4), reuse=reuse)
    assert caught.value.where == "layer fc" and caught.value.hint == f"nearest legal: {hint}"


@pytest.mark.exact
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reuse": 0}, "reuse 0"),
        ({"reuse": {"fcc": 2}}, "no layer 'fcc'"),
        ({"reuse": "fast"}, "reuse = 'fast'"),
        ({"reuse": 2, "target_ii_cycles": 9}, "a target interval for a design that is given"),
        ({"reuse": "auto", "target_ii_cycles": 0}, "an interval of 0 cycles"),
        ({"arch": "dataflov"}, "arch = 'dataflov'"),
        ({"dsp": "maybe"}, "dsp = 'maybe'"),
        ({"arch": "overlay", "array": (0, 4)}, "an array of 0 x 4"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        cost(nets.chain(), **options)


@pytest.mark.property
@settings(max_examples=30)
@given(
    st.sampled_from([str(f) for f in default_grid()]),
    st.sampled_from([str(f) for f in default_grid()]),
    st.sampled_from([1, 2, 9, 72, "auto"]),
    st.sampled_from(["dataflow", "overlay"]),
)
def test_totals_are_sums(weights: str, acts: str, reuse: int | str, arch: str) -> None:
    made = cost(nets.small_residual(), weights, acts, reuse=reuse, arch=arch)
    for name in ("lut", "ff", "dsp", "bram18"):
        interval = getattr(made, name)
        assert interval.mid == pytest.approx(sum(getattr(layer, name) for layer in made.layers))
        assert 0 <= interval.lo <= interval.mid <= interval.hi
    for layer in made.layers:
        assert sum(layer.terms.values()) == pytest.approx(layer.lut)
    if arch == "overlay":
        assert made.ii_cycles.mid == sum(layer.cycles for layer in made.layers)


@pytest.mark.property
def test_folding_saves_resources_and_costs_cycles() -> None:
    layer = nets.conv("c", "x", (1, 16, 8, 8), 32)
    workload = nets.network("c", (1, 16, 8, 8), [layer])
    made = [cost(workload, "int8", "int8", reuse=r, dsp="never") for r in legal_reuse(144, 32)[1:]]
    for slow, fast in zip(made[1:], made, strict=False):
        assert slow.layers[0].terms["multipliers"] < fast.layers[0].terms["multipliers"]
        assert slow.ii_cycles.mid > fast.ii_cycles.mid
        assert slow.latency_us.mid > fast.latency_us.mid


@pytest.mark.property
def test_auto_reuse_is_the_fastest_that_fits() -> None:
    workload = nets.deep_residual(2, 16, 16)
    for name in ("zynq7020", "zu3eg", "zcu102"):
        board = part(name)
        assignment = assign(workload, Policy("e4m3", "e4m3", scale="pow2"))
        made = estimate(workload, assignment, board, reuse="auto")
        assert made.lut.mid <= board.lut and made.bram18.mid <= board.bram18
        full = estimate(workload, assignment, board, reuse=1)
        assert made.ii_cycles.mid >= full.ii_cycles.mid
        if full.lut.mid > board.lut:  # then the part is used well
            assert made.lut.mid > 0.3 * board.lut
    tiny = estimate(workload, assignment, part("xc7a100t"), reuse="auto")
    assert tiny.ii_cycles.mid > made.ii_cycles.mid


@pytest.mark.property
def test_auto_says_when_nothing_fits() -> None:
    workload = nets.network("wide", (1, 4096), [nets.linear("fc", "x", (1, 4096), 8192)])
    made = cost(workload, "int8", "int8", reuse="auto")
    assert any("not even the smallest" in note for note in made.notes)
    assert made.fits == "no"


KINDS = [
    nets.conv("l", "x", SHAPE, 8),
    nets.linear("l", "x", (1, 8, 6, 6), 4),
    nets.relu("l", "x", SHAPE),
    nets.max_pool("l", "x", SHAPE),
    nets.unary("l", "pool", "avg_pool2d", "x", SHAPE, (1, 8, 3, 3), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
    nets.unary("l", "pool", "max_pool2d", "x", SHAPE, (1, 8, 4, 4), kernel=(3, 3), stride=(1, 1), padding=(0, 0)),
    nets.unary("l", "pool", "adaptive_avg_pool2d", "x", SHAPE, (1, 8, 1, 1)),
    nets.unary("l", "norm", "batch_norm", "x", SHAPE, params=16),
    nets.unary("l", "norm", "layer_norm", "x", SHAPE, params=16),
    nets.unary("l", "norm", "group_norm", "x", SHAPE, params=16),
    nets.unary("l", "activation", "gelu", "x", SHAPE),
    nets.unary("l", "activation", "leaky_relu", "x", SHAPE),
    nets.unary("l", "softmax", "softmax", "x", SHAPE),
    nets.unary("l", "elementwise", "mul", "x", SHAPE),
    nets.unary("l", "elementwise", "sqrt", "x", SHAPE),
    nets.unary("l", "elementwise", "abs", "x", SHAPE),
    nets.unary("l", "reduce", "mean", "x", SHAPE, (1, 8)),
    nets.unary("l", "reduce", "argmax", "x", SHAPE, (1, 6, 6)),
    nets.unary("l", "reduce", "var", "x", SHAPE, (1, 8)),
    nets.unary("l", "reshape", "upsample_bilinear2d", "x", SHAPE, (1, 8, 12, 12)),
    nets.add("l", "x", "y", SHAPE),
    Layer("l", "concat", "cat", ("x", "y"), (SHAPE, SHAPE), (1, 16, 6, 6)),
    Layer("l", "matmul", "matmul", ("x", "y"), ((1, 8, 6, 6), (1, 8, 6, 6)), (1, 8, 6, 6), macs=8 * 6 * 6 * 6),
    Layer(
        "l",
        "attention",
        "scaled_dot_product_attention",
        ("x", "x", "y"),
        (SHAPE, SHAPE, SHAPE),
        SHAPE,
        macs=2 * 8 * 6 * 6 * 6,
    ),
    Layer("l", "embedding", "embedding", ("x",), ((1, 12),), (1, 12, 16), weight_shape=(100, 16), params=1600),
]


@pytest.mark.property
@pytest.mark.parametrize("layer", KINDS, ids=lambda x: f"{x.kind}-{x.op}")
def test_every_kind_costs_something(layer: Layer) -> None:
    made = nets.alone(layer, (1, 12) if layer.kind == "embedding" else SHAPE)
    fifos = made.layers[0].terms.get("fifo", 0.0)
    assert made.lut.mid - fifos + 50 * made.dsp.mid + made.bram18.mid > 0
    assert all(isfinite(i.hi) for i in made.intervals.values())


@pytest.mark.exact
def test_what_is_free() -> None:
    made = {layer.name: layer for layer in cost(nets.small_residual(), reuse=9).layers}
    assert made["flat"].lut == 0 and made["flat"].cycles == 0
    assert set(made["relu1"].terms) == {"requantize"}
    folded = nets.network(
        "bn", SHAPE, [nets.conv("c", "x", SHAPE, 8), nets.unary("b", "norm", "batch_norm", "c", SHAPE, params=16)]
    )
    fifo_of_output = cost(folded).layers[1]
    assert set(fifo_of_output.terms) == {"fifo"}


@pytest.mark.exact
def test_bare_edges_keep_the_accumulators_width() -> None:
    workload = nets.small_residual()
    made = {layer.name: layer for layer in cost(workload, dsp="never").layers}
    # the sum of a bare accumulator (K = 72: 15 bits with a 4-bit unsigned input) and codes: an adder of one bit more
    bits = made["conv2"].accumulator_bits
    assert made["sum"].terms["adders"] == 8 * (bits + 1)


@pytest.mark.exact
@pytest.mark.parametrize(
    "layer",
    [
        nets.unary("odd", "activation", "dropwave", "x", SHAPE),
        nets.unary("odd", "elementwise", "lgamma", "x", SHAPE),
        nets.unary("odd", "pool", "lp_pool2d", "x", SHAPE, (1, 8, 3, 3)),
        nets.unary("odd", "reduce", "median", "x", SHAPE, (1, 8)),
        nets.unary("odd", "sort", "sort", "x", SHAPE),
    ],
    ids=lambda x: x.op,
)
def test_unknown_operators_are_errors_that_name_the_layer(layer: Layer) -> None:
    with pytest.raises(UnsupportedError) as caught:
        nets.alone(layer, SHAPE)
    assert caught.value.where == "layer odd" and caught.value.hint


@pytest.mark.exact
@pytest.mark.parametrize(("weights", "acts"), [("pow4~exp=0.4", "int4"), ("int4", "int4@channel")])
def test_unsupported_formats_name_the_layer(weights: str, acts: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        cost(nets.chain(), weights, acts)
    assert caught.value.where == "layer fc"


@pytest.mark.exact
@pytest.mark.parametrize("pair", [("none", "none"), ("fp16", "fp16"), ("bf16", "bf16"), ("mxfp4", "mxfp8_e4m3")])
def test_wide_and_block_formats_have_a_price(pair: tuple[str, str]) -> None:
    for arch in ("dataflow", "overlay"):
        made = cost(nets.small_residual(), *pair, arch=arch, reuse=9)
        assert made.lut.mid > 0
        assert next(x for x in made.layers if x.name == "fc").accumulator_bits == 32


@pytest.mark.exact
def test_float_scales_cost_multipliers() -> None:
    workload = nets.small_residual()
    shift = estimate(workload, assign(workload, Policy("int4", "int4", scale="pow2")), PART, dsp="never")
    multiply = estimate(workload, assign(workload, Policy("int4", "int4", scale="f32")), PART, dsp="never")
    first, second = shift.layers[1].terms["requantize"], multiply.layers[1].terms["requantize"]
    assert second - first > 8 * 100  # a hundred LUTs a lane and more


@pytest.mark.exact
def test_fits() -> None:
    small = Interval(1, 2, 3, "x", "formula")
    huge = Interval(1, 2, 1e9, "x", "formula")
    over = Interval(1e9, 1e9, 1e9, "x", "formula")
    assert fits_part(PART, small, small, small, small) == "yes"
    assert fits_part(PART, small, huge, small, small) == "uncertain"
    assert fits_part(PART, small, huge, small, over) == "no"


@pytest.mark.property
def test_the_whole_default_grid() -> None:
    workload = nets.small_residual()
    for weights, acts in pairs(default_grid(), repeat=2):
        made = cost(workload, str(weights), str(acts), reuse=9)
        assert all(isfinite(end) for i in made.intervals.values() for end in (i.lo, i.mid, i.hi))
        assert made.lut.mid > 0 and made.latency_us.mid > 0
        assert made.notes[0].startswith("uncalibrated")


@pytest.mark.exact
def test_an_overlay_is_bound_by_memory_where_weights_are_read_once() -> None:
    workload = nets.chain(1024, 1024)
    made = cost(workload, "int8", "int8", arch="overlay", array=(32, 32))
    seconds = 1024 * 1024 / (PART.dram_gbps * 1e9)
    assert made.latency_us.mid == pytest.approx(seconds * 1e6, rel=0.01)
    layer = nets.network("c", (1, 32, 16, 16), [nets.conv("c", "x", (1, 32, 16, 16), 32)])
    wide, narrow = (cost(layer, "int8", "int8", arch="overlay", array=(pe, 32)).ii_cycles.mid for pe in (32, 16))
    assert 256 * 9 < wide < 256 * 9 + 40 and 2 * 256 * 9 < narrow < 2 * 256 * 9 + 40  # and the fill of the array


@pytest.mark.exact
def test_an_overlay_says_that_it_has_no_reuse() -> None:
    assert any("no reuse" in note for note in cost(nets.chain(), arch="overlay", reuse=4).notes)
    assert not any("no reuse" in note for note in cost(nets.chain(), arch="overlay", reuse="auto").notes)


@pytest.mark.exact
def test_json_and_html() -> None:
    made = cost(nets.small_residual())
    assert set(made.as_dict()) >= {"lut", "ff", "dsp", "bram18", "latency_us", "ii_cycles", "fits", "layers"}
    assert "zcu102" in made._repr_html_()
