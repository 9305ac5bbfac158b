"""What observers keep of a stream, and that scales do not depend on what else they keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hwsim.capture.graph import capture
from hwsim.core.scaled import parse
from hwsim.quant.calibration import calibrate
from hwsim.quant.observers import KL, MSE, Lp, Method, MinMax, Observer, Percentile
from hwsim.quant.ranges import scale_of_range
from hwsim.quant.streaming import Keep, rank_from_top


def seen(batches: list[torch.Tensor], keep: Keep, axis: int = 1) -> Observer:
    observer = Observer(axis=axis, keep=keep)
    for batch in batches:
        observer.update(batch)
    return observer


@pytest.mark.exact
@pytest.mark.parametrize("name", ["int4", "uint4", "int8+zp", "e2m1"])
@pytest.mark.parametrize("block", ["tensor", "channel"])
@pytest.mark.parametrize("kind", ["normal", "relu", "positive", "rounded relu", "channels last"])
def test_averaged_percentiles_are_means_of_those_of_batches(name: str, block: Any, kind: str) -> None:
    torch.manual_seed(3)
    batches = [torch.randn(n, 3, 7, 8) * (1 + i) for i, n in enumerate((16, 16, 9))]
    if "relu" in kind:
        batches = [torch.relu(x.round(decimals=1) if "rounded" in kind else x) for x in batches]
    if kind == "positive":
        batches = [x.abs() + 0.1 for x in batches]
    if kind == "channels last":
        batches = [x.to(memory_format=torch.channels_last) for x in batches]
    spec, method = parse(name, block=block), Percentile(97.0, batch=16)
    observer = seen(batches, Keep(batch_percentiles=frozenset({(97.0, block == "channel", 16)})))
    found, zero = observer.scale(spec, method)
    ends = []
    for part in batches:
        flat = part.transpose(0, 1).flatten(1) if block == "channel" else part.reshape(1, -1)
        rank = rank_from_top(97.0, flat.shape[1])
        high = flat.sort(1).values[:, flat.shape[1] - 1 - rank]
        low, magnitude = flat.sort(1).values[:, rank], flat.abs().sort(1).values[:, flat.shape[1] - 1 - rank]
        ends.append(torch.stack([low, high, magnitude]).double())
    low, high, magnitude = torch.stack(ends).mean(0)
    if spec.zero_point:
        wanted = scale_of_range(low, high, spec)
    elif spec.format.min < 0:
        wanted = scale_of_range(-magnitude, magnitude, spec)
    else:
        wanted = scale_of_range(torch.zeros_like(high), high, spec)
    torch.testing.assert_close(found.flatten().double(), wanted[0].flatten().double(), rtol=1e-6, atol=0)
    assert (zero is None) == (wanted[1] is None)
    if zero is not None and wanted[1] is not None:
        torch.testing.assert_close(zero.flatten().double(), wanted[1].flatten().double())


@pytest.mark.property
def test_an_observer_says_what_a_method_needs_and_refuses_what_it_did_not_keep() -> None:
    observer = seen([torch.randn(8, 3, 5, 5)], Keep())
    scale, _ = observer.scale(parse("int4"), MinMax())
    assert float(scale) > 0
    by_channel = parse("int4", block="channel")
    assert observer.needs(by_channel, MinMax()) == Keep()
    assert observer.needs(parse("int4"), Percentile()) == Keep(tails=True)
    assert observer.needs(by_channel, Percentile()) == observer.needs(by_channel, KL()) == Keep(sample=True)
    assert observer.needs(parse("int4"), KL()) == Keep(tails=True, sample=True)
    assert observer.needs(parse("nvfp4"), MSE()) == Keep()
    for method in (Percentile(), MSE(), Lp(), KL(), Percentile(batch=4)):
        with pytest.raises(ValueError, match="needs"):
            observer.scale(parse("int4"), method)


@pytest.mark.property
def test_rows_pass_once_more_for_what_was_not_kept_with_the_same_result() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 3, 6, 6)
    network = capture(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3)), x[:1])
    little, much = calibrate(network, x, keep=Keep()), calibrate(network, x)
    passes = []
    first = little.observe
    little.observe = lambda keep: passes.append(keep) or first(keep)  # type: ignore[func-returns-value]
    methods: list[Method] = [MinMax(), Percentile(99.0), MSE(), Lp(), KL(), MSE()]
    for method in methods:
        for name in little.observers:
            for text in ("int4", "int3@channel"):
                ours, theirs = (c.act_scale(name, parse(text), method)[0] for c in (little, much))
                torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert len(passes) == 2  # the tails, then the sample too: no pass for what is kept already


@pytest.mark.property
def test_scales_do_not_depend_on_what_else_is_kept() -> None:
    """Batches of averaged percentiles have passes of their own: a sample is drawn from the same batches in any case."""
    torch.manual_seed(1)
    x = torch.randn(300, 3, 24, 24)  # the sample of the second convolution's input is a part of it
    network = capture(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 2, 3)), x[:1])
    methods: list[Method] = [Percentile(99.0, batch=48), Percentile(99.0, batch=64), MSE(), Lp(), KL(), Percentile()]
    batches = frozenset((99.0, False, size) for size in (48, 64))
    together = calibrate(network, x, keep=Keep(tails=True, sample=True, batch_percentiles=batches))
    in_turn = calibrate(network, x, keep=Keep())
    for method in methods:
        alone = calibrate(network, x, keep=Keep())
        for name in alone.observers:
            wanted = alone.act_scale(name, parse("int4"), method)[0]
            for other in (together, in_turn):
                torch.testing.assert_close(other.act_scale(name, parse("int4"), method)[0], wanted, rtol=0, atol=0)


@pytest.mark.exact
def test_batches_are_of_calibration_rows_where_a_network_folds_tokens_into_rows() -> None:
    class Folded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(6, 5), torch.nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x.flatten(0, 1)))

    torch.manual_seed(2)
    x, model = torch.randn(40, 7, 6), Folded().eval()
    calibration = calibrate(capture(model, x[:2]), x)
    scale, _ = calibration.act_scale("first", parse("int4"), Percentile(95.0, batch=16))
    with torch.no_grad():
        ends = [
            part.flatten().abs().sort().values[part.numel() - 1 - rank_from_top(95.0, part.numel())]
            for part in (model.first(rows.flatten(0, 1)) for rows in x.split(16))
        ]
    assert float(scale) == pytest.approx(float(torch.stack(ends).double().mean()) / 7, rel=1e-6)
