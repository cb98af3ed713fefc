"""Laws of every metric of predictions, and values from other packages or worked out by hand.

The laws run over ``metrics.__all__`` and read the facts that each metric states; a new metric needs no entry here.
"""

from functools import partial
from inspect import signature
from math import isnan, log

import numpy as np
import pytest
import torch

from surefooted.core.predictions import Predictions, predictions
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.functional import as_functional, split_partial

OPTIONS = [
    {"edges": edges, "closed": closed} for edges in ("equal_width", "equal_mass") for closed in ("right", "left")
]
BINNED = {name for name in metrics.__all__ if "edges" in signature(getattr(metrics, name)).parameters}
CASES = {name: getattr(metrics, name) for name in metrics.__all__ if name not in BINNED} | {
    f"{name}-{options['edges']}-{options['closed']}": partial(getattr(metrics, name), **options)
    for name in sorted(BINNED)
    for options in OPTIONS
}
every_metric = pytest.mark.parametrize("metric", CASES.values(), ids=CASES)


def sample(n: int = 500, k: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32) -> Predictions:
    """Overconfident predictions."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, k, generator=generator)
    y = torch.multinomial((logits * 0.6).softmax(-1), 1, generator=generator).squeeze(1)
    return predictions(logits.to(dtype).log_softmax(-1), y)


def of_probabilities(rows: list[list[float]], y: list[int]) -> Predictions:
    return predictions(torch.tensor(rows, dtype=torch.float64).log(), torch.tensor(y))


@every_metric
def test_value_is_a_python_float(metric):
    assert type(metric(sample())) is float


@every_metric
def test_order_of_the_rows_does_not_matter(metric):
    p = sample()
    # Rounded probabilities: equal scores must not depend on the order either.
    coarse = (p.log_p.double().exp() * 10).round() + 1
    p = predictions((coarse / coarse.sum(-1, keepdim=True)).log(), p.y)
    shuffled = p.take(torch.randperm(len(p.y), generator=torch.Generator().manual_seed(1)))
    assert metric(shuffled) == pytest.approx(metric(p), abs=1e-12)


@every_metric
def test_repeating_every_row_changes_nothing(metric):
    p = sample()
    assert metric(p.take(torch.arange(len(p.y)).repeat(3))) == pytest.approx(metric(p), abs=1e-12)


@every_metric
def test_weights_say_how_often_a_row_counts(metric):
    p = sample(60)
    functional = as_functional(metric, p)
    times = torch.randint(0, 4, (7, 60), generator=torch.Generator().manual_seed(2))
    repeated = [metric(p.take(torch.arange(60).repeat_interleave(row))) for row in times]
    assert functional(times.double()).tolist() == pytest.approx(repeated, abs=1e-12)


@every_metric
def test_perfect_prediction_has_the_stated_value(metric):
    y = torch.arange(6).repeat(5)
    value = metric(predictions(torch.nn.functional.one_hot(y).double().log(), y))
    perfect = split_partial(metric)[0].perfect
    assert value == perfect or (isnan(value) and isnan(perfect))


@every_metric
def test_better_is_the_stated_direction(metric):
    """Good: 90 % correct with confidence 0.95, errors with 0.55. Bad: 50 % correct with 0.55, errors with 0.95."""
    y = torch.arange(100) % 2

    def two_class(correct: torch.Tensor, sure: torch.Tensor) -> Predictions:
        confidence = torch.where(sure, 0.95, 0.55).double()
        p_of_label = torch.where(correct, confidence, 1 - confidence)
        return predictions(torch.stack([1 - p_of_label, p_of_label], 1).gather(1, torch.stack([1 - y, y], 1)).log(), y)

    most, half = torch.arange(100) < 90, torch.arange(100) < 50
    good, bad = two_class(most, most), two_class(half, ~half)
    better = split_partial(metric)[0].better
    assert {
        "high": metric(good) > metric(bad),
        "low": metric(good) < metric(bad),
        "zero": abs(metric(good)) < abs(metric(bad)),
        None: True,
    }[better]


@every_metric
def test_zero_probability_is_not_nan(metric):
    p = of_probabilities([[0, 0.25, 0.75], [1, 0, 0], [0.5, 0, 0.5], [0.5, 0.5, 0]], [2, 0, 0, 1])
    assert np.isfinite(metric(p))


def test_nll_of_an_impossible_class_is_infinite():
    assert metrics.nll(of_probabilities([[1, 0], [1, 0]], [0, 1])) == torch.inf


def test_values_by_hand():
    p = of_probabilities([[0.5, 0.25, 0.25], [0.2, 0.8, 0.0]], [0, 0])
    assert metrics.accuracy(p) == 0.5
    assert metrics.confidence(p) == pytest.approx(0.65)
    assert metrics.overconfidence(p) == pytest.approx(0.15)
    assert metrics.nll(p) == pytest.approx((log(2) + log(5)) / 2)
    assert metrics.brier(p) == pytest.approx((0.25 + 2 * 0.0625 + 0.64 + 0.64) / 2)
    assert metrics.entropy(p) == pytest.approx((1.5 * log(2) - 0.2 * log(0.2) - 0.8 * log(0.8)) / 2)


def test_uniform_prediction_has_entropy_log_k():
    p = predictions(torch.full((4, 8), 1 / 8).log(), torch.arange(4))
    assert metrics.entropy(p) == pytest.approx(log(8))
    assert metrics.confidence(p) == pytest.approx(1 / 8)


def test_pointwise_metrics_agree_with_sklearn():
    from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

    p = sample(dtype=torch.float64)
    probability, y = p.log_p.exp().numpy(), p.y.numpy()
    assert metrics.nll(p) == pytest.approx(log_loss(y, probability))
    assert metrics.brier(p) == pytest.approx(brier_score_loss(y, probability, scale_by_half=False, labels=range(5)))
    assert metrics.accuracy(p) == pytest.approx(accuracy_score(y, probability.argmax(1)))


def test_single_precision_is_summed_in_double():
    p = sample(4000)
    same = Predictions(p.log_p.double(), p.y, p.rows)
    assert metrics.brier(p) == pytest.approx(metrics.brier(same), abs=1e-12)


@pytest.mark.parametrize(
    ("log_p", "y", "message"),
    [
        (torch.tensor([[1.0, -0.5]]), [0], r"rows sum to 3\.325, not 1. Pass f.log_p, not f.logits"),
        (torch.tensor([[0.5, 0.5]]), [0], "These are probabilities: pass their logarithm"),
        (torch.full((2, 2), 0.5).log(), [[1, 0], [0, 1]], "one-hot, pass y.argmax"),
        (torch.zeros(0, 3), [], "at least one example"),
        (torch.zeros(3), [0, 0, 0], r"shape \(3,\)"),
        (torch.zeros(2, 1, dtype=torch.int64), [0, 0], "torch.int64"),
        (torch.zeros(2, 1), [0, 1], "class indices from 0 to 0 .* y ranges from 0 to 1"),
        (torch.zeros(2, 1), [0, -1], "y ranges from -1 to 0"),
        (torch.zeros(2, 1), [0], r"one entry of y per row of log_p, shape \(2,\); got shape \(1,\)"),
        (torch.zeros(2, 1), [0.0, 0.0], r"whole numbers in y; got torch.float32"),
    ],
)
def test_bad_predictions_are_refused(log_p, y, message):
    with pytest.raises(InputError, match=message):
        predictions(log_p, torch.tensor(y))


def test_rows_of_another_length_are_refused():
    with pytest.raises(InputError, match="one entry of rows per row"):
        predictions(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), torch.arange(3))


@every_metric
def test_what_is_not_predictions_is_refused(metric):
    with pytest.raises(InputError, match=r"needs Predictions, not Tensor; make them with predictions\(log_p, y\)"):
        metric(sample().log_p)
    with pytest.raises(InputError, match="not tuple"):
        metric(tuple(sample()))


@every_metric
def test_empty_split_is_refused(metric):
    with pytest.raises(InputError, match="the split is empty"):
        metric(sample().take(slice(0, 0)))


def test_bad_options_are_refused_all_at_once():
    with pytest.raises(InputError, match=r"(?s)bins = 0.*Did you mean 'edges'"):
        metrics.ece(sample(), bins=0, edge="equal_mass")
