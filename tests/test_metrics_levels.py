"""Robustness levels, variance over seeds, robust accuracy."""

from functools import partial
from math import inf, isnan, nan

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_metrics import sample

from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.intervals import binomial_interval
from surefooted.evaluation.metrics.levels import by_level, levels_of
from surefooted.evaluation.metrics.measuring import measure_by_level, metric_interval
from surefooted.evaluation.metrics.robustness import accuracy_curve, robust_accuracy, size_quantiles
from surefooted.evaluation.metrics.stability import variance, variance_by_level


@given(st.lists(st.one_of(st.sampled_from([0.0, 0.5, inf]), st.floats(0, 10)), min_size=1, max_size=60), st.data())
def test_levels_are_equally_sized_and_ordered(sizes, data):
    r = data.draw(st.integers(1, len(sizes)))
    level = levels_of(torch.tensor(sizes, dtype=torch.float64), levels=r)
    count = torch.bincount(level, minlength=r)
    assert len(count) == r and count.max() - count.min() <= 1
    ranked = [(size, row) for row, size in enumerate(sizes)]
    assert level[[row for _, row in sorted(ranked)]].diff().ge(0).all()  # by size, and by row among equals


def test_levels_by_hand():
    assert levels_of(torch.tensor([0.3, inf, 0.1, 0.3, 0.2]), levels=3).tolist() == [1, 2, 0, 1, 0]
    assert levels_of(torch.full((6,), inf), levels=3).tolist() == [0, 0, 1, 1, 2, 2]


def test_metric_by_level_is_the_metric_of_each_level():
    p = sample(100)
    level = levels_of(torch.rand(100, generator=torch.Generator().manual_seed(0)), levels=4)
    want = [metrics.ece(p.take(level == r)) for r in range(4)]
    assert by_level(metrics.ece, p, level).tolist() == want
    both = by_level([metrics.accuracy, metrics.ece], p, level)
    assert both.shape == (2, 4) and both[1].tolist() == want
    # Equally sized levels: the mean of a mean is the mean.
    assert float(both[0].mean()) == pytest.approx(metrics.accuracy(p))


def test_each_level_has_the_intervals_of_its_examples():
    p, level = sample(60), torch.arange(60) % 3 * 2  # levels 1 and 3 are empty
    found = measure_by_level(p, level, ["accuracy", {"ece": {"bins": 5}}], draws=20)
    assert list(found) == ["accuracy", "ece"] and len(found["ece"]) == 5
    part = p.take(level == 2)
    assert found["accuracy"][2] == metric_interval(metrics.accuracy, part)
    assert found["ece"][2] == metric_interval(partial(metrics.ece, bins=5), part, draws=20)
    assert isnan(found["ece"][1].value) and found["ece"][1].n == 0
    with pytest.raises(InputError, match="measure_by_level needs one level per example"):
        measure_by_level(p, level[:3])


def test_level_without_examples_is_nan():
    assert by_level(metrics.accuracy, sample(3), torch.tensor([0, 2, 2])).isnan().tolist() == [False, True, False]
    two = [sample(3, seed=seed).log_p for seed in range(2)]
    assert variance_by_level(two, torch.tensor([0, 2, 2])).isnan().tolist() == [False, True, False]


def test_variance_by_hand():
    """p̄ = (0.6, 0.4) and (1, 0); the squared distances are 2 · 0.1² twice and 0 twice; 1/(2 - 1) · 1/2 · 0.04."""
    one = torch.tensor([[0.7, 0.3], [1.0, 0.0]], dtype=torch.float64).log()
    two = torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64).log()
    assert variance([one, two]) == pytest.approx(0.02)
    assert variance_by_level([one, two], torch.tensor([0, 1])).tolist() == pytest.approx([0.04, 0])


def test_variance_agrees_with_numpy_and_its_levels_average_to_it():
    log_ps = [sample(60, seed=seed).log_p for seed in range(5)]
    p = np.stack([log_p.double().exp().numpy() for log_p in log_ps])
    want = ((p - p.mean(0)) ** 2).sum() / (4 * 60)
    assert variance(log_ps) == pytest.approx(want)
    assert float(variance_by_level(log_ps, torch.arange(60) % 3).mean()) == pytest.approx(want)
    assert variance([log_ps[0]] * 3) == pytest.approx(0, abs=1e-15)


def test_robust_accuracy_is_a_share_with_wilsons_interval():
    found = torch.tensor([True] * 30 + [False] * 70)
    assert robust_accuracy(found) == binomial_interval(70, 100)
    assert robust_accuracy(found, level=0.9) == binomial_interval(70, 100, level=0.9)


def test_accuracy_curve_by_hand():
    size = torch.tensor([0.0, 8 / 255, 0.1, nan, 0.01])
    found = torch.tensor([True, True, True, False, False])
    assert accuracy_curve(size, found, [0, 8 / 255, 0.05, 0.2]).tolist() == pytest.approx([0.8, 0.6, 0.6, 0.4])


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_invert_the_curve(rows, q):
    size, found = torch.tensor([size for size, _ in rows]), torch.tensor([broken for _, broken in rows])
    at = size_quantiles(size, found, [q])
    assert float(accuracy_curve(size, found, at)[0]) <= 1 - q + 1e-8 or at.isinf()
    curve = accuracy_curve(size, found, torch.linspace(0, 1, 9))
    assert (curve.diff() <= 0).all() and curve[-1] == (~found).double().mean()


def test_size_quantiles_by_hand():
    size, found = torch.tensor([0.4, 0.1, 0.3, 0.2]), torch.tensor([False, True, True, True])
    assert size_quantiles(size, found).tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert size_quantiles(size, found, [0.9]).tolist() == [inf]
    hundred = torch.arange(1.0, 101.0)
    assert size_quantiles(hundred, torch.ones(100, dtype=torch.bool), [0.0, 0.07, 1.0]).tolist() == [1, 7, 100]


LOG_P = sample(4).log_p


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: levels_of(torch.tensor([1.0, nan]), levels=1), "1 of 2 are NaN"),
        (lambda: levels_of(torch.ones(3)), "got 3 examples for 10 levels"),
        (lambda: levels_of(torch.ones(3, 3)), r"one size per example, shape \(n,\); got shape \(3, 3\)"),
        (
            lambda: by_level(metrics.ece, sample(4), torch.zeros(3, dtype=torch.int64)),
            r"shape \(4,\); got shape \(3,\)",
        ),
        (lambda: by_level(metrics.ece, sample(2), torch.tensor([0, -1])), "from -1"),
        (lambda: variance([LOG_P]), "at least two models; got 1"),
        (lambda: variance([LOG_P, LOG_P[:3]]), r"shapes \[\(3, 5\), \(4, 5\)\]"),
        (lambda: variance([LOG_P, LOG_P.exp()]), "pass their logarithm"),
        (lambda: robust_accuracy(torch.tensor([0, 1])), "torch.int64"),
        (lambda: robust_accuracy(torch.zeros(0, dtype=torch.bool)), r"of shape \(0,\)"),
        (lambda: accuracy_curve(torch.ones(2), torch.tensor([True]), [0.1]), "one size per example"),
        (lambda: accuracy_curve(torch.tensor([nan]), torch.tensor([True]), [0.1]), "1 of 1 are NaN"),
        (
            lambda: size_quantiles(torch.ones(1), torch.tensor([True]), [50.0]),
            r"shares from 0 to 1 in `q`; got \[50.0\]",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
