"""Cross-layer equalization: the function stays, ranges become equal, what cannot be scaled stays and is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.capture.graph import Network, capture
from hwsim.core.errors import InputError
from hwsim.quant import channel_rules
from hwsim.quant.rewrite.add_biases import add_biases
from hwsim.quant.rewrite.equalize import Equalize, equalize
from hwsim.quant.rewrite.fold_batchnorm import fold_batchnorm
from hwsim.quant.rewrite.graph_edits import cast
from hwsim.quant.statistics import statistics_of

sys.path.insert(0, str(Path(__file__).parent))
from rewrite_networks import NAMES, difference, drawn, made

LARGE = ("resnet20", "unet_tiny", "vit_tiny", "mobilenet_small")
ALL = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in NAMES]
CONVERGED = Equalize(iterations=400, tolerance=1e-5, bias=False)


def weight(network: Network, layer: str) -> Tensor:
    return getattr(network.module, str(network.node(layer).args[1].target))  # type: ignore[union-attr]


def bias(network: Network, layer: str) -> Tensor:
    return getattr(network.module, str(network.node(layer).args[2].target))  # type: ignore[union-attr]


def rows(network: Network, layer: str) -> Tensor:
    return weight(network, layer).abs().flatten(1).amax(1)


def columns(network: Network, layer: str) -> Tensor:
    return weight(network, layer).abs().transpose(0, 1).flatten(1).amax(1)


@pytest.mark.property
@pytest.mark.parametrize("name", ALL)
def test_the_function_stays(name: str) -> None:
    network, x = made(name)
    for config in (Equalize(), Equalize(alpha=0.3, bias=False, clip="leave", iterations=2)):
        equalized, report = equalize(network, config)
        assert difference(network, equalized, x) < 1e-9
        assert [layer.macs for layer in equalized.workload.compute] == [
            layer.macs for layer in network.workload.compute
        ]
        assert equalized.workload.params == network.workload.params
        changed = {s for region in report.regions for s in region.sources}
        assert (name == "hostile") == (not changed)
        for layer in changed:
            assert not torch.equal(weight(network, layer), weight(equalized, layer)), layer
    single = cast(network, torch.float32)
    x = x.float() if x.is_floating_point() else x
    assert difference(single, equalize(single)[0], x) < 1e-4


@pytest.mark.property
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 60), marks=pytest.mark.slow)], ids=str)
def test_random_networks_keep_their_function(seeds: range) -> None:
    equalized_channels = 0
    for seed in seeds:
        network, x = drawn(seed)
        equalized, report = equalize(network)
        assert difference(network, equalized, x) < 1e-9, seed
        equalized_channels += sum(region.channels for region in report.regions)
    assert equalized_channels >= len(seeds)


@pytest.mark.property
def test_a_wrong_rule_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = made("hostile")
    monkeypatch.setitem(channel_rules.RULES, "sin", channel_rules.RULES["relu"])
    assert difference(network, equalize(network)[0], x) > 1e-5


@pytest.mark.property
@pytest.mark.parametrize("name", ["plain", "densenet", "inception", "shared", "shuffle", "residual", "unet", "volume"])
def test_ranges_converge(name: str) -> None:
    network, _ = made(name)
    _, report = equalize(network, CONVERGED)
    assert report.change <= CONVERGED.tolerance
    for region in report.regions:
        assert region.ratio_after == pytest.approx(1, abs=1e-4)


@pytest.mark.truth
def test_a_converged_densenet_by_hand() -> None:
    """Each slice of a concatenation: rows of its maker against columns of all that read it."""
    network, _ = equalize(made("densenet")[0], CONVERGED)
    a, b, head = (columns(network, layer) for layer in ("a", "b", "head"))
    torch.testing.assert_close(rows(network, "stem"), torch.stack([a[:6], b[:6], head[:6]]).amax(0), rtol=1e-4, atol=0)
    torch.testing.assert_close(rows(network, "a"), torch.maximum(b[6:], head[6:10]), rtol=1e-4, atol=0)
    torch.testing.assert_close(rows(network, "b"), head[10:], rtol=1e-4, atol=0)


@pytest.mark.truth
def test_a_converged_residual_net_by_hand() -> None:
    """Both addends share their factors; a depthwise layer is read by channel; a flattened map by blocks of columns."""
    network, _ = equalize(made("residual")[0], CONVERGED)
    stem = torch.maximum(columns(network, "a"), columns(network, "short"))
    torch.testing.assert_close(rows(network, "stem"), stem, rtol=1e-4, atol=0)
    summed = torch.maximum(rows(network, "b"), rows(network, "short"))
    torch.testing.assert_close(summed, columns(network, "head"), rtol=1e-4, atol=0)
    depthwise, _ = equalize(made("depthwise")[0], CONVERGED)
    torch.testing.assert_close(rows(depthwise, "expand"), rows(depthwise, "depth"), rtol=1e-4, atol=0)
    plain, _ = equalize(made("plain")[0], CONVERGED)
    blocks = columns(plain, "head").reshape(6, 16).amax(1)
    torch.testing.assert_close(rows(plain, "b"), blocks, rtol=1e-4, atol=0)


@pytest.mark.exact
def test_one_pair_is_solved_in_closed_form() -> None:
    """c = sqrt(r2 / r1), both ranges become sqrt(r1 r2) (Nagel et al. 2019, equations 9 and 10)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    network = capture(model, torch.zeros(1, 3, dtype=torch.float64))
    equalized, _ = equalize(network, Equalize(iterations=1, bias=False))
    r1, r2 = rows(network, "0"), columns(network, "2")
    torch.testing.assert_close(weight(equalized, "0"), weight(network, "0") * (r2 / r1).sqrt()[:, None])
    torch.testing.assert_close(bias(equalized, "0"), bias(network, "0") * (r2 / r1).sqrt())
    torch.testing.assert_close(rows(equalized, "0"), (r1 * r2).sqrt())
    torch.testing.assert_close(columns(equalized, "2"), (r1 * r2).sqrt())
    assert torch.equal(weight(network, "0"), model[0].weight), "the caller's network stays as it is"


@pytest.mark.exact
def test_dead_channels_are_left_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        model[0].weight[1] = 0
        model[2].weight[:, 2] = 0
    equalized, _ = equalize(capture(model, torch.zeros(1, 3, dtype=torch.float64)), Equalize(bias=False))
    assert torch.equal(weight(equalized, "0")[1:3], model[0].weight[1:3])
    assert torch.equal(weight(equalized, "2")[:, 1:3], model[2].weight[:, 1:3])
    assert not torch.equal(weight(equalized, "0")[0], model[0].weight[0])


@pytest.mark.exact
def test_clips_become_bounds_by_channel_or_stay() -> None:
    network, x = made("shuffle")
    equalized, report = equalize(network)
    ops = [layer.op for layer in equalized.workload]
    assert "hardtanh" not in ops and "relu6" not in ops and ops.count("minimum") == 2
    clipped = [layer.name for layer in network.workload if layer.op in ("hardtanh", "relu6")]
    assert all(equalized.workload[name].op == "relu" and equalized.workload[name].non_negative for name in clipped)
    assert not any(left.reason.endswith("clips it") for left in report.left_out)
    again, _ = equalize(equalized, Equalize(alpha=0.4))  # bounds by channel are scaled once more
    assert difference(network, again, x) < 1e-9
    left, report = equalize(network, Equalize(clip="leave"))
    assert [layer.op for layer in left.workload] == [layer.op for layer in network.workload]
    assert sum(out.reason.endswith("clips it") for out in report.left_out) == len(clipped)


@pytest.mark.exact
def test_what_is_left_out_is_named() -> None:
    reasons: dict[str, dict[str, str]] = {}
    for name in ("squeeze_excite", "convnext", "hostile", "attention", "depthwise"):
        _, report = equalize(made(name)[0])
        reasons[name] = {layer: out.reason for out in report.left_out for layer in out.layers}
    assert reasons["squeeze_excite"] == {
        "excite": "hardsigmoid reads it",
        "b": "it multiplies another tensor",
        "head": "it leaves the network",
    }
    assert reasons["convnext"]["depth"] == "layer_norm reads it"
    assert reasons["convnext"]["up"] == "gelu reads it"
    assert reasons["depthwise"]["depth"] == "hardswish reads it"
    assert reasons["hostile"]["layers.0"] == "sin reads it"
    assert reasons["hostile"]["layers.1"] == "add ties it to a constant or an input"
    assert reasons["attention"]["q"] == "matmul reads it"


@pytest.mark.exact
def test_shared_weights_stay_shared() -> None:
    network, _ = made("shared")
    equalized, report = equalize(network)
    for pair in (("twice", "twice_1"), ("both", "both_1")):
        assert len({str(equalized.node(layer).args[1].target) for layer in pair}) == 1  # type: ignore[union-attr]
        assert len({str(equalized.node(layer).args[2].target) for layer in pair}) == 1  # type: ignore[union-attr]
    assert report.regions[0].sources == ("stem", "twice", "twice_1")

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(F.relu(self.a(x))) + (x.unsqueeze(-1) * self.a.weight).sum(-1)

    _, report = equalize(capture(Tied(), torch.zeros(1, 4)))
    assert not report.regions
    assert report.left_out[0].reason == "its weight is used elsewhere"


@pytest.mark.exact
def test_statistics_of_folded_normalisations_go_along() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    nn.init.uniform_(norm.weight, -2, 2)
    nn.init.normal_(norm.bias)
    norm.running_var.uniform_(0.2, 3)
    model = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), norm, nn.ReLU(), nn.Conv2d(4, 5, 1)).double().eval()
    network = fold_batchnorm(capture(model, torch.zeros(1, 3, 4, 4, dtype=torch.float64)))
    kept = statistics_of(network.node("0"))
    assert kept is not None
    torch.testing.assert_close(kept.mean, norm.bias.detach())
    torch.testing.assert_close(kept.std, norm.weight.detach().abs())
    torch.testing.assert_close(kept.unit, (norm.running_var + norm.eps).sqrt() / norm.weight.detach().abs())
    equalized, _ = equalize(network)
    moved, factor = statistics_of(equalized.node("0")), bias(equalized, "0") / bias(network, "0")
    assert moved is not None and float((factor - 1).abs().max()) > 0.1
    torch.testing.assert_close(moved.mean, kept.mean * factor)
    torch.testing.assert_close(moved.std, kept.std * factor)
    torch.testing.assert_close(moved.unit * factor, kept.unit)
    torch.testing.assert_close(statistics_of(network.node("0")).mean, norm.bias.detach())  # type: ignore[union-attr]


@pytest.mark.truth
def test_equalization_lowers_the_error_of_weights_by_tensor() -> None:
    """Two layers with log-normal row scales: output error falls about 5.6 times at 8 bit, 2.4 times at 4 bit.

    The figures were measured apart from this code, with rows spread by about exp(1.4 z); mean over seeds, 30 %.
    """

    def rounded(w: Tensor, bits: int) -> Tensor:
        step = w.abs().max() / (2 ** (bits - 1) - 1)
        return torch.round(w / step) * step

    def error(network: Network, x: Tensor, bits: int) -> float:
        hidden = F.relu(F.linear(x, rounded(weight(network, "0"), bits), bias(network, "0")))
        y = F.linear(hidden, rounded(weight(network, "2"), bits), bias(network, "2"))
        return float((y - network(x)).square().mean())

    gains: dict[int, list[float]] = {8: [], 4: []}
    for seed in range(6):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).double()
        with torch.no_grad():
            model[0].weight *= torch.randn(64, 1).mul(1.4).exp()
        network, x = capture(model, torch.zeros(1, 64).double()), torch.randn(256, 64).double()
        equalized, _ = equalize(network, Equalize(bias=False))
        for bits, found in gains.items():
            found.append(error(network, x, bits) / error(equalized, x, bits))
    means = {bits: float(torch.tensor(found).log().mean().exp()) for bits, found in gains.items()}
    assert means[8] == pytest.approx(5.6, rel=0.3)
    assert means[4] == pytest.approx(2.4, rel=0.3)


@pytest.mark.exact
@pytest.mark.parametrize("name", ["residual", "unet", "shuffle", "mlp"])
def test_biases_of_zero_change_nothing(name: str) -> None:
    network, x = made(name)
    biased = add_biases(network)
    assert torch.equal(network(x), biased(x))
    assert all(layer.has_bias for layer in biased.workload.weighted)
    bare = capture(nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False)), torch.zeros(1, 4, 3, 3))
    assert bias(add_biases(bare), "0").shape == (6,) and not bare.workload["0"].has_bias


@pytest.mark.exact
def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"iterations": 0}, {"alpha": 1.5}, {"tolerance": -1.0}, {"clip": "no"}):
        with pytest.raises(InputError, match="out of range"):
            Equalize(**wrong)  # type: ignore[arg-type]
