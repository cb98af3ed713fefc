"""Analysis of a victim: Jacobians, margins, linearity and surfaces, against answers known otherwise."""

from math import nan

import numpy as np
import pytest
import torch
from torch import nn

from surefooted.core.scores import cross_entropy, entropy, kl_from_clean
from surefooted.core.types import Forward, Points, log_mean_softmax
from surefooted.errors import InputError
from surefooted.evaluation import analysis
from surefooted.evaluation.analysis import (
    certified_radius,
    decision_margin,
    jacobian_norm,
    loss_surface,
    nonlinearity,
    normalised_margin,
    sensitivity,
)
from surefooted.evaluation.analysis import jacobian as of_jacobian
from surefooted.evaluation.analysis.jacobian import spectral_norm
from surefooted.evaluation.analysis.linearity import directional_derivative
from surefooted.evaluation.analysis.surfaces import gradient_sign
from surefooted.models.ensembles import Ensemble, MonteCarloDropout
from surefooted.models.fuse import fuse_batchnorm
from surefooted.models.nets import cnn7, lenet, mlp, wide_resnet
from surefooted.models.victims import NetworkVictim, as_victim

SHAPE, CLASSES, ROWS = (1, 14, 14), 5, 6


def made(factory, **options):
    """In double precision, with batch norms that have seen something."""
    torch.manual_seed(0)
    net = factory(SHAPE, CLASSES, **options).double()
    with torch.no_grad():
        net.train()(torch.rand(32, *SHAPE).double())
    return net.eval()


NETS = {
    "mlp": lambda: made(mlp, width=20, layers=2),
    "lenet": lambda: made(lenet),
    "batch norm": lambda: made(wide_resnet, depth=10, widen=1),
    "folded": lambda: fuse_batchnorm(made(cnn7)),
    "ensemble": lambda: Ensemble([made(lenet), made(mlp)]),
    "ensemble at once": lambda: Ensemble([made(lenet), made(lenet).requires_grad_(False)], way="batched"),
}


class Linear(nn.Module):
    """Logits A x + b of the flattened image."""

    def __init__(self, classes=4, shape=(1, 3, 4), dtype=torch.float64):
        super().__init__()
        torch.manual_seed(3)
        size = int(np.prod(shape))
        self.weight = nn.Parameter(torch.randn(classes, size, dtype=dtype))
        self.bias = nn.Parameter(torch.randn(classes, dtype=dtype))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T + self.bias


def some(n=ROWS, shape=SHAPE, classes=CLASSES, dtype=torch.float64):
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(n, *shape, generator=draw, dtype=dtype)
    return Points(x, torch.randint(classes, (n,), generator=draw), torch.arange(n) + 100)


def spoken(net):
    """The function that is analysed, of one image."""
    victim = as_victim(net)

    def f(x):
        logits = victim(x[None])
        return logits[0, 0] if len(logits) == 1 else log_mean_softmax(logits)[0]

    return f


def whole_jacobian(net, x):
    """By torch.autograd.functional, one image."""
    return torch.autograd.functional.jacobian(spoken(net), x).flatten(1).detach()


@pytest.fixture(scope="module", params=NETS)
def net(request):
    return NETS[request.param]()


def test_every_component_says_what_it_is():
    for name in analysis.__all__:
        assert getattr(analysis, name).__doc__.split("\n")[0].endswith("."), name


def test_the_jacobians_norm_is_its_largest_singular_value(net):
    points = some()
    expected = torch.stack([torch.linalg.svdvals(whole_jacobian(net, x))[0] for x in points.x])
    assert torch.allclose(jacobian_norm(net, points), expected, rtol=1e-8)


def test_margins_say_who_is_right(net):
    points = some(40)
    f = torch.stack([spoken(net)(x) for x in points.x]).detach()
    margin, norm, correct = sensitivity(net, points)
    for m, row, y in zip(margin, f, points.y):
        others = [row[k] for k in range(CLASSES) if k != y]
        assert torch.allclose(m, row[y] - max(others), atol=1e-12)
    assert torch.equal(correct, margin > 0) and torch.equal(correct, f.argmax(1) == points.y)
    assert torch.allclose(decision_margin(net, points), margin, atol=1e-12)
    assert torch.equal(normalised_margin(margin, norm), margin / norm)


def test_batch_size_changes_nothing(net, monkeypatch):
    points = some()
    moved = points.x + 0.1 * torch.randn_like(points.x)
    seen = []
    for b in (1, 4, 100):
        around = loss_surface(net, points, batch=b, grid=3)
        seen.append((*sensitivity(net, points, batch=b), nonlinearity(net, points, moved, batch=b).q, *around[1:]))
    monkeypatch.setattr(of_jacobian, "JACOBIAN_BYTES", 1)
    seen.append((*sensitivity(net, points), *seen[0][3:]))
    for other in seen[1:]:
        assert all(torch.allclose(a.double(), b.double(), rtol=1e-7, atol=1e-9) for a, b in zip(seen[0], other))


def test_analysis_leaves_no_trace(net):
    points = some()
    net.train()
    state = {k: v.clone() for k, v in net.state_dict().items()}
    flags = [(w.requires_grad, w.grad, w.stride()) for w in net.parameters()]
    random = torch.get_rng_state()
    sensitivity(net, points)
    nonlinearity(net, points, points.x.flip(0))
    loss_surface(net, points, grid=3)
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert flags == [(w.requires_grad, w.grad, w.stride()) for w in net.parameters()]
    assert torch.equal(random, torch.get_rng_state()) and not points.x.requires_grad
    assert all(module.training for module in net.modules())
    net.eval()


def test_the_derivative_along_a_direction_is_the_jacobian_times_it(net):
    points = some()
    d = torch.randn_like(points.x)
    expected = torch.stack([whole_jacobian(net, x) @ v.flatten() for x, v in zip(points.x, d)])
    f, along = directional_derivative(as_victim(net), points.x, d)
    assert torch.allclose(along, expected, atol=1e-10)
    assert torch.allclose(f, torch.stack([spoken(net)(x) for x in points.x]), atol=1e-10)


def test_non_linearity_is_what_equation_13_says(net):
    points = some()
    moved = (points.x + 0.3 * torch.randn_like(points.x)).clamp(0, 1)
    moved[2] = points.x[2]
    q, undefined = nonlinearity(net, points, moved)
    for k, (x, there) in enumerate(zip(points.x, moved)):
        along = whole_jacobian(net, x) @ (there - x).flatten()
        expected = (spoken(net)(there) - spoken(net)(x) - along).norm() / along.norm()
        assert torch.allclose(q[k], expected.detach(), rtol=1e-8) if k != 2 else q[k].isnan()
    assert undefined == 1


class Squares(torch.autograd.Function):
    """x², with a rule for backward mode only."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g


def test_a_layer_without_forward_mode_is_gone_backward_twice():
    class Net(Linear):
        def forward(self, x):
            return super().forward(Squares.apply(x))

    class Same(Linear):
        def forward(self, x):
            return super().forward(x * x)

    points = some(shape=(1, 3, 4), classes=4)
    moved = points.x.flip(0)
    assert torch.allclose(nonlinearity(Net(), points, moved).q, nonlinearity(Same(), points, moved).q, rtol=1e-10)
    # A model that draws has the masks of the forward try again.
    random, same = (nn.Sequential(net, nn.Linear(4, 20).double(), nn.Dropout(0.5)) for net in (Net(), Same()))
    same.load_state_dict(random.state_dict())
    one, other = (nonlinearity(MonteCarloDropout(net, samples=2), points, moved).q for net in (random, same))
    assert torch.allclose(one, other, rtol=1e-9)


def test_a_linear_victim():
    net, points = Linear(), some(50, (1, 3, 4), 4)
    s = torch.linalg.svdvals(net.weight.detach())[0]
    assert torch.allclose(jacobian_norm(net, points), s.expand(50), rtol=1e-12)
    assert nonlinearity(net, points, points.x.flip(0)).q.max() < 1e-12
    single = Linear(dtype=torch.float32)
    assert nonlinearity(single, some(50, (1, 3, 4), 4, torch.float32), points.x.flip(0).float()).q.max() < 1e-4


def test_theorem_1_holds_on_a_linear_victim_and_is_tight():
    net, points = Linear(), some(200, (1, 3, 4), 4)
    margin, norm, correct = sensitivity(net, points)
    radius = certified_radius(margin, norm)
    assert torch.equal(radius > 0, correct) and correct.any() and not correct.all()
    points, radius = points.take(correct), radius[correct]
    n = len(points.y)
    # The worst direction: against the difference of two rows of the weights.
    others = net.weight.detach()[None] - net.weight.detach()[points.y][:, None]
    worst = others / others.norm(dim=2, keepdim=True).clamp_min(1e-12)
    draws = torch.randn(1000, n, 12, dtype=torch.float64)
    draws = torch.cat((draws / draws.norm(dim=2, keepdim=True), worst.transpose(0, 1)))
    for d in draws:
        x = points.x + (radius[:, None] * (1 - 1e-9) * d).view_as(points.x)
        f = net(x).detach()
        assert torch.equal(f.argmax(1), points.y)


def test_theorem_1_is_reached_where_two_rows_are_opposite():
    # Of f = (a·x, −a·x) the norm is √2 ‖a‖, the margin 2 a·x, the distance to the boundary a·x / ‖a‖.
    net = Linear(2)
    with torch.no_grad():
        net.bias.zero_()
        net.weight[1] = -net.weight[0]
    points = some(50, (1, 3, 4), 2)
    margin, norm, correct = sensitivity(net, points)
    exact = (points.x.flatten(1) @ net.weight[0].detach()).abs() / net.weight[0].norm().detach()
    assert torch.allclose(certified_radius(margin, norm)[correct], exact[correct], rtol=1e-10)
    assert certified_radius(margin, norm)[~correct].eq(0).all()


def test_theorem_1_holds_for_a_network_whose_lipschitz_constant_is_known():
    torch.manual_seed(5)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    net = net.double()
    points = some(100, (1, 3, 4), 4)
    points = points._replace(y=net(points.x).argmax(1))
    constant = float(np.prod([torch.linalg.svdvals(m.weight.detach())[0] for m in net if isinstance(m, nn.Linear)]))
    margin, norm, _ = sensitivity(net, points)
    assert (norm <= constant).all()
    radius = certified_radius(margin, constant)
    assert (radius > 0).all() and (radius <= certified_radius(margin, norm)).all()
    for _ in range(1000):
        d = torch.randn_like(points.x).flatten(1)
        d = radius[:, None] * d / d.norm(dim=1, keepdim=True)
        f = net(points.x + d.view_as(points.x)).detach()
        assert torch.equal(f.argmax(1), points.y)


def test_a_small_or_large_jacobian_is_not_lost_in_its_square():
    j = torch.randn(4, 5, 30)
    norm = torch.linalg.svdvals(j)[:, 0]
    for scale in (1e-30, 1.0, 1e30):
        assert torch.allclose(spectral_norm(scale * j), scale * norm, rtol=1e-5)
    assert torch.allclose(spectral_norm(j.mT), norm, rtol=1e-5)
    assert spectral_norm(torch.zeros(1, 3, 4)).eq(0).all()
    j[1, 0, 0], j[2, 0, 0] = nan, torch.inf
    assert spectral_norm(j).isfinite().tolist() == [True, False, False, True]


def test_a_model_that_draws_draws_the_same_at_both_points():
    net = MonteCarloDropout(made(mlp, width=20, dropout=0.3), samples=3)
    points = some()
    near = points.x + 1e-7
    assert nonlinearity(net, points, near).q.max() < 1e-3
    assert nonlinearity(net, points, points.x).q.isnan().all()
    assert torch.equal(jacobian_norm(net, points, seed=1), jacobian_norm(net, points, seed=1))
    assert not torch.equal(jacobian_norm(net, points, seed=1), jacobian_norm(net, points, seed=2))


def test_what_cannot_be_analysed_is_refused():
    net, points = Linear(), some(4, (1, 3, 4), 4)

    class Cut(Linear):
        def forward(self, x):
            return super().forward(x.detach())

    with pytest.raises(InputError, match="no gradient"):
        sensitivity(Cut(), points)
    with pytest.raises(InputError, match="labels go from 0 to 9"):
        sensitivity(net, points._replace(y=torch.tensor([0, 1, 2, 9])))
    with pytest.raises(InputError, match="not from 0 to 1"):
        jacobian_norm(net, points._replace(x=255 * points.x))
    with pytest.raises(InputError, match="a row for each image"):
        nonlinearity(net, points, points.x[:2])
    with pytest.raises(InputError, match="no images"):
        decision_margin(net, points.take(slice(0, 0)))
    with pytest.raises(InputError, match="`grid` is 20; expected an odd number"):
        loss_surface(net, points, grid=20)
    with pytest.raises(InputError, match="`reach` is 0; expected a finite number above 0"):
        loss_surface(net, points, reach=0)
    with pytest.raises(InputError, match="batch"):
        sensitivity(net, points, batch=0)


def test_a_surface_is_the_score_at_the_points_of_the_grid(net):
    points = some(3)
    offsets, values, margin = loss_surface(net, points, score=entropy(), reach=0.1, grid=5, seed=4)
    assert torch.allclose(offsets, torch.tensor([-0.1, -0.05, 0, 0.05, 0.1])) and offsets[2] == 0
    assert values.shape == margin.shape == (3, 5, 5)
    assert torch.allclose(margin[:, 2, 2], decision_margin(net, points), atol=1e-10)
    logits = as_victim(net)(points.x).detach()
    assert torch.allclose(values[:, 2, 2], entropy()(Forward(logits, points.y)), atol=1e-10)
    z = points.x.clone().requires_grad_()
    (g,) = torch.autograd.grad(cross_entropy()(Forward(as_victim(net)(z), points.y)).sum(), z)
    along = decision_margin(net, points._replace(x=(points.x + 0.05 * g.sign()).clamp(0, 1)))
    inside = ((points.x + 0.05 * g.sign()).clamp(0, 1) == points.x + 0.05 * g.sign()).flatten(1).all(1)
    assert torch.allclose(margin[inside, 3, 2], along[inside], atol=1e-7)
    # d2 is keyed by the row: alone, or under another seed.
    alone = loss_surface(net, points.take(slice(2, 3)), score=entropy(), reach=0.1, grid=5, seed=4)
    assert torch.allclose(alone.score[0], values[2], atol=1e-10)
    other = loss_surface(net, points, score=entropy(), reach=0.1, grid=5, seed=5)
    assert torch.allclose(other.score[:, :, 2], values[:, :, 2], atol=1e-10)
    assert not torch.allclose(other.score[:, 2], values[:, 2], rtol=1e-9, atol=1e-12)


def test_a_surface_may_leave_the_box_and_reads_scores_of_the_clean_point():
    net, points = Linear(), some(3, (1, 3, 4), 4)
    points = points._replace(x=points.x.round())
    _, values, _ = loss_surface(net, points, score=kl_from_clean(), reach=0.5, grid=3)
    assert values[:, 1, 1].abs().max() < 1e-12 and (values.amax((1, 2)) > 1e-3).all()
    _, _, margin = loss_surface(net, points, reach=0.5, grid=3)
    assert (margin[:, 2, 1] < margin[:, 1, 1]).all()


def test_the_steepest_sign_survives_a_prediction_that_is_sure():
    net, points = Linear(dtype=torch.float32), some(20, (1, 3, 4), 4, torch.float32)
    with torch.no_grad():
        points = points._replace(y=net(points.x).argmax(1))
    mild = gradient_sign(NetworkVictim(net), points.x, points.y)
    with torch.no_grad():
        second = net(points.x).topk(2).indices[:, 1]
        net.weight *= 100
        net.bias *= 100
    sure = gradient_sign(NetworkVictim(net), points.x, points.y)
    assert (sure != 0).all() and (mild != 0).all()
    assert (sure == (net.weight[second] - net.weight[points.y]).sign().view_as(sure)).float().mean() > 0.95
