"""FAB: projections against independent solvers, distances against the exact ones of linear victims."""

import math

import numpy as np
import pytest
import torch
from exact import distances
from torch import nn

from surefooted.attacks.boundary import to_plane
from surefooted.attacks.fab import fab
from surefooted.core.types import Points
from surefooted.errors import InputError

NORMS = ["linf", "l2"]


def size(d, norm):
    return d.flatten(1).abs().amax(1) if norm == "linf" else d.flatten(1).norm(dim=1)


def least_linf(z, w, gap, low, high):
    """Linear programme over (d, r): the smallest r with |d| <= r. None if no point of the box is on the plane."""
    from scipy.optimize import linprog

    n = len(z)
    eye, one = np.eye(n), np.ones((n, 1))
    bounds = [(low - v, high - v) for v in z] + [(0, None)]
    within = np.block([[eye, -one], [-eye, -one]])
    r = linprog(np.r_[np.zeros(n), 1], within, np.zeros(2 * n), np.r_[w, 0][None], [-gap], bounds)
    return r.fun if r.status == 0 else None


def least_l2(z, w, gap, low, high):
    """Bisection over the multiplier t of the plane, which d(t) = clip(t w) crosses once."""

    def at(t):
        return np.clip(t * w, low - z, high - z)

    span = 1e6 * (-1.0 if gap > 0 else 1.0)
    if (w @ at(span) + gap) * gap > 0:
        return None
    inner, outer = 0.0, span
    for _ in range(200):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if (w @ at(middle) + gap) * gap > 0 else (inner, middle)
    return float(np.linalg.norm(at(outer)))


def planes(rows=60, n=12, seed=0):
    g = torch.Generator().manual_seed(seed)
    z = torch.rand(rows, n, generator=g, dtype=torch.float64)
    w = torch.randn(rows, n, generator=g, dtype=torch.float64) * 10 ** torch.randn(rows, n, generator=g).double()
    z[::3] = z[::3].round()  # on the edges of the box, as most pixels of a digit are
    w[::4, ::2] = 0
    gap = torch.randn(rows, generator=g, dtype=torch.float64) * w.abs().sum(1) * 0.5
    return z, w, gap


@pytest.mark.parametrize("norm", NORMS)
def test_the_move_to_a_plane_is_as_small_as_the_one_of_a_solver(norm):
    z, w, gap = planes()
    d = to_plane(z, w, gap, box=(0.0, 1.0), norm=norm)
    solve = {"linf": least_linf, "l2": least_l2}[norm]
    least = [solve(*row, 0.0, 1.0) for row in zip(z.numpy(), w.numpy(), gap.numpy())]
    assert (z + d).min() >= 0 and (z + d).max() <= 1
    missed = 0
    for k, best in enumerate(least):
        left = float(gap[k] + w[k] @ d[k])
        if best is None:
            # As near to the plane as the box allows: every coordinate with a slope is at its edge.
            corner = torch.where(w[k] * gap[k] > 0, -z[k], 1 - z[k])
            assert torch.allclose(d[k], corner * (w[k] != 0)) and left * gap[k] > 0
            missed += 1
        else:
            assert abs(left) <= 1e-5 * abs(float(gap[k])) and float(size(d[k : k + 1], norm)) == pytest.approx(
                best, 1e-5
            )
    assert 5 < missed < len(least) - 20


@pytest.mark.parametrize("norm", NORMS)
def test_without_a_box_the_move_is_the_dual_norm(norm):
    z, w, gap = planes()
    d = to_plane(z, w, gap, box=(-math.inf, math.inf), norm=norm)
    dual = w.abs().sum(1) if norm == "linf" else w.norm(dim=1)
    assert torch.allclose(size(d, norm), gap.abs() / dual)


@pytest.mark.parametrize("norm", NORMS)
def test_tiny_gradients_have_a_direction_and_zero_gradients_have_none(norm):
    z, w, gap = (t.float() for t in planes())
    d = to_plane(z, w, gap, box=(0.0, 1.0), norm=norm)
    assert torch.allclose(to_plane(z, 1e-30 * w, 1e-30 * gap, box=(0.0, 1.0), norm=norm), d, atol=1e-5)
    assert not to_plane(z, 0 * w, gap, box=(0.0, 1.0), norm=norm).any()
    assert not to_plane(z, w, 0 * gap, box=(0.0, 1.0), norm=norm).any()


def linear(classes, shape, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def right_points(net, shape, rows=40):
    """Points near the middle of the box, labelled with the victim's predictions."""
    x = 0.3 + 0.4 * torch.rand(rows, *shape, generator=torch.Generator().manual_seed(1))
    return Points(x, net(x).argmax(-1), torch.arange(rows))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("shape", [(20,), (3, 4, 5)])
def test_on_a_linear_victim_fab_reaches_the_exact_distance(norm, classes, shape):
    net = linear(classes, shape)
    p = right_points(net, shape)
    exact = distances(net, p, norm)
    result = fab(norm=norm, eps=math.inf, keep="nearest", steps=10)(net, p)
    assert result.found.all()
    assert (result.size >= exact * (1 - 1e-4)).all() and (result.size <= exact * 1.01).all()


@pytest.mark.parametrize("norm", NORMS)
def test_fab_breaks_exactly_the_rows_whose_boundary_is_in_the_ball(norm):
    net = linear(4, (30,))
    p = right_points(net, (30,))
    exact = distances(net, p, norm)
    eps = float(exact.median())
    for keep in ("found", "nearest"):
        result = fab(norm=norm, eps=eps, keep=keep, steps=20)(net, p)
        assert result.found[exact < eps / 1.01].all() and not result.found[exact > eps].any()
        assert (result.size <= eps * (1 + 1e-5)).all()


def test_the_walk_follows_the_edges_of_the_box():
    """From a corner only half of the coordinates can move; the distance is that of the linear programme."""
    net = linear(3, (16,), seed=2)
    x = torch.rand(12, 16, generator=torch.Generator().manual_seed(3)).round()
    p = Points(x, net(x).argmax(-1), torch.arange(12))
    result = fab(norm="linf", eps=math.inf, keep="nearest", steps=30)(net, p)
    z, w = net(x).detach().double().numpy(), net[-1].weight.detach().double().numpy()
    for k in range(12):
        y = int(p.y[k])
        ways = [least_linf(x[k].double().numpy(), w[t] - w[y], z[k, t] - z[k, y], 0, 1) for t in range(3) if t != y]
        least = min((way for way in ways if way is not None), default=None)
        assert bool(result.found[k]) == (least is not None)
        if least is not None:
            assert float(result.size[k]) == pytest.approx(least, rel=0.01)


def curved(shape=(1, 6, 6), classes=5):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 32), nn.Tanh(), nn.Linear(32, classes))
    net[1].weight.data *= 40  # a strongly curved boundary
    return net


def test_a_step_costs_one_pass():
    net, steps, targets = curved(), 7, 3
    p = right_points(net, (1, 6, 6))
    result = fab(eps=1e-4, steps=steps, targets=targets)(net, p)
    assert not result.found.all()
    assert (result.queries[~result.found] == 1 + targets * (steps + 1)).all()  # the clean pass is the first


def test_there_are_at_most_as_many_targets_as_wrong_classes():
    net = curved(classes=3)
    result = fab(eps=1e-4, steps=4, targets=9)(net, right_points(net, (1, 6, 6)))
    assert result.queries.max() == 1 + 2 * 5


def test_restarts_draw_by_row_and_never_find_a_larger_perturbation():
    net = curved()
    p = right_points(net, (1, 6, 6), rows=20)
    attack = {k: fab(eps=math.inf, keep="nearest", steps=15, restarts=k) for k in (1, 3)}
    once, thrice = attack[1](net, p), attack[3](net, p)
    assert (thrice.size <= once.size + 1e-6).all() and (thrice.size < once.size - 1e-5).any()
    assert torch.equal(attack[1](net, p, seed=1).x, once.x) and not torch.equal(attack[3](net, p, seed=1).x, thrice.x)
    few = attack[3](net, p.take(slice(10, 14)), batch=2)
    assert torch.allclose(few.size, thrice.size[10:14], atol=1e-5)


def test_invalid_arguments_are_refused():
    for wrong in ({"eps": -0.1}, {"eps": math.nan}, {"alpha_max": 1.5}, {"keep": "last"}, {"targets": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            fab(**wrong)
