"""Balls: the steepest step gains most, clipping is nearest, draws fill the ball."""

import pytest
import torch

from surefooted.core.norms import L2, Linf, ball
from surefooted.core.rng import Noise
from surefooted.errors import InputError

BALLS = [Linf(0.3), L2(0.7)]


def some(n=64, *shape, seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("b", BALLS)
def test_clipped_perturbations_are_inside_and_inner_ones_unmoved(b):
    d = some(64, 3, 4, 4)
    inside = b.clip(d)
    assert (b.size(inside) <= b.eps * (1 + 1e-6)).all()
    assert torch.allclose(b.clip(inside), inside, atol=1e-7)


@pytest.mark.parametrize("b", BALLS)
def test_no_step_of_size_one_gains_more_than_the_steepest(b):
    g = some(32, 10)
    steepest = b.steepest(g)
    assert torch.allclose(b.size(steepest), torch.ones(32), atol=1e-5)
    gain = (g * steepest).sum(1)
    # The dual norm is the greatest gain there is.
    dual = g.abs().sum(1) if isinstance(b, Linf) else g.norm(dim=1)
    assert torch.allclose(gain, dual, rtol=1e-5)


@pytest.mark.parametrize("b", BALLS)
def test_clipping_gives_the_nearest_point_in_euclidean_distance(b):
    d, others = some(16, 6), b.draw(Noise(0, torch.arange(16)), (6,))
    assert ((d - b.clip(d)).norm(dim=1) <= (d - others).norm(dim=1) + 1e-6).all()


@pytest.mark.parametrize("b", BALLS)
def test_draws_are_uniform_in_the_ball(b):
    n, k = 20000, 3
    draws = b.draw(Noise(1, torch.arange(n)), (k,))
    sizes = b.size(draws)
    assert sizes.max() <= b.eps * (1 + 1e-6)
    # Half of the volume lies within 2^(-1/k) of the radius.
    share = (sizes < b.eps * 0.5 ** (1 / k)).float().mean()
    assert abs(share - 0.5) < 5 * 0.5 / n**0.5


def test_vanishing_gradients_still_have_a_direction_and_zero_has_none():
    g = torch.stack([torch.full((4,), 1e-30), torch.zeros(4)])
    assert torch.allclose(L2(1).size(L2(1).steepest(g)), torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_ball_of_negative_size_is_refused(norm):
    with pytest.raises(InputError, match=r"eps is -0.1"):
        ball(norm, -0.1)
