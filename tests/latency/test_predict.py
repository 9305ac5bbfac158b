"""Properties of a prediction, its bookkeeping and its errors."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.core.assignment import Policy, assign
from hwsim.core.errors import InputError
from hwsim.core.workload import Workload
from hwsim.latency import RUNTIMES, Kernel, device, devices, kernels, predict, trust_statement
from hwsim.latency.errors import Errors
from hwsim.latency.learned.experts import experts
from hwsim.latency.networks.kernel_sums import kernel_works
from hwsim.latency.networks.models import network_models
from hwsim.latency.networks.work_classes import TERMS, NetworkTable, network_work
from hwsim.latency.published import ofa_mobilenet_v3, published
from hwsim.latency.published.builder import NetworkBuilder

CASES = [(name, runtime) for name in ("v100", "v100-pcie", "rtx3090", "tx2") for runtime in RUNTIMES]


def network(width: int = 16, side: int = 16, blocks: int = 2) -> Workload:
    net = NetworkBuilder("net", (1, 3, side, side))
    x = net.conv_bn("x", width, 3)
    for _ in range(blocks):
        x = net.act(net.add(net.conv_bn(net.conv_bn(x, width, 3), width, 1, act=None), x))
    return net.workload(net.linear(net.global_pool(x), 10))


@pytest.mark.property
@pytest.mark.parametrize(("name", "runtime"), CASES)
def test_bookkeeping(name: str, runtime: str) -> None:
    for precision in device(name).native:
        prediction = predict(network(), name, (1, 7), precision, runtime)
        assert (prediction.device, prediction.runtime, prediction.precision) == (name, runtime, precision)
        for batch, result in zip((1, 7), prediction.batches, strict=True):
            interval = result.latency_us
            assert result.batch == batch
            assert 0 < interval.lo < interval.mid < interval.hi
            assert sum(k.latency_us for k in result.layers) == pytest.approx(interval.mid, rel=1e-9)
            assert sum(k.macs for k in result.layers) == batch * network().macs
            assert all(k.latency_us > 0 and k.bytes_moved > 0 and k.precision == precision for k in result.layers)
            values = [result.quantiles[q] for q in ("0.05", "0.25", "0.5", "0.75", "0.95")]
            assert values == sorted(values)
            assert (values[0], values[2], values[4]) == pytest.approx((interval.lo, interval.mid, interval.hi))
            assert interval.unit == "us" and interval.stage == "end_to_end"
            assert interval.coverage is not None and 0.7 < interval.coverage <= 1
            assert result.p_miss is None


@pytest.mark.property
@settings(max_examples=40, deadline=None)
@given(
    case=st.sampled_from(CASES),
    precision=st.sampled_from(["fp32", "fp16"]),
    width=st.integers(1, 96),
    more=st.integers(0, 64),
    batch=st.integers(1, 200),
    extra=st.integers(0, 200),
    blocks=st.integers(1, 4),
)
def test_monotone_in_batch_width_and_depth(
    case: tuple[str, str], precision: str, width: int, more: int, batch: int, extra: int, blocks: int
) -> None:
    """The sum over classes never falls when a batch or a network grows; the trees may take a little of it back."""
    name, runtime = case
    gpu = device(name)
    small, deep = (kernels(network(width, blocks=n), runtime, precision) for n in (blocks, blocks + 1))
    classes = network_models().find(gpu, runtime, precision, "nchw").model.classes

    def summed(made: tuple[Kernel, ...], size: int) -> float:
        return float(classes.kernel_us(network_work(made, gpu, size)).sum())

    assert summed(small, batch + extra) >= summed(small, batch) * (1 - 1e-9)
    assert summed(deep, batch) > summed(small, batch)

    def mid(workload: Workload, size: int) -> float:
        return predict(workload, name, (size,), precision, runtime).batches[0].latency_us.mid

    base = mid(network(width, blocks=blocks), batch)
    assert mid(network(width, blocks=blocks), 4 * batch) > base * 0.9
    assert mid(network(2 * width + more, blocks=blocks), 4 * batch) > base * 0.9
    assert mid(network(width, blocks=2 * blocks + 1), batch) > base


@pytest.mark.property
def test_fusing_never_costs_more_on_a_measured_runtime() -> None:
    for name in ("resnet18", "mobilenetv2_050", "vgg11"):
        times = [predict(published(name, 224), "v100", (8,), "fp32", r).batches[0].latency_us.mid for r in RUNTIMES[:2]]
        assert times[1] < times[0]


@pytest.mark.property
@given(low=st.floats(-6, 6), step=st.floats(0, 3))
def test_p_miss_falls_with_the_deadline(low: float, step: float) -> None:
    workload = network()
    mid = predict(workload, "v100").batches[0].latency_us.mid
    first, second = (predict(workload, "v100", deadline_us=mid * 2**d).batches[0].p_miss for d in (low, low + step))
    assert first is not None and second is not None
    assert 0 < second <= first < 1, "an empirical distribution never promises 0 or 1"


@pytest.mark.exact
def test_p_miss_at_the_quantiles() -> None:
    result = predict(network(), "v100").batches[0]
    for level, value in result.quantiles.items():
        p_miss = predict(network(), "v100", deadline_us=value).batches[0].p_miss
        assert p_miss == pytest.approx(1 - float(level), abs=1e-5)


@pytest.mark.property
def test_rare_misses_go_on_falling_beyond_the_interval() -> None:
    """At the upper end of a 90 % interval 5 % miss; further out ever fewer, never none."""
    workload = published("resnet50", 224)
    end = predict(workload, "rtx3090", (512,), "fp16").batches[0].latency_us.hi
    found = [predict(workload, "rtx3090", (512,), "fp16", deadline_us=end * k).batches[0] for k in (1, 1.1, 1.3, 3)]
    shares = [b.p_miss or 0.0 for b in found]
    assert shares[0] == pytest.approx(0.05, abs=1e-3)
    assert shares[0] > shares[1] > shares[2] >= shares[3] > 0


@pytest.mark.exact
def test_measured_and_unmeasured_ground() -> None:
    resnet = published("resnet50", 224)
    inside, beyond = predict(resnet, "v100", (8, 2048)).batches
    assert not inside.out_of_domain and beyond.out_of_domain
    assert inside.latency_us.hi / inside.latency_us.mid < beyond.latency_us.hi / beyond.latency_us.mid
    shares = [one.latency_us.lo / one.latency_us.mid for one in (beyond, inside)]
    assert shares[0] <= shares[1] * (1 + 1e-9), "the lower end is that of few data already"
    tiny = predict(network(), "v100")
    assert tiny.batches[0].out_of_domain and "widened" in " ".join(tiny.notes)
    engine = predict(resnet, "v100", (8,), "int8", "tensorrt")
    assert engine.batches[0].out_of_domain and "no measured networks" in " ".join(engine.notes)
    strange = replace(device("v100"), name="mine")
    assert predict(resnet, strange, (8,)).batches[0].out_of_domain


@pytest.mark.exact
def test_unmeasured_operators_are_out_of_domain() -> None:
    assert predict(published("vit_base_patch16_224", 224), "v100").batches[0].out_of_domain, "no attention measured"
    assert not predict(published("vit_base_patch16_224", 224), "rtx3090", (512,), "fp16").batches[0].out_of_domain


@pytest.mark.exact
def test_a_kernel_by_itself_has_its_own_errors() -> None:
    net = NetworkBuilder("one", (1, 256, 28, 28))
    one = net.workload(net.conv("x", 256, 3))
    result = predict(one, "v100", (32,)).batches[0]
    assert not result.out_of_domain and result.latency_us.stage == "kernel"
    assert result.latency_us.coverage == experts().coverage["v100-pcie/fp32/conv3x3"]


@pytest.mark.exact
def test_a_kernel_on_a_device_without_kernels_is_out_of_domain() -> None:
    """Its interval is wider than where such kernels were measured, and no coverage is claimed."""
    net = NetworkBuilder("one", (1, 256, 28, 28))
    one = net.workload(net.conv("x", 256, 3))
    known, unknown = (predict(one, name, (32,)).batches[0] for name in ("v100", "l4"))
    assert unknown.out_of_domain and unknown.latency_us.coverage is None
    ratio = [b.latency_us.hi / b.latency_us.lo for b in (known, unknown)]
    assert ratio[1] > 1.5 * ratio[0]


@pytest.mark.exact
def test_the_other_layout_is_wider_than_the_measured_one_and_narrower_than_another_device() -> None:
    resnet = published("resnet50", 224)

    def width(name: str, layout: str, batch: int = 64, runtime: str = "eager") -> float:
        interval = predict(resnet, name, (batch,), "fp16", runtime, layout=layout).batches[0].latency_us
        return interval.hi / interval.lo

    assert width("v100", "nchw") <= width("v100", "nhwc") < width("l4", "nchw", runtime="tensorrt")
    assert width("v100", "nhwc", 2048) > width("v100", "nhwc"), "outside the batches, too"
    assert predict(resnet, "v100", (64,), "fp16", layout="nhwc").batches[0].out_of_domain


@pytest.mark.exact
def test_precision_follows_the_formats() -> None:
    workload = network()

    def with_formats(text: str, name: str, edge: str = "same") -> tuple[str, str]:
        found = predict(workload, name, assignment=assign(workload, Policy(text, text, edge)))
        return found.precision, " ".join(found.notes)

    assert predict(workload, "v100").precision == "fp32"
    assert with_formats("int8", "v100")[0] == "int8"
    assert with_formats("e4m3", "v100")[0] == "fp16"
    assert "no speed gained on this device" in with_formats("e4m3", "v100")[1]
    assert with_formats("int4", "rtx3090", "e4m3")[0] == "mixed"
    assert with_formats("int4", "tx2")[0] == "fp16"
    mixed = predict(workload, "rtx3090", assignment=assign(workload, Policy("int4", "int4", "e4m3")))
    assert {k.precision for k in mixed.batches[0].layers} == {"int4", "fp16"}


@pytest.mark.exact
def test_density_is_said_to_be_ignored() -> None:
    workload = network()
    sparse = replace(workload, layers=tuple(replace(layer, density=0.5) for layer in workload))
    assert "computed everything" in " ".join(predict(sparse, "v100").notes)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("arguments", "needle"),
    [
        ({"device": "v1000"}, "did you mean 'v100'"),
        ({"precision": "int4"}, "allowed: fp16, fp32, int8"),
        ({"runtime": "onnx"}, "tensorrt"),
        ({"batches": ()}, "1,8,64"),
        ({"batches": (0,)}, "from 1 to"),
        ({"batches": (1.5,)}, "from 1 to"),
        ({"deadline_us": 0.0}, "positive"),
        ({"deadline_us": float("nan")}, "positive"),
    ],
)
def test_input_errors(arguments: dict[str, object], needle: str) -> None:
    with pytest.raises(InputError) as error:
        predict(network(), **({"device": "v100"} | arguments))  # type: ignore[arg-type]
    assert needle in str(error.value)


@pytest.mark.exact
def test_formats_of_another_workload() -> None:
    other = assign(network(blocks=1), Policy("int8", "int8"))
    with pytest.raises(InputError, match="no formats for layer"):
        predict(network(blocks=2), "v100", assignment=other)


@pytest.mark.exact
def test_only_views_is_an_error() -> None:
    net = NetworkBuilder("views", (1, 4))
    with pytest.raises(InputError, match="nothing to compute"):
        predict(net.workload(net.reshape("x", (4, 1))), "v100")


@pytest.mark.exact
@pytest.mark.parametrize(
    ("name", "runtime", "precision", "layout", "key"),
    [
        ("rtx3090", "eager", "fp16", "nhwc", "rtx3090/eager/fp16/nhwc"),
        ("v100-pcie", "eager", "fp16", "nchw", "v100/eager/fp16/nchw"),
        ("h100", "eager", "fp16", "nhwc", "h200/eager/fp16/nhwc"),
        ("l4", "compiled", "fp16", "nchw", "rtx4090/compiled/fp16/nchw"),
        ("orin", "tensorrt", "fp16", "nchw", "tx2/tensorrt/fp16/nchw"),
        ("h100", "eager", "fp32", "nchw", "h200/eager/fp32/nhwc"),
    ],
)
def test_nearest_model(name: str, runtime: str, precision: str, layout: str, key: str) -> None:
    found = network_models().find(device(name), runtime, precision, layout)
    assert found.key == key and found.exact == (key.startswith((name, "v100")))


@pytest.mark.exact
def test_compiling_changes_what_moves_data_alone() -> None:
    models = network_models()
    eager = models.find(device("rtx3090"), "eager", "fp16", "nchw").model.classes.factors
    compiled = models.find(device("rtx3090"), "compiled", "fp16", "nchw").model.classes.factors
    moves = np.array([name.endswith(":memory") for name in TERMS])
    assert np.array_equal(eager[~moves], compiled[~moves]) and not np.array_equal(eager[moves], compiled[moves])


@pytest.mark.exact
def test_a_search_space_is_recognised() -> None:
    space = ofa_mobilenet_v3([3] * 20, [4] * 20, [3] * 5, 192)
    assert not predict(space, "v100", (32,)).batches[0].out_of_domain
    assert predict(space, "v100", (32,)).notes == ()


@pytest.mark.exact
def test_few_data_are_said_to_be_few() -> None:
    found = predict(published("resnet50", 224), "tx2", (1,), "fp16", "tensorrt")
    assert any("few data" in note for note in found.notes)


@pytest.mark.exact
def test_wider_takes_the_outer_quantiles() -> None:
    narrow = Errors((0.05, 0.5, 0.95), (-0.1, 0.0, 0.9), 0.9, 50)
    broad = Errors((0.05, 0.5, 0.95), (-0.5, 0.0, 0.5), 0.8, 12)
    assert narrow.wider(broad) == Errors((0.05, 0.5, 0.95), (-0.5, 0.0, 0.9), 0.8, 12)


@pytest.mark.exact
def test_shipped_errors_are_ordered() -> None:
    models = network_models()
    for model in models.models.values():
        if isinstance(model.spread, Errors):
            assert list(model.spread.values) == sorted(model.spread.values)
        assert model.networks >= 4 and 0.7 < model.coverage <= 1
    assert all(errors.quantile(0.5) == 0 for errors in models.transfer.values())
    assert {"sha256", "families", "made_by"} <= set(models.about)


@pytest.mark.exact
def test_json_form() -> None:
    found = predict(network(), "tx2", (1, 4), deadline_us=1e4).as_dict()
    assert [set(b) for b in found["batches"]] == 2 * [
        {"batch", "latency_us", "quantiles", "p_miss", "out_of_domain", "layers"}
    ]
    assert set(devices()) >= {found["device"]}


@pytest.mark.exact
def test_prediction_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hwsim.latency import predict; from hwsim.latency.published import published\n"
        "predict(published('resnet18', 64), 'v100', (1, 2))\n"
        "print([m for m in ('torch', 'pandas', 'scipy', 'sklearn', 'pyarrow', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.exact
def test_the_trust_statement_quotes_the_shipped_errors() -> None:
    models = network_models()
    text = trust_statement(["v100-pcie", "rtx3090", "rtx3090", "mine"])
    for key in ("v100/eager/fp32/nchw", "rtx3090/eager/fp16/nchw", "rtx3090/eager/fp16/nhwc"):
        model = models.models[key]
        assert f"{models.scores[f'{key}, {model.stack}, families']['mape_pct']:.0f} % for unseen families" in text
        assert f"held {100 * model.coverage:.0f} %" in text
    assert "mine: no network was measured" in text and "tx2" not in text
    assert text.count("rtx3090:") == 1 and text.count("v100-pcie:") == 1


@pytest.mark.property
def test_where_the_host_is_slower_than_the_gpu_both_ways_are_asked() -> None:
    """The RTX 4090's networks were all measured with a busy GPU: batch 1 is told by classes and kernels together."""
    resnet = published("resnet50", 224)
    first, many = (predict(resnet, "rtx4090", (n,), "fp16", layout="nhwc").batches[0] for n in (1, 256))
    assert first.out_of_domain and not many.out_of_domain
    assert first.latency_us.hi / first.latency_us.lo > 4
    found = network_models().from_kernels(device("rtx4090"), "eager", "fp16")
    assert found is not None
    works = kernel_works(NetworkTable.of(kernels(resnet, "eager", "fp16")), device("rtx4090"), "nhwc", (1,))
    assert works is not None
    by_kernels = float(found.model.network_us(works[1].sums()[None, :])[0])
    assert first.latency_us.lo < by_kernels < first.latency_us.hi
    sizes = (1, 2, 4, 8, 16, 32, 64, 128)
    times = [b.latency_us.mid for b in predict(resnet, "rtx4090", sizes, "fp16", layout="nhwc").batches]
    assert all(b > 0.97 * a for a, b in pairwise(times))
