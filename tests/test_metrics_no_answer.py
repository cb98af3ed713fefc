"""Rows without an answer: NaN or +inf among the logits counts as wrong with confidence 1, for every class alike."""

from functools import partial
from math import inf, isnan, nan

import pytest
import torch
from test_metrics import CASES, sample

from surefooted.core.predictions import Predictions, predictions, predictions_from_logits
from surefooted.core.types import log_mean_softmax
from surefooted.errors import InputError, NonFiniteOutput
from surefooted.evaluation import metrics, recalibration
from surefooted.evaluation.analysis import correlation
from surefooted.evaluation.metrics.decompositions import brier_decomposition, nll_decomposition
from surefooted.evaluation.metrics.detection import detection, error_detection
from surefooted.evaluation.metrics.functional import split_partial
from surefooted.evaluation.metrics.levels import by_level
from surefooted.evaluation.metrics.measuring import measure
from surefooted.evaluation.metrics.paired import mcnemar, paired_bootstrap
from surefooted.evaluation.metrics.reliability import reliability_curve
from surefooted.evaluation.metrics.selective import risk_coverage
from surefooted.evaluation.metrics.stability import variance
from surefooted.evaluation.metrics.uncertainty import uncertainties
from surefooted.evaluation.temperature import cross_fit_temperature, fit_temperature, temperature_scale


def spoil(p: Predictions, *rows: int) -> Predictions:
    """The same predictions, without an answer in some rows."""
    log_p = p.log_p.clone()
    log_p[list(rows)] = nan
    return p._replace(log_p=log_p)


@pytest.mark.parametrize("bad", [nan, inf])
@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_what_is_not_finite_is_wrong_whatever_the_class(bad, label, column):
    logits = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    logits[1, column] = bad
    with pytest.warns(
        NonFiniteOutput, match=r"1 of 2 rows have NaN or \+inf .* the first is row 1. They count as wrong"
    ):
        p = predictions_from_logits(logits, [0, label])
    assert p.answered.tolist() == [True, False] and repr(p) == "Predictions(n=2, classes=3, no_answer=1)"
    assert metrics.accuracy(p) == 0.5
    assert [part.tolist()[1] for part in p.top()] == [1, 0]
    with pytest.warns(NonFiniteOutput, match="1 of 2 rows"):
        assert repr(predictions(p.log_p, p.y)) == repr(p)


def test_an_excluded_class_is_an_answer():
    p = predictions_from_logits([[1.0, -inf, 0.0]], [1])
    assert p.answered.all() and metrics.nll(p) == inf and metrics.brier(p) < 2


@pytest.mark.parametrize("metric", CASES.values(), ids=CASES)
def test_no_metric_becomes_nan_or_better_if_an_answer_is_lost(metric):
    """The row that is lost was right, or wrong; losing it is never an improvement."""
    p = sample(120)
    for row in (int(p.top()[1].argmax()), int(p.top()[1].argmin())):
        before, after = metric(p), metric(spoil(p, row))
        assert not isnan(after)
        function = split_partial(metric)[0]
        if function.interval == "calibration":  # one row moves the edges of all bins
            continue
        better = function.better
        if better == "high":
            assert after <= before
        if better == "low":
            assert after >= before - 1e-12
    interval = measure_quietly(spoil(p, 3, 4), metric)
    assert not isnan(interval.value) and not isnan(interval.low) and not isnan(interval.high)


def measure_quietly(p, metric):
    with pytest.warns(NonFiniteOutput, match="2 of 120 rows"):
        return measure(p, {"one": metric}, draws=20)["one"]


def test_values_of_the_rule():
    p = spoil(sample(10), 4)
    rest = p.take(p.answered)
    assert metrics.accuracy(p) == pytest.approx(0.9 * metrics.accuracy(rest))
    assert metrics.brier(p) == pytest.approx(0.9 * metrics.brier(rest) + 0.2)
    assert metrics.confidence(p) == pytest.approx(0.9 * metrics.confidence(rest) + 0.1)
    assert metrics.nll(p) == inf
    alone = p.take(slice(4, 5))
    assert metrics.ece(alone) == metrics.classwise_ece(alone) == metrics.max_calibration_error(alone) == 1
    assert metrics.aurc(alone) == 1 and reliability_curve(alone).count.tolist() == [0] * 14 + [1]
    assert by_level(metrics.ece, p, [0] * 4 + [1] + [0] * 5).tolist() == [metrics.ece(rest), 1]


def test_only_answers_are_fitted():
    p = sample(200)
    spoilt, rest = spoil(p, 0, 7), p.take(torch.tensor([i for i in range(200) if i not in (0, 7)]))
    assert fit_temperature(spoilt) == fit_temperature(rest)
    assert temperature_scale(spoilt, 2.0).answered.sum() == 198 == cross_fit_temperature(spoilt)[0].answered.sum()
    for fit in (
        recalibration.temperature_scaling,
        recalibration.vector_scaling,
        partial(recalibration.dirichlet_scaling, off_diagonal=0.1, intercept=0.1),
    ):
        of_all, of_rest = fit(spoilt), fit(rest)
        assert of_all.weight.equal(of_rest.weight) and of_all(spoilt).answered.sum() == 198
    with pytest.raises(InputError, match="no answer"):
        fit_temperature(spoil(p, *range(200)))
    with pytest.raises(InputError, match="no answer"):
        recalibration.vector_scaling(spoil(p, *range(200)))


def test_a_detector_is_wrong_where_it_has_no_score():
    found = detection([0.0, 1.0, nan], [2.0, nan])
    # Of 6 pairs, only 2.0 against 0.0 and 1.0 are in order.
    assert found.auroc == pytest.approx(2 / 6) and found.no_answer == 2
    p = spoil(sample(60), 5)
    assert error_detection(p).auroc == pytest.approx(metrics.error_auroc(p))
    given = torch.linspace(0, 1, 60)
    given[5] = nan
    assert risk_coverage(p, given).risk[0] == 1  # the row without an answer is answered first, and is wrong
    with pytest.raises(InputError, match="1 of 60 uncertainties are NaN although"):
        risk_coverage(sample(60), given)


def test_an_average_with_one_member_that_fails_is_no_answer():
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    logits[1, 2, 0] = nan
    with pytest.warns(NonFiniteOutput, match="1 of 4 rows"):
        p = predictions(log_mean_softmax(logits), torch.zeros(4, dtype=torch.int64))
    assert p.answered.tolist() == [True, True, False, True]
    with pytest.warns(NonFiniteOutput, match="1 of 4 examples .* example 2"):
        scores = uncertainties(logits)
    assert all(score.isnan().tolist() == [False, False, True, False] for score in scores.values())
    with pytest.raises(InputError, match="variance needs log-probabilities; 1 of 4 rows hold NaN"):
        variance([logits[0].log_softmax(-1), logits[1].log_softmax(-1)])


def test_comparisons_and_correlations_know_it():
    p = sample(50)
    right = p.top()[1].bool().nonzero()[:, 0]
    spoilt = spoil(p, int(right[0]))
    assert mcnemar(p, spoilt)[:2] == (1, 0)
    assert paired_bootstrap(metrics.accuracy, p, spoilt, draws=20).value == pytest.approx(1 / 50)
    assert correlation([1.0, 2.0, nan, 3.0], [1.0, 2.0, 3.0, inf]).left_out == 2
    for decompose in (brier_decomposition, nll_decomposition):
        with pytest.raises(InputError, match=r"is undefined if a row is no answer: 1 of 50 .*p.take\(p.answered\)"):
            decompose(spoilt)
