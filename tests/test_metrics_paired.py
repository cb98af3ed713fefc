"""Paired comparisons: known p-values, what pairing gains, and how often a claim of the intervals is true."""

from functools import partial
from math import isnan, nan

import pytest
import torch
from scipy import stats
from test_metrics import CASES

from surefooted.core.predictions import Predictions, predictions
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.intervals import bootstrap
from surefooted.evaluation.metrics.measuring import metric_interval
from surefooted.evaluation.metrics.paired import mcnemar, paired_bootstrap, paired_seeds
from surefooted.evaluation.temperature import temperature_scale


def two(n: int = 300, seed: int = 0, better: float = 0.5) -> tuple[Predictions, Predictions]:
    """Two models of like faults on the same examples; the second sees the truth more clearly by ``better``."""
    g = torch.Generator().manual_seed(seed)
    truth = 2 * torch.randn(n, 4, generator=g, dtype=torch.float64)
    y = torch.multinomial(truth.softmax(-1), 1, generator=g)[:, 0]
    shared = torch.randn(n, 4, generator=g, dtype=torch.float64)
    own = torch.randn(2, n, 4, generator=g, dtype=torch.float64)
    first = truth + shared + 0.5 * own[0]
    second = truth + (1 - better) * shared + 0.5 * own[1]
    return predictions(first.log_softmax(-1), y), predictions(second.log_softmax(-1), y)


@pytest.mark.parametrize("metric", CASES.values(), ids=CASES)
def test_difference_is_that_of_the_values_and_turns_its_sign_with_the_order(metric):
    a, b = two()
    there, back = paired_bootstrap(metric, a, b, draws=99), paired_bootstrap(metric, b, a, draws=99)
    assert there.value == pytest.approx(metric(a) - metric(b), abs=1e-12)
    assert (back.value, back.low, back.high, back.p) == pytest.approx((-there.value, -there.high, -there.low, there.p))
    assert there == paired_bootstrap(metric, a, b, draws=99) and there.n == 300


@pytest.mark.parametrize("metric", [metrics.nll, metrics.ece, metrics.aurc])
def test_a_method_does_not_differ_from_itself(metric):
    a, _ = two()
    assert paired_bootstrap(metric, a, a, draws=50)[:4] == (0, 0, 0, 1)


def test_pairing_tells_more_than_two_intervals():
    a, b = two()
    paired = paired_bootstrap(metrics.nll, a, b)
    alone = bootstrap(metrics.nll, a)
    assert paired.high - paired.low < 0.8 * (alone.high - alone.low)
    assert paired.low > 0 and paired.p == pytest.approx(2 / 1001)


def test_p_and_interval_agree():
    for seed in range(20):
        a, b = two(60, seed=seed, better=0.2)
        d = paired_bootstrap(metrics.brier, a, b, draws=399, level=0.9, seed=seed)
        assert (d.p <= 0.1) == (d.low > 0 or d.high < 0) or 0.09 < d.p < 0.11


def test_bootstrap_of_a_mean_agrees_with_the_t_test():
    a, b = two(400, better=0.1)
    each = b.log_p.gather(1, b.y[:, None]) - a.log_p.gather(1, a.y[:, None])
    want = stats.ttest_1samp(each[:, 0].numpy(), 0)
    seen = paired_bootstrap(metrics.nll, a, b, draws=4000)
    low, high = want.confidence_interval(0.95)
    assert (seen.low, seen.high) == pytest.approx((low, high), abs=0.1 * (high - low))
    assert seen.p == pytest.approx(want.pvalue, abs=0.02)


def test_plain_functions_and_options_are_taken():
    a, b = two(50)
    by_rows = paired_bootstrap(lambda p: metrics.ece(p, bins=4), a, b, draws=20)
    assert by_rows == pytest.approx(paired_bootstrap(partial(metrics.ece, bins=4), a, b, draws=20), abs=1e-12)


def test_rows_of_one_example_are_drawn_together():
    a, b = (Predictions(p.log_p.repeat(3, 1), p.y.repeat(3), p.rows.repeat(3)) for p in two(80))
    assert paired_bootstrap(metrics.nll, a, b, draws=50) == pytest.approx(
        paired_bootstrap(metrics.nll, *two(80), draws=50), abs=1e-12
    )


def test_equal_methods_rarely_differ_significantly():
    """Where neither is better p < 0.1 in about a tenth of the worlds."""
    claims = sum(paired_bootstrap(metrics.brier, *two(150, seed=s, better=0), draws=199).p < 0.1 for s in range(300))
    assert 0.05 <= claims / 300 <= 0.165


def of_answers(right: list[bool]) -> Predictions:
    label = torch.tensor([0 if one else 1 for one in right])
    return predictions(torch.nn.functional.one_hot(label, 2).double().log(), torch.zeros(len(right), dtype=torch.int64))


@pytest.mark.parametrize(("alone", "alone_other"), [(0, 0), (5, 0), (1, 9), (7, 7), (30, 12)])
def test_mcnemar_is_the_binomial_test(alone, alone_other):
    a = of_answers([True] * alone + [False] * alone_other + [True] * 10 + [False] * 3)
    b = of_answers([False] * alone + [True] * alone_other + [True] * 10 + [False] * 3)
    seen, n = mcnemar(a, b), alone + alone_other
    # Both tails by counting: all outcomes at most as probable as this one.
    tail = sum(stats.binom.pmf(k, n, 0.5) for k in range(min(alone, alone_other) + 1))
    assert seen == (alone, alone_other, pytest.approx(min(1, 2 * tail)))


def test_paired_seeds_agrees_with_scipy():
    a, b = [0.91, 0.93, 0.9, 0.955], [0.9, 0.91, 0.905, 0.93]
    want = stats.ttest_rel(a, b)
    low, high = want.confidence_interval(0.9)
    assert paired_seeds(a, b, level=0.9) == pytest.approx((0.0125, low, high, want.pvalue, 4))
    assert paired_seeds([0.5, 0.75], [0.25, 0.5])[:4] == (0.25, 0.25, 0.25, 0)
    assert paired_seeds([0.5, 0.75], [0.5, 0.75])[:4] == (0, 0, 0, 1)
    for first in ([0.5], [0.5, nan]):
        seen = paired_seeds(first, [0.25] * len(first))
        assert isnan(seen.low) and isnan(seen.high) and isnan(seen.p)


A, B = two(20)


@pytest.mark.parametrize("compare", [partial(paired_bootstrap, metrics.nll), mcnemar], ids=["bootstrap", "mcnemar"])
@pytest.mark.parametrize(
    ("second", "message"),
    [
        (B.take(slice(0, 19)), r"log_p of \(20, 4\) and \(19, 4\)"),
        (predictions(torch.zeros(20, 5).log_softmax(-1), B.y), r"\(20, 5\)"),
        (B._replace(rows=B.rows + 1), "20 of 20 differ. Predict both on the same split"),
        (B.take(torch.arange(19, -1, -1)), "the same in another order"),
        (B._replace(y=(B.y + (B.rows < 2)) % 4), "2 of 20 rows are labelled differently"),
        (B.log_p, "needs Predictions, not Tensor"),
    ],
)
def test_what_is_not_a_pair_is_refused(compare, second, message):
    with pytest.raises(InputError, match=message):
        compare(A, second)


def test_other_bad_input_is_refused():
    twice = A._replace(rows=A.rows // 2)
    with pytest.raises(InputError, match="10 of 20 rows repeat an example"):
        mcnemar(twice, twice)
    with pytest.raises(InputError, match="got 2 and 1 values"):
        paired_seeds([0.1, 0.2], [0.1])
    with pytest.raises(InputError, match="got none"):
        paired_seeds([], [])
    assert isnan(paired_bootstrap(metrics.nll, A.take(slice(0, 1)), B.take(slice(0, 1))).p)


def drawn(n: int, seed: int) -> Predictions:
    """Overconfident: stated at half the temperature that the labels are drawn at; its ECE is far from 0."""
    g = torch.Generator().manual_seed(seed)
    z = 1.5 * torch.randn(n, 4, generator=g, dtype=torch.float64)
    y = torch.multinomial(z.softmax(-1), 1, generator=g)[:, 0]
    return temperature_scale(predictions(z.log_softmax(-1), y), 0.5)


@pytest.mark.parametrize(
    "metric",
    [
        metrics.accuracy,
        metrics.nll,
        metrics.brier,
        metrics.ece,
        metrics.debiased_ece,
        metrics.error_auroc,
        metrics.aurc,
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(metric):
    metric = partial(metric, bins=8) if "ece" in metric.__name__ else metric
    truth = metric(drawn(200_000, 10**6))
    hits = 0
    for seed in range(160):
        interval = metric_interval(metric, drawn(250, seed), draws=150, level=0.9, seed=seed)
        hits += interval.low <= truth <= interval.high
    assert 0.82 <= hits / 160 <= 0.98  # 3.5 standard errors
