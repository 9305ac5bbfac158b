"""Training on first use: accuracy, determinism, the cache and its damage."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest
import torch
from torch import Tensor, nn

from hwsim.core.errors import InputError
from hwsim.zoo import data, training, weights
from hwsim.zoo.networks import network
from hwsim.zoo.sgd import TrainConfig, mirrored, shifted
from hwsim.zoo.training import accuracy, train, trained, weights_file

FASHION = training.CONFIGS["fashion_resnet"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(training.CONFIGS, "mlp", TrainConfig(epochs=2))


def split(name: str) -> tuple[Tensor, Tensor]:
    x, y = data.load("digits", name)
    return torch.from_numpy(x), torch.from_numpy(y)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_the_perceptron_learns_digits_and_is_kept(cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = trained("mlp", lambda done, total, message: seen.append((done, total)))
    assert not first.training
    assert accuracy(first, *split("test")) > 0.96
    assert seen == [(i, 200) for i in range(1, 201)]
    seen.clear()
    assert same(first, trained("mlp", lambda done, total, message: seen.append((done, total))))
    assert seen == []
    assert [path.suffix for path in (cache / "zoo").iterdir()] == [".safetensors"]


@pytest.mark.slow
@pytest.mark.truth
def test_the_digits_network_learns_in_time() -> None:
    """Three seeds: at most 20 s each on two cores, test accuracy within what a user would believe."""
    for seed in range(3):
        model = network("digits_resnet").factory(seed)
        start = perf_counter()
        train(model, "digits_resnet", seed)
        assert perf_counter() - start < 20
        assert 0.975 < accuracy(model, *split("test")) < 0.999


def test_training_does_not_depend_on_threads_or_random_state(quick: None) -> None:
    models, threads = [], torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        torch.manual_seed(count)
        models.append(network("mlp").factory(0))
        train(models[-1], "mlp", 0)
        assert torch.get_num_threads() == count
    torch.set_num_threads(threads)
    assert same(*models)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "garbage"])
def test_damaged_weights_are_trained_anew(damage: str, cache: Path, quick: None) -> None:
    first = trained("mlp", lambda *_: None)
    path = weights_file("mlp")
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-100] ^= 1
    path.write_bytes({"truncate": content[:-8], "flip": content, "empty": b"", "garbage": b"x" * 64}[damage])
    assert weights.load_weights(path, first) is None
    assert same(first, trained("mlp", lambda *_: None))
    assert weights.load_weights(path, first) is not None


def test_weights_of_another_network_are_refused(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    weights.save_weights(path, network("digits_resnet").factory())
    assert weights.load_weights(path, network("mlp").factory()) is None


def test_a_failed_write_leaves_nothing(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        weights.save_weights(tmp_path / "w" / "mlp.safetensors", network("mlp").factory())
    assert list((tmp_path / "w").iterdir()) == []


def test_a_cache_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        model = trained("mlp", lambda *_: None)
    assert isinstance(model, nn.Module)
    assert "HWSIM_CACHE" in caplog.text


def test_progress_goes_to_stderr(cache: Path, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    trained("mlp")
    out, err = capsys.readouterr()
    assert out == ""
    assert "training zoo:mlp: 2/2 epochs" in err


def test_untrained_networks_say_which_are_trained(cache: Path) -> None:
    with pytest.raises(InputError, match="no trained weights") as caught:
        trained("resnet20")
    assert "digits_resnet" in caught.value.hint


def test_shifts_move_whole_images() -> None:
    x = torch.zeros(64, 2, 5, 5)
    x[:, :, 2, 2] = torch.tensor([1.0, 2.0])
    moved = shifted(x, 1, torch.Generator().manual_seed(0))
    assert moved.shape == x.shape
    assert torch.equal(moved.amax(dim=(2, 3)), torch.tensor([[1.0, 2.0]]).expand(64, 2))
    places = {tuple(image[0].nonzero()[0].tolist()) for image in moved}
    assert places == {(i, j) for i in (1, 2, 3) for j in (1, 2, 3)}
    assert torch.equal(moved[:, 0] * 2, moved[:, 1])


def test_mirrored_images_are_half_of_them() -> None:
    x = torch.rand(400, 1, 4, 5, generator=torch.Generator().manual_seed(1))
    moved = mirrored(x, torch.Generator().manual_seed(0))
    kept = (moved == x).flatten(1).all(dim=1)
    flipped = (moved == x.flip(-1)).flatten(1).all(dim=1)
    assert bool((kept ^ flipped).all())
    assert 150 < int(flipped.sum()) < 250


def test_the_key_follows_what_decides_the_weights_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network("mlp").factory()
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "weights.py"))
    trainer = tmp_path / "trainer.py"

    def key(decision: object = 1, source: str = "x = 1\n", net: nn.Module = model) -> str:
        trainer.write_text(source)
        return weights.recipe_key(net, (decision,), ("trainer.py",))

    assert key() == key(source='"""A docstring."""\n\n# and a comment\nx  =  1\n')
    others = [key(2), key(source="x = 2\n"), key(net=nn.Linear(2, 3)), key(net=network("digits_resnet").factory())]
    assert len({key(), *others}) == 5


def test_editing_one_network_keeps_the_weights_of_the_others() -> None:
    """The key reads the files of a network's own classes, which lie apart for each kind of network."""
    model = network("fashion_vit").factory()
    modules = {type(m).__module__ for m in model.modules() if type(m).__module__.startswith("hwsim.")}
    assert modules == {"hwsim.zoo.transformers"}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.truth
def test_a_fashion_network_learns_in_a_minute(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass over the images: far above the 0.677 of the nearest class mean."""
    monkeypatch.setenv("HWSIM_DATA", str(shared))
    monkeypatch.setitem(training.CONFIGS, "fashion_resnet", replace(FASHION, epochs=1))
    model = network("fashion_resnet").factory(0)
    train(model, "fashion_resnet", 0)
    x, y = (torch.from_numpy(a) for a in data.load("fashion_mnist", "test"))
    assert 0.84 < accuracy(model, x, y) < 0.94
