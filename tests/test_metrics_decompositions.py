"""Decompositions add up exactly, and their terms are what a known world says; debiased errors average to the truth."""

from functools import partial
from math import inf, isnan, log, pi

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import OPTIONS, of_probabilities, sample

from surefooted.core.predictions import Predictions, predictions
from surefooted.errors import InputError
from surefooted.evaluation.metrics import brier, debiased_ece, ece, nll
from surefooted.evaluation.metrics.decompositions import brier_decomposition, decomposition_intervals, nll_decomposition
from surefooted.evaluation.metrics.functional import as_functional
from surefooted.evaluation.metrics.intervals import bootstrap, central_quantiles, resamples

every_option = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: f"{o['edges']}-{o['closed']}")


def adds_up(p: Predictions, **options) -> None:
    b = brier_decomposition(p, **options)
    assert b.brier == brier(p)
    total = b.reliability - b.resolution + b.uncertainty + b.within_variance - b.within_covariance
    assert total == pytest.approx(b.brier, abs=1e-12)
    d = nll_decomposition(p, **options)
    assert d.nll == nll(p)
    if d.nll < inf:
        assert d.calibration + d.refinement + d.within_group == pytest.approx(d.nll, abs=1e-12)
    assert d.refinement == pytest.approx(d.uncertainty - d.resolution, abs=1e-12)
    for term in (b.reliability, b.resolution, b.uncertainty, b.within_variance, d.calibration, d.resolution):
        assert term >= -1e-12


@every_option
@pytest.mark.parametrize("bins", [1, 4, 15, 400])
def test_terms_add_up(options, bins):
    adds_up(sample(331, dtype=torch.float64), bins=bins, **options)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 1)), min_size=1, max_size=20), st.sampled_from(OPTIONS))
def test_terms_add_up_on_edges_and_with_ties(rows, options):
    p = of_probabilities([[c / 10, 1 - c / 10] for c, _ in rows], [y for _, y in rows])
    adds_up(p, bins=5, **options)


@every_option
def test_brier_terms_agree_with_a_plain_loop(options):
    """Murphy's sums over bins found by the reliability curve's own rule, one class at a time."""
    from test_metrics_calibration import plain_gaps

    p = sample(120, k=3, dtype=torch.float64)
    probability, y = p.log_p.exp().numpy(), p.y.numpy()
    want = sum(
        gap**2 * count / 120
        for k in range(3)
        for gap, count in plain_gaps(probability[:, k], (y == k).astype(float), 8, **options)
    )
    assert brier_decomposition(p, bins=8, **options).reliability == pytest.approx(want, abs=1e-12)


def test_by_hand():
    """Half is predicted as (0.75, 0.25) and is class 0 in 1 of 2; half (0.25, 0.75) and is always class 1.

    A class: reliability 0.5 · 0.25² + 0.5 · 0.25² = 0.0625; frequency of class 0 is 0.25; resolution
    0.5 · 0.25² twice = 0.0625; uncertainty 0.1875. Two classes double each.
    """
    p = of_probabilities([[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]], [0, 1, 1, 1])
    b = brier_decomposition(p)
    assert b == pytest.approx((0.375, 0.125, 0.125, 0.375, 0, 0), abs=1e-12)
    d = nll_decomposition(p)
    stated = -(0.5 * log(0.75) + 0.5 * log(0.25))
    assert d.calibration == pytest.approx(0.5 * (stated - log(2)) - 0.5 * log(0.75))
    assert d.refinement == pytest.approx(0.5 * log(2))
    assert d.within_group == pytest.approx(0, abs=1e-12)
    assert d.uncertainty == pytest.approx(-(0.25 * log(0.25) + 0.75 * log(0.75)))


def test_brier_terms_match_variance_and_covariance_of_one_bin():
    p = sample(200, k=3, dtype=torch.float64)
    f, y = p.log_p.exp().numpy(), np.eye(3)[p.y.numpy()]
    b = brier_decomposition(p, bins=1)
    assert b.resolution == pytest.approx(0, abs=1e-12)
    assert b.within_variance == pytest.approx(f.var(0).sum())
    assert b.within_covariance == pytest.approx(2 * sum(np.cov(f[:, k], y[:, k], bias=True)[0, 1] for k in range(3)))
    assert b.reliability == pytest.approx(((f - y).mean(0) ** 2).sum())


def test_perfect_forecast_resolves_all():
    y = torch.arange(6).repeat(5)
    p = predictions(torch.nn.functional.one_hot(y).double().log(), y)
    assert brier_decomposition(p) == pytest.approx((0, 0, 5 / 6, 5 / 6, 0, 0), abs=1e-12)
    assert nll_decomposition(p) == pytest.approx((0, 0, 0, 0, log(6), log(6)), abs=1e-12)


def test_calibration_terms_see_a_temperature_and_resolution_does_not():
    """Two forecasts in all: sharpening keeps the groups, so only calibration moves, by a known amount."""
    g = torch.Generator().manual_seed(0)
    first = torch.rand(40_000, generator=g) < 0.5
    truth = torch.where(first[:, None], torch.tensor([0.6, 0.4]), torch.tensor([0.2, 0.8])).double()
    y = torch.multinomial(truth, 1, generator=g)[:, 0]
    honest, sharp = predictions(truth.log(), y), predictions((2 * truth.log()).log_softmax(-1), y)
    a, b = nll_decomposition(honest), nll_decomposition(sharp)
    assert a.calibration < 2e-4 and a.refinement == pytest.approx(b.refinement)
    stated = truth.square() / truth.square().sum(-1, keepdim=True)
    kl = float((truth * (truth / stated).log()).sum(-1).mean())
    assert b.calibration == pytest.approx(kl, abs=0.01)
    c, d = brier_decomposition(honest), brier_decomposition(sharp)
    assert c.reliability < 2e-4 and c.resolution == pytest.approx(d.resolution)
    assert d.reliability == pytest.approx(float((truth - stated).square().sum(-1).mean()), abs=0.01)


def test_impossible_class_is_infinite_where_it_belongs():
    alone = nll_decomposition(of_probabilities([[1, 0], [1, 0]], [0, 1]))
    assert (alone.nll, alone.calibration, alone.within_group) == (inf, inf, 0)
    mixed = nll_decomposition(of_probabilities([[1, 0], [0.98, 0.02]], [1, 1]))
    assert (mixed.nll, mixed.within_group) == (inf, inf) and mixed.calibration < inf


# The world of the debiased calibration error: confidences 0.55, 0.65, ... and their accuracies.
CONFIDENCE = torch.tensor([0.55, 0.65, 0.75, 0.85, 0.95], dtype=torch.float64)
OVERCONFIDENT_ACCURACY = CONFIDENCE - torch.tensor([0.0, 0.05, 0.1, 0.15, 0.1], dtype=torch.float64)


def world(n: int, seed: int, right: torch.Tensor) -> Predictions:
    g = torch.Generator().manual_seed(seed)
    cell = torch.randint(5, (n,), generator=g)
    # Spread within the bins, so that confidence varies there too; the gap's mean stays.
    stated = CONFIDENCE[cell] + 0.06 * (torch.rand(n, generator=g, dtype=torch.float64) - 0.5)
    correct = torch.rand(n, generator=g, dtype=torch.float64) < right[cell] + stated - CONFIDENCE[cell]
    return predictions(torch.stack([stated, 1 - stated], 1).log(), (~correct).long())


@pytest.mark.parametrize("right", [CONFIDENCE, OVERCONFIDENT_ACCURACY], ids=["calibrated", "overconfident"])
@pytest.mark.parametrize("edges", ["equal_width", "equal_mass"])
def test_debiased_square_averages_to_the_truth(right, edges):
    """Equal-width bins hold one cell each; equal-mass edges move with the sample and mix cells a little."""
    truth = float((CONFIDENCE - right).square().mean())
    # the bins (0.5, 0.6], ..., (0.9, 1] of equal width
    seen = [debiased_ece(world(120, seed, right), bins=10 if edges == "equal_width" else 5, edges=edges, norm="squared")
            for seed in range(300)]  # fmt: skip
    error = np.std(seen) / 300**0.5
    assert abs(np.mean(seen) - truth) < 3.5 * error + (0 if edges == "equal_width" else 3e-4)
    plain = [ece(world(120, seed, right), bins=10) ** 2 for seed in range(50)]
    assert np.mean(plain) > truth + 0.002 or right is OVERCONFIDENT_ACCURACY


def test_debiasing_helps_where_it_is_claimed():
    """At calibration l1 loses 41 % of its bias in the limit of full bins; far from it, nearly all."""
    plain, debiased = (
        [m(world(2000, s, CONFIDENCE), bins=10) for s in range(120)] for m in (ece, partial(debiased_ece, norm="l1"))
    )
    assert 1 - np.mean(debiased) / np.mean(plain) == pytest.approx(0.41, abs=0.06)
    truth = float((CONFIDENCE - OVERCONFIDENT_ACCURACY).abs().mean())
    plain, debiased = (
        np.mean([m(world(300, s, OVERCONFIDENT_ACCURACY), bins=10) for s in range(120)]) - truth
        for m in (ece, partial(debiased_ece, norm="l1"))
    )
    assert plain > 0.01 and abs(debiased) < 0.5 * plain
    assert debiased_ece(world(200_000, 0, OVERCONFIDENT_ACCURACY), bins=10, norm="l2") == pytest.approx(
        float((CONFIDENCE - OVERCONFIDENT_ACCURACY).square().mean()) ** 0.5, abs=0.003
    )


def test_resamples_of_the_debiased_square_are_centred_on_it():
    """A resample has twice the noise, and twice is taken off; ``ece`` drifts upward instead."""
    p = world(1000, 0, OVERCONFIDENT_ACCURACY)
    metric = partial(debiased_ece, norm="squared", bins=10)
    weights = torch.cat(list(resamples(1000, 2000, 0, torch.device("cpu"))))
    draws = as_functional(metric, p)(weights)
    assert float(draws.mean()) == pytest.approx(metric(p), abs=4 * float(draws.std()) / 2000**0.5 + 2e-5)


@pytest.mark.parametrize("edges", ["equal_width", "equal_mass"])
def test_rows_of_one_example_are_no_new_evidence(edges):
    """Four views of each example, alike but for the confidence: taken for independent, their noise would stay in."""
    four, apart = [], []
    for seed in range(80):
        p = world(100, seed, CONFIDENCE)
        log_p = torch.cat([p.log_p] * 4)
        log_p = (log_p + 1e-4 * torch.arange(4).repeat_interleave(100)[:, None] * torch.tensor([1.0, 0])).log_softmax(
            -1
        )
        views = predictions(log_p, p.y.repeat(4), p.rows.repeat(4))
        four.append(debiased_ece(views, bins=10, norm="squared", edges=edges))
        apart.append(debiased_ece(predictions(log_p, views.y), bins=10, norm="squared", edges=edges))
    assert abs(np.mean(four)) < 4 * np.std(four) / 80**0.5 + 5e-4 and np.mean(apart) > 0.004
    assert bootstrap(partial(debiased_ece, edges=edges), views, draws=20).n == 100


def test_the_debiased_error_has_the_scale_of_the_plain_one():
    """It is never larger, by default; the root mean square is never smaller, if there is no noise to take off."""
    for n, right in ((60, CONFIDENCE), (400, OVERCONFIDENT_ACCURACY)):
        p = world(n, 3, right)
        assert debiased_ece(p) == debiased_ece(p, norm="l1") <= ece(p)
    p = world(200_000, 0, OVERCONFIDENT_ACCURACY)
    # What is taken off is at most the bins' mean |noise|: Σ (n_b / n) √(2 / π) / (2 √n_b), largest for equal bins.
    noise = (15 * 2 / pi / 200_000) ** 0.5 / 2
    assert debiased_ece(p, norm="l2") > debiased_ece(p) == pytest.approx(ece(p), abs=noise)


@pytest.mark.parametrize(("score", "decompose"), [("brier", brier_decomposition), ("nll", nll_decomposition)])
def test_terms_of_decompositions_have_intervals(score, decompose):
    p = sample(120)
    found = decomposition_intervals(p, score, bins=8, draws=60)
    assert {name: one.value for name, one in found.items()} == decompose(p, bins=8)._asdict()
    assert all(one.low <= one.value <= one.high and one.n == 120 for one in found.values())
    # The weighted form draws the rows that the plain function would get.
    drawn = torch.cat(list(resamples(120, 60, 0, torch.device("cpu"))))
    whole = [decompose(p.take(torch.arange(120).repeat_interleave(w.long())), bins=8)[0] for w in drawn]
    low, high = central_quantiles(torch.tensor(whole, dtype=torch.float64), 0.95)
    assert found[score].high == pytest.approx(2 * found[score].value - low, abs=1e-9)
    assert found[score].low == pytest.approx(2 * found[score].value - high, abs=1e-9)
    twice = p._replace(rows=p.rows // 2)
    assert decomposition_intervals(twice, score, draws=5)[score].n == 60
    assert all(isnan(one.low) for one in decomposition_intervals(p.take(slice(1)), score).values())
    with pytest.raises(InputError, match="undefined if a row is no answer"):
        decomposition_intervals(p._replace(log_p=p.log_p * torch.nan), score)


def test_one_example_in_each_bin_says_nothing():
    p = of_probabilities([[0.95, 0.05], [0.55, 0.45]], [1, 0])
    for norm in ("l1", "l2", "squared"):
        assert debiased_ece(p, bins=10, norm=norm) == 0
