"""Mean average precision the COCO way, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from torch import Tensor

from hwsim.core.errors import InputError, MissingToolError
from hwsim.zoo.decode import decode
from hwsim.zoo.detection import Detections, DetectionTruth
from hwsim.zoo.detection_head import HeadSpec


def mean_average_precision(detections: Detections, truth: DetectionTruth) -> dict[str, float]:
    """COCO's average precision, over classes, and over overlaps 0.50, 0.55, ..., 0.95 for `map`.

    Returns
    -------
    `map`, `map50`, `map75` in [0, 1], and `map50_CLASS` of each class that has objects.

    Raises
    ------
    MissingToolError
        pycocotools is not installed.
    InputError
        No object in the truth, or a detection in an image that the truth does not have.

    Notes
    -----
    Lin et al. (1405.0312): 101 points of recall, at most 100 detections an image, objects of any area.
    """
    coco, evaluator = _pycocotools()
    if not len(truth.image):
        raise InputError("no objects", where="detection truth", hint="average precision needs one object at least")
    if len(detections) and not 0 <= detections.image.min() <= detections.image.max() < truth.images:
        raise InputError("a detection in no image", where="detections", hint=f"images: 0..{truth.images - 1}")
    if not len(detections):  # pycocotools cannot read an empty list
        names = ("map", "map50", "map75", *(f"map50_{truth.class_names[i]}" for i in sorted(set(truth.label.tolist()))))
        return dict.fromkeys(names, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints tables of its own
        reference = coco()
        reference.dataset = _annotations(truth)
        reference.createIndex()
        run = evaluator(reference, reference.loadRes(_results(detections)), "bbox")
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, -1]  # (overlaps, recalls, classes); -1 where a class has no object
    found = {
        "map": float(precision[precision > -1].mean()),
        "map50": float(precision[0][precision[0] > -1].mean()),
        "map75": float(precision[5][precision[5] > -1].mean()),
    }
    for i, name in enumerate(truth.class_names):
        if (precision[0, :, i] > -1).any():
            found[f"map50_{name}"] = float(precision[0, :, i].mean())
    return found


def evaluate_detector(outputs: Tensor, head: HeadSpec, truth: DetectionTruth) -> dict[str, float]:
    """`mean_average_precision` of the raw outputs (N, classes + 4, h, w) of all images of the truth."""
    if len(outputs) != len(truth):
        what = f"{len(outputs)} outputs for {len(truth)} images"
        raise InputError(what, where="detector", hint="one output an image")
    return mean_average_precision(decode(outputs, head), truth)


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        hint = "pip install pycocotools"
        raise MissingToolError("pycocotools is not installed", where="mean average precision", hint=hint) from error
    return COCO, COCOeval


def _annotations(truth: DetectionTruth) -> dict[str, Any]:
    rows = zip(truth.image.tolist(), truth.label.tolist(), truth.boxes.tolist(), strict=True)
    height, width = truth.size
    return {
        "info": {},
        "images": [{"id": i, "height": height, "width": width} for i in range(truth.images)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(truth.class_names)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": k, "bbox": _xywh(b), "area": _area(b), "iscrowd": 0}
            for n, (i, k, b) in enumerate(rows, start=1)
        ],
    }


def _results(found: Detections) -> list[dict[str, Any]]:
    rows = zip(found.image.tolist(), found.label.tolist(), found.boxes.tolist(), found.score.tolist(), strict=True)
    return [{"image_id": i, "category_id": k, "bbox": _xywh(b), "score": s} for i, k, b, s in rows]


def _xywh(box: list[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _area(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
