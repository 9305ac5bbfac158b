"""Detections: reading of raw outputs, non-maximum suppression, average precision."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from hwsim.core.errors import InputError, MissingToolError
from hwsim.zoo.decode import box_iou, decode, suppress
from hwsim.zoo.detection import Detections, DetectionTruth
from hwsim.zoo.detection_head import HeadSpec
from hwsim.zoo.mean_ap import evaluate_detector, mean_average_precision

pytestmark = pytest.mark.exact
HEAD = HeadSpec(("a", "b"), 8, (32, 48))


def iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def random_boxes(n: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=draw) * 30
    return torch.cat([corner, corner + torch.rand(n, 2, generator=draw) * 15], dim=1)


def crowded_boxes(n: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=draw) * 8
    return torch.cat([corner, corner + 8 + torch.rand(n, 2, generator=draw) * 4], dim=1)


def test_overlaps_by_brute_force() -> None:
    a, b = random_boxes(20, 0), random_boxes(15, 1)
    a[3, 2:] = a[3, :2]
    expected = [[iou(p, q) for q in b.tolist()] for p in a.tolist()]
    torch.testing.assert_close(box_iou(a, b), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_suppression_by_brute_force(seed: int) -> None:
    boxes, draw = crowded_boxes(40, seed), torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 12, (40,), generator=draw) / 12  # with ties
    labels = torch.randint(0, 3, (40,), generator=draw)
    kept: list[int] = []
    for i in sorted(range(40), key=lambda i: (-float(scores[i]), i)):
        rivals = [j for j in kept if labels[j] == labels[i]]
        if all(iou(boxes[i].tolist(), boxes[j].tolist()) <= 0.4 for j in rivals):
            kept.append(i)
    assert suppress(boxes, scores, labels, 0.4).tolist() == kept
    assert 3 < len(kept) < 35


def test_one_cell_by_hand() -> None:
    raw = torch.full((2, 6, 4, 6), -20.0)
    raw[:, 2:] = 0
    raw[1, :, 1, 3] = torch.tensor([-20.0, 2.0, 0.25, -0.5, float(np.log(2)), float(np.log(3))])
    found = decode(raw, HEAD)
    assert (found.image.tolist(), found.label.tolist()) == ([1], [1])
    # centre (3.5 + 0.25, 1.5 - 0.5) cells = (30, 8) px, 16 wide, 24 high, cut at the upper edge
    np.testing.assert_allclose(found.boxes, [[22, 0, 38, 20]], atol=1e-4)
    assert found.score[0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_boxes_and_scores_have_gradients_and_stay_finite() -> None:
    raw = torch.full((1, 6, 4, 6), 1e4, requires_grad=True)
    boxes = HEAD.boxes(raw)
    assert torch.isfinite(boxes).all()
    (HEAD.scores(raw).sum() + boxes.sum()).backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_only_so_many_are_kept() -> None:
    raw = torch.randn(1, 6, 4, 6, generator=torch.Generator().manual_seed(0))
    head = HeadSpec(("a", "b"), 8, (32, 48), most=5)
    few, many = decode(raw, head), decode(raw, HEAD)
    assert len(few) == 5 < len(many)
    np.testing.assert_array_equal(few.score, many.score[:5])
    assert (np.diff(many.score) <= 0).all()


def test_outputs_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"outputs of shape \(1, 7, 4, 6\)"):
        decode(torch.zeros(1, 7, 4, 6), HEAD)


def truth_of(*objects: tuple[int, int, list[float]], images: int = 2) -> DetectionTruth:
    image, label, boxes = zip(*objects, strict=True) if objects else ((), (), ())
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return DetectionTruth(np.array(image, np.int64), np.array(label, np.int64), corners, images, ("a", "b"), (32, 48))


def found_of(*objects: tuple[int, int, list[float], float]) -> Detections:
    image, label, boxes, score = zip(*objects, strict=True)
    corners, scores = np.array(boxes, np.float32), np.array(score, np.float32)
    return Detections(np.array(image, np.int64), np.array(label, np.int64), corners, scores)


BOX, OTHER, AWAY = [0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0], [33.0, 0.0, 43.0, 9.0]


def test_perfect_detections() -> None:
    truth = truth_of((0, 0, BOX), (1, 1, OTHER))
    found = mean_average_precision(found_of((0, 0, BOX, 0.3), (1, 1, OTHER, 0.9)), truth)
    assert found == pytest.approx({"map": 1.0, "map50": 1.0, "map75": 1.0, "map50_a": 1.0, "map50_b": 1.0})


def test_a_false_alarm_above_a_hit_halves_the_precision() -> None:
    found = mean_average_precision(found_of((0, 0, AWAY, 0.9), (0, 0, BOX, 0.8)), truth_of((0, 0, BOX)))
    assert found["map"] == pytest.approx(0.5)
    below = mean_average_precision(found_of((0, 0, AWAY, 0.7), (0, 0, BOX, 0.8)), truth_of((0, 0, BOX)))
    assert below["map"] == pytest.approx(1.0)


def test_half_of_the_objects_found() -> None:
    """Precision 1 up to recall 1/2: 51 of 101 points of recall."""
    found = mean_average_precision(found_of((0, 0, BOX, 0.9)), truth_of((0, 0, BOX), (1, 0, OTHER)))
    assert found["map"] == pytest.approx(51 / 101)


def test_a_box_that_overlaps_by_0_64_counts_below_that() -> None:
    """Thresholds 0.50, 0.55, 0.60 of ten are met; the same class name in another image is no hit."""
    found = mean_average_precision(found_of((0, 0, [0.0, 0.0, 8.0, 8.0], 0.9)), truth_of((0, 0, BOX)))
    assert [found[key] for key in ("map", "map50", "map75")] == pytest.approx([0.3, 1.0, 0.0])
    elsewhere = mean_average_precision(found_of((1, 0, BOX, 0.9)), truth_of((0, 0, BOX)))
    assert elsewhere["map"] == 0.0


def test_two_hits_on_one_object_are_a_hit_and_a_false_alarm() -> None:
    twice = found_of((0, 0, BOX, 0.9), (0, 0, BOX, 0.8), (1, 0, OTHER, 0.7))
    found = mean_average_precision(twice, truth_of((0, 0, BOX), (1, 0, OTHER)))
    assert found["map"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def average_precision(found: Detections, truth: DetectionTruth, label: int, threshold: float) -> float:
    """COCO's definition, written out: greedy matching by score, precision made monotone, 101 points of recall."""
    free = {i: truth.boxes[i].tolist() for i in range(len(truth.image)) if truth.label[i] == label}
    total, hits, points = len(free), 0, []
    order = [i for i in np.argsort(-found.score, kind="stable") if found.label[i] == label]
    for n, i in enumerate(order, start=1):
        overlaps = {j: iou(found.boxes[i].tolist(), box) for j, box in free.items() if truth.image[j] == found.image[i]}
        best = max(overlaps, key=lambda j: overlaps[j], default=None)
        if best is not None and overlaps[best] >= threshold:
            del free[best]
            hits += 1
        points.append((hits / total, hits / n))
    levels = np.linspace(0, 1, 101)
    return float(np.mean([max((p for r, p in points if r >= level), default=0.0) for level in levels]))


@pytest.mark.truth
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_by_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, boxes = 30, random_boxes(30, seed).numpy()
    truth = DetectionTruth(rng.integers(0, 4, n), rng.integers(0, 2, n), boxes, 4, ("a", "b"), (64, 64))
    near = boxes + rng.normal(0, 1.0, boxes.shape).astype(np.float32) * rng.random((n, 1)).astype(np.float32)
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 0.5)
    found = Detections(truth.image, truth.label, near, rng.random(n).astype(np.float32))
    ours = mean_average_precision(found, truth)
    wanted = [[average_precision(found, truth, label, 0.5 + 0.05 * i) for i in range(10)] for label in (0, 1)]
    assert ours["map"] == pytest.approx(np.mean(wanted), abs=1e-6)
    assert ours["map50"] == pytest.approx(np.mean([w[0] for w in wanted]), abs=1e-6)
    assert ours["map75"] == pytest.approx(np.mean([w[5] for w in wanted]), abs=1e-6)
    assert 0 < ours["map"] < 1


def test_nothing_found_scores_nothing() -> None:
    raw = torch.full((2, 6, 4, 6), -20.0)
    found = evaluate_detector(raw, HEAD, truth_of((0, 0, BOX)))
    assert found == {"map": 0.0, "map50": 0.0, "map75": 0.0, "map50_a": 0.0}


def test_average_precision_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    mean_average_precision(found_of((0, 0, BOX, 0.9)), truth_of((0, 0, BOX)))
    assert capsys.readouterr() == ("", "")


def test_bad_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no objects"):
        mean_average_precision(found_of((0, 0, BOX, 0.9)), truth_of())
    with pytest.raises(InputError, match="a detection in no image"):
        mean_average_precision(found_of((2, 0, BOX, 0.9)), truth_of((0, 0, BOX)))
    with pytest.raises(InputError, match="3 outputs for 2 images"):
        evaluate_detector(torch.zeros(3, 6, 4, 6), HEAD, truth_of((0, 0, BOX)))
    with pytest.raises(InputError, match="an object in no image"):
        truth_of((2, 0, BOX))
    with pytest.raises(InputError, match="an object of no class"):
        truth_of((0, 2, BOX))
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(MissingToolError, match="pycocotools is not installed") as caught:
        mean_average_precision(found_of((0, 0, BOX, 0.9)), truth_of((0, 0, BOX)))
    assert "pip install pycocotools" in caught.value.hint


def test_rows_of_a_truth() -> None:
    truth = truth_of((0, 0, BOX), (2, 1, OTHER), (2, 0, AWAY), images=4)
    assert len(truth) == 4
    for rows in (torch.tensor([2, 1, 0, 2]), np.array([2, 1, 0, 2])):
        chosen = truth[rows]
        assert (chosen.images, chosen.image.tolist()) == (4, [0, 0, 2, 3, 3])
        assert chosen.label.tolist() == [1, 0, 0, 1, 0]
        np.testing.assert_array_equal(chosen.boxes, np.array([OTHER, AWAY, BOX, OTHER, AWAY], np.float32))
    assert (len(truth[:2]), len(truth[:2].image)) == (2, 1)
