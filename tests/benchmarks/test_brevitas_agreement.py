"""With the same scales hwsim's quantized network and Brevitas' decide alike: what `compare_brevitas.py` rests on.

Brevitas has an environment of its own: `python tests/benchmarks/compare_brevitas.py` makes it, HWSIM_BREVITAS names
another folder. Without it these tests are skipped.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import compare_brevitas
import pytest
from compare_brevitas import Peer, Technique, run_brevitas, run_hwsim, write_inputs
from torch import Tensor, nn

from hwsim.capture.model_spec import load_model
from hwsim.zoo.weights import cache_folder

pytestmark = [pytest.mark.truth, pytest.mark.bench, pytest.mark.slow]

Sides = tuple[Peer, nn.Module, dict[str, Tensor]]
# One calibration batch and the largest magnitude: no statistic on which the two could differ.
SAME_SCALES = Technique(("minmax",), {"acts": "stats", "percentile": 100.0, "batch": 1024})


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    python = Path(os.environ.get("HWSIM_BREVITAS") or cache_folder() / "brevitas") / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no {python}: compare_brevitas.py makes it")
    options = Namespace(model="zoo:digits_resnet", calib="zoo:digits#train", eval="zoo:digits#test", seeds=1, threads=1)
    model = load_model(options.model).model
    assert isinstance(model, nn.Module)
    folder = tmp_path_factory.mktemp("brevitas")
    data = write_inputs(folder, model, options)
    with Peer(python, options, folder) as peer:
        yield peer, model, data


@pytest.mark.parametrize("fmt", compare_brevitas.FORMATS)
def test_same_scales_same_decisions(fmt: str, sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one of the 597 test digits may be decided otherwise (sums in another order can break a tie)."""
    peer, model, data = sides
    monkeypatch.setitem(compare_brevitas.TECHNIQUES, "same scales", SAME_SCALES)
    theirs = run_brevitas(peer, "same scales", fmt, 0)
    ours = run_hwsim(model, data, "same scales", fmt, 0)
    assert ours.float_top1 == theirs.float_top1
    differ = sum(a != b for a, b in zip(_bits(ours.hits), _bits(theirs.hits), strict=True))
    assert differ <= 1, f"{differ} images: {ours.top1:.4f} here, {theirs.top1:.4f} in Brevitas"


def _bits(packed: str) -> list[int]:
    return [int(bit) for bit in compare_brevitas.unpacked(packed)]
