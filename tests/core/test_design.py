"""Design points, their front, their identity."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.cost import Interval
from hwsim.core.design import DesignPoint, ParetoFront, content_id
from hwsim.core.errors import InputError
from hwsim.core.pareto import dominates
from hwsim.core.scaled import parse


def design(name: str, metric: float, lut: float, half_width: float = 0.0, **changes: object) -> DesignPoint:
    """A design on a part, with symmetric intervals of the given relative half width."""
    interval = Interval(lut * (1 - half_width), lut, lut * (1 + half_width), "LUT", "formula")
    zero = Interval.exact(0, "", "formula")
    point = DesignPoint(
        id=name, weights="int4@channel:pow2", acts="int4@tensor:pow2", edge="same", scale="pow2", recipe="rtn", seed=0,
        part="zu3eg", device=None, setting="dataflow", metric=metric, metric_lo=metric, metric_hi=metric,
        metric_name="top1", memory_bits=1000, lut=interval, ff=zero, dsp=zero, bram18=zero,
        latency_us=Interval(1, 2, 3, "us", "formula"), fits="yes", note="", layers=(),
    )  # fmt: skip
    return replace(point, **changes)  # type: ignore[arg-type]


def on_v100(point: DesignPoint) -> DesignPoint:
    return replace(point, part=None, device="v100", lut=None, ff=None, dsp=None, bram18=None, fits=None)


OBJECTIVES = ("error", "lut")


@pytest.mark.exact
def test_front_of_nothing_and_of_one() -> None:
    empty = ParetoFront.of("zu3eg", OBJECTIVES, [])
    assert (empty.designs, empty.contenders, empty.knee, empty.hypervolume) == ((), (), None, 0.0)
    one = ParetoFront.of("zu3eg", OBJECTIVES, [design("a", 0.9, 100)])
    assert ([d.id for d in one.designs], one.knee, one.hypervolume) == (["a"], "a", 1.0)
    assert "zu3eg" in one._repr_html_()


@pytest.mark.exact
def test_front_by_hand() -> None:
    points = [
        design("worst", 0.50, 1000),
        design("cheap", 0.50, 100),
        design("knee", 0.86, 190),
        design("good", 0.90, 1000),
        design("near", 0.86, 191, half_width=0.1),
        design("far", 0.80, 500, half_width=0.1),
        design("tie", 0.86, 190),
    ]
    front = ParetoFront.of("zu3eg", OBJECTIVES, points)
    assert [d.id for d in front.designs] == ["good", "knee", "tie", "cheap"]  # equal designs both stay
    assert [d.id for d in front.contenders] == ["near"]  # its interval reaches below the knee's 190 LUT
    assert front.knee == "knee"
    assert front.hypervolume == pytest.approx((0.36 / 0.40) * (810 / 900))


@pytest.mark.exact
def test_accuracy_intervals_make_contenders() -> None:
    sure = design("a", 0.90, 100)
    unsure = design("b", 0.89, 200, metric_lo=0.85, metric_hi=0.93)
    assert [d.id for d in ParetoFront.of("p", OBJECTIVES, [sure, unsure]).contenders] == ["b"]
    assert ParetoFront.of("p", OBJECTIVES, [sure, replace(unsure, metric_hi=0.895)]).contenders == ()


@pytest.mark.property
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(1, 6), st.sampled_from([0.0, 0.2, 0.5])), min_size=1, max_size=12
    ),
    st.integers(0, 2**32),
)
def test_front_holds_what_nothing_dominates_in_any_order(rows: list[tuple[int, int, float]], seed: int) -> None:
    points = [design(f"{i:02}", m / 8, 64.0 * lut, width) for i, (m, lut, width) in enumerate(rows)]
    front = ParetoFront.of("p", OBJECTIVES, points)
    mids = {p.id: [p.objective(o)[1] for o in OBJECTIVES] for p in points}
    kept = {i for i in mids if not any(dominates(mids[j], mids[i]) for j in mids)}
    assert {d.id for d in front.designs} == kept
    assert not kept & {d.id for d in front.contenders}
    assert front.knee in kept
    assert 0 <= front.hypervolume <= 1
    shuffled = list(points)
    random.Random(seed).shuffle(shuffled)
    assert ParetoFront.of("p", OBJECTIVES, shuffled) == front


@pytest.mark.exact
def test_objectives_are_minimised_with_their_ends_in_order() -> None:
    point = design("a", 0.9, 100, 0.1, metric_lo=0.8, metric_hi=0.95)
    assert point.objective("error") == pytest.approx((0.05, 0.1, 0.2))
    assert point.objective("lut") == pytest.approx((90, 100, 110))
    assert point.objective("latency_us") == (1, 2, 3)
    assert point.objective("memory_bits") == (1000, 1000, 1000)
    assert point.target == "zu3eg"
    assert on_v100(point).target == "v100"


@pytest.mark.exact
@pytest.mark.parametrize("name", ["luts", "metric", "recipe", "note", "_family"])
def test_unknown_objectives_are_errors(name: str) -> None:
    with pytest.raises(InputError) as caught:
        ParetoFront.of("p", ("error", name), [design("a", 0.9, 100)])
    assert name in caught.value.message
    assert "latency_us" in caught.value.hint


@pytest.mark.exact
def test_a_gpu_design_has_no_luts() -> None:
    with pytest.raises(InputError, match="v100"):
        ParetoFront.of("v100", ("error", "lut"), [on_v100(design("a", 0.9, 100))])


@pytest.mark.exact
@pytest.mark.parametrize(
    ("weights", "acts", "family"),
    [
        ("int4@channel:pow2", "uint4@tensor:f32", "integer"),
        ("mxint8", "int8@tensor:f32", "integer"),
        ("e2m1@channel:f32", "ue2m2@tensor:f32", "minifloat"),
        ("nvfp4", "mxfp8_e4m3", "minifloat"),
        ("int4@channel:f32", "e4m3@tensor:f32", "mixed"),
        ("none", "none", "other"),
        ("bf16", "fp16", "other"),
        ("pow4@channel:f32", "binary@tensor:f32", "other"),
    ],
)
def test_family(weights: str, acts: str, family: str) -> None:
    assert design("a", 1, 1, weights=weights, acts=acts).family == family


@pytest.mark.exact
def test_rows_have_the_keys_of_the_contract() -> None:
    row = design("a", 0.9, 100).as_row()
    assert {
        "id", "weights", "acts", "recipe", "part", "device", "metric", "lut", "memory_bits", "latency_us", "fits"
    } <= set(row)  # fmt: skip
    assert (row["lut"], row["lut_lo"], row["lut_hi"]) == (100, 100, 100)
    on_gpu = on_v100(design("a", 0.9, 1))
    assert (on_gpu.as_row()["lut"], on_gpu.as_row()["latency_us"]) == (None, 2)


CONTENT = {"workload": "abc", "seed": 3, "spec": parse("int4@channel"), "reuse": (1, 2), "at": Path("a/b"), "x": 0.1}


@pytest.mark.exact
def test_identity_depends_on_content_alone() -> None:
    name = content_id(**CONTENT)
    assert len(name) == 12
    assert set(name) <= set("0123456789abcdef")
    assert content_id(**dict(reversed(CONTENT.items()))) == name
    assert content_id(**CONTENT | {"seed": np.int64(3), "x": np.float64(0.1), "reuse": [1, 2]}) == name
    assert content_id(**CONTENT | {"spec": str(CONTENT["spec"])}) == name
    changed = [content_id(**CONTENT | change) for change in ({"seed": 4}, {"workload": "abd"}, {"x": 0.1 + 1e-17 * 2})]
    assert name not in changed[:2]
    assert content_id(a=1, b=2) != content_id(a=2, b=1)


@pytest.mark.exact
def test_identity_is_the_same_in_every_process() -> None:
    """A fixed figure, the head of `sha256sum` over the sorted JSON: changing it orphans every stored design."""
    assert content_id(weights="int4@channel:pow2", seed=0, nested={"b": [1.5, None], "a": True}) == "74e16bf6d251"
    code = "from hwsim.core.design import content_id; print(content_id(a='x', b={'z': 1, 'y': 2}))"
    found = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        found.add(run.stdout.strip())
    assert found == {content_id(a="x", b={"z": 1, "y": 2})}


@pytest.mark.exact
@pytest.mark.parametrize("value", [{1, 2}, np.arange(5000), object()], ids=["set", "array", "object"])
def test_values_without_a_stable_text_have_no_identity(value: object) -> None:
    """Their str() depends on hash seeds, is abbreviated, or holds an address."""
    with pytest.raises(TypeError, match="stable text"):
        content_id(value=value)
