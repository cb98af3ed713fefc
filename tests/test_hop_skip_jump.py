"""HopSkipJump on linear victims, whose nearest boundary is known."""

import pytest
import torch
from exact import linear
from torch import nn

from surefooted import attacks
from surefooted.models.external import blackbox


class Counting(nn.Module):
    """Counts the images that it is asked about."""

    differentiable = False

    def __init__(self, net):
        super().__init__()
        self.net, self.asked = net, 0

    def forward(self, x):
        self.asked += len(x)
        return self.net(x)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_comes_close_to_the_nearest_boundary_of_a_linear_victim(norm):
    net, points, exact = linear(3, (2, 4, 4), 8)
    result = attacks.hop_skip_jump(norm=norm, queries=300, directions=20)(net, points)
    ratio = result.distance / exact[norm]
    assert result.found.all() and (ratio >= 1 - 1e-5).all()
    assert ratio.median() < 1.3 and ratio.max() < 1.5
    assert int(result.queries.max()) == 300


def test_more_queries_come_closer():
    net, points, _ = linear(3, (2, 4, 4), 8)
    far, near = (attacks.hop_skip_jump(queries=queries, directions=20)(net, points).distance for queries in (60, 300))
    assert (near <= far).all() and near.median() < 0.8 * far.median()


def test_it_reads_decisions_only():
    net, points, _ = linear(3, (1, 4, 4), 5)
    labels = blackbox(lambda x: net(torch.from_numpy(x)).argmax(1), 3, "labels")
    attack = attacks.hop_skip_jump(queries=120, directions=20)
    assert torch.equal(attack(net, points).x, attack(labels, points).x)


def test_a_black_box_is_asked_no_more_than_is_counted():
    net, points, _ = linear(3, (1, 4, 4), 6)
    points = points._replace(y=points.y.index_fill(0, torch.tensor([1, 4]), 0))
    victim = Counting(net)
    result = attacks.hop_skip_jump(queries=60, directions=10, eps=0.5)(victim, points)
    # Two images to try the victim, and an answer for every image that confirms the result.
    assert victim.asked == int(result.queries.sum()) + 2 + len(points.y)
    assert int(result.queries.max()) <= 60


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_an_image_is_dropped_once_it_is_within_eps(norm):
    net, points, exact = linear(3, (1, 4, 4), 8)
    eps = 1.5 * float(exact[norm].max())
    result = attacks.hop_skip_jump(norm=norm, eps=eps, queries=300, directions=20)(net, points)
    assert result.found.all() and (result.size <= eps * (1 + 1e-6)).all()
    assert result.queries.float().mean() < 250


def test_without_a_misclassified_start_nothing_is_found():
    _, points, _ = linear(2, (1, 4, 4), 3)
    constant = blackbox(lambda x: [0] * len(x), 2, "labels")
    points = points._replace(y=torch.zeros_like(points.y))
    result = attacks.hop_skip_jump(queries=500, starts=10)(constant, points)
    assert not result.found.any() and result.queries.tolist() == [11, 11, 11]


def test_coarse_starts_reach_a_class_that_noise_does_not():
    def bright(x):  # uniform noise has a mean of about 1/2 in every image
        return (abs(x.mean((1, 2, 3)) - 0.5) > 0.2).astype(int)

    x = torch.full((4, 1, 16, 16), 0.5)
    points = linear(2, (1, 16, 16), 4)[1]._replace(x=x, y=torch.zeros(4, dtype=torch.long))
    assert attacks.hop_skip_jump(queries=60, directions=5)(blackbox(bright, 2, "labels"), points).found.all()
