"""Minimum-norm attacks: DDN, FMN, nearest boundary and CW-L2 against exact distances, and their contracts."""

from math import inf

import pytest
import torch
from exact import linear
from learnt import learnt
from torch import nn

from surefooted import attacks
from surefooted.attacks.base import Attack
from surefooted.attacks.carlini_wagner import carlini_wagner
from surefooted.attacks.min_norm import ddn, fmn
from surefooted.attacks.nearest_boundary import nearest_boundary
from surefooted.attacks.oracle import Oracle
from surefooted.core.norms import ball
from surefooted.core.scores import cw_margin
from surefooted.core.types import Points
from surefooted.data import digits
from surefooted.evaluation.metrics.levels import levels_of
from surefooted.models.victims import NetworkVictim

L2_ATTACKS = {
    "carlini_wagner": carlini_wagner(search_steps=2, steps=150),
    "carlini_wagner by tanh": carlini_wagner(search_steps=2, steps=150, variable="tanh"),
    "ddn": ddn(),
    "fmn": fmn(steps=40),
    "nearest_boundary": nearest_boundary(),
    "nearest_boundary, one target": nearest_boundary(targets=1),
}
LINF_ATTACKS = {"fmn": fmn(norm="linf", steps=40), "nearest_boundary": nearest_boundary(norm="linf")}
ALL = {**L2_ATTACKS, **{f"{name}, linf": attack for name, attack in LINF_ATTACKS.items()}}


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", [n for n in L2_ATTACKS if n != "ddn"])
def test_every_row_of_a_linear_victim_comes_within_a_hundredth_of_exact(name, classes):
    """Distances from 0.002 to 0.5: without the polish, some are too short for Adam's first step of 0.005 per pixel."""
    net, points, exact = linear(classes)
    exact = exact["l2"]
    result = L2_ATTACKS[name](net, points)
    assert result.found.all()
    assert (result.size >= exact * (1 - 1e-4)).all() and (result.size <= 1.01 * exact).all()


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", LINF_ATTACKS)
def test_linf_attacks_come_within_a_hundredth_of_exact(name, classes):
    net, points, exact = linear(classes)
    exact = exact["linf"]
    result = LINF_ATTACKS[name](net, points)
    assert result.found.all()
    assert (result.size >= exact * (1 - 1e-4)).all() and (result.size <= 1.01 * exact).all()


def test_ddn_comes_within_a_twentieth_where_its_steps_suffice():
    """From radius 1, a hundred steps of 5 % reach 0.006. With more classes its direction is a mixture of theirs."""
    net, points, exact = linear(2)
    exact = exact["l2"]
    result = ddn()(net, points)
    far = exact > 0.02
    assert result.found.all() and far.sum() > 40
    assert (result.size >= exact * (1 - 1e-4)).all() and (result.size[far] <= 1.05 * exact[far]).all()


def test_without_the_polish_near_rows_are_overshot():
    net, points, exact = linear(2)
    exact = exact["l2"]
    plain, polished = (carlini_wagner(search_steps=2, steps=150, polish=n)(net, points) for n in (0, 6))
    assert (plain.size / exact).max() > 1.1 and (polished.size <= plain.size + 1e-6).all()


@pytest.mark.parametrize("name", ALL)
def test_if_a_pixel_reaches_the_box_the_others_move_farther(name):
    """From (0, 0.95) to u + 5 (v − 0.95) = 0.5: v can move by 0.05 only, so u must move by 0.25."""

    class Wall(nn.Module):
        def forward(self, x):
            m = x[:, 0] + 5 * (x[:, 1] - 0.95) - 0.5
            return torch.stack([torch.zeros_like(m), m], 1)

    points = Points(torch.tensor([[0.0, 0.95]]), torch.tensor([0]), torch.arange(1))
    result = ALL[name](Wall(), points)
    exact = 0.25 if "linf" in name else (0.25**2 + 0.05**2) ** 0.5
    assert result.found.all() and result.x.min() >= 0 and result.x.max() <= 1
    assert exact * (1 - 1e-4) <= result.size.item() <= 1.05 * exact


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_found_on_a_constant_prediction(name):
    class Stubborn(nn.Module):
        def forward(self, x):
            return torch.tensor([[9.0, 0.0, 1.0, 2.0]]).expand(len(x), 4) + 0 * x.flatten(1).sum(1, keepdim=True)

    points = Points(torch.rand(5, 1, 4, 4), torch.zeros(5, dtype=torch.int64), torch.arange(5))
    result = ALL[name](Stubborn(), points)
    assert not result.found.any() and torch.equal(result.x, points.x) and (result.size == 0).all()
    assert result.distance.isinf().all()


def test_a_margin_within_rounding_is_not_an_adversarial_example():
    """The margin of this linear victim is x itself: 1e-6 is less than rounding (4e-6), 1e-5 is more."""

    class Identity(nn.Module):
        def forward(self, x):
            return torch.cat([torch.zeros_like(x), x], 1)

    candidates = torch.tensor([[1e-6], [1e-5]])
    attack = Attack(lambda oracle: oracle.finish(candidates), ball("l2", inf), cw_margin(), 1, "nearest")
    victim = NetworkVictim(Identity(), box=(-1.0, 1.0))
    points = Points(torch.full((2, 1), -0.1), torch.tensor([0, 0]), torch.arange(2))
    oracle = Oracle(attack, victim, points, seed=0)
    attack.search(oracle)
    assert oracle.wrong.tolist() == [True, True]  # by its logits, the victim misclassifies both
    assert oracle.result().found.tolist() == [False, True]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return learnt(nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)), 150)


@pytest.fixture(scope="module")
def points():
    return digits().test.points(slice(0, 28))


@pytest.mark.parametrize("name", ALL)
def test_points_are_in_the_box_and_do_not_depend_on_the_batch_size(name, net, points):
    whole, parts = ALL[name](net, points, batch=500), ALL[name](net, points, batch=7)
    assert whole.found.all() and whole.x.min() >= 0 and whole.x.max() <= 1
    assert torch.equal(whole.found, parts.found) and torch.allclose(whole.size, parts.size, rtol=1e-3, atol=1e-5)
    assert torch.equal(whole.distance, whole.size)


@pytest.mark.parametrize("make", [carlini_wagner, ddn, fmn, nearest_boundary])
def test_away_from_prediction_misclassified_rows_have_a_distance_too(make, net, points):
    options = {"search_steps": 2, "steps": 60} if make is carlini_wagner else {"steps": 30}
    wrong = points._replace(y=torch.where(points.rows % 2 == 0, points.y, (points.y + 1) % 10))
    right = net(points.x).argmax(1) == wrong.y
    assert 5 < right.sum() < 23
    by_label, by_own = (make(away_from=source, **options)(net, wrong) for source in ("label", "prediction"))
    assert by_label.found[~right].all() and (by_label.size[~right] == 0).all()
    assert torch.equal(by_label.x[~right], points.x[~right])
    assert (by_own.size > 0).all() and torch.allclose(by_own.size[right], by_label.size[right], rtol=1e-3)
    assert (net(by_own.x).argmax(1) != net(points.x).argmax(1)).all()


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_bits_and_the_model_is_unchanged(name, net, points):
    weights = {k: v.clone() for k, v in net.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = (ALL[name](net.train(), points.take(slice(0, 9)), seed=4) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert torch.equal(torch.get_rng_state(), state) and net.training
    assert all(torch.equal(weights[k], v) for k, v in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_ddn_leaves_a_region_where_the_gradient_of_the_cross_entropy_is_zero():
    """Under a saturated softmax it takes a random direction, which depends on the row alone."""

    class Steep(nn.Module):
        def forward(self, x):
            m = 400 * (x[:, 0] - 0.8)
            return torch.stack([torch.zeros_like(m), m], 1)

    points = Points(torch.full((6, 2), 0.4), torch.zeros(6, dtype=torch.int64), torch.arange(6))
    result = ddn()(Steep(), points)
    assert result.found.all() and (result.size < 0.5).all()
    assert torch.equal(ddn()(Steep(), points.take(slice(2, 4))).x, result.x[2:4])


def test_one_target_ranks_as_carlini_wagner_and_three_find_smaller_perturbations(net):
    """CW-L2 leaves for the first class on its way, as the walk with one target does."""
    many = digits().test.points(slice(0, 150))
    cw = carlini_wagner(away_from="prediction", search_steps=2, steps=200)(net, many).size
    one, three = (nearest_boundary(away_from="prediction", targets=n)(net, many) for n in (1, 3))
    assert one.found.all() and three.found.all()
    assert torch.corrcoef(torch.stack([rank(cw), rank(one.size)]))[0, 1] > 0.98
    apart = (levels_of(cw) - levels_of(one.size)).abs()
    assert (apart <= 1).float().mean() > 0.95
    assert three.size.mean() < one.size.mean() and three.size.mean() < cw.mean()
    assert three.queries.float().mean() < 40


def rank(sizes):
    return sizes.argsort().argsort().float()


def test_there_are_at_most_as_many_targets_as_wrong_classes():
    net, points, exact = linear(2)
    exact = exact["l2"]
    result = attacks.nearest_boundary(targets=9)(net, points)
    assert result.found.all() and torch.allclose(result.size, exact, rtol=0.01)


def test_a_deactivated_row_returns_unchanged_whatever_its_neighbours_are(net):
    """CW-L2 deactivates rows one by one; in a batch with others they are dropped together, and later."""
    points = digits().test.points(slice(0, 120))
    attack = carlini_wagner(steps=150, lr=0.01, polish=0)
    whole = attack(net, points)
    parts = [attack(net, points.take(slice(a, a + 7))) for a in range(0, len(points.y), 7)]
    assert torch.equal(torch.cat([part.queries for part in parts]), whole.queries)
    torch.testing.assert_close(torch.cat([part.size for part in parts]), whole.size, rtol=1e-3, atol=1e-5)
