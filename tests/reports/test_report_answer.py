"""The words: who is picked, what is said when nothing fits, and numbers as people read them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_study import PARTS, design, study_of

from hwsim.core.cost import Interval
from hwsim.core.design import DesignPoint
from hwsim.core.workload import Shape
from hwsim.reports import Study, WorkloadSummary, answer_lines
from hwsim.reports.commands import next_command
from hwsim.reports.picks import pick
from hwsim.reports.words import interval_words, memory_words, pair_names, percent, quantity, wilson

pytestmark = pytest.mark.exact


def lut(mid: float, spread: float = 1.2) -> Interval:
    return Interval(mid / spread, mid, mid * spread, "LUT", "formula")


def gpu(name: str, latency_us: float, metric: float, **changes: object) -> DesignPoint:
    fields = {
        "id": name, "part": None, "device": "v100", "lut": None, "ff": None, "dsp": None, "bram18": None, "fits": None,
        "setting": "batch 8, fp16, compiled", "metric": metric, "metric_lo": metric - 0.01, "metric_hi": metric + 0.01,
        "latency_us": Interval(0.9 * latency_us, latency_us, 1.1 * latency_us, "us", "end_to_end", 0.9),
    }  # fmt: skip
    return design(**(fields | changes))


def on_part(name: str, metric: float, luts: float, fits: str = "yes", fmt: str = "int6") -> DesignPoint:
    ends = {"metric": metric, "metric_lo": metric - 0.01, "metric_hi": metric + 0.01}
    return design(id=name, lut=lut(luts), fits=fits, weights=f"{fmt}@channel:pow2", acts=f"{fmt}@tensor:pow2", **ends)


def part_study(*designs: DesignPoint) -> Study:
    return study_of(designs, float_metric=0.97, n_eval=1000)


def test_the_named_designs_of_a_part() -> None:
    study = part_study(
        on_part("big", 0.99, 90000, "no"),
        on_part("best", 0.972, 50000),
        on_part("frugal", 0.961, 20000),
        on_part("small", 0.91, 9000, fmt="e2m1"),
        on_part("worse", 0.90, 9500),
    )
    p = pick(study, study.fronts[0])
    assert (p.best and p.best.id, p.frugal and p.frugal.id, p.is_sure) == ("best", "frugal", True)
    assert p.share == pytest.approx(50000 / PARTS[1].lut)
    assert p.knee is not None and p.integer is not None and p.minifloat is not None
    assert p.budget == max(p.knee.objective("lut")[1], 9500)
    assert p.minifloat.id == "small"
    text = "\n".join(answer_lines(study))
    assert "int6/int6 [frugal] on ZU3EG (made-up figures) for 20,000 LUT (16,700 to 24,000)" in text
    assert "int6/int6 [best]: accuracy 97.2 % (96.2 to 98.2) at 50,000 LUT" in text and "71 % of the part" in text
    assert "FPGA figures are uncalibrated" in text


def test_the_duel_is_at_equal_cost_and_says_whether_samples_decide() -> None:
    near = part_study(on_part("i", 0.95, 9000), on_part("m", 0.945, 9000, fmt="e2m1"))
    assert "integer ahead by 0.5 points, intervals overlap" in "\n".join(answer_lines(near))
    far = part_study(on_part("i", 0.90, 9000), on_part("m", 0.945, 9000, fmt="e2m1"))
    assert "minifloat ahead by 4.5 points, intervals apart" in "\n".join(answer_lines(far))
    alone = part_study(on_part("i", 0.90, 9000))
    assert "ahead by" not in "\n".join(answer_lines(alone))


def test_where_nothing_fits_the_nearest_is_named() -> None:
    study = part_study(on_part("huge", 0.96, 300000, "no"), on_part("nearly", 0.95, 2 * PARTS[1].lut, "no"))
    text = "\n".join(answer_lines(study))
    assert "No design fits any of the targets." in text
    assert (
        "No design fits. The nearest is int6/int6 [nearly] at 141,000 LUT" in text and "2 times what the part" in text
    )
    assert pick(study, study.fronts[0]).best is None


def test_where_fitting_is_uncertain_that_is_said() -> None:
    study = part_study(on_part("maybe", 0.969, 70000, "uncertain"), on_part("no", 0.99, 200000, "no"))
    assert "No design is sure to fit. The best that may is int6/int6 [maybe]" in "\n".join(answer_lines(study))


def test_on_a_gpu_the_fastest_good_enough_is_named_with_its_note() -> None:
    study = study_of((gpu("slow", 90, 0.98), gpu("fast", 40, 0.971, note="no speed gained."), gpu("bad", 9, 0.5)))
    text = "\n".join(answer_lines(study))
    assert (
        "[fast]: accuracy 97.1 % (96.1 to 98.1) at 40 µs (36 to 44) (batch 8, fp16, compiled). Note: no speed" in text
    )
    poor = study_of((gpu("bad", 9, 0.5),))
    assert "No design stays within one point of floating point; the most accurate is int4/int4 [bad]" in "\n".join(
        answer_lines(poor)
    )


def test_without_designs_or_fronts_the_answer_says_so() -> None:
    assert answer_lines(study_of(())) == ["No design has been evaluated yet, so there is nothing to choose from."]
    assert "no front" in answer_lines(replace(study_of((design(),)), fronts=()))[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (31243.7, "31,200"),
        (412, "412"),
        (6.0412, "6.04"),
        (0.00123, "0.00123"),
        (0, "0"),
        (999.6, "1,000"),
        (-41, "-41"),
    ],
)
def test_quantity(value: float, text: str) -> None:
    assert quantity(value) == text


def test_units_stay_with_their_numbers() -> None:
    assert percent(0.9614) == "96.1\u00a0%"
    assert interval_words(Interval.exact(24, "DSP"), "DSP") == "24\u00a0DSP"
    assert [memory_words(bits) for bits in (812, 9999, 81000, 2.5e7)] == [
        text.replace(" ", "\u00a0") for text in ("812 bit", "10,000 bit", "81 kbit", "25 Mbit")
    ]


def test_short_names_keep_what_tells_formats_apart() -> None:
    designs = (
        design(id="a", weights="int4@channel:pow2", acts="int8@tensor:pow2"),
        design(id="b", weights="int4@tensor:pow2", acts="int8@tensor:f32"),
        design(id="c", weights="e2m1@channel:pow2", acts="mxfp4"),
    )
    assert pair_names(designs) == {"a": "int4@channel/int8", "b": "int4@tensor/int8", "c": "e2m1/mxfp4"}


@pytest.mark.truth
def test_wilson_interval() -> None:
    # Brown, Cai and DasGupta 2001 ("Interval estimation for a binomial proportion"): closed form; 0 of 10 gives
    # z^2 / (n + z^2) as upper end.
    low, high = wilson(0.0, 10)
    assert low == 0.0 and high == pytest.approx(1.959964**2 / (10 + 1.959964**2), rel=1e-6)
    assert wilson(0.5, 100) == pytest.approx((0.403832, 0.596168), abs=1e-6)
    assert wilson(1.0, 37)[1] == 1.0 and wilson(0.4, 0) == (0.4, 0.4)


def test_commands_of_the_next_step() -> None:
    study = replace(study_of((design(),)), run_dir="my runs/a")
    expected = "hwsim export --run 'my runs/a' --design 0123456789ab -o 'my runs/a/hls/'0123456789ab"
    assert next_command(study, design()) == expected
    minifloat = replace(design(), weights="e2m1", acts="e4m3")
    priced = next_command(study, minifloat)
    assert priced.startswith("hwsim cost") and "--weights e2m1 --acts e4m3" in priced
    shape: tuple[Shape, ...] = ((1, 3, 32, 32),)
    other = replace(study, model="net.py:make", workload=WorkloadSummary(shape))
    assert next_command(other, gpu("g", 9, 0.9)) == (
        "hwsim predict net.py:make --input-shape 1,3,32,32 --device v100 --weights int4@channel:pow2 "
        "--acts int4@tensor:pow2 --batch 8 --precision fp16 --runtime compiled"
    )
    assert "--input-shape" not in next_command(study, gpu("g", 9, 0.9))
