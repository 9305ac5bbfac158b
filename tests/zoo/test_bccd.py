"""BCCD's files, fabricated small: the VOC layout and the archive give the same images and boxes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwsim.capture.data_spec import calibration_rows, load_data
from hwsim.capture.model_spec import load_model
from hwsim.core.errors import InputError
from hwsim.zoo import data
from hwsim.zoo.bccd import CLASSES, _decoded
from hwsim.zoo.detection import DetectionTruth
from hwsim.zoo.detection_head import HeadSpec
from hwsim.zoo.networks import network

pytestmark = pytest.mark.exact
Objects = list[tuple[str, int, int, int, int]]
IMAGES: dict[str, tuple[str, Objects]] = {  # name: (split, objects in pixels of a 320x240 image)
    "B_0": ("train", [("RBC", 20, 40, 120, 140), ("WBC", 0, 0, 320, 240)]),
    "B_1": ("train", [("Platelets", 30, 30, 50, 60), ("RBC", 5, 5, 5, 9)]),  # the last is of zero size
    "B_2": ("val", [("RBC", 100, 100, 200, 180)]),
    "B_3": ("val", []),
    "B_4": ("test", [("WBC", 10, 20, 30, 40)]),
}


def jpeg(seed: int) -> bytes:
    image = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).resize((320, 240)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write_voc(root: Path) -> None:
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / part).mkdir(parents=True)
    for i, (name, (split, objects)) in enumerate(IMAGES.items()):
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(jpeg(i))
        things = "".join(
            f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
            f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
            for label, x0, y0, x1, y1 in objects
        )
        (root / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>x.jpg</filename>{things}</annotation>"
        )
        with (root / "ImageSets" / "Main" / f"{split}.txt").open("a") as listing:
            listing.write(f"{name}\n")


def write_npz(root: Path) -> None:
    root.mkdir(parents=True)
    content = [jpeg(i) for i in range(len(IMAGES))]
    boxes = [
        (i, CLASSES.index(label), *corners)
        for i, (_, objects) in enumerate(IMAGES.values())
        for label, *corners in objects[::-1]
        if corners[2] > corners[0]
    ]
    np.savez(
        root / "bccd.npz",
        jpeg=np.frombuffer(b"".join(content), np.uint8),
        jpeg_offset=np.cumsum([0, *map(len, content)]),
        boxes=np.array(boxes, np.float32),
        names=np.array(list(IMAGES)),
        split=np.array([("train", "val", "test").index(split) for split, _ in IMAGES.values()], np.int8),
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWSIM_DATA", str(tmp_path))
    _decoded.cache_clear()
    return tmp_path


@pytest.mark.parametrize("place", ["BCCD_Dataset/BCCD", "bccd", "archive"])
def test_splits_and_scaled_boxes(place: str, folder: Path) -> None:
    if place == "archive":
        write_npz(folder / "detection")
    else:
        write_voc(folder / place)
    x, truth = data.load("bccd", "train")
    assert (x.shape, x.dtype) == ((3, 3, 120, 160), np.float32)  # two of train and the first of val
    assert 0 <= x.min() < x.max() <= 1
    assert (truth.images, truth.class_names, truth.size) == (3, ("RBC", "WBC", "Platelets"), (120, 160))
    assert truth.image.tolist() == [0, 0, 1, 2]
    assert truth.label.tolist() == [0, 1, 2, 0]
    expected = [[10, 20, 60, 70], [0, 0, 160, 120], [15, 15, 25, 30], [50, 50, 100, 90]]
    np.testing.assert_array_equal(truth.boxes, np.array(expected, np.float32))
    calib, empty = data.load("bccd", "calib")
    assert (len(calib), empty.images, len(empty.image)) == (1, 1, 0)
    assert data.load("bccd", "test")[1].boxes.tolist() == [[5, 10, 15, 20]]


def test_images_are_those_of_the_files(folder: Path) -> None:
    write_voc(folder)
    x, _ = data.load("bccd", "test")
    with Image.open(io.BytesIO(jpeg(4))) as image:
        whole = np.asarray(image, np.float64) / 255
    halved = whole.reshape(120, 2, 160, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(x[0] - halved).mean() < 0.01


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        data.load("bccd", "test")
    for word in ("HWSIM_DATA", "Annotations", "bccd.npz", "Shenggan/BCCD_Dataset"):
        assert word in caught.value.hint
    write_voc(folder)
    (folder / "ImageSets" / "Main" / "test.txt").unlink()
    with pytest.raises(InputError, match=r"test\.txt: no such file"):
        data.load("bccd", "test")


@pytest.mark.parametrize("damage", ["image", "no image", "annotation", "class"])
def test_damaged_files_are_named(damage: str, folder: Path) -> None:
    write_voc(folder)
    annotation, image = folder / "Annotations" / "B_4.xml", folder / "JPEGImages" / "B_4.jpg"
    if damage == "no image":
        image.unlink()
    elif damage == "image":
        image.write_bytes(b"no image")
    else:
        annotation.write_text("<annotation>" if damage == "annotation" else annotation.read_text().replace("WBC", "X"))
    with pytest.raises(InputError, match="B_4"):
        data.load("bccd", "test")


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_damaged_archives(content: bytes, folder: Path) -> None:
    (folder / "bccd.npz").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        data.load("bccd", "test")


@pytest.mark.slow
@pytest.mark.data
def test_the_published_set(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """364 images; 4,153, 372 and 361 boxes (published: 4,155, 372, 361; two are of zero size)."""
    monkeypatch.setenv("HWSIM_DATA", str(shared))
    parts = {split: data.load("bccd", split)[1] for split in ("train", "calib", "test")}
    assert [len(truth) for truth in parts.values()] == [260, 32, 72]
    counts = sum(np.bincount(truth.label, minlength=3) for truth in parts.values())
    assert counts.tolist() == [4153, 372, 361]


def test_data_strings_bring_the_objects(folder: Path) -> None:
    write_voc(folder)
    train = load_data("zoo:bccd#train")
    assert isinstance(train.y, DetectionTruth)
    assert (tuple(train.x.shape), len(train.y)) == ((3, 3, 120, 160), 3)
    chosen = calibration_rows(train, 3, seed=0)
    assert isinstance(chosen.y, DetectionTruth)
    assert chosen.sha256 != train.sha256
    for row in range(3):
        place = int((train.x == chosen.x[row]).flatten(1).all(dim=1).nonzero())
        assert train.y[place : place + 1].boxes.tolist() == chosen.y[row : row + 1].boxes.tolist()


def test_a_users_detector_brings_its_head(tmp_path: Path) -> None:
    source = (
        "from torch import nn\n"
        "from hwsim.capture.model_spec import HeadSpec\n"
        "def net():\n    m = nn.Conv2d(3, 7, 1)\n    m.head_spec = HeadSpec(('a', 'b', 'c'), 1, (4, 4))\n    return m\n"
        "def plain():\n    return nn.Conv2d(3, 7, 1)\n"
    )
    (tmp_path / "own.py").write_text(source)
    assert load_model(f"{tmp_path}/own.py:net").head == HeadSpec(("a", "b", "c"), 1, (4, 4))
    assert load_model(f"{tmp_path}/own.py:plain").head is None
    assert network("bccd_detector").head == HeadSpec(CLASSES, 8, (120, 160))
