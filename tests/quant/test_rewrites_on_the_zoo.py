"""Every rewrite keeps the function of every network of the zoo, in double and in single precision."""

from __future__ import annotations

import pytest
import torch

from hwsim.capture.graph import Network, capture
from hwsim.quant.pipeline import rewritten
from hwsim.quant.recipe import parse_recipe
from hwsim.quant.rewrite.graph_edits import cast
from hwsim.zoo.networks import NETWORKS

pytestmark = [pytest.mark.exact, pytest.mark.slow]
LIMITS = {torch.float64: 1e-9, torch.float32: 1e-4}


def difference(before: Network, after: Network, x: torch.Tensor) -> float:
    a, b = before(x), after(x)
    return float((a - b).abs().max() / a.abs().max())


@pytest.mark.parametrize("words", ["equalize", "smooth", "split", "equalize+smooth+bias"])
@pytest.mark.parametrize("name", NETWORKS)
def test_rewrites_keep_the_function(name: str, words: str) -> None:
    entry = NETWORKS[name]
    torch.manual_seed(0)
    model = entry.factory()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # lived-in statistics and signs
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.3, 3.0)  # type: ignore[union-attr]
            torch.nn.init.normal_(module.weight, 1.0, 0.4)
            torch.nn.init.normal_(module.bias)
    x = torch.randn(4, *entry.input_shape[1:])
    network = capture(model, x[:1], name=name)
    recipe = parse_recipe(words)
    for dtype, limit in LIMITS.items():
        reference = cast(network, dtype)
        assert difference(reference, rewritten(reference, x.to(dtype), recipe), x.to(dtype)) < limit
