"""Starts, steps and restarts of PGD and R-FGSM, on a network whose gradient has one sign everywhere."""

import pytest
import torch
from torch import nn

from surefooted.attacks import pgd, r_fgsm
from surefooted.core.norms import ball
from surefooted.core.types import Points

ROWS = 400


class Ramp(nn.Module):
    """Records every input. Its gradient has one sign everywhere and its prediction never changes."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        z = x.flatten(1).sum(1)
        return torch.stack([-z, z - 10], 1)


def run_on_ramp(attack):
    """The perturbations that the attack evaluates between the clean pass and the verdict, and its result."""
    net = Ramp()
    points = Points(torch.full((ROWS, 1, 2, 3), 0.5), torch.zeros(ROWS, dtype=torch.int64), torch.arange(ROWS))
    found = attack(net, points)
    return [x - 0.5 for x in net.seen if len(x) == ROWS][1:-1], found


@pytest.mark.parametrize("norm, eps", [("linf", 0.1), ("l2", 0.2)])
def test_pgd_starts_at_the_chosen_start(norm, eps):
    start = run_on_ramp(pgd(norm=norm, eps=eps, steps=2))[0][0]
    size = ball(norm, eps).size(start)
    assert (size <= eps * (1 + 1e-5)).all() and len(start.flatten(1).unique(dim=0)) == ROWS
    half_the_volume = float((size < eps * 0.5 ** (1 / 6)).float().mean())
    assert abs(half_the_volume - 0.5) < 5 * 0.5 / ROWS**0.5
    start = run_on_ramp(pgd(norm=norm, eps=1.0, steps=2, start="gaussian", sigma=0.01))[0][0]
    assert float(start.std()) == pytest.approx(0.01, rel=0.1) and abs(float(start.mean())) < 0.001
    assert not run_on_ramp(pgd(norm=norm, eps=eps, steps=2, start="clean"))[0][0].any()


@pytest.mark.parametrize("given, step", [({}, 0.125), ({"step_size": 0.05}, 0.05)])
def test_r_fgsm_is_one_projected_step_from_a_draw(given, step):
    (start, end), result = run_on_ramp(r_fgsm(eps=0.1, keep="last", **given))
    assert start.any() and torch.allclose(end, (start + step).clamp(-0.1, 0.1), atol=1e-6)
    assert torch.allclose(result.x - 0.5, end, atol=1e-6)


def test_every_restart_has_a_fresh_draw():
    seen, result = run_on_ramp(pgd(eps=0.1, steps=2, restarts=3))
    one, two, three = seen[::3]
    assert (result.queries == 1 + 3 * 3).all() and not torch.equal(one, two) and not torch.equal(two, three)
