"""Logits of any size: scaled, a network makes the same decisions, and attacks, predictions and metrics say so."""

import pytest
import torch
from odd_victims import images, plain
from test_attacks import make
from torch import nn

import surefooted as sf
from surefooted.attacks import oracle
from surefooted.core.scores import cross_entropy, cw_margin, smoothed_cross_entropy
from surefooted.core.types import Forward, class_scores, log_mean_softmax, predictive_log_p

FEW = {"steps": 8, "targets": 2, "search_steps": 2, "queries": 20}
RADIUS = {"linf": 0.15, "l2": 1.0}


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.net, self.factor = plain(), factor

    def forward(self, x):
        return self.net(x) * self.factor


@pytest.fixture(scope="module")
def points():
    return images(16)


@pytest.mark.parametrize("factor", [1e-30, 1e-8, 1e-4, 1e3, 1e6])
def test_predictions_name_the_class_of_the_logits(factor, points):
    net = Scaled(factor).eval()
    p = sf.predict(net, points)
    assert torch.equal(p.log_p.argmax(1), net(points.x).argmax(1))
    assert sf.metrics.accuracy(p) == sf.metrics.accuracy(sf.predict(plain(), points))


@pytest.mark.parametrize("factor", [1e-30, 1e-4, 1e3])
@pytest.mark.parametrize(
    ("name", "norm"),
    [("pgd", "linf"), ("apgd", "l2"), ("apgd", "linf"), ("fab", "l2"), ("ddn", "l2"), ("carlini_wagner", "l2")],
)
def test_an_attack_finds_as_much_whatever_the_size_of_the_logits(name, norm, factor, points):
    attack = make(name, norm=norm, eps=RADIUS[norm], **FEW)
    expected, net = attack(plain(), points), Scaled(factor).eval()
    result = attack(net, points)
    assert result.found.sum() >= expected.found.sum() - 1 and expected.found.sum() >= 8
    assert torch.equal(result.found, net(result.x).argmax(1) != points.y)


@pytest.mark.parametrize("factor", [1e-30, 1e-4, 1e4])
def test_distances_to_the_boundary_do_not_depend_on_the_size_of_the_logits(factor, points):
    attack = sf.attacks.nearest_boundary()
    expected, made = attack(plain(), points).distance, attack(Scaled(factor).eval(), points).distance
    torch.testing.assert_close(made, expected, rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("name", ["pgd", "apgd", "autoattack", "nearest_boundary", "ddn", "carlini_wagner"])
def test_of_logits_of_ordinary_size_no_bit_changes(name, points, monkeypatch):
    """With and without what is done for other sizes."""
    attack = make(name, eps=0.1, **FEW)
    made = attack(plain(), points)
    monkeypatch.setattr(oracle, "_scale_of", lambda logits: torch.ones_like(logits[0, :, :1]))
    monkeypatch.setattr(oracle.Oracle, "_value", lambda self, f: self.objective(f))
    before = attack(plain(), points)
    assert all(torch.equal(a, b) for a, b in zip(made, before))


def test_logits_are_scaled_by_powers_of_two_only_if_they_all_but_coincide():
    rows = [[8.0, -3.0], [0.02, 0.0], [0.01, 0.0], [1e-3, 0.0], [1e3 + 0.001, 1e3], [1e-35, 0.0], [2.0, 2.0]]
    logits = torch.tensor([[*rows, [-torch.inf, 0.0], [torch.nan, 0.0], [torch.inf, 0.0]]])
    scale = oracle._scale_of(logits)[:, 0]
    assert (scale == 1).tolist() == [True, True, True, False, False, False, True, True, True, True]
    assert (scale.log2() % 1 == 0).all()
    spread = (logits[0] * scale[:, None]).diff(dim=1).abs()[3:5, 0]
    assert ((spread >= 4) & (spread < 8)).all()
    assert torch.equal(oracle._scale_of(logits.expand(2, -1, -1)), torch.ones(10, 1))  # of several samples none
    assert oracle._scale_of(torch.tensor([[[1e-3, 0.0, -torch.inf]]])) == oracle._scale_of(
        torch.tensor([[[1e-3, 0.0]]])
    )


def test_classes_that_rounding_merges_stay_apart():
    logits = torch.tensor([[[0.1, 0.10000001, 0.0, 0.10000001]]])
    assert class_scores(logits).argmax() == 1 == predictive_log_p(logits).argmax()
    log_p = log_mean_softmax(logits)
    assert log_p.argmax() == 0  # merged
    torch.testing.assert_close(predictive_log_p(logits), log_p, atol=3e-7, rtol=0)
    tied = torch.tensor([[[2.0, 5.0, 5.0]]])
    assert torch.equal(predictive_log_p(tied), log_mean_softmax(tied)) and class_scores(tied).argmax() == 1
    samples = torch.randn(3, 50, 4)
    assert torch.equal(predictive_log_p(samples), log_mean_softmax(samples))
    assert torch.equal(class_scores(samples), log_mean_softmax(samples))
    single = torch.randn(1, 5000, 10)
    assert torch.equal(predictive_log_p(single), log_mean_softmax(single))


@pytest.mark.parametrize("score", [cross_entropy(), smoothed_cross_entropy(gamma=0)])
def test_a_saturated_cross_entropy_is_raised_as_the_margin_and_any_other_as_it_is(score):
    logits = torch.tensor([[[5.0, 0.0, -2.0], [80.0, 0.0, -2.0], [0.0, 200.0, 0.0], [200.0, 0.0, -50.0]]])
    y = torch.tensor([0, 0, 0, 0])
    gradients = []
    for function in (score.evaluate, score.ascent, cw_margin().evaluate):
        z = logits.clone().requires_grad_()
        value = function(Forward(z, y))
        gradients.append((value.detach(), torch.autograd.grad(value.sum(), z)[0][0]))
    (value, gradient), (raised, ascent), (margin, steepest) = gradients
    assert torch.equal(raised[:3], value[:3]) and torch.equal(ascent[:3], gradient[:3])
    assert not gradient[3].any() and raised[3] == margin[3] == -200 and torch.equal(ascent[3], steepest[3])
    distribution = Forward(logits, torch.eye(3)[y])
    assert torch.equal(score.ascent(distribution), score(distribution))
    assert smoothed_cross_entropy(gamma=0.1).ascent is None
