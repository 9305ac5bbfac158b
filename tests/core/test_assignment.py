"""Which format each layer and edge gets, on networks written out by hand."""

from __future__ import annotations

from math import ceil, prod

import pytest

from hwsim.core.assignment import UNQUANTIZED, Assignment, Policy, assign, resolve_sign
from hwsim.core.errors import InputError
from hwsim.core.formats import minifloat
from hwsim.core.scaled import parse
from hwsim.core.workload import Layer, Workload

pytestmark = pytest.mark.exact

MAP = (1, 8, 4, 4)


def conv(name: str, source: str, **more: object) -> Layer:
    params = 8 * 8 * 9 + 8
    return Layer(name, "conv", "conv2d", (source,), (MAP,), MAP, (8, 8, 3, 3), True, 9216, params, (3, 3), **more)  # type: ignore[arg-type]


def linear(name: str, source: str, n_in: int = 8, n_out: int = 10) -> Layer:
    size, out = n_out * (n_in + 1), (1, n_out)
    return Layer(name, "linear", "linear", (source,), ((1, n_in),), out, (n_out, n_in), True, n_out * n_in, size)


def step(name: str, kind: str, *sources: str, preserving: bool = False, positive: bool = False) -> Layer:
    shapes = (MAP,) * len(sources)
    return Layer(name, kind, name, sources, shapes, MAP, value_preserving=preserving, non_negative=positive)  # type: ignore[arg-type]


def relu(name: str, source: str) -> Layer:
    return step(name, "activation", source, positive=True)


def network(*layers: Layer) -> Workload:
    return Workload("net", layers, ("x",), (MAP,), (layers[-1].name,))


CHAIN = network(
    conv("stem", "x"),
    relu("relu", "stem"),
    step("pool", "pool", "relu", preserving=True),
    conv("body", "pool"),
    step("flat", "reshape", "body", preserving=True),
    linear("head", "flat"),
)


def edges(workload: Workload, policy: Policy, **more: object) -> dict[str, str]:
    return {name: str(spec) for name, spec in assign(workload, policy, **more).edges.items()}  # type: ignore[arg-type]


def weights(assignment: Assignment) -> dict[str, str]:
    return {name: str(f.weight) for name, f in assignment.layers.items()}


def test_quantizers_sit_at_origins_and_signs_follow_relu() -> None:
    found = assign(CHAIN, Policy("int4", "int6"))
    assert {name: str(s) for name, s in found.edges.items()} == {
        "x": "int6@tensor:f32",
        "relu": "uint6@tensor:f32",  # the pool passes values on, so its input carries the quantizer
        "body": "int6@tensor:f32",
    }
    assert weights(found) == dict.fromkeys(("stem", "body", "head"), "int4@channel:f32")
    assert str(found.layers["body"].acts[0]) == "uint6@tensor:f32"
    assert str(found.layers["head"].acts[0]) == "int6@tensor:f32"


def test_calibration_can_say_that_a_tensor_is_non_negative() -> None:
    assert edges(CHAIN, Policy("int4", "int6"), non_negative=["x"])["x"] == "uint6@tensor:f32"
    assert edges(CHAIN, Policy("int4", "int6"), non_negative=["body"])["body"] == "uint6@tensor:f32"


def test_acts_signed_forbids_it() -> None:
    assert edges(CHAIN, Policy("int4", "int6", acts_signed=True), non_negative=["x"]) == dict.fromkeys(
        ("x", "relu", "body"), "int6@tensor:f32"
    )


def test_minifloats_stay_signed_unless_asked() -> None:
    assert edges(CHAIN, Policy("e2m1", "e2m1"))["relu"] == "e2m1@tensor:f32"
    asked = edges(CHAIN, Policy("e2m1", "e2m1", unsigned_minifloat=True))
    assert (asked["x"], asked["relu"]) == ("e2m1@tensor:f32", "ue2m2@tensor:f32")


@pytest.mark.parametrize("text", ["uint4", "int4+zp", "mxint8", "mxfp4", "nvfp4", "e4m3fnuz", "pow4", "binary", "bf16"])
def test_formats_whose_sign_is_part_of_them_stay(text: str) -> None:
    spec = parse(text)
    assert resolve_sign(spec, True, Policy("int4", "int4", unsigned_minifloat=True)) == spec


def test_resolved_signs_keep_bits_block_and_scale() -> None:
    policy = Policy("int4", "int4", unsigned_minifloat=True)
    assert str(resolve_sign(parse("int5.full@channel:pow2"), True, policy)) == "uint5@channel:pow2"
    assert str(resolve_sign(parse("e3m2ieee~bias=2.5@channel:pow2"), True, policy)) == "ue3m3ieee~bias=2.5@channel:pow2"
    assert resolve_sign(parse("int5"), False, policy) == parse("int5")


def test_scale_type_of_the_policy_fills_in() -> None:
    found = assign(CHAIN, Policy("int4", "int6@tensor:f32", scale="pow2"))
    assert str(found.weight("stem")) == "int4@channel:pow2"
    assert str(found.edges["x"]) == "int6@tensor:f32"


def test_edge_policy_reaches_the_first_and_the_last_compute_layer() -> None:
    found = assign(CHAIN, Policy("int4", "int3", edge="int8"))
    assert weights(found) == {"stem": "int8@channel:f32", "body": "int4@channel:f32", "head": "int8@channel:f32"}
    assert edges(CHAIN, Policy("int4", "int3", edge="int8")) == {
        "x": "int8@tensor:f32",
        "relu": "uint3@tensor:f32",
        "body": "int8@tensor:f32",
    }
    two = assign(CHAIN, Policy("e2m1", "e2m1", edge="e4m3,e3m4"))
    assert (str(two.weight("head")), str(two.edges["body"])) == ("e4m3@channel:f32", "e3m4@tensor:f32")


def test_overrides_last_match_wins_and_open_sides_stay() -> None:
    policy = Policy(
        "int4",
        "int4",
        edge="int8",
        overrides=(("*", "int5"), ("body", "int6,int7"), ("b*", ",int3"), ("head", "e2m1,")),
    )
    found = assign(CHAIN, policy)
    assert weights(found) == {"stem": "int5@channel:f32", "body": "int6@channel:f32", "head": "e2m1@channel:f32"}
    assert {k: str(v.acts[0]) for k, v in found.layers.items()} == {
        "stem": "int5@tensor:f32",
        "body": "uint3@tensor:f32",
        "head": "int5@tensor:f32",
    }
    flipped = assign(CHAIN, Policy("int4", "int4", overrides=(("body", "int6"), ("*", "int5"))))
    assert str(flipped.weight("body")) == "int5@channel:f32"


def test_an_open_side_keeps_the_edge_format() -> None:
    found = assign(CHAIN, Policy("int4", "int4", edge="int8", overrides=(("stem", "int6,"),)))
    assert (str(found.weight("stem")), str(found.edges["x"])) == ("int6@channel:f32", "int8@tensor:f32")


def test_overrides_that_match_no_layer_are_errors() -> None:
    with pytest.raises(InputError) as caught:
        assign(CHAIN, Policy("int4", "int4", overrides=(("bodi", "int8"),)))
    assert "bodi" in caught.value.message
    assert "'body'" in caught.value.hint
    with pytest.raises(InputError):  # a relu holds nothing to override
        assign(CHAIN, Policy("int4", "int4", overrides=(("relu", "int8"),)))
    with pytest.raises(InputError, match="no format named"):
        assign(CHAIN, Policy("int4", "int4", overrides=(("body", "inp8"),)))


@pytest.mark.parametrize("acts", ["int4@group32", "e2m1@group16:pow2"])
def test_groups_on_activations_are_errors(acts: str) -> None:
    with pytest.raises(InputError, match="groups"):
        assign(CHAIN, Policy("int4", acts))


def test_residual_sum_reads_the_quantized_branch_and_is_itself_an_edge() -> None:
    block = network(
        conv("stem", "x"),
        relu("r0", "stem"),
        conv("c1", "r0"),
        relu("r1", "c1"),
        conv("c2", "r1"),
        step("sum", "add", "c2", "r0"),
        relu("r2", "sum"),
        conv("c3", "r2"),
    )
    found = edges(block, Policy("int4", "int4"))
    assert set(found) == {"x", "r0", "r1", "r2"}  # the sum and the accumulators stay as wide as they are computed
    assert {found[n] for n in ("r0", "r1", "r2")} == {"uint4@tensor:f32"}


def test_concatenation_is_one_edge() -> None:
    dense = network(
        relu("a", "x"),
        conv("left", "a"),
        conv("right", "a"),
        step("cat", "concat", "left", "right"),
        conv("merge", "cat"),
    )
    assert set(edges(dense, Policy("int4", "int4"))) == {"a", "cat"}


def test_several_preserving_layers_are_seen_through_and_two_inputs_are_not() -> None:
    deep = network(
        relu("a", "x"),
        step("pool", "pool", "a", preserving=True),
        step("view", "reshape", "pool", preserving=True),
        step("stack", "reshape", "view", "a", preserving=True),
        conv("one", "view"),
        conv("two", "stack"),
    )
    assert edges(deep, Policy("int4", "int4")) == {"a": "uint4@tensor:f32", "stack": "int4@tensor:f32"}


def test_readers_that_disagree_share_the_finer_format() -> None:
    fork = network(relu("a", "x"), conv("left", "a"), conv("right", "a"))
    for overrides in ((("left", "int8"), ("right", "int3")), (("left", "int3"), ("right", "int8"))):
        found = assign(fork, Policy("int4", "int4", overrides=overrides))
        assert str(found.edges["a"]) == "uint8@tensor:f32"
        assert found.layers["left"].acts == found.layers["right"].acts
    unquantized = assign(fork, Policy("int4", "int4", overrides=(("left", "int4,none"),)))
    assert unquantized.edges == {}
    assert unquantized.layers["right"].acts == (UNQUANTIZED,)


def test_weights_only() -> None:
    found = assign(CHAIN, Policy("int4", "none"))
    assert found.edges == {}
    assert found.layers["body"].acts == (UNQUANTIZED,)
    assert str(found.weight("body")) == "int4@channel:f32"


def test_products_of_activations_and_embeddings() -> None:
    token = (1, 6, 8)
    net = Workload(
        "lm",
        (
            Layer("emb", "embedding", "embedding", ("x",), ((1, 6),), token, (50, 8), params=400),
            linear("q", "emb"),
            linear("k", "emb"),
            linear("v", "emb"),
            Layer("att", "attention", "sdpa", ("q", "k", "v", "mask"), (token,) * 4, token, macs=600),
            Layer("prod", "matmul", "matmul", ("att", "emb"), (token, token), token, macs=100),
        ),
        ("x", "mask"),
        ((1, 6), (6, 6)),
        ("prod",),
    )
    found = assign(net, Policy("int4", "int8"))
    assert set(found.edges) == {"emb", "q", "k", "v", "att"}  # neither indices nor the mask
    assert len(found.layers["att"].acts) == 3
    assert found.layers["att"].weight is None
    assert found.layers["emb"].acts == ()
    assert found.weight("att") == UNQUANTIZED
    assert str(found.weight("emb")) == "int4@channel:f32"


def test_memory_counts_weights_their_block_scales_and_biases() -> None:
    net = network(conv("c", "x"), linear("h", "c", 50, 10))
    plain = assign(net, Policy("int4", "int8")).memory_bits(net)
    assert plain == 4 * (576 + 500) + 32 * (8 + 10)
    grouped = assign(net, Policy("int4@group32:pow2", "int8")).memory_bits(net)
    assert grouped == plain + 8 * (8 * ceil(72 / 32) + 10 * ceil(50 / 32))  # a row's last group may be short
    mixed = assign(net, Policy("mxfp4", "int8", overrides=(("h", "none"),))).memory_bits(net)
    assert mixed == 4 * 576 + 8 * 8 * 3 + 32 * 500 + 32 * 18


def test_memory_of_transposed_convolutions_and_embeddings() -> None:
    up = Layer("up", "conv", "conv_transpose2d", ("x",), (MAP,), MAP, (8, 4, 3, 3), params=288, kernel=(3, 3), groups=2)
    emb = Layer("emb", "embedding", "embedding", ("x",), ((1, 6),), (1, 6, 20), (50, 20), params=1000)
    net = network(up, emb)
    spec = "int4@group16:pow2"
    assert up.reduction == 8 // 2 * 9
    expected = 4 * 1288 + 8 * (8 * ceil(36 / 16) + 50 * ceil(20 / 16))
    assert assign(net, Policy(spec, "int8")).memory_bits(net) == expected
    assert prod(up.weight_shape or ()) == 288


def test_a_network_without_compute_layers() -> None:
    net = network(relu("a", "x"))
    found = assign(net, Policy("int4", "int4", edge="int8"))
    assert (found.edges, found.layers, found.memory_bits(net)) == ({}, {}, 0)


def test_unsigned_minifloat_has_the_same_bits() -> None:
    spec = resolve_sign(parse("e4m3fn"), True, Policy("int4", "int4", unsigned_minifloat=True))
    assert spec.format == minifloat(4, 4, specials="fn", signed=False)
    assert spec.bits == 8
