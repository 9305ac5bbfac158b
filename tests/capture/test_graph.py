"""Capture agrees with the module it came from, and counts what PyTorch's own counter counts."""

from __future__ import annotations

import pytest
import torch
from topologies import TOPOLOGIES, build
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hwsim.capture.graph import capture
from hwsim.capture.graph_json import graph_from_json, graph_to_json
from hwsim.core.errors import InputError, UnsupportedError
from hwsim.zoo.networks import NETWORKS, network


@pytest.mark.exact
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_same_function_at_any_batch(name: str) -> None:
    model, x = build(name)
    network = capture(model, x[:1], name=name)
    assert network.fixed_batch is None
    for rows in (1, 2, 4):
        torch.testing.assert_close(network(x[:rows]), model(x[:rows]), rtol=1e-5, atol=1e-5)


@pytest.mark.exact
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_macs_are_half_of_pytorchs_flops(name: str) -> None:
    model, x = build(name)
    network = capture(model, x[:1])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        torch.backends.mha.set_fastpath_enabled(False)
        model(x[:1])
        torch.backends.mha.set_fastpath_enabled(True)
    assert network.workload.macs == counter.get_total_flops() / 2


@pytest.mark.exact
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_parameters_are_counted_once(name: str) -> None:
    model, x = build(name)
    assert capture(model, x[:1]).workload.params == sum(p.numel() for p in model.parameters())


@pytest.mark.exact
@pytest.mark.parametrize("name", NETWORKS)
def test_zoo_counts(name: str) -> None:
    entry = network(name)
    model = entry.factory(0).eval()
    x = torch.zeros(entry.input_shape)
    workload = capture(model, x).workload
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    assert workload.macs == counter.get_total_flops() / 2
    assert workload.params == sum(p.numel() for p in model.parameters())


def test_layers_keep_the_names_of_modules() -> None:
    model, x = build("residual")
    workload = capture(model, x[:1]).workload
    assert [layer.name for layer in workload.compute] == ["stem", "a", "b", "short", "head"]
    assert workload["short"].stride == (2, 2) and workload["b"].padding == (1, 1)
    assert workload["relu"].non_negative and not workload["bn"].non_negative


def test_names_of_attention_projections_come_from_their_parameters() -> None:
    model, x = build("sequence")
    names = [layer.name for layer in capture(model, x[:1]).workload.compute]
    assert {"attend.in_proj", "attend.out_proj", "conv", "query", "head"} <= set(names)


def test_a_graph_survives_json() -> None:
    for name in TOPOLOGIES:
        model, x = build(name)
        network = capture(model, x[:1])
        rows = graph_to_json(network.module)
        again = graph_from_json(rows, dict(network.module.named_buffers()))
        assert torch.equal(again(x), network(x))


def test_json_cannot_name_other_operators() -> None:
    row = {"op": "call_function", "name": "x", "target": "os.system", "args": ["true"], "kwargs": {}}
    with pytest.raises(InputError, match="not allowed"):
        graph_from_json([row], {})


def test_the_callers_module_is_left_as_it_was() -> None:
    model, x = build("residual")
    model.train()
    model.bn.eval()
    capture(model, x[:1])
    assert model.training and not model.bn.training


class Products(nn.Module):
    """Products written in every way: einsum, with a term to add, with a parameter, of a tensor with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.matrix = nn.Parameter(torch.randn(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        scores = torch.baddbmm(torch.einsum("bij,bkj->bik", y, x), y, x.transpose(1, 2))
        mixed = nn.functional.scaled_dot_product_attention(y, y, y)
        return scores @ (torch.einsum("bij,jk->bik", mixed, self.matrix) + x @ self.matrix)


@pytest.mark.exact
def test_products_are_found_however_they_are_written() -> None:
    torch.manual_seed(0)
    model, x = Products().eval(), torch.randn(3, 5, 8)
    network = capture(model, x[:1])
    torch.testing.assert_close(network(x), model(x), rtol=1e-4, atol=1e-4)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x[:1])
    assert network.workload.macs == counter.get_total_flops() / 2
    kinds = [layer.kind for layer in network.workload.compute]
    assert sorted(kinds) == ["attention", "linear", "linear", "linear", "matmul", "matmul", "matmul"]
    attention = next(layer for layer in network.workload if layer.kind == "attention")
    assert attention.inputs == ("inner",) * 3


def test_recurrent_layers_are_refused_by_name() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.LSTM(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.memory(x)[0]

    with pytest.raises(UnsupportedError, match=r"memory.*LSTM"):
        capture(Recurrent(), torch.zeros(1, 3, 4))


def test_control_flow_on_data_is_refused() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(UnsupportedError, match="control flow"):
        capture(Branch(), torch.zeros(1, 4))


def test_an_operator_without_a_model_is_named() -> None:
    class Fourier(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.rfft(x).real

    with pytest.raises(UnsupportedError, match="fft"):
        capture(Fourier(), torch.zeros(1, 8))


def test_a_wrong_input_shape_is_an_input_error() -> None:
    model, _ = build("residual")
    with pytest.raises(InputError, match="does not run"):
        capture(model, torch.zeros(1, 4, 16, 16))


def test_a_network_that_fixes_its_batch_says_so() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.reshape(1, 4))

    network = capture(Fixed(), torch.zeros(1, 4))
    assert network.fixed_batch == 1
