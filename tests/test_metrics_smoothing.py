"""SmoothECE: cases with known answers, the definition computed plainly, and values of the authors' package."""

import numpy as np
import pytest
import torch
from test_metrics import of_probabilities, sample

from surefooted.core.predictions import Predictions, predictions
from surefooted.evaluation.metrics import ece, overconfidence, smooth_ece


def two_class(confidence: list[float], correct: list[int]) -> Predictions:
    return of_probabilities([[c, 1 - c] for c in confidence], [1 - right for right in correct])


@pytest.mark.parametrize("confidence", [0.5, 0.731, 0.9, 1.0])
@pytest.mark.parametrize("right", [0, 3, 10])
def test_one_confidence_has_its_gap_whatever_the_bandwidth(confidence, right):
    """The kernel, reflected at the ends, integrates to 1."""
    p = two_class([confidence] * 10, [1] * right + [0] * (10 - right))
    assert smooth_ece(p) == pytest.approx(abs(confidence - right / 10), abs=1e-9)


def test_gaps_of_one_sign_add_up_and_opposite_ones_near_each_other_cancel():
    over = two_class([0.6, 0.6, 0.95, 0.95], [0, 0, 0, 1])
    assert smooth_ece(over) == pytest.approx(overconfidence(over), abs=1e-9)
    near = two_class([0.80, 0.81] * 50, [1, 0] * 50)  # gaps of -0.2 and 0.81, 0.01 apart
    assert ece(near, bins=100) > 0.5 > smooth_ece(near) > abs(overconfidence(near)) - 1e-9
    far = two_class([0.55, 0.55, 0.95, 0.95], [1, 1, 0, 1])
    assert smooth_ece(far) > 1.5 * abs(overconfidence(far))


def plain(p: Predictions, cells: int = 600) -> float:
    """The definition: images of every confidence at 2k ± f, the midpoint rule, and bisection."""
    confidence, correct = (values.numpy() for values in p.top())
    t = (np.arange(cells) + 0.5) / cells

    def error(sigma: float) -> float:
        smoothed = np.zeros(cells)
        for k in range(-2, 3):
            for image in (confidence + 2 * k, 2 * k - confidence):
                kernel = np.exp(-((t[:, None] - image) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
                smoothed += kernel @ (confidence - correct) / len(confidence)
        return float(np.abs(smoothed).mean())

    low, high = 0.0, 1.0
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if error(middle) > middle else (low, middle)
    return error(high)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_fixed_point_of_the_definition(seed):
    p = sample(80, seed=seed, dtype=torch.float64)
    assert smooth_ece(p) == pytest.approx(plain(p), abs=2e-4)


def test_it_agrees_with_the_package_of_the_authors():
    """relplot 1.0.3, ``relplot.metrics.smECE``, whose bandwidth is a multiple of 1/1024."""
    z = torch.sin(torch.arange(600, dtype=torch.float64).reshape(200, 3) * 12.9898).mul(43758.5453).frac().abs() * 4
    p = predictions(z.log_softmax(-1), torch.arange(200) * 7 % 3)
    assert smooth_ece(p) == pytest.approx(0.3244164700034166, abs=5e-4)
    g = torch.Generator().manual_seed(1)
    z = 2 * torch.randn(400, 5, generator=g, dtype=torch.float64)
    p = predictions(z.log_softmax(-1), torch.multinomial((0.6 * z).softmax(-1), 1, generator=g)[:, 0])
    assert smooth_ece(p) == pytest.approx(0.14076189325357508, abs=5e-4)
