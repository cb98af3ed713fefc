"""Auto-PGD: schedule, walk against a row-by-row implementation, exact linear victims, targets, stochastic victims."""

from itertools import pairwise

import pytest
import torch
from exact import linear
from torch import nn

from surefooted.attacks.apgd import apgd, apgd_t, checkpoints
from surefooted.attacks.oracle import Oracle
from surefooted.core.norms import ball
from surefooted.core.scores import cross_entropy, cw_margin, dlr, targeted_dlr
from surefooted.core.types import Forward, Points
from surefooted.errors import InputError
from surefooted.models.victims import NetworkVictim


class RecordingNet(nn.Module):
    """Records every point that it classifies."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return self.net(x)


def small_net(classes=10, dimensions=12):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(dimensions, 20), nn.Tanh(), nn.Linear(20, classes)).eval()


def own_points(net, rows=20, dimensions=12):
    x = torch.rand(rows, dimensions, generator=torch.Generator().manual_seed(1))
    return Points(x, net(x).argmax(1), torch.arange(rows))


def test_checkpoints_come_closer_and_closer():
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checkpoints(100).values()) == [22, 19, 16, 13, 10, 7, 6, 6]
    assert list(checkpoints(12)) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11] and checkpoints(1) == {}


def by_hand(net, x0, y, start, loss, norm, eps, steps, rho):
    """The points that APGD visits from ``start`` for one row, written out step by step."""
    allowed = ball(norm, eps)

    def evaluate(x):
        x = x.clone().requires_grad_()
        value = loss(Forward(net(x)[None], y))
        return float(value.detach()), torch.autograd.grad(value.sum(), x)[0]

    def project(x):
        return (x0 + allowed.clip(x - x0)).clamp(0, 1)

    def direction(g):
        return g.sign() if norm == "linf" else g / g.norm()

    x = before = best = start
    top, g = evaluate(x)
    best_g, alpha, values, halved, last_top = g, 2 * eps, [], True, top
    visited = [x]
    for k in range(steps):
        ahead = project(x + alpha * direction(g))
        new = project(x + (0.75 if k else 1) * (ahead - x) + (0.25 if k else 0) * (x - before))
        before, x = x, new
        value, g = evaluate(x)
        visited.append(x)
        values.append(value)
        if value > top:
            top, best, best_g = value, x, g
        if k + 1 in (windows := checkpoints(steps)):
            # The step before the first one counts as 0.
            window = [0.0, *values][-windows[k + 1] - 1 :]
            slow = sum(b > a for a, b in pairwise(window)) <= rho * windows[k + 1]
            stuck = not halved and top <= last_top
            halved, last_top = slow or stuck, top
            if halved:
                alpha, x, g = alpha / 2, best, best_g
    return torch.cat(visited)


@pytest.mark.parametrize("rho", [0.75, 0.25])  # with 0.25, some rows stall between two checkpoints
@pytest.mark.parametrize("norm, eps", [("linf", 0.1), ("l2", 0.3)])
@pytest.mark.parametrize("loss", [cross_entropy(), dlr()], ids=["ce", "dlr"])
def test_the_walk_equals_that_of_each_row_alone(norm, eps, loss, rho):
    """In double precision, on a network so non-linear that steps overshoot."""
    net, x, steps = small_net().double(), own_points(small_net()).x.double(), 40
    net[0].weight.data *= 6
    points, recorder = Points(x, net(x).argmax(1), torch.arange(len(x))), RecordingNet(net)
    found = apgd(norm=norm, eps=eps, steps=steps, objective=loss, rho=rho, keep="worst")(recorder, points).found
    walk = torch.stack(recorder.seen[-steps - 2 : -1])  # the last call asks for the verdict
    # Beyond the boundary the ratio to the class in third place is constant, and its gradient is rounding.
    rows = (~found | (loss.called == "cross_entropy")).nonzero()[:, 0].tolist()
    alone = [by_hand(net, x[r, None], points.y[r, None], walk[0, r, None], loss, norm, eps, steps, rho) for r in rows]
    apart = (walk[:, rows] - torch.stack(alone, 1)).abs().amax((0, 2))
    # Where a score is constant, rounding decides whether it rose: not every pair of walks stays together to the end.
    assert len(rows) > 10 and (apart < 1e-6).float().mean() >= (1 if rho == 0.75 else 0.9)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_starts_on_the_edge_of_the_ball(norm):
    net = RecordingNet(small_net())
    points = own_points(net)
    net.seen.clear()
    apgd(norm=norm, eps=0.2, steps=1, keep="worst", clip=False)(net, points)
    start = net.seen[-3]  # before the last iterate and the verdict
    assert torch.allclose(ball(norm, 0.2).size(start - points.x), torch.full((20,), 0.2), atol=1e-6)
    assert not torch.equal(start[0] - points.x[0], start[1] - points.x[1])


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_it_breaks_exactly_the_breakable_rows_of_a_linear_victim(norm, share):
    net, points, exact = linear()
    eps = float(exact[norm].quantile(share))
    found = apgd(norm=norm, eps=eps)(net, points).found
    assert found[exact[norm] < eps * 0.999].all() and not found[exact[norm] > eps * 1.001].any()


def test_targeted_dlr_by_hand():
    now = torch.tensor([[[4.0, 1.0, 3.0, 0.0, 2.0], [1.0, 2.0, 5.0, 3.0, 0.0]]])
    clean = torch.tensor([[[9.0, 5.0, 1.0, 7.0, 3.0], [0.0, 8.0, 1.0, 2.0, 3.0]]])
    f = Forward(now, torch.tensor([0, 1]), clean)
    # Likeliest wrong classes of the clean rows: 3, 1, 4, 2 and 4, 3, 2, 0; denominators 4 and 5, minus (2 + 1) / 2.
    for rank, moved in ((1, (-4.0, -2.0)), (2, (-3.0, 1.0)), (3, (-2.0, 3.0)), (4, (-1.0, -1.0))):
        expected = torch.tensor([moved[0] / 2.5, moved[1] / 3.5])
        assert torch.allclose(targeted_dlr(rank=rank)(f), expected, atol=1e-6)
    with pytest.raises(InputError, match="rank 5, but there are only 4"):
        targeted_dlr(rank=5)(f)


class Stubborn(nn.Module):
    """Always predicts class 0, with logits that change with the input."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, x):
        return nn.functional.pad(5 + x[:, :1], (0, self.classes - 1)) + 0.1 * x[:, : self.classes]


@pytest.mark.parametrize("classes, tried", [(4, 3), (5, 4), (12, 9)])
def test_there_are_at_most_as_many_targets_as_wrong_classes(classes, tried):
    points = Points(torch.rand(6, 12), torch.zeros(6, dtype=torch.int64), torch.arange(6))
    result = apgd_t(eps=0.1, steps=3)(Stubborn(classes), points)
    assert not result.found.any() and (result.queries == 1 + tried * 4).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_too_few_classes_are_refused(classes):
    points = Points(torch.rand(6, 12), torch.zeros(6, dtype=torch.int64), torch.arange(6))
    with pytest.raises(InputError, match=f"needs 4 classes; the model has {classes}"):
        apgd_t(eps=0.1, steps=3)(Stubborn(classes), points)
    if classes == 2:
        with pytest.raises(InputError, match="dlr needs 3 classes"):
            apgd(eps=0.1, steps=3, objective="dlr")(Stubborn(classes), points)


def test_later_targets_attack_only_the_rows_that_withstood():
    net = small_net()
    points = own_points(net, rows=200)
    one, all_of_them = (apgd_t(eps=0.08, steps=10, targets=n)(net, points) for n in (1, 3))
    assert one.found.any() and all_of_them.found.sum() > one.found.sum() and all_of_them.found[one.found].all()
    assert torch.equal(all_of_them.queries[one.found], one.queries[one.found])
    assert torch.equal(all_of_them.x[one.found], one.x[one.found])


def test_the_worst_of_more_targets_is_at_least_as_bad():
    """Values of different targets have no order, so points are ranked by margin."""
    net = small_net()
    points = own_points(net, rows=60)
    margins = []
    for targets in (1, 3):
        kept = apgd_t(eps=0.02, steps=10, targets=targets, keep="worst")(net, points)
        margins.append(cw_margin()(Forward(net(kept.x)[None].detach(), points.y)))
    assert (margins[1] >= margins[0] - 1e-6).all() and (margins[1] > margins[0] + 1e-6).any()


@pytest.mark.parametrize("keep", ["found", "worst", "last"])
def test_queries_count_all_forward_passes(keep):
    net = small_net()
    result = apgd(eps=1e-4, steps=6, keep=keep)(net, own_points(net))
    assert (result.queries[~result.found] == 8).all() and not result.found.all()


def test_it_works_as_an_inner_maximisation():
    net = small_net()
    points = own_points(net)
    for attack in (apgd(eps=0.1, steps=5), apgd_t(eps=0.1, steps=5, targets=2)):
        x = attack.perturb(net, points, seed=0)
        assert (net(x).argmax(1) != points.y).any() and ((x - points.x).abs() <= 0.1 + 1e-6).all()


class Stochastic(nn.Module):
    """Adds random noise in every mode."""

    def __init__(self, net):
        super().__init__()
        self.net, self.passes = net, 0

    def forward(self, x):
        self.passes += 1
        return self.net(x + 0.05 * torch.randn_like(x))


def test_a_stochastic_victim_is_seeded_and_the_global_random_state_unchanged():
    net = Stochastic(small_net())
    points = own_points(net.net)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = apgd(eps=0.1, steps=5, eot=4)(net, points, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    again = apgd(eps=0.1, steps=5, eot=4)(net, points, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again))


def test_eot_averages_value_and_gradient_over_the_passes():
    class Growing(nn.Module):
        passes = 0

        def forward(self, x):
            self.passes += 1
            return self.passes * x

    points = Points(torch.tensor([[0.1, 0.3]]), torch.tensor([1]), torch.tensor([0]))
    net = Growing()
    oracle = Oracle(apgd(eps=0.1, keep="worst", eot=3), NetworkVictim(net), points, seed=0)
    net.passes = 0
    x = points.x.clone().requires_grad_()
    alone = [nn.functional.cross_entropy(k * x, points.y) for k in (1, 2, 3)]
    value, gradient = oracle.value_and_grad(points.x)
    assert torch.allclose(value, torch.stack(alone).mean())
    assert torch.allclose(gradient, torch.autograd.grad(sum(alone) / 3, x)[0])
    assert oracle.result().queries.tolist() == [6]
