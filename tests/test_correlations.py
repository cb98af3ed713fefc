"""Correlations and their intervals, against scipy's."""

from math import nan

import numpy as np
import pytest
import torch
from scipy import stats

from surefooted.errors import InputError
from surefooted.evaluation.analysis import (
    correlation,
)
from surefooted.evaluation.metrics.intervals import resamples


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_correlations_are_scipys(kind):
    of = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[kind]
    rng = np.random.default_rng(0)
    for k in range(10):
        x = rng.normal(1e6 * (k == 3), 1, 50)
        y = 0.5 * x + rng.standard_t(2, 50) if k else -x
        if k > 5:
            x, y = x.round(), y.round()  # ties
        found = correlation(torch.tensor(x), torch.tensor(y), kind=kind, draws=50)
        assert found.value == pytest.approx(of(x, y).statistic, abs=1e-7)
        assert found.low <= found.high and found.n == 50 and found.left_out == 0


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_the_bootstrap_is_scipys_of_each_resample(kind):
    of = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[kind]
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 30)).round(1)
    y = y + x
    values = []
    for w in torch.cat(list(resamples(30, 200, 7, torch.device("cpu")))):
        rows = np.repeat(np.arange(30), w.int().numpy())
        values.append(of(x[rows], y[rows]).statistic)
    found = correlation(torch.tensor(x), torch.tensor(y), kind=kind, draws=200, seed=7, level=0.9)
    ordered = np.sort(values)
    assert found.low == pytest.approx(ordered[9], abs=1e-9) and found.high == pytest.approx(ordered[190], abs=1e-9)
    assert found == correlation(torch.tensor(x), torch.tensor(y), kind=kind, draws=200, seed=7, level=0.9)


@pytest.mark.parametrize("kind, true", [("pearson", 0.6), ("spearman", 6 / np.pi * np.arcsin(0.3))])
def test_intervals_hold_the_true_correlation_as_often_as_they_say(kind, true):
    rng, held = np.random.default_rng(2), 0
    for k in range(200):
        x, noise = rng.normal(size=(2, 100))
        y = 0.6 * x + 0.8 * noise
        found = correlation(torch.tensor(x), torch.tensor(y), kind=kind, draws=200, level=0.9, seed=k)
        held += found.low <= true <= found.high
    assert 0.84 <= held / 200 <= 0.95


def test_pairs_that_are_not_finite_are_left_out_and_counted():
    x = torch.tensor([1.0, 2.0, nan, 4.0, torch.inf, 5.0])
    y = torch.tensor([2.0, 4.5, 1.0, 7.0, 1.0, -torch.inf])
    found = correlation(x, y, draws=10)
    assert (found.n, found.left_out) == (3, 3)
    assert found.value == pytest.approx(stats.pearsonr([1, 2, 4], [2, 4.5, 7]).statistic)
    none = correlation(torch.full((3,), nan), torch.ones(3))
    assert np.isnan(none.value) and (none.n, none.left_out) == (0, 3)
    assert np.isnan(correlation(torch.ones(9), torch.arange(9.0)).value)
    with pytest.raises(InputError, match="per example"):
        correlation(torch.ones(3), torch.ones(4))
    with pytest.raises(InputError, match="kind"):
        correlation(torch.ones(3), torch.ones(3), kind="kendall")
