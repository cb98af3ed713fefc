"""Binned calibration errors: against other implementations, and on the edges where conventions differ."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import OPTIONS, of_probabilities, sample

from surefooted.core.predictions import Predictions, predictions
from surefooted.errors import InputError
from surefooted.evaluation.metrics import classwise_ece, ece, max_calibration_error, overconfidence
from surefooted.evaluation.metrics.reliability import reliability_curve

every_option = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: f"{o['edges']}-{o['closed']}")


def two_class(confidence: list[float], correct: list[int]) -> Predictions:
    """Class 0 is predicted with the confidence given, at least 0.5, and right where ``correct``."""
    return of_probabilities([[c, 1 - c] for c in confidence], [1 - right for right in correct])


def plain_gaps(score: np.ndarray, event: np.ndarray, bins: int, edges: str, closed: str) -> list[tuple[float, int]]:
    """Per bin |mean score - mean event| and count, one row at a time."""
    n = len(score)
    if edges == "equal_width":
        inner = [b / bins for b in range(1, bins)]
    else:
        ordered = sorted(score)
        counts = [sum(s <= value for s in score) for value in ordered]
        enough = (lambda c, b: c * bins >= b * n) if closed == "right" else (lambda c, b: c * bins > b * n)
        inner = [next(v for v, c in zip(ordered, counts) if enough(c, b)) for b in range(1, bins)]
    rows: list[list[int]] = [[] for _ in range(bins)]
    for row, s in enumerate(score):
        rows[sum(s > e if closed == "right" else s >= e for e in inner)].append(row)
    return [(abs(score[r].mean() - event[r].mean()), len(r)) if r else (0.0, 0) for r in rows]


def plain_ece(score: np.ndarray, event: np.ndarray, bins: int, **options: str) -> float:
    return sum(gap * count for gap, count in plain_gaps(score, event, bins, **options)) / len(score)


@every_option
@pytest.mark.parametrize("bins", [1, 7, 15])
def test_ece_agrees_with_a_plain_loop(options, bins):
    p = sample(331, dtype=torch.float64)
    probability = p.log_p.exp().numpy()
    score, correct = probability.max(1), (probability.argmax(1) == p.y.numpy()).astype(float)
    gaps = plain_gaps(score, correct, bins, **options)
    assert ece(p, bins=bins, **options) == pytest.approx(plain_ece(score, correct, bins, **options), abs=1e-12)
    assert max_calibration_error(p, bins=bins, **options) == pytest.approx(max(gap for gap, _ in gaps), abs=1e-12)


@every_option
def test_classwise_ece_agrees_with_a_plain_loop(options):
    p = sample(211, k=4, dtype=torch.float64)
    probability, y = p.log_p.exp().numpy(), p.y.numpy()
    by_class = [plain_ece(probability[:, k], (y == k).astype(float), 10, **options) for k in range(4)]
    assert classwise_ece(p, bins=10, **options) == pytest.approx(np.mean(by_class), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(5, 10), st.integers(0, 1)), min_size=1, max_size=30),
    st.integers(1, 12),
    st.sampled_from(OPTIONS),
)
def test_ties_and_edges_agree_with_a_plain_loop(rows, bins, options):
    """Confidences on a coarse grid, so that equal scores and scores on edges abound."""
    score = np.array([c / 10 for c, _ in rows])
    correct = np.array([right for _, right in rows])
    want = plain_ece(score, correct.astype(float), bins, **options)
    assert ece(two_class(score.tolist(), correct.tolist()), bins=bins, **options) == pytest.approx(want, abs=1e-9)


def test_ece_agrees_with_torchmetrics_where_no_confidence_is_on_an_edge():
    from torchmetrics.functional.classification import multiclass_calibration_error

    p = sample(3000, k=10)
    for bins in (10, 15):
        theirs = multiclass_calibration_error(p.log_p.exp(), p.y, num_classes=10, n_bins=bins, norm="l1")
        assert ece(p, bins=bins) == pytest.approx(float(theirs), abs=1e-5)
        theirs = multiclass_calibration_error(p.log_p.exp(), p.y, num_classes=10, n_bins=bins, norm="max")
        assert max_calibration_error(p, bins=bins) == pytest.approx(float(theirs), abs=1e-5)


def test_confidence_one_shares_the_last_bin():
    """Half the mass at 1.0 with accuracy near 0.95, half at 0.95 with accuracy near 1: in one bin the gaps cancel."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    p = two_class([1.0] * 5000 + [0.95] * 5000, [1] * 4748 + [0] * 252 + [1] * 4993 + [0] * 7)
    for closed in ("right", "left"):
        assert ece(p, closed=closed) == pytest.approx(0.0009, abs=1e-9)
    theirs = multiclass_calibration_error(p.log_p.exp().float(), p.y, num_classes=2, n_bins=15)
    assert float(theirs) == pytest.approx(0.0495, abs=1e-5)  # an extra bin for 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_closed_side_decides_on_a_grid(dtype):
    """0.65 and 0.75 are right, 0.7 and 0.8 are wrong and on an edge of 10 bins.

    Right-closed: {0.65, 0.7} and {0.75, 0.8}, |1.35 - 1| + |1.55 - 1| = 0.9.
    Left-closed: {0.65}, {0.7, 0.75} and {0.8}, 0.35 + |1.45 - 1| + 0.8 = 1.6.
    """
    p = two_class([0.65, 0.7, 0.75, 0.8], [1, 0, 1, 0])
    p = Predictions(p.log_p.to(dtype), p.y, p.rows)
    assert ece(p, bins=10, closed="right") == pytest.approx(0.9 / 4, abs=1e-6)
    assert ece(p, bins=10, closed="left") == pytest.approx(1.6 / 4, abs=1e-6)


@every_option
def test_no_row_is_dropped(options):
    p = of_probabilities([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [1 / 3, 2 / 3], [1.0, 0.0]], [0, 0, 0, 1, 1])
    for bins in (1, 2, 3, 15):
        assert reliability_curve(p, bins=bins, **options).count.sum() == 5
    wrong = of_probabilities([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    assert classwise_ece(wrong, **options) == ece(wrong, **options) == max_calibration_error(wrong, **options) == 1


@every_option
def test_one_bin_is_the_absolute_overconfidence(options):
    p = sample()
    assert ece(p, bins=1, **options) == pytest.approx(abs(overconfidence(p)), abs=1e-12)
    assert max_calibration_error(p, bins=1, **options) == pytest.approx(abs(overconfidence(p)), abs=1e-12)


@every_option
def test_reliability_curve_sums_to_ece(options):
    p = sample()
    curve = reliability_curve(p, **options)
    filled = curve.count > 0
    gap = (curve.count * (curve.confidence - curve.accuracy).abs())[filled].sum() / len(p.y)
    assert float(gap) == pytest.approx(ece(p, **options), abs=1e-12)
    assert curve.lo[0] == 0 and curve.hi[-1] == 1 and torch.equal(curve.lo[1:], curve.hi[:-1])
    assert (curve.lo <= curve.confidence)[filled].all() and (curve.confidence <= curve.hi)[filled].all()
    assert torch.equal(curve.confidence.isnan(), ~filled) and torch.equal(curve.accuracy.isnan(), ~filled)


@pytest.mark.parametrize("closed", ["right", "left"])
def test_equal_mass_bins_are_equal_where_no_confidence_is_shared(closed):
    p = sample(600, dtype=torch.float64)
    assert reliability_curve(p, bins=12, edges="equal_mass", closed=closed).count.tolist() == [50] * 12


@pytest.mark.parametrize(("closed", "count"), [("right", [3, 2, 0]), ("left", [0, 3, 2])])
def test_equal_confidences_share_an_equal_mass_bin(closed, count):
    """Five rows in three bins: the edges at 5/3 and 10/3 of the mass are 0.6 and 0.9."""
    p = two_class([0.6, 0.6, 0.6, 0.9, 0.9], [1, 0, 1, 1, 1])
    curve = reliability_curve(p, bins=3, edges="equal_mass", closed=closed)
    assert curve.count.tolist() == count and curve.hi.tolist() == pytest.approx([0.6, 0.9, 1])


def test_probability_near_an_edge_is_on_it():
    third = torch.tensor([[1 / 3, 2 / 3]])
    for log_p in (third.log(), third.double().log(), third.log() + 1e-7):
        assert reliability_curve(predictions(log_p, torch.tensor([1])), bins=3).count.tolist() == [0, 1, 0]
        assert reliability_curve(predictions(log_p, torch.tensor([1])), bins=3, closed="left").count.tolist() == [
            0,
            0,
            1,
        ]


def test_no_number_of_bins_takes_all_memory():
    p = predictions(torch.tensor([[0.9, 0.1]]).log(), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(InputError, match="bins = 1000000000"):
        ece(p, bins=10**9)
