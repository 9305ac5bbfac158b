"""A folder of images as data: a subfolder a class, inside one folder a split where splits are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hwsim.capture.splits import SPLITS, choose_split
from hwsim.core.errors import InputError, MissingToolError

_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"))


def read_folder(
    folder: Path, split: str, default: str, where: str, resize: int | tuple[int, int] | None
) -> tuple[Any, Any, str]:
    """Images (N, C, H, W) as uint8, class numbers in the order of folder names, and the split that was read.

    Images of one channel stay so only where all are; different sizes need `resize`.

    Raises
    ------
    InputError
        No images, no such split, an unreadable file, or different sizes without `resize`.
    MissingToolError
        Pillow is not installed.
    """
    splits = [name for name in SPLITS if (folder / name).is_dir()]
    split = choose_split(split, default, splits, False, where)
    root = folder / split if split else folder
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = [(path, label) for label, name in enumerate(classes) for path in _images(root / name)]
    labels = np.array([label for _, label in files], np.int64) if files else None
    if not files:
        files = [(path, 0) for path in _images(root)]
    if not files:
        hint = f"a subfolder a class with {', '.join(sorted(_SUFFIXES))} files"
        raise InputError("no images", where=str(root), hint=hint)
    images = [_read_image(path, resize) for path, _ in files]
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.stack([image] * 3, axis=-1) for image in images]
    shapes = {image.shape[:2] for image in images}
    if len(shapes) > 1:
        shown = ", ".join(f"{h}x{w}" for h, w in sorted(shapes)[:4])
        raise InputError(f"images of {len(shapes)} sizes ({shown})", where=where, hint="give --resize")
    stacked = np.stack(images)
    return stacked.transpose(0, 3, 1, 2) if stacked.ndim == 4 else stacked[:, None], labels, split


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())


def _read_image(path: Path, resize: int | tuple[int, int] | None) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingToolError("Pillow is not installed", where=str(path), hint="pip install pillow") from error
    try:
        with Image.open(path) as image:
            plain = image.convert("L" if image.mode in ("1", "L", "I", "I;16", "LA") else "RGB")
            if resize is not None:
                height, width = (resize, resize) if isinstance(resize, int) else resize
                plain = plain.resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(plain, np.uint8)
    except MissingToolError:
        raise
    except Exception as error:
        raise InputError(f"not a readable image: {error}", where=str(path), hint="remove or repair it") from error
