"""Networks that nobody measured on a device, as sums over what experts say of their kernels."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.latency import device, predict
from hwsim.latency.kernels import kernels
from hwsim.latency.learned.expert import Setting
from hwsim.latency.learned.experts import experts
from hwsim.latency.measured.tables import data_folder, gpus
from hwsim.latency.measured.transformers import bert_large, gpt2_large, transformer_rows
from hwsim.latency.networks.kernel_sums import gpu_us, kernel_works
from hwsim.latency.networks.models import network_models
from hwsim.latency.networks.work_classes import LAUNCHES, TERMS, NetworkTable
from hwsim.latency.published import published
from hwsim.latency.shapes import linear
from hwsim.latency.simulator.table import table_of

RESNET = published("resnet50", 224)


@pytest.mark.exact
def test_kernels_alike_and_batches_together_are_what_each_is_by_itself() -> None:
    network = NetworkTable.of(kernels(RESNET, "eager", "fp32"))
    assert len(np.unique(network.same)) < 0.6 * len(network.same)
    t4 = device("t4")
    together = kernel_works(network, t4, "nchw", (1, 7, 32))
    assert together is not None
    for batch, work in together.items():
        alone = gpu_us(network.table.at_batch(batch), network.precisions, t4, "nchw")
        assert alone is not None
        np.testing.assert_allclose(work.memory_us, alone, rtol=1e-6)
        assert work.sums()[TERMS.index(LAUNCHES)] == len(network.same)
        assert work.sums()[: TERMS.index(LAUNCHES)].sum() == pytest.approx(alone.sum())


@pytest.mark.exact
def test_the_gpu_alone_takes_less_than_with_the_launch() -> None:
    """By as much as the launch where it is all, and next to nothing where work is all."""
    expert = experts().find("eager", "linear", "fp32")
    assert expert is not None
    setting = Setting(device("a100"), "a100", "fp32")
    small, large = (table_of([linear(n, n, n)], 1, "fp32") for n in (32, 8192))
    for table, least, most in ((small, 0.0, 0.3), (large, 0.95, 1.0)):
        share = expert.gpu_us(table, setting)[0] / expert.predict(table, setting).time_us[0]
        assert least < share <= most


@pytest.mark.exact
def test_where_sums_of_kernels_serve() -> None:
    models = network_models()
    assert models.from_kernels(device("l4"), "eager", "fp32") is not None
    assert models.from_kernels(device("l4"), "compiled", "fp16") is not None
    assert models.from_kernels(device("l4"), "tensorrt", "fp16") is None
    assert models.from_kernels(device("orin"), "eager", "fp16") is None
    cpu = replace(device("l4"), name="mine", architecture="x86_64")
    assert models.from_kernels(cpu, "eager", "fp32") is None


@pytest.mark.exact
def test_few_measured_networks_are_told_by_kernels_where_that_is_better() -> None:
    models = network_models()
    for name, layout, seen in (("h200", "nhwc", True), ("h200", "nchw", False)):
        found = models.serving(device(name), "eager", "fp32", layout)
        assert found.model.by_kernels and (found.exact, found.layout_only) == (seen, not seen)
    assert models.serving(device("v100"), "eager", "fp32", "nchw").model.by_kernels
    for name, precision in (("rtx3090", "fp16"), ("v100", "fp16")):
        assert not models.serving(device(name), "eager", precision, "nchw").model.by_kernels
    assert models.serving(device("v100"), "tensorrt", "fp32", "nchw").model.by_kernels is False
    own = predict(RESNET, "h200", (32,), "fp32", layout="nhwc")
    assert not own.batches[0].out_of_domain and not any("no measured networks" in note for note in own.notes)


@pytest.mark.exact
def test_an_unmeasured_card_is_told_by_its_kernels() -> None:
    found = predict(RESNET, "l4", (1, 32), "fp32")
    assert any("sums of its single kernels serve" in note for note in found.notes)
    for one in found.batches:
        assert one.out_of_domain and one.latency_us.stage == "end_to_end"
        assert sum(kernel.latency_us for kernel in one.layers) == pytest.approx(one.latency_us.mid)
        assert one.latency_us.hi / one.latency_us.lo < 4
    exact = predict(RESNET, "v100", (32,), "fp32")
    assert not any("single kernels" in note for note in exact.notes)
    other = predict(RESNET, "l4", (32,), "fp16", runtime="tensorrt")
    assert not any("single kernels" in note for note in other.notes)


@pytest.mark.exact
def test_bf16_runs_on_the_kernels_of_fp16_even_where_there_is_none() -> None:
    card = device("l4")
    without = replace(
        card, name="mine", native=("bf16", "fp32"),
        peak_tflops={"bf16": card.peak_tflops["bf16"], "fp32": card.peak_tflops["fp32"]},
    )  # fmt: skip
    half, brain, bare = (
        predict(RESNET, gpu, (64,), precision).batches[0].latency_us.mid
        for gpu, precision in ((card, "fp16"), (card, "bf16"), (without, "bf16"))
    )
    assert half == pytest.approx(brain) and bare == pytest.approx(brain)


@pytest.mark.exact
def test_compiling_saves_time_on_an_unmeasured_card() -> None:
    for batch in (1, 64):
        eager, compiled = (
            predict(RESNET, "h100", (batch,), "fp16", runtime).batches[0].latency_us
            for runtime in ("eager", "compiled")
        )
        assert compiled.mid < eager.mid
        assert compiled.hi / compiled.lo > eager.hi / eager.lo, "compiled sums were checked on no second card"


@pytest.mark.exact
def test_transformers_have_their_published_size() -> None:
    """BERT-Large's encoder: 302 M weights; GPT2-Large: 774 M with its table of words, which is its head."""
    for made, millions in ((bert_large(512), 302), (gpt2_large(1024), 772)):
        weights = sum(shape.weight_elements for _, shape in made)
        assert weights == pytest.approx(1e6 * millions, rel=0.01)


@pytest.mark.data
@pytest.mark.truth
@pytest.mark.skipif("HWSIM_SHARED" not in os.environ, reason="HWSIM_SHARED names no folder")
def test_transformers_that_no_fit_saw() -> None:
    """NeuSight states mean errors of 5.9 % (V100), 6.5 (A100), 6.1 (H100) and about 15 (L4) for the same networks."""
    folder = data_folder(Path(os.environ["HWSIM_SHARED"]))
    cards, errors = gpus(folder), {}
    for row in transformer_rows(folder):
        found = network_models().from_kernels(cards[row.device], "eager", "fp32")
        sums = row.launches.kernel_sums(cards[row.device], row.batch, "fp32", "nchw")
        assert found is not None and sums is not None
        ratio = float(found.model.network_us(sums[None, :])[0]) / row.latency_us
        errors.setdefault(row.device, []).append(abs(ratio - 1))
        assert abs(np.log(ratio)) < 0.4, (row.device, row.model, row.batch, ratio)
    mean = {name: np.mean(found) for name, found in errors.items()}
    assert max(mean["v100-pcie"], mean["a100"]) < 0.055
    assert max(mean["h100"], mean["l4"]) < 0.1, "cards whose kernels nobody measured"
