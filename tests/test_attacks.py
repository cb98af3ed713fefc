"""Contract tests of attacks, run over all names of ``surefooted.attacks``."""

import inspect
from itertools import pairwise
from math import inf

import numpy as np
import pytest
import torch
from exact import linear
from learnt import learnt
from torch import nn

from surefooted import attacks
from surefooted.attacks import fgsm
from surefooted.attacks.tracker import Tracker
from surefooted.core.types import Points, check_points
from surefooted.data import digits
from surefooted.errors import InputError
from surefooted.evaluation.analysis.margins import decision_margin
from surefooted.models.prediction import predict
from surefooted.models.victims import NetworkVictim, to_device_of
from surefooted.pipeline.forecast import forecast
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.tasks import attack_task, train_task

# Enough for the laws; the strength of attacks is tested elsewhere.
CHEAP = {"eps": 0.15, "steps": 12, "queries": 60, "draws": 60, "targets": 3, "search_steps": 2, "directions": 5}
NAMES = attacks.__all__


def make(name, **options):
    component = getattr(attacks, name)
    parameters = inspect.signature(component).parameters
    if name == "worst_of":
        options = {"attacks": ({"fgsm": {"eps": 0.15}}, {"pgd": {"eps": 0.15, "steps": 3}})} | options
    return component(**{k: v for k, v in {**CHEAP, **options}.items() if k in parameters})


class Net(nn.Module):
    """Batch norm with its buffers, and dropout: all that an attack could change."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(128, 10),
        )

    def forward(self, x):
        return self.body(x)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return learnt(Net(), 60)


@pytest.fixture(scope="module")
def points():
    return digits().test.points(slice(0, 48))


def same(a, b):
    return all(torch.equal(s, t) for s, t in zip(a, b))


@pytest.mark.parametrize("name", NAMES)
def test_points_stay_in_the_ball_and_in_the_box(name, net, points):
    attack = make(name)
    result = attack(net, points)
    assert result.x.min() >= 0 and result.x.max() <= 1
    assert (result.size <= attack.ball.eps * (1 + 1e-5)).all()
    assert torch.allclose(result.size, attack.ball.size(result.x - points.x))


@pytest.mark.parametrize("name", NAMES)
def test_found_is_true_where_the_victim_misclassifies(name, net, points):
    result = make(name)(net, points)
    y = predict(net, points).log_p.argmax(-1) if make(name).away_from == "prediction" else points.y
    wrong = predict(net, Points(result.x, y, points.rows)).log_p.argmax(-1) != y
    assert torch.equal(result.found, wrong)
    assert result.found.any()


@pytest.mark.parametrize("name", NAMES)
def test_misclassified_clean_points_are_found_at_size_zero(name, net, points):
    wrong = points._replace(y=(points.y + 1) % 10)
    start = predict(net, wrong).log_p.argmax(-1) != wrong.y
    result = make(name)(net, wrong)
    assert start.sum() > 40 and result.found[start].all() and (result.size[start] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name, net, points):
    attack = make(name)
    assert same(attack(net, points, seed=3), attack(net, points, seed=3))


@pytest.mark.parametrize("name", NAMES)
def test_batch_size_and_order_do_not_change_the_result(name, net, points):
    """Up to kernel rounding; on this network no row of 48 differs."""
    attack = make(name)
    large, small = attack(net, points, batch=500), attack(net, points, batch=7)
    order = torch.randperm(len(points.y), generator=torch.Generator().manual_seed(0))
    shuffled = attack(net, points.take(order))
    assert torch.equal(large.found, small.found) and torch.equal(large.found[order], shuffled.found)
    assert torch.allclose(large.size, small.size, atol=1e-4) and torch.allclose(
        large.size[order], shuffled.size, atol=1e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_training_gets_points_in_ball_and_box_that_are_not_much_weaker(name, net, points):
    attack = make(name)
    net.eval()
    x, result = attack.perturb(net, points, seed=0), attack(net, points)
    assert x.min() >= 0 and x.max() <= 1
    assert (attack.ball.size(x - points.x) <= attack.ball.eps * (1 + 1e-5)).all()
    assert torch.equal(attack.perturb(net, points, seed=0, displacement=True), x - points.x)
    wrong = net(x).argmax(1) != points.y
    if attack.ball.eps < inf:
        assert wrong.sum() >= result.found.sum() / 3
        assert not attack.tries_candidates or wrong[result.found].all()
    elif attack.tries_candidates:
        assert torch.allclose(attack.ball.size(x - points.x), result.size, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_in_training_every_pass_has_the_whole_batch(name, net, points):
    """Batch norm learns from every pass, and cannot learn from one row."""
    seen = []
    hook = net.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    x = make(name).perturb(net, points, seed=0, mode="train")
    hook.remove()
    net.eval()
    assert set(seen) == {len(points.y)}
    already = net(points.x).argmax(1) != points.y
    assert make(name).ball.eps == inf or not torch.equal(x[~already], points.x[~already])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_an_attack_leaves_the_model_unchanged(name, mode, net, points):
    net.train()
    net.body[0].weight.requires_grad_(False)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    flags = [p.requires_grad for p in net.parameters()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    make(name)(net, points.take(slice(0, 8)), mode=mode)
    after = net.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert [p.requires_grad for p in net.parameters()] == flags and all(p.grad is None for p in net.parameters())
    assert all(m.training for m in net.modules()) and torch.equal(torch.get_rng_state(), state)
    net.body[0].weight.requires_grad_(True)
    net.eval()


@pytest.mark.parametrize("name", [n for n in NAMES if "keep" in inspect.signature(getattr(attacks, n)).parameters])
def test_dropping_rows_does_not_change_which_attacks_succeed(name, net, points):
    dropping, staying = make(name, keep="found")(net, points), make(name, keep="worst")(net, points)
    assert torch.equal(dropping.found, staying.found)
    assert (dropping.queries <= staying.queries).all() and dropping.queries.sum() < staying.queries.sum()


@pytest.mark.parametrize("name", NAMES)
def test_rows_may_be_dropped_later(name, net, points, monkeypatch):
    """On a GPU, where counting the rows to drop makes the CPU wait, they are dropped every eight steps."""
    init, at_once = Tracker.__init__, make(name)(net, points)

    def init_for_gpu(self, *args, **options):
        init(self, *args, **options)
        self.drop_every = 8

    monkeypatch.setattr(Tracker, "__init__", init_for_gpu)
    later = make(name)(net, points)
    assert torch.equal(later.found, at_once.found) and torch.equal(later.queries, at_once.queries)
    assert torch.allclose(later.size, at_once.size, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_progress_adds_up_to_all_passes(name, net, points):
    attack, ticks = make(name), []
    attack(net, points, progress=ticks.append)
    assert sum(ticks) == len(points.y) * attack.passes * attack.restarts


@pytest.mark.parametrize("name", [*NAMES, "union"])
def test_gradient_free_counts_the_passes_without_gradient(name):
    """On a network that nothing breaks: at most ``passes − gradient_free`` gradients, and 0 where these are equal."""
    needs_gradient = []

    class Firm(nn.Module):
        def forward(self, x):
            needs_gradient.append(x.requires_grad)
            return 3 * torch.eye(10)[:1].expand(len(x), 10) + 1e-6 * x.flatten(1)[:, :10]

    gradient_free = (
        {"fgsm": {"eps": 0.15}},
        {"square": {"eps": 0.15, "queries": 9}},
        {"random_search": {"eps": 0.15, "draws": 5}},
    )
    attack = make("worst_of", attacks=gradient_free) if name == "union" else make(name)
    attack(Firm(), Points(torch.full((2, 1, 8, 8), 0.5), torch.zeros(2, dtype=torch.int64), torch.arange(2)))
    assert 0 <= attack.gradient_free <= attack.passes
    assert sum(needs_gradient) <= attack.restarts * (attack.passes - attack.gradient_free)
    assert (sum(needs_gradient) == 0) == (attack.gradient_free == attack.passes)
    assert name != "union" or attack.gradient_free == 14


@pytest.mark.parametrize("name", NAMES)
def test_unsuitable_points_are_refused(name, net, points):
    attack = make(name)
    with pytest.raises(InputError, match="divide by 255"):
        attack(net, points._replace(x=points.x * 255))
    with pytest.raises(InputError, match="from 0 to 1"):
        attack(net, points._replace(x=points.x.clone().index_fill_(0, torch.tensor([3]), torch.nan)))
    with pytest.raises(InputError, match="10 classes"):
        attack(net, points._replace(y=points.y + 5))
    with pytest.raises(InputError, match="no images"):
        attack(net, points.take(slice(0, 0)))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_breaks_exactly_the_breakable_rows_of_a_linear_victim(norm):
    net, points, exact = linear()
    exact = exact[norm]
    eps = float(exact.median())
    found = attacks.pgd(norm=norm, eps=eps, steps=40)(net, points).found
    assert found[exact < eps / 1.02].all() and not found[exact > eps * 1.001].any()


@pytest.mark.parametrize("away_from", ["label", "prediction"])
def test_carlini_wagner_comes_within_a_tenth_of_the_nearest_point_of_a_linear_victim(away_from):
    net, points, exact = linear()
    exact = exact["l2"]
    result = attacks.carlini_wagner(away_from=away_from)(net, points)
    far = exact > 0.02  # nearer rows are within one step of Adam
    assert result.found.all() and far.sum() > 40
    assert (result.size >= exact * (1 - 1e-4)).all() and (result.size[far] <= 1.1 * exact[far]).all()


def test_found_is_false_everywhere_on_a_constant_prediction():
    class Stubborn(nn.Module):
        def forward(self, x):
            return torch.tensor([[9.0, 0.0]]).expand(len(x), 2) + 0 * x.sum()

    points = Points(torch.rand(5, 4), torch.zeros(5, dtype=torch.int64), torch.arange(5))
    for attack in (attacks.pgd(eps=1.0, steps=3), attacks.carlini_wagner(steps=20)):
        assert not attack(Stubborn(), points).found.any()


def test_restarts_attack_only_the_rows_that_withstood(net, points):
    one, five = (attacks.pgd(eps=0.08, steps=5, restarts=n)(net, points) for n in (1, 5))
    assert five.found[one.found].all() and five.found.sum() >= one.found.sum()
    assert torch.equal(five.queries[one.found], one.queries[one.found])


def test_worst_ranks_by_success_then_objective(net, points):
    worst = attacks.pgd(eps=0.1, steps=20, keep="worst")(net, points)
    last = attacks.pgd(eps=0.1, steps=20, keep="last")(net, points)

    def loss(x):
        return nn.functional.cross_entropy(net.eval()(x), points.y, reduction="none")

    both = worst.found & last.found
    assert (loss(worst.x)[both] >= loss(last.x)[both] - 1e-5).all() and (worst.found >= last.found).all()


def test_fgsm_is_one_sign_step_from_the_clean_point(net, points):
    net.eval()
    x = points.x.clone().requires_grad_()
    (g,) = torch.autograd.grad(nn.functional.cross_entropy(net(x), points.y, reduction="sum"), x)
    by_hand = (points.x + 0.1 * g.sign()).clamp(0, 1)
    assert torch.allclose(attacks.fgsm(eps=0.1, keep="last")(net, points).x, by_hand, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (5, [0.02, 0.06, 0.1, 0.06, 0.02]),
        # The middle of an even number of steps lies between two steps, so the peak, 0.5 / 5 = 0.1, is not reached:
        # 0.02 + (0.1 − 0.02) · 2k / 5 for k = 0, 1, 2, then back.
        (6, [0.02, 0.052, 0.084, 0.084, 0.052, 0.02]),
    ],
)
def test_the_triangular_schedule_goes_up_and_down(steps, expected):
    """A victim whose gradient is one everywhere records the steps of the attack."""
    seen = []

    class Ramp(nn.Module):
        def forward(self, x):
            seen.append(float(x.detach()[0, 0]))
            return torch.stack([-x[:, 0], x[:, 0] - 10], 1)

    points = Points(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64), torch.arange(1))
    options = {"eps": 0.5, "step_size": 0.02, "schedule": "triangular", "start": "clean", "keep": "worst"}
    attacks.pgd(steps=steps, **options)(Ramp(), points)
    walk = seen[-steps - 2 : -1]  # the last call asks for the verdict, as `predict` would
    assert [b - a for a, b in pairwise(walk)] == pytest.approx(expected, abs=1e-6)


class Detached(nn.Module):
    """Its output is detached from the image."""

    def forward(self, x):
        return x.flatten(1)[:, :10].detach()


@pytest.mark.parametrize("name", NAMES)
def test_a_victim_without_gradients_is_refused_by_gradient_attacks(name):
    points = digits(test_limit=5).test.points()
    attack = make(name)
    if attack.gradient_free == attack.passes:
        assert len(attack(Detached(), points).found) == 5
    else:
        with pytest.raises(InputError, match=r"no gradient\. .* square, hop_skip_jump or random_search"):
            make(name)(Detached(), points._replace(y=Detached()(points.x).argmax(1)))


@pytest.mark.parametrize(
    "points, message",
    [
        (torch.zeros(2, 1, 8, 8), r"got Tensor. Pass .*\(x, y\)"),
        ((torch.zeros(2, 1, 8, 8), torch.zeros(2)), r"got tuple. Pass .*\(x, y\)"),
        (Points(torch.zeros(2, 1, 8, 8), torch.zeros(2), torch.arange(2)), "y of these points is torch.float32"),
        (
            Points(torch.zeros(2, 1, 8, 8), torch.zeros(3).long(), torch.arange(2)),
            "a whole number for each of 2 images",
        ),
        (Points(torch.zeros(2, 1, 8, 8), torch.zeros(2).long(), None), "rows of these points is NoneType"),
        (Points(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1).long(), torch.arange(2)), r"shape \(2, 1\); expected"),
        (Points(torch.zeros(2, 1, 8, 8), torch.zeros(2).bool(), torch.arange(2)), "y of these points is torch.bool"),
        (
            Points(torch.zeros(2, 1, 8, 8).byte(), torch.zeros(2).long(), torch.arange(2)),
            "x of these .* is torch.uint8",
        ),
        (Points(np.zeros((2, 1, 8, 8)), torch.zeros(2).long(), torch.arange(2)), "x of these points is ndarray"),
    ],
)
def test_malformed_points_are_refused(points, message):
    with pytest.raises(InputError, match=message):
        check_points(points)


def test_attacks_predictions_and_margins_refuse_the_same_arguments(net, points):
    double = points._replace(x=points.x.double())
    for call in (fgsm(eps=0.1), predict, decision_margin):
        with pytest.raises(InputError, match=r"Pass Points\(x.float\(\), y, rows\)"):
            call(net, double)
        with pytest.raises(InputError, match="`batch` is 0"):
            call(net, points, batch=0)
    bytes_, longs = points._replace(y=points.y.to(torch.uint8)), decision_margin(net, points)
    assert torch.equal(decision_margin(net, bytes_), longs)
    assert same(fgsm(eps=0.1)(net, bytes_), fgsm(eps=0.1)(net, points))


def test_points_move_to_the_device_of_the_network(points):
    """The meta device, which holds no numbers, serves as a second device."""
    with torch.device("meta"):
        elsewhere = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert to_device_of(NetworkVictim(elsewhere), points).x.is_meta
    assert to_device_of(NetworkVictim(nn.Flatten()), points).x is points.x  # a network without weights has no device


@pytest.mark.parametrize("name", NAMES)
def test_the_expected_share_of_passes_is_a_share(name):
    assert all(0 < share <= 1 for share in make(name).expected_share)


def test_expected_shares_by_hand():
    """What our own runs spent, with and without gradients: the basis of every forecast."""
    assert attacks.pgd().expected_share == (0.6, 0.6)
    assert attacks.pgd(steps=1).expected_share == attacks.fgsm().expected_share == (1.0, 1.0)
    assert attacks.autoattack().expected_share == (0.45, 0.45)
    assert attacks.autoattack(budget="lean").expected_share == (0.3, 0.1)
    assert attacks.adaptive_smoothing().expected_share == (0.8, 0.8)


def test_a_forecast_multiplies_the_passes_of_an_attack_by_its_expected_share():
    """PGD: 20 images × 2 restarts × (9 + 1) passes × 0.6 = 240. Random search: 20 × 10 × 0.9 = 180."""
    trained = train_task("vanilla", {"mlp": {"width": 4}}, {"digits": {"train_limit": 300}})
    pgd_task = attack_task(trained, {"pgd": {"steps": 9, "restarts": 2}}, limit=20)
    draws_task = attack_task(trained, {"random_search": {"draws": 10}}, limit=20)
    assert forecast([pgd_task], Runtime("cpu", threads=1)).passes == 240
    assert forecast([draws_task], Runtime("cpu", threads=1)).passes == 180
