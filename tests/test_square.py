"""Square and random search: gradient-free, with the documented squares, and able to reach the corners of the ball."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from surefooted.attacks.random_search import random_search
from surefooted.attacks.square import bump, square, square_side, wave
from surefooted.core.norms import ball
from surefooted.core.types import Points
from surefooted.errors import InputError

BOTH = [("linf", 0.1), ("l2", 0.5)]


class Brightness(nn.Module):
    """Predicts class 1 if the mean of an image exceeds 1/2 by more than ``above``. Fails if a gradient is needed."""

    def __init__(self, above, contrast=1.0):
        super().__init__()
        self.above, self.contrast = above, contrast

    def forward(self, x):
        assert not torch.is_grad_enabled()
        z = self.contrast * (x.flatten(1).mean(1) - 0.5 - self.above)
        return torch.stack((-z, z), 1)


class Corner(Brightness):
    """Predicts class 1 if x − 1/2 agrees with fixed random signs at nearly all pixels of an image at a corner."""

    def forward(self, x):
        assert not torch.is_grad_enabled()
        pattern = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(7)).sign()
        z = ((x - 0.5) * pattern).flatten(1).mean(1) - self.above
        return torch.stack((-z, z), 1)


class Texture(Brightness):
    """Predicts class 1 if the image contains more than ``above`` of a wave over all of it."""

    def forward(self, x):
        assert not torch.is_grad_enabled()
        pattern = wave(x.shape[2], x.device, x.dtype)
        z = ((x - 0.5) * pattern).sum((1, 2, 3)) / math.sqrt(x.shape[1]) - self.above
        return torch.stack((-z, z), 1)


def grey(rows=20, shape=(1, 8, 8)):
    return Points(torch.full((rows, *shape), 0.5), torch.zeros(rows, dtype=torch.int64), torch.arange(rows))


def searched(inputs, rows):
    """The points of a search of more images than are tried first: without the trial, the clean pass and the verdict."""
    return [x for x in inputs if len(x) == rows][1:-1]


def random_images(shape, rows=12):
    x = torch.rand(rows, *shape, generator=torch.Generator().manual_seed(0))
    return Points(x, torch.zeros(rows, dtype=torch.int64), torch.arange(rows))


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 4)])
def test_square_reaches_any_corner_of_the_linf_ball(shape):
    eps = 0.1
    result = square(eps=eps, queries=2500)(Corner(0.9 * eps), grey(8, shape))
    assert result.found.all() and result.queries.median() > 100


def test_square_l2_concentrates_the_perturbation_where_it_matters():
    result = square(norm="l2", eps=0.5, queries=400)(Texture(0.3), grey(shape=(2, 9, 9)))
    assert result.found.all() and result.queries.median() > 3


def test_random_search_finds_what_one_draw_in_a_few_hundred_has():
    # The mean of 64 uniform draws has a standard deviation of eps / √(3 · 64).
    eps, above = 0.1, 2 * 0.1 / math.sqrt(3 * 64)
    result = random_search(eps=eps, draws=500)(Brightness(above), grey())
    assert result.found.all() and 10 < result.queries.median() < 150
    assert not random_search(eps=eps, draws=100)(Brightness(0.8 * eps), grey()).found.any()


@pytest.mark.parametrize("attack", [square, random_search])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 8, 8), (2, 5, 9), (1, 9, 4), (1, 28, 28)])
def test_all_shapes_of_images_stay_in_ball_and_box(attack, norm, shape):
    p, inputs = random_images(shape), []

    class Recording(Brightness):
        def forward(self, x):
            inputs.append(x)
            return super().forward(x)

    budget = {"queries": 90} if attack is square else {"draws": 90}
    made = attack(norm=norm, eps=0.3, keep="worst", **budget)
    result = made(Recording(2.0), p)  # never succeeds: no row is dropped
    for x in (result.x, *searched(inputs, 12)):
        assert x.min() >= 0 and x.max() <= 1
        assert (ball(norm, 0.3).size(x - p.x) <= 0.3 * (1 + 1e-5)).all()
    assert (result.queries == 1 + 90).all() and not result.found.any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_query_of_square_is_a_new_point(norm):
    inputs = []

    class Recording(Brightness):
        def forward(self, x):
            inputs.append(x.clone())
            return super().forward(x)

    square(norm=norm, eps=0.2, queries=150, keep="worst")(Recording(-1.0, contrast=0.0), random_images((1, 7, 7)))
    # No point is ever better than the start here: each query differs from it.
    start, *squares = searched(inputs, 12)
    assert len(squares) == 149
    for x in squares:
        assert (x != start).flatten(1).any(1).all()


def test_linf_squares_have_one_sign_per_channel_and_the_planned_side():
    inputs, p, eps = [], grey(12, (3, 28, 28)), 0.2

    class Recording(Brightness):
        def forward(self, x):
            inputs.append(x.clone())
            return super().forward(x)

    square(eps=eps, queries=60, keep="worst")(Recording(-1.0, contrast=0.0), p)
    start, *squares = searched(inputs, 12)
    assert torch.equal(start, start[:, :, :1].expand_as(start)) and torch.allclose(
        (start - 0.5).abs(), torch.tensor(eps)
    )
    sides = {k: square_side(p_, 28, 28, odd=False) for k, p_ in ((0, 0.8), (11, 0.4), (51, 0.2))}
    for k, side in sides.items():
        moved = squares[k] != start
        for image, change in zip(squares[k], moved):
            rows, columns = (change.any(0).any(d).nonzero()[:, 0] for d in (1, 0))
            assert rows[-1] - rows[0] < side and columns[-1] - columns[0] < side
            for channel in range(3):
                assert len(image[channel][change[channel]].unique()) <= 1
    places = {tuple((squares[10][k] != start[k]).any(0).nonzero()[0].tolist()) for k in range(12)}
    assert len(places) > 1  # rows do not share a square


def test_sides_are_those_of_the_paper():
    shares = [0.8 / 2**k for k in range(10)]
    assert [square_side(p, 28, 28, odd=False) for p in shares] == [25, 18, 13, 9, 6, 4, 3, 2, 2, 1]
    assert [square_side(p, 32, 32, odd=False) for p in shares] == [29, 20, 14, 10, 7, 5, 4, 3, 2, 1]
    assert [square_side(p, 32, 32, odd=True) for p in shares] == [29, 21, 15, 11, 7, 5, 5, 3, 3, 3]
    assert square_side(0.8, 1, 1, odd=True) == 1 and square_side(1.0, 4, 9, odd=False) == 4


def test_a_wave_is_a_positive_and_a_negative_bump():
    assert torch.allclose(bump(1, 3) * bump(1, 3).new_tensor(1.6875).sqrt(), torch.tensor([[0.25, 1.25, 0.25]]))
    for side in (1, 3, 4, 7, 12):
        w = wave(side, torch.device("cpu"), torch.float32)
        assert w.shape == (side, side) and w.norm() == pytest.approx(1)
        assert (w[: side // 2] > 0).all() and (w[side // 2 :] < 0).all()


@pytest.mark.parametrize("attack", [square, random_search])
@pytest.mark.parametrize(("norm", "eps"), BOTH)
def test_the_draws_of_a_row_do_not_depend_on_the_batch(attack, norm, eps):
    """The logits are sums in a fixed order: no row of 12 differs by a bit."""
    p = random_images((3, 8, 8))
    p = p._replace(y=(p.x.flatten(1).mean(1) > 0.5).long())
    made = attack(norm=norm, eps=eps, **({"queries": 40} if attack is square else {"draws": 40}))
    net = Brightness(0.0)
    whole, sevens, alone = made(net, p), made(net, p, batch=7), made(net, p.take(slice(9, 10)))
    assert whole.found.any()
    assert torch.equal(whole.x, sevens.x) and torch.equal(whole.queries, sevens.queries)
    assert torch.equal(whole.x[9:10], alone.x)
    assert torch.equal(made(net, p, seed=0).x, whole.x) and not torch.equal(made(net, p, seed=1).x, whole.x)


def test_restarts_of_square_draw_fresh_stripes():
    net, p = Brightness(0.085), grey(60)
    once, thrice = (square(eps=0.1, queries=8, restarts=k)(net, p) for k in (1, 3))
    assert once.found.sum() < thrice.found.sum() and thrice.found[once.found].all()
    assert torch.equal(thrice.x[once.found], once.x[once.found])


def test_a_larger_budget_never_scores_lower():
    net, p = Brightness(1.0), random_images((1, 8, 8))
    values = []
    for queries in (1, 2, 20, 200):
        x = square(eps=0.1, queries=queries, keep="worst")(net, p).x
        values.append(x.flatten(1).mean(1))
    assert all((more >= less).all() for less, more in pairwise(values))


def test_random_search_takes_vectors_and_square_refuses_them():
    p = random_images((30,))
    net = Brightness(0.5)
    assert random_search(eps=0.1, draws=5)(net, p).x.shape == (12, 30)
    with pytest.raises(InputError, match=r"\(12, 30\).*random_search"):
        square(eps=0.1, queries=5)(net, p)
