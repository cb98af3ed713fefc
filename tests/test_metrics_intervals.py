"""Intervals: known values, determinism, and coverage."""

from functools import partial
from math import inf, isnan, nan

import pytest
import torch
from scipy import stats
from test_metrics import CASES, sample

from surefooted.core.predictions import Predictions, predictions
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.detection import auroc_interval
from surefooted.evaluation.metrics.functional import split_partial
from surefooted.evaluation.metrics.intervals import (
    Interval,
    binomial_interval,
    bootstrap,
    calibration_interval,
    mean_interval,
    seed_interval,
)
from surefooted.evaluation.metrics.measuring import measure, metric_interval


@pytest.mark.parametrize("metric", CASES.values(), ids=CASES)
def test_bootstrap_is_a_function_of_the_seed_and_not_of_the_order(metric):
    p = sample(200)
    interval = bootstrap(metric, p, draws=100, seed=3)
    assert bootstrap(metric, p, draws=100, seed=3) == interval
    assert bootstrap(metric, p, draws=100, seed=4) != interval
    shuffled = bootstrap(
        metric, p.take(torch.randperm(200, generator=torch.Generator().manual_seed(0))), draws=100, seed=3
    )
    assert shuffled == pytest.approx(interval, abs=1e-12)
    assert interval.n == 200 and interval.value == metric(p) and interval.low < interval.high


@pytest.mark.parametrize("kind", ["percentile", "basic"])
@pytest.mark.parametrize(
    "name", [name for name, metric in CASES.items() if split_partial(metric)[0].interval != "calibration"]
)
def test_bootstrap_holds_the_value(name, kind):
    interval = bootstrap(CASES[name], sample(), draws=200, kind=kind)
    assert interval.low <= interval.value <= interval.high


@pytest.mark.parametrize("metric", CASES.values(), ids=CASES)
def test_weighted_form_draws_the_rows_that_a_plain_function_would_get(metric):
    p = sample(50)
    assert bootstrap(lambda p: metric(p), p, draws=20) == pytest.approx(bootstrap(metric, p, draws=20), abs=1e-12)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.98, 0.975, 0.984, 1000), "0.980 [0.975, 0.984]"),
        (Interval(0.98, 0.9798, 0.9802, 10**6), "0.9800 [0.9798, 0.9802]"),  # 0.0004 wide: a fourth decimal
        (Interval(2e-6, nan, nan, 1), "0.000002 [nan, nan]"),
        (Interval(0.0, 0.0, 0.0), "0.000 [0.000, 0.000]"),
        (Interval(0.5, -inf, inf, 3), "0.500 [-inf, inf]"),
    ],
)
def test_an_interval_prints_as_value_and_bounds(interval, text):
    assert repr(interval) == str(interval) == f"{interval}" == text
    value, bounds = text.split(" ", 1)
    count = f' title="n = {interval.n:,}"' if interval.n else ""
    assert interval._repr_html_() == f"<span{count}>{value} <small>{bounds}</small></span>"


def test_an_interval_is_formatted_and_read_as_its_value():
    interval = Interval(0.5, 0.25, 0.75, 4)
    assert float(interval) == 0.5
    assert f"{interval:.2f}" == "0.50 [0.25, 0.75]" and f"{interval:.1%}" == "50.0 % [25.0, 75.0]"
    assert f"{Interval(nan, nan, nan):.2f}" == str(Interval(nan, nan, nan)) == "undefined"


def test_bootstrap_of_accuracy_is_binomial():
    """Its draws are Binomial(n, accuracy) / n, whose quantiles are known."""
    p = sample(400)
    accuracy = metrics.accuracy(p)
    interval = bootstrap(metrics.accuracy, p, draws=4000, level=0.9)
    low, high = stats.binom(400, accuracy).ppf([0.05, 0.95]) / 400
    assert interval.low == pytest.approx(low, abs=0.006) and interval.high == pytest.approx(high, abs=0.006)


@pytest.mark.parametrize("kind", ["percentile", "basic"])
@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.brier])
def test_coverage(metric, kind):
    truth = metric(sample(200_000, seed=1000))
    hits = 0
    for seed in range(300):
        interval = bootstrap(metric, sample(150, seed=seed), draws=200, seed=seed, level=0.9, kind=kind)
        hits += interval.low <= truth <= interval.high
    assert 0.84 <= hits / 300 <= 0.95  # ± 3.5 standard errors, minus the small loss at 150 examples


def test_basic_interval_mirrors_the_percentile_interval():
    p = sample()
    percentile, basic = (bootstrap(metrics.ece, p, draws=100, kind=kind) for kind in ("percentile", "basic"))
    assert basic.low == 2 * percentile.value - percentile.high and basic.high == 2 * percentile.value - percentile.low


def test_resamples_of_a_calibrated_model_have_a_higher_ece():
    generator = torch.Generator().manual_seed(0)
    log_p = torch.randn(1000, 10, generator=generator).log_softmax(-1)
    p = predictions(log_p, torch.multinomial(log_p.exp(), 1, generator=generator).squeeze(1))
    percentile = bootstrap(metrics.ece, p, draws=200)
    assert (percentile.low + percentile.high) / 2 > percentile.value
    assert bootstrap(metrics.ece, p, draws=200, kind="basic").low < 0.01


def test_rows_of_one_example_are_drawn_together():
    p = sample(100)
    five_times = Predictions(p.log_p.repeat(5, 1), p.y.repeat(5), p.rows.repeat(5))
    assert bootstrap(metrics.brier, five_times, draws=100) == pytest.approx(
        bootstrap(metrics.brier, p, draws=100), abs=1e-12
    )
    as_if_independent = bootstrap(metrics.brier, predictions(five_times.log_p, five_times.y), draws=100)
    assert as_if_independent.high - as_if_independent.low < 0.6 * (
        bootstrap(metrics.brier, p, draws=100).high - bootstrap(metrics.brier, p, draws=100).low
    )


def test_one_example_has_no_interval():
    value, low, high, n = bootstrap(metrics.brier, sample(1))
    assert n == 1 and value == metrics.brier(sample(1)) and isnan(low) and isnan(high)


def test_infinite_nll_is_infinite_only_where_drawn():
    p = predictions(torch.tensor([[1.0, 0.0]] * 4).log(), torch.tensor([0, 0, 0, 1]))
    interval = bootstrap(metrics.nll, p)
    assert interval == Interval(inf, 0.0, inf, 4)


def test_options_travel_in_partial():
    p = sample()
    assert bootstrap(partial(metrics.ece, bins=3), p, draws=50).value == metrics.ece(p, bins=3)
    assert bootstrap(partial(partial(metrics.ece, bins=3), bins=5), p, draws=50) == bootstrap(
        partial(metrics.ece, bins=5), p, draws=50
    )


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (3, 10), (950, 1000), (1, 1)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_binomial_interval_agrees_with_scipy(successes, n, level):
    interval = binomial_interval(successes, n, level=level)
    theirs = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert interval == pytest.approx((successes / n, theirs.low, theirs.high, n), abs=1e-12)


def test_seed_interval_agrees_with_scipy():
    values = [0.91, 0.93, 0.9, 0.955]
    low, high = stats.t.interval(0.9, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert seed_interval(values, level=0.9) == pytest.approx((0.92375, low, high, 4))


def test_one_seed_has_no_interval():
    value, low, high, n = seed_interval([0.9])
    assert (value, n) == (0.9, 1) and isnan(low) and isnan(high)


@pytest.mark.parametrize("odd", [nan, inf])
def test_diverged_seed_is_not_hidden(odd):
    value, low, high, _ = seed_interval([0.9, odd, 0.8])
    assert value == pytest.approx(odd, nan_ok=True) and isnan(low) and isnan(high)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: seed_interval([]), "at least one seed"),
        (lambda: binomial_interval(11, 10), "11 of 10"),
        (lambda: binomial_interval(0, n=0), "n = 0"),
        (lambda: bootstrap(metrics.ece, sample(), level=1.0), "level = 1.0"),
        (lambda: bootstrap(metrics.ece, sample(), draws=0), "draws = 0"),
        (lambda: bootstrap(metrics.ece, sample().log_p), "needs Predictions, not Tensor"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_metric_that_some_draw_leaves_undefined_has_no_interval():
    """One error of forty: more than a third of the draws hold none, and there is nothing to detect."""
    log_p = torch.linspace(0.6, 0.9, 40, dtype=torch.float64)
    log_p = torch.stack((log_p, 1 - log_p), 1).log()
    y = torch.zeros(40, dtype=torch.int64)
    y[3] = 1
    found = bootstrap(metrics.error_auroc, predictions(log_p, y), draws=50)
    assert 0 <= found.value <= 1 and isnan(found.low) and isnan(found.high)


def test_each_metric_gets_the_interval_that_suits_it():
    """Answers that are all right leave accuracy a width, and no calibration error lies outside [0, 1]."""
    log_p = torch.tensor([[0.9, 0.1]]).log().repeat(20, 1)
    p = predictions(log_p, torch.zeros(20, dtype=torch.int64))
    found = measure(p, "accuracy")["accuracy"]
    assert found == binomial_interval(20, 20) and found.low < found.high == 1
    twice = predictions(log_p, p.y, p.rows // 2)  # one example seen twice: not so many trials
    assert measure(twice, "accuracy")["accuracy"] == bootstrap(metrics.accuracy, twice)
    p = sample(60, seed=3)
    for name in [name for name in metrics.__all__ if getattr(metrics, name).interval == "calibration"]:
        found = measure(p, [name], seed=5, draws=50)[name]
        assert found == calibration_interval(getattr(metrics, name), p, seed=5, draws=50) and found.low >= 0
        assert found.high <= 1 and measure(p.take(slice(1)), [name])[name].n == 1
    with pytest.raises(InputError, match=r"needs a calibration error, such as metrics.ece; use bootstrap"):
        calibration_interval(metrics.nll, p)


@pytest.mark.parametrize("metric", [metrics.ece, metrics.classwise_ece])
def test_intervals_of_calibration_errors_cover_at_perfect_calibration_and_exclude_zero_far_from_it(metric):
    """At the true error 0, a 90 % interval begins at 0 for about 95 % of samples: it has one tail. Seen: 93 to 97 %."""
    begins = [calibration_interval(metric, calibrated(150, seed), draws=60, level=0.9).low for seed in range(40)]
    assert sum(low == 0 for low in begins) / 40 >= 0.8  # 95 % minus 4.4 standard errors
    assert calibration_interval(metric, sample(800), draws=100).low > 0.2 * metric(sample(800))


def test_few_errors_leave_the_detection_of_errors_an_interval():
    """One error of 200: most draws have none or two, and a bootstrap interval would be undefined."""
    log_p = torch.linspace(0.6, 0.9, 200, dtype=torch.float64)
    p = predictions(torch.stack((log_p, 1 - log_p), 1).log(), (torch.arange(200) == 60).long())
    found = measure(p, "error_auroc")["error_auroc"]
    assert found == auroc_interval(found.value, 1, 199)._replace(n=200) and found.low < found.value < found.high
    twice = p._replace(rows=p.rows // 2)  # one of 100 examples; the other view of it is right
    assert measure(twice, "error_auroc")["error_auroc"] == auroc_interval(found.value, 1, 100)._replace(n=100)
    right = p.take(p.y == 0)
    assert all(isnan(v) for v in measure(right, "error_auroc")["error_auroc"][:3])


@pytest.mark.parametrize("metric", CASES.values(), ids=CASES)
def test_the_estimate_stands_inside_its_interval(metric):
    """On overconfident, calibrated and perfect predictions, few and many."""
    perfect = predictions(torch.eye(3, dtype=torch.float64).log().repeat(7, 1), torch.arange(3).repeat(7))
    for p in (sample(7, seed=1), sample(200), calibrated(20), calibrated(300), perfect):
        found = metric_interval(metric, p, draws=40)
        assert found.low <= found.value <= found.high or isnan(found.low)


def calibrated(n: int, seed: int = 0) -> Predictions:
    generator = torch.Generator().manual_seed(n + seed)
    log_p = torch.randn(n, 4, generator=generator, dtype=torch.float64).log_softmax(-1)
    return predictions(log_p, torch.multinomial(log_p.exp(), 1, generator=generator).squeeze(1))


def test_a_mean_of_few_has_student_s_interval():
    values = torch.tensor([1.0, 2.0])
    found = mean_interval(values)
    assert found.high - found.value == pytest.approx(12.7062 * values.std().item() / 2**0.5, rel=1e-5)
