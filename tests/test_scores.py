"""Scores: gradients against finite differences, values against known answers, sense at saturation and for ensembles."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy as torch_cross_entropy
from torch.nn.functional import kl_div

from surefooted.core import scores
from surefooted.core.scores import at_clean, per_sample
from surefooted.core.types import Forward

ALL = [getattr(scores, name) for name in scores.__all__]


def forward(samples=1, rows=5, classes=6, *, seed=0, soft=False, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(samples, rows, classes, generator=generator, dtype=torch.float64)
    clean = torch.randn(samples, rows, classes, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (rows,), generator=generator)
    target = torch.rand(rows, classes, generator=generator, dtype=torch.float64).softmax(-1) if soft else y
    return Forward(logits, target, clean)


@pytest.mark.parametrize("score", ALL, ids=scores.__all__)
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("soft", [False, True])
def test_the_gradient_matches_finite_differences(score, samples, soft):
    f = forward(samples, soft=soft)
    logits = f.logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: score()(Forward(z, f.target, f.clean)), (logits,))


@pytest.mark.parametrize("score", ALL, ids=scores.__all__)
@pytest.mark.parametrize("samples", [1, 3])
def test_a_saturated_prediction_gives_finite_values_and_gradients(score, samples):
    f = forward(samples, scale=1000.0)
    logits, clean = f.logits.float().requires_grad_(), f.clean.float().requires_grad_()
    value = score()(Forward(logits, f.target, clean))
    (gradient,) = torch.autograd.grad(value.sum(), clean if score is scores.at_clean else logits)
    assert value.isfinite().all() and gradient.isfinite().all()


# Sums over members; ADP asks them to differ, too.
OF_ONE = [name for name in scores.__all__ if name not in ("adp_loss", "summed_cross_entropy")]


@pytest.mark.parametrize("score", [getattr(scores, name) for name in OF_ONE], ids=OF_ONE)
def test_equal_samples_say_what_one_of_them_says(score):
    f = forward()
    copies = Forward(f.logits.expand(4, -1, -1), f.target, f.clean.expand(4, -1, -1))
    assert torch.allclose(score()(copies), score()(f))


@pytest.mark.parametrize("score", ALL, ids=scores.__all__)
def test_adding_a_number_to_all_logits_changes_nothing(score):
    f = forward()
    assert torch.allclose(score()(Forward(f.logits + 7, f.target, f.clean - 3)), score()(f))


def test_scores_agree_with_torch():
    f = forward()
    z, clean = f.logits[0], f.clean[0]
    assert torch.allclose(scores.cross_entropy()(f), torch_cross_entropy(z, f.target, reduction="none"))
    smoothed = torch_cross_entropy(z, f.target, reduction="none", label_smoothing=0.3)
    assert torch.allclose(scores.smoothed_cross_entropy(gamma=0.3)(f), smoothed)
    entropy = torch.distributions.Categorical(logits=z).entropy()
    assert torch.allclose(scores.entropy()(f), entropy)
    assert torch.allclose(scores.entm_loss(lam=2.0)(f), scores.cross_entropy()(f) - 2 * entropy)
    from_clean = kl_div(z.log_softmax(-1), clean.softmax(-1), reduction="none").sum(-1)
    to_clean = kl_div(clean.log_softmax(-1), z.softmax(-1), reduction="none").sum(-1)
    assert torch.allclose(scores.kl_from_clean()(f), from_clean)
    assert torch.allclose(scores.kl_to_clean()(f), to_clean)


def test_margins_by_hand():
    f = Forward(torch.tensor([[[4.0, 1.0, 3.0, 0.0], [1.0, 2.0, 5.0, 3.0]]]), torch.tensor([0, 1]))
    assert torch.allclose(scores.cw_margin()(f), torch.tensor([-1.0, 3.0]))
    assert torch.allclose(scores.dlr()(f), torch.tensor([-1.0 / 3.0, 3.0 / 3.0]))


def test_entropy_by_hand():
    even, sure = torch.zeros(1, 1, 8), torch.tensor([[[900.0, 0.0, 0.0]]])
    assert scores.entropy()(Forward(even, torch.tensor([0]))).item() == pytest.approx(math.log(8))
    assert scores.entropy()(Forward(sure, torch.tensor([0]))).item() == pytest.approx(0, abs=1e-12)


def test_mutual_information_is_all_of_the_entropy_of_samples_that_are_sure_and_disagree():
    logits = torch.tensor([[[100.0, 0.0]], [[0.0, 100.0]]])
    f = Forward(logits, torch.tensor([0]))
    assert scores.mutual_information()(f).item() == pytest.approx(math.log(2))
    assert scores.mutual_information()(forward()).abs().max() < 1e-12


def test_scores_add_subtract_and_scale():
    f = forward()
    a, b = scores.cross_entropy(), scores.entropy()
    assert torch.allclose((a - 2 * b + b * 0.5)(f), a(f) - 1.5 * b(f))
    with pytest.raises(TypeError):
        a * b
    mixed = 0.5 * at_clean(a) + 0.5 * a
    assert mixed.uses_clean and torch.allclose(mixed(f), 0.5 * a(f.at_clean()) + 0.5 * a(f))


def test_per_sample_is_the_mean_of_each_samples_own_loss():
    f = forward(samples=3)
    one_by_one = [scores.cross_entropy()(Forward(f.logits[s : s + 1], f.target)) for s in range(3)]
    assert torch.allclose(per_sample(scores.cross_entropy())(f), torch.stack(one_by_one).mean(0))


def test_variance_and_margin_by_hand():
    p = torch.tensor([[[0.7, 0.2, 0.1]], [[0.5, 0.1, 0.4]]], dtype=torch.float64)
    f = Forward(p.log(), torch.tensor([2]))
    assert float(scores.variance()(f)) == pytest.approx(0.1**2 + 0.05**2 + 0.15**2)
    # The mean prediction is 0.6, 0.15, 0.25: the label, which is not the best class, plays no part.
    assert float(scores.margin_uncertainty()(f)) == pytest.approx(math.log(0.25 / 0.6))


@pytest.mark.parametrize("gap", [10.0, 25.0, 60.0])
@pytest.mark.parametrize("name", ["entropy", "mutual_information"])
def test_a_sure_network_still_has_a_gradient_of_entropy(name, gap):
    """In float32, softmax less one-hot would be rounded away behind a lead of 17."""
    logits = torch.tensor([[[gap, 1.0, 0.0]], [[gap + 1, 0.5, 0.0]]][: 1 if name == "entropy" else 2])
    found, exact = (z.clone().requires_grad_(True) for z in (logits, logits.double()))
    for z in (found, exact):
        getattr(scores, name)()(Forward(z, torch.zeros(1, dtype=torch.int64))).sum().backward()
    assert torch.allclose(found.grad.double(), exact.grad, rtol=1e-5, atol=1e-37)
    assert exact.grad.abs().max() > 0
