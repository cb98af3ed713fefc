"""Uncertainty of samples: laws, values by hand, and refusals."""

from math import inf, log, nan

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_metrics import sample

from surefooted.core.predictions import predictions
from surefooted.core.scores import entropy, mutual_information
from surefooted.core.types import Forward
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics import uncertainty as u
from surefooted.evaluation.metrics.stability import variance, variance_by_level, variance_shares

every_measure = pytest.mark.parametrize("measure", u.SAMPLE_MEASURES.values(), ids=u.SAMPLE_MEASURES)


def logits(s: int = 4, n: int = 30, k: int = 5, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(s, n, k, generator=torch.Generator().manual_seed(seed))


@every_measure
def test_logits_log_probabilities_and_a_list_are_read_alike(measure):
    z = logits()
    assert measure(z).shape == (30,)
    assert measure(z.double().log_softmax(-1)).allclose(measure(z), atol=1e-12)
    assert measure(list(z)).equal(measure(z)) and measure(tuple(z + 3)).allclose(measure(z), atol=1e-6)


@every_measure
def test_order_of_samples_and_classes_does_not_matter(measure):
    z = logits()
    assert measure(z.flip(0)).allclose(measure(z), atol=1e-12) and measure(z.flip(2)).allclose(measure(z), atol=1e-12)
    assert measure(z.flip(1)).allclose(measure(z).flip(0), atol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 6), st.floats(0, 60))
def test_total_is_expected_plus_mutual_information(seed, s, k, spread):
    z = spread * logits(s, 8, k, seed)
    total, expected, information = u.total_entropy(z), u.expected_entropy(z), u.mutual_information(z)
    assert (total - expected - information).abs().max() < 1e-9
    assert information.min() >= 0 and total.max() <= log(k) + 1e-9 and information.max() <= log(s) + 1e-9
    assert u.margin(z).min() >= 0 and u.margin(z).max() <= 1 + 1e-12


def test_by_hand():
    """Two sure samples that contradict each other, and two that agree on a coin."""
    p = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]], dtype=torch.float64)
    z = p.log()
    assert u.total_entropy(z).tolist() == pytest.approx([log(2), log(2)])
    assert u.expected_entropy(z).tolist() == pytest.approx([0, log(2)])
    assert u.mutual_information(z).tolist() == pytest.approx([log(2), 0])
    assert u.sample_variance(z).tolist() == pytest.approx([1, 0])
    assert u.max_sample_variance(z).tolist() == pytest.approx([0.5, 0])
    assert u.margin(z).tolist() == pytest.approx([0, 0])
    assert u.margin(torch.tensor([[[0.7, 0.1, 0.2]]]).log()).tolist() == pytest.approx([0.5])


def test_means_agree_with_what_else_computes_them():
    z = logits()
    log_ps = list(z.log_softmax(-1))
    means = u.mean_uncertainty(z)
    assert list(means) == list(u.SAMPLE_MEASURES)
    assert means["sample_variance"] == pytest.approx(variance(log_ps))
    mean = predictions(z.double().log_softmax(-1).logsumexp(0) - log(4), torch.zeros(30, dtype=torch.int64))
    assert means["total_entropy"] == pytest.approx(metrics.entropy(mean))
    forward = Forward(z.double(), torch.zeros(30, dtype=torch.int64))
    assert means["total_entropy"] == pytest.approx(float(entropy()(forward).mean()))
    assert u.mutual_information(z).allclose(mutual_information()(forward), atol=1e-9)


def test_one_sample_disagrees_with_nobody_and_has_no_variance():
    z = logits(1)
    assert u.mutual_information(z).max() < 1e-12
    assert list(u.mean_uncertainty(z)) == ["total_entropy", "expected_entropy", "mutual_information", "margin"]
    for measure in (u.sample_variance, u.max_sample_variance):
        with pytest.raises(InputError, match=f"{measure.__name__} needs at least two samples; got 1"):
            measure(z)


@every_measure
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([torch.zeros(3, 4), torch.zeros(3, 5)], r"shapes \[\(3, 4\), \(3, 5\)\]"),
        ([torch.zeros(3, 4), torch.zeros(2, 4)], r"shapes \[\(2, 4\), \(3, 4\)\]"),
        ([], "got no samples"),
        (torch.zeros(3, 4), r"got torch.float32 of shape \(3, 4\)"),
        (torch.zeros(2, 0, 4), r"of shape \(2, 0, 4\)"),
        (torch.zeros(2, 3, 4, dtype=torch.int64), "torch.int64"),
        (torch.tensor([[[nan, 0.0], [0.0, 0.0]]] * 2), "1 of 2 examples contain NaN"),
        (torch.tensor([[[inf, 0.0], [0.0, 0.0]]] * 2), "1 of 2 examples contain NaN or infinite"),
    ],
)
def test_bad_input_is_refused(measure, samples, message):
    with pytest.raises(InputError, match=message):
        measure(samples)


def test_levels_share_out_the_variance():
    log_ps = [sample(60, seed=seed).log_p for seed in range(5)]
    level = torch.tensor([0] * 10 + [1] * 35 + [3] * 15)
    shares = variance_shares(log_ps, level)
    assert float(shares.part.sum()) == pytest.approx(variance(log_ps), abs=1e-15)
    assert float(shares.share.sum()) == pytest.approx(1, abs=1e-12) and shares.share[2] == 0
    own = variance_by_level(log_ps, level)
    counts = np.array([10, 35, 0, 15]) / 60
    assert shares.part.tolist() == pytest.approx(np.nan_to_num(own.numpy() * counts).tolist())
    # A power of two of models that agree: their mean is exact, and so is the absence of variance.
    agreed = variance_shares(log_ps[:1] * 2, level)
    assert agreed.part.sum() == 0 and agreed.share.isnan().all()


def test_variance_shares_refuse_what_variance_refuses():
    log_p = sample(6).log_p
    level = torch.zeros(6, dtype=torch.int64)
    for log_ps, message in (
        ([log_p], "at least two models; got 1"),
        ([log_p, sample(6, k=4).log_p], r"shapes \[\(6, 4\), \(6, 5\)\]"),
        ([log_p[:0], log_p[:0]], "at least one example"),
    ):
        with pytest.raises(InputError, match=f"variance_shares needs .*{message}"):
            variance_shares(log_ps, level)
    with pytest.raises(InputError, match=r"one level per example, shape \(6,\)"):
        variance_shares([log_p, log_p], level[:5])
