"""Learned roundings and steps: where they start, what their gradients are, and that they end on the grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hwsim.core.errors import InputError
from hwsim.core.formats import Power
from hwsim.core.scaled import parse
from hwsim.quant.block_kernels import block_scales
from hwsim.quant.kernels import fake_quantize, to_codes
from hwsim.quant.layers import Quantizer
from hwsim.quant.learned_quantizer import LearnedQuantizer, MaskBank
from hwsim.quant.neighbours import neighbours
from hwsim.quant.observers import MSE, MinMax, weight_scale
from hwsim.quant.reconstruction import Reconstruction
from hwsim.quant.rounding.adaround import AdaRound, annealed_beta
from hwsim.quant.rounding.flexround import FlexRound
from hwsim.quant.rounding.learned_step import LearnedStep
from hwsim.quant.rounding.nupes import Nupes

FORMATS = (
    "int2@channel int4@tensor int8@channel int4@group7 uint4+zp@channel e2m1@channel e3m0@channel e2m3@tensor "
    "e4m3@channel e4m3fn@channel e3m2~bias=2.5@channel pow4@channel pow3~exp=0.4@tensor mxfp4 mxint8 nvfp4"
).split()


def example(text: str, method: object = None) -> tuple[Tensor, object, Tensor, Tensor | None]:
    torch.manual_seed(len(text))
    rows, spec = torch.randn(5, 3, 3, 3), parse(text)
    if spec.mx_name:
        return rows, spec, block_scales(rows.flatten(1), spec), None
    return rows, spec, *weight_scale(rows, spec, method or MinMax())  # type: ignore[arg-type]


@pytest.mark.exact
@pytest.mark.parametrize(
    "text", "int3 uint3 int4.full e2m1 e3m0 e1m2 ue2m2 e4m3fn e2m1~bias=0.3 pow4 pow3~exp=0.7 binary".split()
)
def test_neighbours_are_the_nearest_values_on_each_side(text: str) -> None:
    fmt = parse(text).format
    values = np.unique(fmt.values())
    u = np.random.default_rng(0).normal(0, float(fmt.max), 400)
    u = np.concatenate([u, values, (values[:-1] + values[1:]) / 2])
    lower, upper, share = (t.numpy() for t in neighbours(torch.from_numpy(u), fmt))
    for i, x in enumerate(u):
        below = values[values <= x]
        place = min(max(len(below) - 1, 0), len(values) - 2)
        assert (lower[i], upper[i]) == (values[place], values[place + 1])
        assert share[i] == pytest.approx(np.clip((x - values[place]) / (values[place + 1] - values[place]), 0, 1))


@pytest.mark.exact
@pytest.mark.parametrize("text", FORMATS)
def test_adaround_starts_as_the_float_weight_and_hardens_to_nearest(text: str) -> None:
    """Also on minifloats, where a start from the fraction of W / scale would not be the float weight."""
    rows, spec, scale, zero = example(text)
    rounding = AdaRound(rows, spec, scale, zero)  # type: ignore[arg-type]
    soft, nearest = rounding().detach(), fake_quantize(rows, spec, scale, zero)  # type: ignore[arg-type]
    ends = fake_quantize(torch.sign(rows) * 1e9, spec, scale, zero)  # type: ignore[arg-type]
    clipped = torch.where(rows.abs() > ends.abs(), ends, rows)
    torch.testing.assert_close(soft, clipped, rtol=1e-5, atol=1e-5)
    hard, *_ = rounding.harden()
    if not isinstance(spec.format, Power):  # type: ignore[attr-defined]  # rounds in the power domain, not by value
        ties = (rounding.soft.detach()).abs() < 1e-4
        assert bool(((hard - nearest).abs() <= 1e-5)[~ties].all())


@pytest.mark.exact
def test_the_gradient_is_that_of_the_formula_with_its_regulariser() -> None:
    rows, spec, scale, zero = example("e2m1@channel", MSE())
    rounding = AdaRound(rows.double(), spec, scale.double(), zero)  # type: ignore[arg-type]
    rounding.regularise(0.01, 7.0)
    wanted_weight = torch.randn_like(rows.double())
    (rounding() * wanted_weight).sum().backward()
    soft = rounding.soft.detach().clone().requires_grad_(True)
    h = (torch.sigmoid(soft) * 1.2 - 0.1).clamp(0, 1)
    loss = ((rounding.lower + h * rounding.gap) * wanted_weight).sum() + 0.01 * (1 - (2 * h - 1).abs() ** 7.0).sum()
    loss.backward()
    assert rounding.soft.grad is not None and soft.grad is not None
    torch.testing.assert_close(rounding.soft.grad, soft.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.exact
@pytest.mark.parametrize("kind", [FlexRound, LearnedStep])
@pytest.mark.parametrize("text", [*FORMATS, "int4@channel:pow2", "binary@channel"])
def test_division_and_step_start_as_rounding_to_nearest(kind: type, text: str) -> None:
    rows, spec, scale, zero = example(text)
    rounding = kind(rows, spec, scale, zero)
    torch.testing.assert_close(rounding().detach(), fake_quantize(rows, spec, scale, zero), rtol=1e-6, atol=1e-7)  # type: ignore[arg-type]
    free = spec.scale == "f32" and spec.mx_name is None  # type: ignore[attr-defined]
    assert bool(rounding.parameter_groups()["step"]) == free


@pytest.mark.property
def test_flexround_moves_large_weights_past_several_points() -> None:
    """The update is proportional to the weight (section 3.2): after equal steps large weights have moved further."""
    torch.manual_seed(0)
    rows = torch.linspace(0.05, 1.0, 64).repeat(4, 1)
    spec = parse("int8@channel")
    scale, _ = weight_scale(rows, spec, MinMax())
    rounding = FlexRound(rows, spec, scale, None)
    optimizer = torch.optim.SGD(rounding.parameter_groups()["rounding"], lr=0.05)
    before = to_codes(*rounding.harden()[:1], spec, scale).codes
    for _ in range(20):
        optimizer.zero_grad()
        rounding().sum().backward()
        optimizer.step()
    moved = np.abs(to_codes(rounding.harden()[0], spec, scale).codes - before)
    assert moved.max() > 1
    assert moved[:, -8:].mean() > 3 * moved[:, :8].mean()


@pytest.mark.exact
@pytest.mark.parametrize("text", FORMATS)
def test_nupes_starts_at_the_weight_and_ends_on_the_grid(text: str) -> None:
    rows, spec, scale, zero = example(text)
    rounding = Nupes(rows, spec, scale, zero)  # type: ignore[arg-type]
    start = rounding().detach()
    top = fake_quantize(torch.sign(rows) * 1e9, spec, scale, zero).abs()  # type: ignore[arg-type]
    within = rows.abs() < top
    # between two values of a power format the position interpolates codes, the weight values: both ends agree
    tolerance = (rounding.harden()[0] - rows).abs() if isinstance(spec.format, Power) else 1e-5 * rows.abs().max()  # type: ignore[attr-defined]
    gap = (start - rows).abs()
    assert bool((gap <= tolerance + 0.5 * top.max() * isinstance(spec.format, Power))[within].all())  # type: ignore[attr-defined]
    rounding.regularise(0.01, 2.0)
    rounding().square().sum().backward()
    assert rounding.position.grad is not None and bool(torch.isfinite(rounding.position.grad).all())
    hard, found, unit, offset = rounding.harden()
    codes = to_codes(hard, found, unit, offset)
    torch.testing.assert_close(torch.from_numpy(codes.dequantize()).float().view_as(hard), hard, rtol=1e-5, atol=1e-6)


@pytest.mark.property
def test_nupes_learns_the_exponent_that_fits_the_weights() -> None:
    """Towards 1 on uniform weights, towards about 0.6 on a Gaussian (best exponents of an exhaustive sweep)."""
    torch.manual_seed(0)
    ends = {}
    for name, rows in {"uniform": torch.rand(16, 256) * 2 - 1, "gauss": torch.randn(16, 256)}.items():
        spec = parse("pow4~exp=0.8@channel")
        scale, _ = weight_scale(rows, spec, MinMax())
        rounding = Nupes(rows, spec, scale, None)
        rounding.regularise(0.0, 2.0)
        optimizer = torch.optim.Adam(rounding.parameter_groups()["step"], lr=0.02)
        for _ in range(60):
            values = torch.from_numpy(rounding.harden()[1].format.values()).float()
            with torch.no_grad():
                rounding.position.copy_(((rows / scale)[..., None] - values).abs().argmin(-1))
            optimizer.zero_grad()
            (rounding() - rows).square().mean().backward()
            optimizer.step()
        ends[name] = rounding.harden()[1].format.exponent  # type: ignore[union-attr]
    assert ends["uniform"] > 0.85
    assert 0.5 < ends["gauss"] < 0.75


@pytest.mark.exact
@pytest.mark.parametrize("text", "int4 uint4 int4.full e2m1 ue2m2 e4m3fn pow4 uint4+zp int4@channel".split())
def test_the_step_gradient_is_that_of_learned_step_sizes(text: str) -> None:
    """Against the general straight-through function, whose formula is tested for itself."""
    torch.manual_seed(1)
    spec = parse(text)
    x = torch.randn(4, 6, 5, 5, dtype=torch.float64)
    shape = (1, 6, 1, 1) if spec.block == "channel" else ()
    scale = torch.full(shape, 0.11 if spec.format.max > 1 else 1.3, dtype=torch.float64)
    zero = torch.tensor(7.0, dtype=torch.float64) if spec.zero_point else None
    module = LearnedQuantizer(Quantizer(spec, scale, zero, 1), learn=True, bank=None)
    mine, theirs = x.clone().requires_grad_(True), x.clone().requires_grad_(True)
    step = scale.clone().requires_grad_(True)
    weight = torch.randn_like(x)
    (module(mine) * weight).sum().backward()
    (fake_quantize(theirs, spec, step, zero) * weight).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)
    assert module.log_step is not None and module.log_step.grad is not None and step.grad is not None
    torch.testing.assert_close(module.log_step.grad, step.grad * scale)


@pytest.mark.exact
def test_dropping_keeps_elements_and_their_gradients() -> None:
    spec, scale = parse("uint2"), torch.tensor(0.5)
    bank = MaskBank(0.5, seed=3)
    module = LearnedQuantizer(Quantizer(spec, scale, None, 1), learn=True, bank=bank)
    x = (torch.rand(64, 64) * 3 - 0.5).requires_grad_(True)
    y = module(x)
    y.sum().backward()
    plain = fake_quantize(x.detach(), spec, scale)
    kept = y.detach() == plain
    untouched = (y.detach() - x.detach()).abs() < 1e-6
    assert bool((kept | untouched).all())
    share = float((kept & ~untouched).sum() / (~(kept & untouched)).sum())
    assert 0.45 < share < 0.55
    outside = (x.detach() < 0) | (x.detach() > 1.5)
    assert x.grad is not None
    assert bool((x.grad[outside & kept & ~untouched] == 0).all()) and bool((x.grad[untouched & ~kept] == 1).all())


@given(st.floats(0.1, 0.9), st.integers(0, 5))
@pytest.mark.property
def test_masks_are_drawn_with_their_probability(keep: float, seed: int) -> None:
    bank = MaskBank(keep, seed)
    shares = [float(bank.mask(torch.empty(200, 100)).mean()) for _ in range(5)]
    assert abs(float(np.mean(shares)) - keep) < 0.02


@pytest.mark.exact
def test_powers_of_two_stay_powers_of_two() -> None:
    module = LearnedQuantizer(Quantizer(parse("int4:pow2"), torch.tensor(0.25), None, 1), learn=True, bank=None)
    assert module.log_step is not None
    for value, wanted in ((0.0, 0.25), (0.3, 0.25), (0.4, 0.5), (-0.8, 0.125)):
        module.log_step.data.fill_(value)
        assert float(module.result()) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.exact
def test_soft_roundings_need_a_budget() -> None:
    with pytest.raises(InputError, match="learning_rate \\* iterations"):
        Reconstruction(iterations=300, learning_rate=3e-3)
    assert Reconstruction(iterations=300).rounding_rate * 300 >= 6
    assert Reconstruction(iterations=20_000).rounding_rate == pytest.approx(1e-3)
    Reconstruction(iterations=300, learning_rate=3e-3, rounding="flexround")


@pytest.mark.exact
def test_the_exponent_of_the_regulariser_falls_after_the_warm_up() -> None:
    assert annealed_beta(0.1, 0.2, 20, 2) is None
    assert annealed_beta(0.2, 0.2, 20, 2) == 20
    assert annealed_beta(0.6, 0.2, 20, 2) == pytest.approx(11)
    assert annealed_beta(1.0, 0.2, 20, 2) == pytest.approx(2)


@pytest.mark.exact
@pytest.mark.parametrize("key", ["rounding", "granularity", "inputs", "steps"])
def test_settings_that_do_not_exist_are_named(key: str) -> None:
    with pytest.raises(InputError, match=key):
        Reconstruction(**{key: "nothing"})
