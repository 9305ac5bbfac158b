"""BCCD, blood cells under the microscope (Shenggan/BCCD_Dataset), from its files in a folder that the user names."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hwsim.core.errors import InputError, MissingToolError
from hwsim.zoo.detection import DetectionTruth
from hwsim.zoo.folders import missing, places

CLASSES = ("RBC", "WBC", "Platelets")
SIZE = (120, 160)
SUBFOLDERS = ("bccd", "detection", "BCCD", "BCCD_Dataset/BCCD", "BCCD_Dataset")
SOURCE = "https://github.com/Shenggan/BCCD_Dataset (MIT)"
_CALIB = 32
Boxes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Picture:
    """One image as stored.

    Attributes
    ----------
    name : of the image, which orders a split.
    jpeg : gives its bytes.
    label, boxes : of its objects: (M,), and (M, 4) x0, y0, x1, y1 in pixels of the stored image.
    """

    name: str
    jpeg: Callable[[], bytes]
    label: NDArray[np.int64]
    boxes: Boxes


def bccd(split: str) -> tuple[NDArray[np.float32], DetectionTruth]:
    """One split: x float32 (N, 3, 120, 160) in [0, 1], and the boxes of its cells.

    `test` is the published test set (72 images); `calib` the last 32 images of the published validation set, `train`
    the rest of it and the published training set.

    Raises
    ------
    InputError
        No folder named, no such file in it, or a file that is not what its name says.
    MissingToolError
        Pillow is not installed.
    """
    return _decoded(split, tuple(places(SUBFOLDERS)))


@lru_cache(maxsize=3)
def _decoded(split: str, folders: tuple[Path, ...]) -> tuple[NDArray[np.float32], DetectionTruth]:
    read = _reader(folders)
    if split == "test":
        pictures = read("test")
    else:
        held = read("val")
        calib = min(_CALIB, len(held) // 2)
        pictures = held[len(held) - calib :] if split == "calib" else read("train") + held[: len(held) - calib]
    images, image, label, boxes = [], [], [], []
    for i, picture in enumerate(pictures):
        pixels, scale = _pixels(picture)
        images.append(pixels)
        image.append(np.full(len(picture.label), i))
        label.append(picture.label)
        boxes.append(picture.boxes * scale)
    x = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    truth = DetectionTruth(
        np.concatenate(image).astype(np.int64),
        np.concatenate(label).astype(np.int64),
        np.concatenate(boxes).astype(np.float32),
        len(x),
        CLASSES,
        SIZE,
    )
    return np.ascontiguousarray(x), truth


def _pixels(picture: Picture) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The image as (120, 160, 3), and the factors of x0, y0, x1, y1."""
    try:
        from PIL import Image
    except ImportError as error:
        hint = "pip install pillow"
        raise MissingToolError("Pillow is not installed", where="zoo:bccd", hint=hint) from error
    try:
        with Image.open(io.BytesIO(picture.jpeg())) as stored:
            width, height = stored.size
            small = stored.convert("RGB").resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR, reducing_gap=None)
    except OSError as error:
        raise InputError(f"cannot be read: {error}", where=picture.name, hint="a damaged image? fetch it") from error
    scale = np.array([SIZE[1] / width, SIZE[0] / height] * 2, np.float32)
    return np.asarray(small), scale


def _reader(folders: tuple[Path, ...]) -> Callable[[str], list[Picture]]:
    """Published split name -> its pictures, by name."""
    for folder in folders:
        if (folder / "bccd.npz").is_file():
            return lambda split, path=folder / "bccd.npz": _from_npz(path, split)  # type: ignore[misc]
        if (folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir():
            return lambda split, root=folder: _from_voc(root, split)  # type: ignore[misc]
    files = "Annotations/*.xml, JPEGImages/*.jpg and ImageSets/Main/{train,val,test}.txt, or bccd.npz"
    raise missing("bccd", files, SUBFOLDERS, SOURCE)


def _from_npz(path: Path, split: str) -> list[Picture]:
    """jpeg, jpeg_offset (N+1,); boxes (M, 6): image, class, x0, y0, x1, y1; names; split: 0 train, 1 val, 2 test."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in ("jpeg", "jpeg_offset", "boxes", "names", "split")}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        hint = "an archive of jpeg, jpeg_offset, boxes, names, split"
        raise InputError(f"cannot be read: {error}", where=str(path), hint=hint) from error
    content, offset, boxes = arrays["jpeg"].tobytes(), arrays["jpeg_offset"].tolist(), arrays["boxes"]
    found = []
    for i in np.flatnonzero(arrays["split"] == ("train", "val", "test").index(split)).tolist():
        own = boxes[boxes[:, 0] == i]
        jpeg = content[offset[i] : offset[i + 1]]
        found.append(_picture(str(arrays["names"][i]), lambda jpeg=jpeg: jpeg, own[:, 1].astype(np.int64), own[:, 2:]))  # type: ignore[misc]
    return sorted(found, key=lambda picture: picture.name)


def _from_voc(root: Path, split: str) -> list[Picture]:
    listing = root / "ImageSets" / "Main" / f"{split}.txt"
    if not listing.is_file():
        raise InputError("no such file", where=str(listing), hint="the list of images of this split, a name a line")
    names = sorted(line.split()[0] for line in listing.read_text(encoding="utf-8").splitlines() if line.strip())
    return [_voc_picture(root, name) for name in names]


def _voc_picture(root: Path, name: str) -> Picture:
    path, image = root / "Annotations" / f"{name}.xml", root / "JPEGImages" / f"{name}.jpg"
    if not image.is_file():
        raise InputError("no such file", where=str(image), hint=f"the image of {path.name}")
    try:
        tree = ElementTree.parse(path)
        label, boxes = [], []
        for thing in tree.iter("object"):
            label.append(CLASSES.index(str(thing.findtext("name")).strip()))
            boxes.append([float(str(thing.findtext(f"bndbox/{side}"))) for side in ("xmin", "ymin", "xmax", "ymax")])
    except (OSError, ValueError, ElementTree.ParseError) as error:
        hint = f"a VOC annotation of classes {', '.join(CLASSES)}"
        raise InputError(f"cannot be read: {error}", where=str(path), hint=hint) from error
    return _picture(name, image.read_bytes, np.array(label, np.int64), np.array(boxes, np.float32).reshape(-1, 4))


def _picture(name: str, jpeg: Callable[[], bytes], label: NDArray[np.int64], boxes: Boxes) -> Picture:
    """Without boxes of zero size, in the order of labels and corners."""
    real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    label, boxes = label[real], boxes[real]
    order = np.lexsort((*boxes.T[::-1], label))
    return Picture(name, jpeg, label[order], boxes[order])
