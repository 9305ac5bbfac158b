"""BERT-Large and GPT2-Large as others measured them whole, as the launches of their usual eager implementation.

NeuSight's labels (sitar-lab/NeuSight @ 6945927, scripts/asplos/label): one forward pass in PyTorch, fp32, without
fusion, on seven NVIDIA GPUs. They are scored, never fitted. An eager layer launches what its code says: linear layers,
two products in batches with copies of their permuted operands, scaling, mask and softmax one by one, the activation
(GPT2's by tanh takes eight operators), residuals and norms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hwsim.latency.measured.launches import Launches
from hwsim.latency.measured.tables import read
from hwsim.latency.shapes import KernelShape, linear, matmul, memory

DEVICES = {
    "Tesla_V100-PCIE-32GB": "v100-pcie", "NVIDIA_A100-PCIE-40GB": "a100", "Tesla_P100-PCIE-16GB": "P100",
    "Tesla_T4": "t4", "Tesla_P4": "P4", "NVIDIA_H100_80GB_HBM3": "h100", "NVIDIA_L4": "l4",
}  # fmt: skip
_VOCABULARY = 50257
_TANH_GELU = 8
Made = list[tuple[str, KernelShape]]


@dataclass(frozen=True, slots=True)
class TransformerRow:
    """One measured forward pass."""

    device: str
    model: str
    tokens: int
    batch: int
    launches: Launches
    latency_us: float


def transformer_rows(folder: Path) -> Iterator[TransformerRow]:
    """Inference without fusion on NVIDIA GPUs."""
    table = read(folder, "neusight_model_labels")
    for row in table[(table["mode"] == "inf") & (table.option == "")].itertuples():
        if row.device in DEVICES:
            made = Launches.of(bert_large(row.seqlen) if row.model == "bert_large" else gpt2_large(row.seqlen))
            yield TransformerRow(
                DEVICES[row.device], row.model, int(row.seqlen), int(row.batch), made, float(row.e2e_ms) * 1e3
            )


def bert_large(tokens: int, width: int = 1024, layers: int = 24, heads: int = 16) -> Made:
    """Encoder of `layers` layers."""
    hidden = tokens * width
    layer = [
        *[("linear", linear(tokens, width, width))] * 3, *_attention(tokens, width, heads, masks=1),
        ("linear", linear(tokens, width, width)), ("add", memory(2 * hidden, hidden)),
        ("layer_norm", memory(hidden, hidden)), ("linear", linear(tokens, width, 4 * width)),
        ("gelu", memory(4 * hidden, 4 * hidden)), ("linear", linear(tokens, 4 * width, width)),
        ("add", memory(2 * hidden, hidden)), ("layer_norm", memory(hidden, hidden)),
    ]  # fmt: skip
    return layer * layers


def gpt2_large(tokens: int, width: int = 1280, layers: int = 36, heads: int = 20) -> Made:
    """Decoder of `layers` layers with its head of words."""
    hidden = tokens * width
    layer = [
        ("layer_norm", memory(hidden, hidden)), ("linear", linear(tokens, width, 3 * width)),
        *_attention(tokens, width, heads, masks=1), ("linear", linear(tokens, width, width)),
        ("add", memory(2 * hidden, hidden)), ("layer_norm", memory(hidden, hidden)),
        ("linear", linear(tokens, width, 4 * width)), *[("mul", memory(4 * hidden, 4 * hidden))] * _TANH_GELU,
        ("linear", linear(tokens, 4 * width, width)), ("add", memory(2 * hidden, hidden)),
    ]  # fmt: skip
    return [*layer * layers, ("layer_norm", memory(hidden, hidden)), ("linear", linear(tokens, width, _VOCABULARY))]


def _attention(tokens: int, width: int, heads: int, masks: int) -> Made:
    hidden, scores = tokens * width, heads * tokens * tokens
    return [
        *[("copy", memory(hidden, hidden))] * 3, ("matmul", matmul(heads, tokens, tokens, width // heads)),
        ("div", memory(scores, scores)), *[("add", memory(scores, scores))] * masks,
        ("softmax", memory(scores, scores)), ("matmul", matmul(heads, tokens, width // heads, tokens)),
        ("copy", memory(hidden, hidden)),
    ]  # fmt: skip
