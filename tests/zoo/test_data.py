"""Built-in data: sizes, splits, ranges."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from hwsim.core.errors import InputError
from hwsim.zoo import data


def rows(name: str, split: str) -> set[bytes]:
    return {row.tobytes() for row in data.load(name, split)[0]}


def test_digits_are_scikit_learns_in_three_splits() -> None:
    from sklearn.datasets import load_digits

    parts = {split: data.load("digits", split) for split in ("train", "calib", "test")}
    assert [len(x) for x, _ in parts.values()] == [1024, 176, 597]
    for x, y in parts.values():
        assert x.shape[1:] == (1, 8, 8)
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.min() >= 0
        assert x.max() <= 1
    bunch = load_digits()
    original = {(x.astype(np.float32) / 16).tobytes(): y for x, y in zip(bunch.images, bunch.target, strict=True)}
    for x, y in parts.values():
        assert all(original[row[0].tobytes()] == label for row, label in zip(x, y, strict=True))


def check_disjoint(name: str) -> None:
    parts = [rows(name, split) for split in data.dataset(name).splits]
    assert all(len(part) >= 32 for part in parts)
    assert sum(len(part) for part in parts) == len(set.union(*parts))


@pytest.mark.parametrize("name", [name for name, entry in data.DATASETS.items() if not entry.files])
def test_splits_are_disjoint(name: str) -> None:
    check_disjoint(name)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", [name for name, entry in data.DATASETS.items() if entry.files])
def test_splits_of_files_are_disjoint(name: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_DATA", str(shared))
    check_disjoint(name)


def digest(name: str) -> str:
    """Of the training rows, rounded to what a byte can tell, and their labels."""
    x, y = data.load(name, "train")
    return hashlib.sha256(np.rint(x * 255).astype(np.uint8).tobytes() + y.tobytes()).hexdigest()[:16]


def test_the_version_is_raised_when_rows_change() -> None:
    """Trained weights are kept apart by the version, not by the reader's code: a new digest needs a new version."""
    assert (digest("digits"), data.dataset("digits").version) == ("2d08756b3ee4c2de", 1)


@pytest.mark.slow
@pytest.mark.data
def test_the_version_is_raised_when_rows_of_files_change(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_DATA", str(shared))
    assert (digest("fashion_mnist"), data.dataset("fashion_mnist").version) == ("dffb41e749bf1cf0", 1)


def test_digit_splits_are_stratified() -> None:
    """Every class has its share, to within one row, in every split."""
    whole = sum(np.bincount(data.load("digits", split)[1]) for split in ("train", "calib", "test"))
    for split in ("train", "calib", "test"):
        y = data.load("digits", split)[1]
        assert np.abs(np.bincount(y) - whole * len(y) / 1797).max() < 1.5


def test_text_follows_itself() -> None:
    x, y = data.load("pytext", "test")
    assert x.shape == y.shape
    assert x.dtype == np.int64
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert 0 <= x.min() <= x.max() <= 255


@pytest.mark.parametrize(("name", "split", "nearest"), [("digit", "train", "digits"), ("digits", "tset", "test")])
def test_wrong_names_are_answered_with_the_nearest(name: str, split: str, nearest: str) -> None:
    with pytest.raises(InputError) as caught:
        data.load(name, split)
    assert f"did you mean '{nearest}'" in caught.value.hint
