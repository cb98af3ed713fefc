"""What is not finite is no success: logits, gradients, objectives and points that are NaN or infinite, in every attack.

Classes, norms and the place of a NaN make no difference. See ``surefooted.core.finite`` for the rule.
"""

from math import inf, nan

import pytest
import torch
from exact import linear
from test_attacks import NAMES, make
from torch import nn

from surefooted import attacks, scores, transfer
from surefooted.attacks.base import Attack
from surefooted.core.norms import ball
from surefooted.core.types import Forward, Points, Score
from surefooted.errors import ArgumentError, NonFiniteOutput

CLASSES, ROWS = 6, 12
# Every attack in L2, where one entry can spoil all others; those that compute with norms themselves in L∞ too.
NORMED = [(name, "l2") for name in NAMES] + [
    (name, "linf") for name in ("pgd", "apgd", "fab", "fmn", "nearest_boundary")
]
FEW = {"steps": 4, "queries": 8, "draws": 8, "targets": 2, "search_steps": 1, "gammas": (0, 0.5)}


def attack_of(name, norm="linf", **options):
    return make(name, norm=norm, eps={"linf": 0.15, "l2": 0.8}[norm], **{**FEW, **options})


@pytest.fixture(scope="module")
def plain():
    """A linear network on 12 images whose labels are its own predictions; their first pixel is black."""
    net, points, _ = linear(CLASSES, (1, 4, 4), ROWS)
    x = points.x.clone()
    x[:, 0, 0, 0] = 0
    return net, points._replace(x=x, y=net(x).argmax(1))


class Wrapped(nn.Module):
    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x):
        return self.change(self.net, x)


def infinite_slope(net, x):
    """A display's gamma curve on the first pixel: infinitely steep at black."""
    curve = torch.cat([x.flatten(1)[:, :1].sqrt(), x.flatten(1)[:, 1:]], 1)
    return net(curve.view_as(x))


def spoilt(value, classes=slice(None), where=lambda x: x.flatten(1)[:, 0] > 0):
    """Logits of some classes have this value, at some points: by default wherever the first pixel is not black."""

    def change(net, x):
        logits = net(x).clone()
        mask = torch.zeros_like(logits, dtype=torch.bool)
        mask[:, classes] = where(x)[:, None]
        return logits.masked_fill(mask, value)

    return change


def own_answer(net, x):
    with torch.no_grad():
        return net(x).log_softmax(-1)


@pytest.mark.parametrize(("name", "norm"), NORMED)
def test_an_infinite_gradient_entry_counts_as_zero(name, norm, plain):
    net, points = plain
    attack = attack_of(name, norm)
    steep = Wrapped(net, infinite_slope)
    if attack.gradient_free == attack.passes:
        result = attack(steep, points)
        assert not result.non_finite_gradients.any()
    else:
        with pytest.warns(NonFiniteOutput, match=r"gradients have entries .* of 12 images \(rows .*count as 0"):
            result = attack(steep, points)
        assert result.non_finite_gradients.any() and result.found.any()
    assert result.x.isfinite().all() and result.size.isfinite().all() and not result.non_finite_answers.any()
    assert torch.equal(own_answer(steep, result.x).argmax(1) != points.y, result.found)
    with torch.no_grad():
        moved = attack.perturb(steep, points, seed=0)
    assert moved.isfinite().all()


def test_one_l2_step_follows_the_finite_entries():
    """The gradient of the margin is (inf, 3, 4): the step is ε (0, 3, 4) / 5."""

    class Sloped(nn.Module):
        def forward(self, x):
            return torch.stack([torch.zeros(len(x)), x[:, 0].sqrt() + 3 * x[:, 1] + 4 * x[:, 2] - 9], 1)

    points = Points(torch.tensor([[0.0, 0.5, 0.5]]), torch.tensor([0]), torch.tensor([7]))
    with pytest.warns(NonFiniteOutput, match=r"1 of 1 images \(rows 7\)"):
        result = attacks.fgsm(norm="l2", eps=0.1, objective="cw_margin", keep="last")(Sloped(), points)
    assert torch.allclose(result.x, torch.tensor([[0.0, 0.56, 0.58]]))
    assert result.non_finite_gradients.tolist() == [1] and result.non_finite_answers.tolist() == [0]


BAD = [(name, "all nan", norm) for name, norm in NORMED]
BAD += [(name, bad, "linf") for name in ("pgd", "fab", "square") for bad in ("one nan", "one inf", "all minus inf")]


@pytest.mark.parametrize(("name", "bad", "norm"), BAD)
def test_an_answer_that_is_not_finite_is_never_found(name, bad, norm, plain):
    """Whatever the label: with NaN in place of an argmax, every class but 0 would be 'found' at once."""
    net, points = plain
    assert len(points.y.unique()) > 1
    change = {
        "all nan": spoilt(nan),
        "one nan": spoilt(nan, [2]),
        "one inf": spoilt(inf, [4]),
        "all minus inf": spoilt(-inf),
    }[bad]
    with pytest.warns(NonFiniteOutput):
        result = attack_of(name, norm)(Wrapped(net, change), points)
    log_p = own_answer(Wrapped(net, change), result.x)
    assert result.x.isfinite().all() and result.non_finite_answers.any()
    assert torch.equal((log_p.argmax(1) != points.y) & ~log_p.isnan().any(1), result.found)
    # The clean points have an answer, so the points that are returned have one.
    assert not log_p.isnan().any()


@pytest.mark.parametrize("name", NAMES)
def test_images_without_an_answer_are_not_found_and_change_no_other_image(name, plain):
    net, points = plain
    first = points.x.flatten(1)[:, 1].median()
    mute = Wrapped(net, spoilt(nan, where=lambda x: torch.ones(len(x), dtype=torch.bool)))
    some = Wrapped(net, spoilt(nan, where=lambda x: x.flatten(1)[:, 1] > 9))
    attack = attack_of(name)
    with pytest.warns(NonFiniteOutput, match=r"logits are NaN or infinite for 12 of 12 images \(rows 0, 1, 2, 3, 4, "):
        result = attack(mute, points)
    assert not result.found.any() and (result.non_finite_answers > 0).all() and result.x.isfinite().all()
    assert first > 0 and torch.equal(attack(some, points).found, attack(net, points).found)


@pytest.mark.parametrize("name", ["nearest_boundary", "ddn", "fmn", "carlini_wagner"])
def test_without_a_prediction_there_is_none_to_leave(name, plain):
    net, points = plain
    dark = torch.arange(ROWS) < 3
    x = points.x.clone()
    x[dark, 0, 0, 1] = 0
    points = points._replace(x=x)
    victim = Wrapped(net, spoilt(nan, where=lambda x: x[:, 0, 0, 1] == 0))
    attack = attack_of(name, "l2", away_from="prediction")
    with pytest.warns(NonFiniteOutput, match=r"logits"):
        result = attack(victim, points)
    assert (
        not result.found[dark].any() and torch.equal(result.x[dark], x[dark]) and (result.distance[dark] == inf).all()
    )
    alone = attack(net, points.take(~dark))
    assert torch.equal(result.found[~dark], alone.found) and torch.allclose(result.size[~dark], alone.size, atol=1e-5)


# Smoothing puts weight on every class: its cross-entropy with a masked class is infinite everywhere.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "adaptive_smoothing"])
def test_a_masked_class_is_as_if_it_were_not_there(name, plain):
    net, points = plain
    last = points.y != CLASSES - 1
    points = points.take(last)
    masked = Wrapped(net, spoilt(-inf, [CLASSES - 1], where=lambda x: torch.ones(len(x), dtype=torch.bool)))
    fewer = Wrapped(net, lambda net, x: net(x)[:, :-1])
    attack = attack_of(name)
    result, expected = attack(masked, points), attack(fewer, points)
    assert torch.equal(result.found, expected.found) and result.found.any()
    assert torch.allclose(result.size, expected.size, atol=1e-4)
    assert not result.non_finite_answers.any()


@pytest.mark.parametrize("score", ["entropy", "kl_from_clean", "kl_to_clean", "cross_entropy", "cw_margin", "dlr"])
def test_scores_of_a_masked_class_and_their_gradients_are_those_without_the_class(score):
    torch.manual_seed(0)
    clean, z = torch.randn(1, 3, 6), torch.randn(1, 3, 6)
    y = torch.tensor([0, 1, 2])
    made = getattr(scores, score)()

    def evaluated(logits, at_clean):
        logits = logits.clone().requires_grad_()
        value = made(Forward(logits, y, at_clean))
        return value.detach(), torch.autograd.grad(value.sum(), logits)[0][..., :5]

    masked = [t.index_fill(-1, torch.tensor([5]), -inf) for t in (z, clean)]
    for seen, expected in zip(evaluated(*masked), evaluated(z[..., :5], clean[..., :5])):
        assert torch.allclose(seen, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["pgd", "apgd", "square"])
@pytest.mark.parametrize("keep", ["found", "worst", "nearest"])
def test_an_objective_of_nan_alone_does_not_decide(name, keep, plain):
    """The answer is finite, so what is found is found; NaN ranks below every number."""
    net, points = plain
    nowhere = Score(lambda f: f.log_p[:, 0] * nan, "nowhere")
    attack = attack_of(name, objective=nowhere, keep=keep)
    if name == "square":
        result = attack(net, points)
    else:
        with pytest.warns(NonFiniteOutput, match="gradients"):
            result = attack(net, points)
    assert torch.equal(own_answer(net, result.x).argmax(1) != points.y, result.found)
    assert not result.non_finite_answers.any()


@pytest.mark.parametrize("keep", ["found", "worst", "nearest", "last"])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_point_that_is_not_finite_is_never_accepted(keep, value):
    """Not even if the model would answer: this one reads NaN as 1, which changes its answer."""

    class Tolerant(nn.Module):
        def forward(self, x):
            x = x.nan_to_num(1, 1, 1)
            return torch.stack([0.5 - x[:, 0], x[:, 0] - 0.5], 1)

    def search(oracle):
        oracle.value(torch.full_like(oracle.x0, value))
        oracle.finish(torch.full_like(oracle.x0, value))

    points = Points(torch.full((3, 2), 0.2), torch.zeros(3, dtype=torch.int64), torch.arange(3))
    attack = Attack(search, ball("linf", inf), scores.cw_margin(), 2, keep, clip=False)
    result = attack(Tolerant(), points)
    assert torch.equal(result.x, points.x) and not result.found.any()


def test_one_nan_sample_of_several_spoils_the_answer_but_not_the_gradient(plain):
    """A gradient that is not finite counts as 0 in the mean over the passes."""
    net, points = plain

    class Flickering(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return net(x) * (nan if x.requires_grad and self.calls % 2 else 1)

    with pytest.warns(NonFiniteOutput):
        result = attacks.apgd(eps=0.15, steps=4, eot=2)(Flickering(), points)
    assert result.non_finite_gradients.any() and result.x.isfinite().all()
    assert result.found.any()  # by the last iterate, which is judged without a gradient


@pytest.mark.parametrize(("name", "norm"), NORMED)
def test_gradients_near_the_largest_float_lead_to_finite_points(name, norm, plain):
    net, points = plain
    result = attack_of(name, norm)(Wrapped(net, lambda net, x: net(x) * 1e38), points)
    assert result.x.isfinite().all() and result.size.isfinite().all()


def test_a_transfer_does_not_count_answers_that_are_not_finite(plain):
    net, points = plain
    spec = {"pgd": {"eps": 0.15, "steps": 6}}
    expected = transfer(spec, net, net, points)
    with pytest.warns(NonFiniteOutput, match="The transfer: the model's logits"):
        result = transfer(spec, Wrapped(net, spoilt(nan)), net, points)
    lit = result.x.flatten(1)[:, 0] > 0
    assert (expected.found & lit).any() and torch.equal(result.found, expected.found & ~lit)
    assert torch.equal(result.non_finite_answers, lit.long())


@pytest.mark.parametrize("name", [name for name in NAMES if "eps" in attacks.__dict__[name].__annotations__])
def test_radii_that_are_no_radii_are_refused(name):
    nothing = () if name == "hop_skip_jump" else (None,)  # there it is no limit
    for eps in (-0.1, nan, "nan", 1e39, *nothing, *(() if name == "fab" else (inf, "1e400"))):
        with pytest.raises(ArgumentError, match="eps"):
            getattr(attacks, name)(eps=eps)


def test_an_linf_radius_larger_than_the_box_is_refused(plain):
    net, points = plain
    attack = attacks.pgd(eps=8)
    for call in (lambda: attack(net, points), lambda: attack.perturb(net, points, seed=0)):
        with pytest.raises(ArgumentError, match=r"`eps` is 8, but pixels are in \[0, 1\].* Did you mean 8/255\?"):
            call()
    assert attacks.pgd(eps=1, steps=2)(net, points).found.any()
    assert attacks.pgd(eps=8, norm="l2", steps=2)(net, points).found.any()
    assert attacks.fab(eps=inf, keep="nearest", steps=2, targets=2)(net, points).found.any()


@pytest.mark.parametrize("eps", [0.0, 1e-45, 5e-324])
def test_radii_near_zero_find_nothing_and_move_nothing(eps, plain):
    net, points = plain
    for name in ("pgd", "apgd", "square", "fab"):
        for norm in ("linf", "l2"):
            result = make(name, norm=norm, eps=eps, **{**FEW, "steps": 2, "queries": 3})(net, points)
            assert not result.found.any() and result.x.isfinite().all() and (result.size <= 1e-6).all()


def test_steps_that_leave_the_range_of_floats_are_refused():
    with pytest.raises(ArgumentError, match=r"step_size = 1e\+39"):
        attacks.pgd(step_size=1e39)
    for faulty in ({"steps": 0}, {"steps": -1}, {"steps": nan}, {"step_size": nan}, {"step_size": inf}, {"sigma": inf}):
        with pytest.raises(ArgumentError, match=next(iter(faulty))):
            attacks.pgd(**faulty)
