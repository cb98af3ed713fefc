"""Detection: against scikit-learn, and ties by hand."""

from functools import partial
from math import inf, isnan, log, nan

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import of_probabilities, sample

from surefooted.core.predictions import predictions
from surefooted.errors import InputError
from surefooted.evaluation.metrics import accuracy, aurc, error_auroc, excess_aurc
from surefooted.evaluation.metrics.detection import auroc_interval, detection, error_detection
from surefooted.evaluation.metrics.levels import by_level
from surefooted.evaluation.metrics.selective import risk_coverage
from surefooted.evaluation.metrics.uncertainty import mutual_information

MEASURES = ("max_probability", "entropy", "margin")
grid = st.lists(st.integers(-3, 4).map(float), min_size=1, max_size=25)


@settings(max_examples=150, deadline=None)
@given(grid, grid, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_agrees_with_sklearn_ties_and_all(inside, outside, tpr):
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    for positive in ("outside", "inside"):
        seen = detection(torch.tensor(inside), torch.tensor(outside), tpr=tpr, positive=positive)
        label = np.array([positive == "inside"] * len(inside) + [positive == "outside"] * len(outside))
        score = np.array(inside + outside) * (1 if positive == "outside" else -1)
        false, true, _ = roc_curve(label, score, drop_intermediate=False)
        assert seen.auroc == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        assert seen.aupr == pytest.approx(average_precision_score(label, score), abs=1e-12)
        assert seen.fpr == pytest.approx(false[true >= tpr - 1e-9].min(), abs=1e-12)
        assert (seen.n_inside, seen.n_outside) == (len(inside), len(outside))


def test_by_hand():
    """Of 6 pairs, outside is higher in 4 and equal in 1. All outside is caught from 2 up: 2 of 3 inside too."""
    seen = detection(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([2.0, 5.0]))
    assert seen.auroc == pytest.approx(4.5 / 6) and seen.fpr == pytest.approx(2 / 3)
    assert seen.aupr == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert detection(torch.tensor([0.0, -inf]), torch.tensor([inf, 1.0]))[:3] == (1, 0, 1)
    assert detection(torch.ones(3), torch.ones(1))[:3] == (0.5, 1, 0.25)


def test_fpr_catches_exactly_the_share_asked_for():
    """19 of 20 are 95 %: the twentieth, at the bottom, may be missed."""
    outside = torch.arange(20.0)
    inside = torch.tensor([0.5, -1.0])
    assert detection(inside, outside).fpr == 0
    assert detection(inside, outside, tpr=0.951).fpr == 0.5


@pytest.mark.parametrize("true", [0.5, 0.8, 0.97])
def test_the_interval_of_auroc_covers(true):
    """Scores of two normals whose AUROC is known: Φ(d / √2)."""
    shift = 2**0.5 * torch.special.ndtri(torch.tensor(true, dtype=torch.float64))
    normal = partial(torch.randn, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seen = [detection(normal(60), normal(40) + shift) for _ in range(600)]
    held = sum(one.low <= true <= one.high for one in seen) / len(seen)
    assert 0.92 <= held <= 0.99 and all(0 <= one.low < one.auroc < one.high <= 1 or one.auroc == 1 for one in seen)


def test_the_interval_of_auroc_at_perfect_separation():
    """It is the mirror of none, and narrows with n."""
    few, many = auroc_interval(1.0, 20, 20), auroc_interval(1.0, 200, 200)
    assert few.high == 1 and 0.8 < few.low < many.low < 1
    none = auroc_interval(0.0, 20, 20)
    assert none.low == 0 and none.high == pytest.approx(1 - few.low)


def test_auroc_is_symmetric():
    a, b = torch.randn(50, generator=torch.Generator().manual_seed(0)).round(decimals=1), torch.linspace(0, 2, 30)
    assert detection(a, b).auroc == pytest.approx(1 - detection(b, a).auroc)
    assert detection(a, b).auroc == detection(a, b, positive="inside").auroc


@pytest.mark.parametrize("by", MEASURES)
def test_error_detection_agrees_with_sklearn(by):
    from sklearn.metrics import roc_auc_score

    p = sample(dtype=torch.float64)
    probability = p.log_p.exp().numpy()
    top = np.sort(probability)[:, ::-1]
    score = {
        "max_probability": 1 - top[:, 0],
        "entropy": -(probability * np.log(probability)).sum(1),
        "margin": top[:, 1] - top[:, 0],
    }[by]
    wrong = probability.argmax(1) != p.y.numpy()
    assert error_auroc(p, by=by) == pytest.approx(roc_auc_score(wrong, score), abs=1e-12)
    assert error_detection(p, by=by).auroc == pytest.approx(error_auroc(p, by=by), abs=1e-12)
    assert error_detection(p, torch.from_numpy(score)) == pytest.approx(error_detection(p, by=by), abs=1e-12)


def test_any_number_per_example_may_detect():
    samples = torch.stack([sample(seed=seed).log_p for seed in range(3)])
    p = predictions(samples.logsumexp(0) - log(3), sample().y)
    seen = error_detection(p, mutual_information(samples))
    assert 0 < seen.auroc < 1 and seen.n_inside == round(accuracy(p) * 500)


def plain_aurc(score, wrong):
    """For every example the error rate of all at most as uncertain, averaged."""
    return np.mean([wrong[score <= s].mean() for s in score])


@pytest.mark.parametrize("by", MEASURES)
def test_aurc_agrees_with_a_plain_loop_and_its_curve(by):
    p = sample(211)
    coarse = (p.log_p.double().exp() * 5).round() + 1
    p = predictions((coarse / coarse.sum(-1, keepdim=True)).log(), p.y)
    curve = risk_coverage(p, by=by)
    probability = p.log_p.exp().numpy()
    top = np.sort(probability)[:, ::-1]
    score = {
        "max_probability": -top[:, 0],
        "entropy": -(probability * np.log(probability)).sum(1),
        "margin": top[:, 1] - top[:, 0],
    }[by].round(12)
    wrong = probability.argmax(1) != p.y.numpy()
    assert risk_coverage(p, torch.from_numpy(score)).area == pytest.approx(plain_aurc(score, wrong), abs=1e-12)
    assert aurc(p, by=by) == pytest.approx(curve.area, abs=1e-12)
    assert curve.coverage[-1] == 1 and float(curve.risk[-1]) == pytest.approx(1 - accuracy(p))
    assert (curve.threshold.diff() > 0).all() and (curve.coverage.diff() > 0).all()


def test_aurc_by_hand():
    """Right, wrong, right by rising uncertainty: risks 0, 1/2, 1/3. Tied, each is read at the end of the tie: 1/3."""
    p = of_probabilities([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], [0, 1, 0])
    assert aurc(p) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert excess_aurc(p) == pytest.approx(aurc(p) - 1 / 3 - 2 / 3 * log(2 / 3))
    assert error_auroc(p) == 0.5
    assert aurc(of_probabilities([[0.9, 0.1]] * 3, [0, 1, 0])) == pytest.approx(1 / 3)
    assert error_auroc(of_probabilities([[0.9, 0.1]] * 3, [0, 1, 0])) == 0.5


def test_uncertainty_that_says_nothing_costs_the_error_rate_and_the_ideal_costs_nothing():
    n = 20_000
    g = torch.Generator().manual_seed(0)
    confidence = 0.6 + 0.3 * torch.rand(n, generator=g, dtype=torch.float64)
    log_p = torch.stack([confidence, 1 - confidence], 1).log()
    p = predictions(log_p, (torch.rand(n, generator=g) < 0.3).long())
    assert aurc(p) == pytest.approx(0.3, abs=0.02) and error_auroc(p) == pytest.approx(0.5, abs=0.02)
    ideal = predictions(log_p, (confidence < confidence.quantile(0.3)).long())
    assert error_auroc(ideal) == 1 and 0 <= excess_aurc(ideal) < 1e-4
    assert excess_aurc(predictions(log_p, torch.ones(n).long())) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("form", [list, np.array, partial(torch.tensor, dtype=torch.int32), torch.tensor])
def test_whole_numbers_are_scores(form):
    """Such as counts of disagreeing members."""
    plain = detection(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([1.0, 4.0]))
    assert detection(form([0, 1, 3]), form([1, 4])) == plain
    p = sample(40)
    score = torch.arange(40)
    assert error_detection(p, form(score.tolist())) == error_detection(p, score.double())
    assert risk_coverage(p, form(score.tolist())).risk.equal(risk_coverage(p, score.double()).risk)


def test_without_errors_there_is_nothing_to_detect():
    p = sample(40)
    right = p.top()[1].bool()
    assert isnan(error_auroc(p.take(right))) and isnan(error_auroc(p.take(~right)))
    assert aurc(p.take(right)) == excess_aurc(p.take(right)) == 0 and aurc(p.take(~right)) == 1
    level = (~right).long() * 2
    assert by_level(error_auroc, p, level).isnan().all()
    for part, word in ((p.take(right), "correct"), (p.take(~right), "wrong")):
        with pytest.raises(InputError, match=f"both correct and wrong predictions; all {len(part.y)} are {word}"):
            error_detection(part)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: detection(torch.zeros(0), torch.ones(2)), r"`inside` has shape \(0,\)"),
        (lambda: detection(torch.ones(2), "sure"), "outside = 'sure': expected numbers"),
        (lambda: detection(torch.ones(2), torch.ones(2), tpr=95), "tpr = 95"),
        (
            lambda: error_detection(sample(5), torch.ones(4)),
            r"shape \(5,\); got torch.float32 of shape \(4,\)",
        ),
        (
            lambda: risk_coverage(sample(2), torch.tensor([nan, 1])),
            "1 of 2 uncertainties are NaN although the prediction is an answer",
        ),
        (lambda: error_detection(sample(5).take(slice(0, 0))), "the split is empty"),
        (lambda: error_auroc(sample(5), by="variance"), "by = 'variance'"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
