"""DATA spec strings: what they load, and what every bad one is answered with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwsim.capture.data_spec import Dataset, calibration_rows, check_disjoint, load_data
from hwsim.core.errors import InputError, MissingToolError


def npz(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


def test_zoo_data() -> None:
    data = load_data("zoo:digits#test")
    assert (data.x.shape, data.y is not None and data.y.shape) == ((597, 1, 8, 8), (597,))
    assert (data.name, data.split, len(data)) == ("zoo:digits", "test", 597)
    assert load_data("zoo:digits", default_split="train").split == "train"
    assert data.sha256 == load_data("zoo:digits#test").sha256 != load_data("zoo:digits#calib").sha256
    assert load_data("zoo:pytext#calib").x.dtype == torch.int64


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 8, 9), (5, 1, 8, 9)),
        ((5, 8, 9, 3), (5, 3, 8, 9)),
        ((5, 8, 9, 1), (5, 1, 8, 9)),
        ((5, 3, 8, 9), (5, 3, 8, 9)),
        ((5, 3, 8, 3), (5, 3, 8, 3)),
        ((5, 7), (5, 7)),
        ((5, 3, 4, 5, 6), (5, 3, 4, 5, 6)),
    ],
)
def test_shapes_of_npz(shape: tuple[int, ...], expected: tuple[int, ...], tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    data = load_data(npz(tmp_path, x=raw, y=np.arange(5)))
    assert tuple(data.x.shape) == expected
    assert data.x.dtype == torch.float32
    assert data.y is not None
    assert data.y.tolist() == [0, 1, 2, 3, 4]
    values = raw.transpose(0, 3, 1, 2) if len(shape) == 4 and expected != shape else raw.reshape(expected)
    np.testing.assert_allclose(data.x.numpy(), values / 255, atol=1e-7)


def test_other_types_of_npz(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((4, 6))
    np.testing.assert_allclose(load_data(npz(tmp_path, x=x)).x.numpy(), x, atol=1e-6)
    assert load_data(npz(tmp_path, x=np.arange(8).reshape(2, 4))).x.dtype == torch.int64
    data = load_data(npz(tmp_path, x=x, y=np.arange(4.0)[:, None]))
    assert data.y is not None
    assert (data.y.dtype, data.y.shape) == (torch.int64, (4,))


def test_splits_of_npz(tmp_path: Path) -> None:
    x = np.ones((3, 4), np.float32)
    spec = npz(tmp_path, x_train=x, y_train=np.zeros(3), x_test=2 * x)
    train, test = load_data(spec + "#train"), load_data(spec, default_split="test")
    assert (train.split, test.split, train.y is None, test.y is None) == ("train", "test", False, True)
    assert float(test.x[0, 0]) == 2
    for bad in (spec, spec + "#calib", spec + "#trian"):
        with pytest.raises(InputError, match="split") as caught:
            load_data(bad)
        assert "train" in caught.value.hint
    whole = npz(tmp_path, x=x)
    assert load_data(whole, default_split="train").split == ""
    with pytest.raises(InputError, match="no split 'train'"):
        load_data(whole + "#train")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.ones((3, 4))}, ["no array named x", "it holds images"]),
        ({"x": np.ones(7)}, ["x of shape (7,)", "rows first"]),
        ({"x": np.ones((1,) * 6)}, ["rows first"]),
        ({"x": np.ones((0, 4))}, ["without rows"]),
        ({"x": np.ones((4, 0))}, ["is empty"]),
        ({"x": np.ones((3, 4)), "y": np.arange(2)}, ["3 rows but 2 labels"]),
        ({"x": np.array([[1.0, np.nan], [0, 1]])}, ["1 of 2 rows hold NaN"]),
        ({"x": np.ones((2, 2)), "y": np.array([0.5, 1])}, ["not whole numbers"]),
        ({"x": np.ones((2, 2)), "y": np.array(3)}, ["single number"]),
        ({"x": np.array([["a", "b"]])}, ["x of type"]),
        ({"x": np.array([[object()]], object)}, ["pickled Python objects"]),
    ],
)
def test_bad_npz(arrays: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_data(npz(tmp_path, **arrays))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{folder}/none.npz", ["no such file"]),
        ("{folder}/text.npz", ["not an .npz archive"]),
        ("{folder}/data.csv", ["no such data", ".npz"]),
        ("zoo:digit#test", ["did you mean 'digits'"]),
        ("zoo:digits", ["no split named", "zoo:digits#train"]),
        ("zoo:digits#tset", ["did you mean 'test'"]),
        ("{folder}/empty", ["no images"]),
        ("nowhere.at_all:data", ["no module named 'nowhere'"]),
    ],
)
def test_bad_data_specs(spec: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        load_data(spec.format(folder=tmp_path))
    for word in words:
        assert word in str(caught.value)


def test_mean_std_and_resize(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((4, 3, 8, 8)).astype(np.float32)
    spec = npz(tmp_path, x=x)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    data = load_data(spec, mean=mean, std=std)
    expected = (x - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
    np.testing.assert_allclose(data.x.numpy(), expected, atol=1e-6)
    assert load_data(spec, mean=(0.5,)).x.shape == x.shape
    assert load_data(spec, resize=4).x.shape == (4, 3, 4, 4)
    halved = load_data(spec, resize=(4, 8))
    assert halved.x.shape == (4, 3, 4, 8)
    np.testing.assert_allclose(halved.x.mean().item(), x.mean(), atol=0.02)
    for bad in ({"mean": (0.1, 0.2)}, {"std": (0.0,)}, {"resize": 0}):
        with pytest.raises(InputError):
            load_data(spec, **bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="only images"):
        load_data(npz(tmp_path, x=np.ones((3, 4))), resize=4)


def image(path: Path, color: Any, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


def test_image_folders(tmp_path: Path) -> None:
    for split in ("train", "test"):
        image(tmp_path / split / "cat" / "a.png", (255, 0, 51))
        image(tmp_path / split / "dog" / "b.png", (0, 255, 0))
        image(tmp_path / split / "dog" / "c.png", 102, mode="L")
    data = load_data(f"{tmp_path}#train")
    assert data.x.shape == (3, 3, 4, 6)
    assert data.y is not None
    assert data.y.tolist() == [0, 1, 1]
    np.testing.assert_allclose(data.x[0, :, 0, 0].numpy(), [1, 0, 0.2], atol=1e-6)
    np.testing.assert_allclose(data.x[2, :, 0, 0].numpy(), [0.4, 0.4, 0.4], atol=1e-6)
    assert load_data(str(tmp_path), default_split="test").split == "test"
    assert load_data(str(tmp_path / "train")).split == ""
    with pytest.raises(InputError, match="no split 'calib'"):
        load_data(f"{tmp_path}#calib")


def test_grey_flat_and_uneven_image_folders(tmp_path: Path) -> None:
    image(tmp_path / "grey" / "a.png", 51, mode="L")
    data = load_data(str(tmp_path / "grey"))
    assert data.x.shape == (1, 1, 4, 6)
    assert data.y is None
    image(tmp_path / "grey" / "b.png", 51, size=(7, 7), mode="L")
    with pytest.raises(InputError, match="2 sizes") as caught:
        load_data(str(tmp_path / "grey"))
    assert "--resize" in caught.value.hint
    assert load_data(str(tmp_path / "grey"), resize=5).x.shape == (2, 1, 5, 5)
    (tmp_path / "grey" / "c.png").write_text("no image")
    with pytest.raises(InputError, match=r"c\.png"):
        load_data(str(tmp_path / "grey"), resize=5)


def test_image_folders_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "cat" / "a.png", (1, 2, 3))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingToolError, match="Pillow"):
        load_data(str(tmp_path))


DATA = """
import numpy as np, torch

def pair():
    return np.ones((3, 4), np.float32), [0, 1, 2]

def alone():
    return torch.ones(2, 3, 5, 5, dtype=torch.float64)

def parts(split="train"):
    return np.full((2, 2), float(len(split)))

def ragged():
    return [[1, 2], [3]]

def fails():
    raise FileNotFoundError("no cifar here")
"""


def test_data_factories(tmp_path: Path) -> None:
    path = tmp_path / "mydata.py"
    path.write_text(DATA)
    pair = load_data(f"{path}:pair")
    assert pair.y is not None
    assert (pair.x.shape, pair.y.tolist()) == ((3, 4), [0, 1, 2])
    alone = load_data(f"{path}:alone", default_split="train")
    assert (alone.x.shape, alone.x.dtype, alone.y, alone.split) == ((2, 3, 5, 5), torch.float32, None, "")
    assert float(load_data(f"{path}:parts#calib").x[0, 0]) == 5
    test = load_data(f"{path}:parts", default_split="test")
    assert (float(test.x[0, 0]), test.split) == (4, "test")
    for name, word in (("pair#test", "without splits"), ("ragged", "ragged"), ("fails", "no cifar here")):
        with pytest.raises(InputError, match=word):
            load_data(f"{path}:{name}")


def made(x: torch.Tensor, name: str = "d") -> Dataset:
    return Dataset(x=x, y=torch.arange(len(x)), name=name, split="")


def test_calibration_rows_are_a_seeded_draw() -> None:
    whole = made(torch.arange(40.0).reshape(20, 2))
    few = calibration_rows(whole, 8, seed=1)
    assert few.y is not None
    assert len(few) == len(set(few.y.tolist())) == 8
    assert torch.equal(few.x, whole.x[few.y])
    assert torch.equal(few.x, calibration_rows(whole, 8, seed=1).x)
    assert not torch.equal(few.x, calibration_rows(whole, 8, seed=2).x)
    assert torch.equal(few.x, calibration_rows(whole, 12, seed=1).x[:8])
    assert sorted(calibration_rows(whole, 100).x[:, 0].tolist()) == whole.x[:, 0].tolist()
    assert few.sha256 != whole.sha256
    with pytest.raises(InputError, match="0 calibration rows"):
        calibration_rows(whole, 0)


def test_overlapping_rows_are_counted_and_refused() -> None:
    x = torch.rand(20, 3)
    calib, held_out = made(x[:12], "a"), made(x[10:], "b")
    with pytest.raises(InputError, match="2 of 10 evaluation rows") as caught:
        check_disjoint(calib, held_out)
    assert "a and b" in caught.value.where
    assert check_disjoint(calib, held_out, allow=True) == 2
    assert check_disjoint(made(x[:10]), made(x[10:])) == 0
    assert check_disjoint(made(x[:10]), made(torch.cat([x[9:10], x[9:10]])), allow=True) == 2
    assert check_disjoint(load_data("zoo:digits#train"), load_data("zoo:digits#test")) == 0
