"""Fashion-MNIST's distribution files, fabricated small: every form gives the same splits."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from hwsim.core.errors import InputError
from hwsim.zoo import data
from hwsim.zoo.fashion_mnist import read_idx

pytestmark = pytest.mark.exact
FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = {f"x_{part}": rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for part, n in (("train", 120), ("test", 20))}
    y = {f"y_{part}": np.arange(n, dtype=np.uint8) % 10 for part, n in (("train", 120), ("test", 20))}
    return x | y


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWSIM_DATA", str(tmp_path))
    return tmp_path


def write(folder: Path, form: str, arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if form == "npz":
        np.savez(folder / "fashion_mnist.npz", **arrays)
        return
    for name, values in arrays.items():
        content = idx(values)
        (folder / f"{FILES[name]}{'.gz' if form == 'gz' else ''}").write_bytes(
            gzip.compress(content) if form == "gz" else content
        )


def loaded() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {split: data.load("fashion_mnist", split) for split in ("train", "calib", "test")}


@pytest.mark.parametrize("form", ["idx", "gz", "npz"])
@pytest.mark.parametrize("place", [".", "fashion_mnist", "FashionMNIST/raw"])
def test_every_form_in_every_place(form: str, place: str, folder: Path, arrays: dict[str, np.ndarray]) -> None:
    write(folder / place, form, arrays)
    parts = loaded()
    assert [len(x) for x, _ in parts.values()] == [110, 10, 20]
    for x, y in parts.values():
        assert (x.shape[1:], x.dtype, y.dtype) == ((1, 28, 28), np.float32, np.int64)
    whole = {image.tobytes(): label for image, label in zip(arrays["x_train"], arrays["y_train"], strict=True)}
    seen = [parts[split] for split in ("train", "calib")]
    for x, y in seen:
        stored = np.rint(x[:, 0] * 255).astype(np.uint8)
        np.testing.assert_array_equal(stored.astype(np.float32) / 255, x[:, 0])
        assert all(whole.pop(image.tobytes()) == label for image, label in zip(stored, y, strict=True))
    assert not whole
    assert sorted(parts["calib"][1].tolist()) == list(range(10))  # stratified


def test_splits_do_not_depend_on_the_order_of_the_file(
    folder: Path, arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "fashion_mnist", "gz", arrays)
    first = loaded()
    order = np.random.default_rng(1).permutation(120)
    arrays |= {"x_train": arrays["x_train"][order], "y_train": arrays["y_train"][order]}
    other = folder / "other"
    write(other, "npz", arrays)
    monkeypatch.setenv("HWSIM_DATA", str(other))
    monkeypatch.setenv("HWSIM_DATA", str(other))
    second = loaded()
    for split, (x, y) in first.items():
        np.testing.assert_array_equal(x, second[split][0])
        np.testing.assert_array_equal(y, second[split][1])


def test_shared_data_are_the_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, np.ndarray]
) -> None:
    monkeypatch.delenv("HWSIM_DATA", raising=False)
    write(tmp_path / "data" / "fashion_mnist", "npz", arrays)
    for root in (tmp_path, tmp_path / "data"):
        monkeypatch.setenv("HWSIM_SHARED", str(root))
        assert len(data.load("fashion_mnist", "test")[0]) == 20


def test_what_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as caught:
        data.load("fashion_mnist", "test")
    assert str(folder) in str(caught.value)
    for word in ("HWSIM_DATA", "t10k-images-idx3-ubyte", "fashion_mnist.npz", "zalandoresearch"):
        assert word in caught.value.hint
    monkeypatch.setenv("HWSIM_DATA", str(folder / "nowhere"))
    with pytest.raises(InputError, match="not a folder"):
        data.load("fashion_mnist", "test")
    monkeypatch.delenv("HWSIM_DATA")
    monkeypatch.delenv("HWSIM_SHARED", raising=False)
    with pytest.raises(InputError, match="neither HWSIM_DATA nor HWSIM_SHARED"):
        data.load("fashion_mnist", "test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an idx file"),
        (b"\x89PNG", "not an idx file"),
        (bytes([0, 0, 13, 1]) + struct.pack(">I", 1) + b"\0\0\0\0", "not an idx file"),  # float32
        (idx(np.zeros((2, 3), np.uint8))[:-1], "5 values where the header says"),
        (idx(np.zeros((2, 3), np.uint8)) + b"x", "7 values where the header says"),
        (bytes([0, 0, 8, 3]) + struct.pack(">I", 1), "values where the header says"),
        (gzip.compress(idx(np.zeros((2, 3), np.uint8)))[:-9], "cannot be read"),
    ],
)
def test_damaged_files(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_idx(tmp_path / "f")


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_damaged_archives(content: bytes, folder: Path) -> None:
    (folder / "fashion_mnist.npz").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        data.load("fashion_mnist", "test")


def test_an_archive_of_other_arrays(folder: Path) -> None:
    np.savez(folder / "fashion_mnist.npz", x=np.zeros(3))
    with pytest.raises(InputError, match="cannot be read"):
        data.load("fashion_mnist", "test")


@pytest.mark.data
def test_the_published_set(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """6,000 and 1,000 images a class; mean 0.2860 and standard deviation 0.3530 of the training pixels (published)."""
    monkeypatch.setenv("HWSIM_DATA", str(shared))
    parts = loaded()
    assert [len(x) for x, _ in parts.values()] == [55_000, 5_000, 10_000]
    assert [set(np.bincount(y).tolist()) for _, y in parts.values()] == [{5_500}, {500}, {1_000}]
    pixels = np.concatenate([parts[split][0].ravel() for split in ("train", "calib")]).astype(np.float64)
    assert pixels.mean() == pytest.approx(0.2860, abs=5e-5)
    assert pixels.std() == pytest.approx(0.3530, abs=5e-5)
