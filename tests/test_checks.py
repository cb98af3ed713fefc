"""Flags: each is raised by a classifier that is built for it, by no other, and by no honest one."""

import re

import pytest
import torch
from torch import nn

from surefooted import predict
from surefooted.components.spec import build
from surefooted.core.types import Points
from surefooted.data import digits
from surefooted.errors import InputError
from surefooted.evaluation import checks
from surefooted.evaluation.checks import SanityCheck, check_classifier, check_probabilities, sanity_check
from surefooted.models.ensembles import Ensemble

EPS, STEPS, QUERIES = 0.15, 10, 8


@pytest.fixture(scope="module")
def points():
    return digits().test.points(slice(0, 96))


def trained(adversarial=False, layers=()):
    torch.manual_seed(0)
    net, data = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), *layers, nn.Linear(64, 10)), digits().train
    optimiser, train = torch.optim.Adam(net.parameters(), 3e-3), data.points()
    for _ in range(150):
        rows = torch.randint(len(train.y), (128,))
        x, y = train.x[rows], train.y[rows]
        if adversarial:
            x = x.requires_grad_()
            (g,) = torch.autograd.grad(nn.functional.cross_entropy(net(x), y), x)
            x = (x + 0.1 * g.sign()).clamp(0, 1).detach()
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    net.zero_grad()
    return net.eval()


@pytest.fixture(scope="module")
def honest():
    return trained()


class Bent(torch.autograd.Function):
    """The identity, whose gradient is bent on the way back."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(factor)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None


class Flawed(nn.Module):
    """An honest classifier with a flaw; where it needs to, it knows the images it will be asked about."""

    def __init__(self, net, images):
        super().__init__()
        self.net = net
        self.images = nn.Buffer(images.flatten(1))

    def away(self, x):
        """L∞ distance to the nearest image that it knows."""
        return torch.cdist(x.detach().flatten(1), self.images, p=torch.inf).amin(1)

    def bent(self, x, where):
        """The honest answer, with gradients that point the other way ``where``."""
        return self.net(Bent.apply(x, 1.0 - 2.0 * where.float().view(-1, 1, 1, 1)))


class ZeroGradients(Flawed):
    """Flat at the images that it knows, and honest around them."""

    def forward(self, x):
        return torch.where((self.away(x) < 1e-3)[:, None], self.net(x.detach()), self.net(x))


class Randomised(Flawed):
    def forward(self, x):
        return self.net(x) + 0.02 * torch.randn(len(x), 10)


class TrainMode(Flawed):
    def __init__(self, net, images):
        super().__init__(net, images)
        self.dropout = nn.Dropout(0.5)
        self.train()

    def forward(self, x):
        return self.net(self.dropout(x))


class SoftmaxTwice(Flawed):
    def forward(self, x):
        return (self.net(x) / 3).softmax(-1)


class Chance(Flawed):
    """Its classes are in another order than the labels."""

    def forward(self, x):
        return self.net(x).roll(1, -1)


class BlackBoxWins(Flawed):
    """Near the images that it knows its gradients lead back to them."""

    def forward(self, x):
        return self.bent(x, self.away(x) < 0.35)


class HugeEps(Flawed):
    """Far from what it knows it says 0, whatever it is asked."""

    def forward(self, x):
        constant = torch.zeros(len(x), 10)
        constant[:, 0] = 20
        return torch.where((self.away(x) > 0.4)[:, None], constant, self.net(x))


class NotConverged(Flawed):
    """Near the images that it knows it shows the gradient of a tenth of the pixels, of others at every step."""

    def forward(self, x):
        tenth = (x.detach().flatten(1).sum(1) * 4096).long() % 10
        shown = (torch.arange(64)[None] % 10 == tenth[:, None]) | (self.away(x) > 0.35)[:, None]
        return self.net(Bent.apply(x, shown.float().view(-1, 1, 8, 8)))


class Ladder(Flawed):
    """Gradients lead back from a little way off, but for images out of reach."""

    def forward(self, x):
        away = self.away(x)
        return self.bent(x, (away > 0.2) & (away < 0.45))


class NonFinite(Flawed):
    """No answer for the brightest of the images that it knows, at whatever point around them."""

    def __init__(self, net, images):
        super().__init__(net, images)
        self.bright = nn.Buffer(self.images[self.images.sum(1).topk(4).indices])

    def forward(self, x):
        near = torch.cdist(x.detach().flatten(1), self.bright, p=torch.inf).amin(1) < 1e-3
        return torch.where(near[:, None], torch.nan, self.net(x))


FLAWS = {
    "non_finite": NonFinite,
    "zero_gradients": ZeroGradients,
    "randomised": Randomised,
    "train_mode": TrainMode,
    "softmax_twice": SoftmaxTwice,
    "chance": Chance,
    "black_box_wins": BlackBoxWins,
    "huge_eps": HugeEps,
    "not_converged": NotConverged,
    "ladder": Ladder,
}


def flags(net, points, *, eot=1):
    """All checks on a classifier, from attacks of a modest budget."""

    def found(name, **options):
        return build("attack", {name: options})(net, points).found

    climbs = {eps: found("apgd", eps=eps, steps=STEPS) for eps in (EPS / 2, EPS, 2 * EPS)}
    longer = found("apgd", eps=EPS, steps=2 * STEPS)
    p = predict(net, points)
    missing = p.log_p.isnan().any(1)
    right = (p.top()[1] > 0) & ~missing
    raised = [
        checks.non_finite({"clean images": missing}, p.rows),
        checks.chance(right, points.y, classes=10),
        checks.black_box_wins(climbs[EPS] | longer, found("square", eps=EPS, queries=QUERIES)),
        checks.huge_eps(found("apgd", eps=1.0, steps=2 * STEPS), eps=1.0),
        checks.not_converged(climbs[EPS], longer, steps=STEPS),
        checks.rising_accuracy(climbs),
    ]
    return [*checks.sanity_flags(sanity_check(net, points), eot=eot), *(flag for flag in raised if flag)]


def test_every_flag_has_a_flawed_classifier():
    assert {*FLAWS, "weak_suite"} == set(checks.FLAGS)  # a suite is weak, not a classifier


@pytest.mark.filterwarnings("ignore:.*NaN or")
@pytest.mark.filterwarnings("ignore::surefooted.errors.ModelNotice")
@pytest.mark.parametrize("name", FLAWS)
def test_a_flaw_raises_its_flag_and_no_other(name, honest, points):
    raised = flags(FLAWS[name](honest, points.x), points)
    assert [flag.name for flag in raised] == [name]
    assert any(sign.isdigit() for sign in raised[0].seen) and raised[0].cure
    assert raised[0].severity == {"train_mode": "note", "not_converged": "caution"}.get(name, "serious")


@pytest.mark.parametrize(
    "net", [trained, lambda: trained(adversarial=True), lambda: trained(layers=[nn.BatchNorm1d(64)])]
)
def test_honest_classifiers_raise_none(net, points):
    assert flags(net(), points) == []


def test_a_training_mode_that_changes_nothing_raises_none(honest, points):
    assert checks.sanity_flags(sanity_check(trained().train(), points)) == []


class Wrapper(nn.Module):
    """What people write around a trained network. Nobody calls its ``eval()``."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


def test_training_mode_is_the_mode_in_which_the_model_came(points):
    inside = trained(layers=[nn.Dropout(0.5)])
    wrapped = Wrapper(inside)
    assert wrapped.training and not inside.training
    seen = sanity_check(wrapped, points)
    assert seen.training == 1 and seen.mode == 0.0 and checks.train_mode(seen) is None
    inside.train()
    assert checks.train_mode(sanity_check(wrapped, points)).severity == "note"


def test_a_suite_is_weak_if_other_attacks_find_more_than_chance_explains():
    suite = rows(1000, 500)
    assert checks.weak_suite(suite, {"APGD": rows(1000, 510)}, suite="AutoAttack (quick)") is None
    flag = checks.weak_suite(
        suite, {"APGD": rows(1000, 507), "CW": ~rows(1000, 994), "Square": rows(1000, 400)}, suite="AutoAttack (quick)"
    )
    assert flag.severity == "caution" and "13 withstand AutoAttack (quick)" in flag.seen
    assert "(APGD 7, CW 6)" in flag.seen and "Square" not in flag.seen


def test_answers_that_are_not_finite_are_counted_and_named():
    index, none = torch.arange(100, 1100), rows(1000, 0)
    assert checks.non_finite({"clean images": none}, index, gradients=none) is None
    few, many = (checks.non_finite({"clean images": rows(1000, n), "points": none}, index) for n in (10, 11))
    assert (few.severity, many.severity) == ("caution", "serious")
    assert many.seen == "The logits are NaN or infinite at 11 of 1000 clean images (rows 100, 101, 102, 103, 104, ...)."
    gradients = checks.non_finite({}, index, gradients=rows(1000, 1))
    assert gradients.severity == "caution" and "gradients that are not finite at 1 of 1000 images (row 100)" in (
        gradients.seen
    )


def test_averaging_draws_answers_the_flag_of_random_classifiers(honest, points):
    seen = sanity_check(Randomised(honest, points.x), points)
    assert checks.randomised(seen) and not checks.randomised(seen, eot=20)
    suggested = re.findall(r"(\w+)\((\w+)='?(\w+)'?\)", checks.randomised(seen).cure)
    assert [build("attack", {name: {option: value}}).eot for name, option, value in suggested] == [20, 20]


def test_statistics_of_the_batch_are_training_mode_too(points):
    (flag,) = checks.sanity_flags(sanity_check(Company(), points))
    assert flag.name == "train_mode" and flag.severity == "serious" and "of the same image in a batch" in flag.seen


class Company(nn.Module):
    """Takes the mean of its batch from every image."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = x.flatten(1)
        return self.linear(x - x.mean(0) / 2)


def test_a_saturated_softmax_is_a_caution(honest, points):
    class Sure(nn.Module):
        def forward(self, x):
            return 40 * honest(x)

    (flag,) = checks.sanity_flags(sanity_check(Sure(), points))
    assert flag.name == "zero_gradients" and flag.severity == "caution" and "dlr" in flag.cure


def test_gradients_that_are_not_finite_are_flagged(honest, points):
    class Root(nn.Module):
        def forward(self, x):
            return honest(x.sqrt() ** 2)  # the slope of the root is infinite at 0

    (flag,) = checks.sanity_flags(sanity_check(Root(), points))
    assert flag.name == "zero_gradients" and "not finite" in flag.seen


def test_a_detached_model_has_no_gradients(honest, points):
    class Detached(nn.Module):
        def forward(self, x):
            return honest(x.detach())

    assert sanity_check(Detached(), points).zero == 1.0


def test_probing_leaves_no_trace(points):
    net = trained(layers=[nn.BatchNorm1d(64), nn.Dropout(0.5)]).train()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    state = torch.random.get_rng_state()
    one, two = sanity_check(net, points), sanity_check(net, points)
    assert one == two and SanityCheck(**one.json()) == one
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(weight.grad is None or not weight.grad.any() for weight in net.parameters())


def rows(n, broken):
    return torch.arange(n) < broken


def test_what_sound_attacks_differ_by_is_allowed():
    assert [checks.allowed_difference(n) for n in (1, 64, 200, 1000, 10000)] == [1, 1, 2, 10, 100]
    assert checks.huge_eps(rows(1000, 990), eps=1) is None
    assert checks.huge_eps(rows(1000, 989), eps=1) is not None
    assert checks.rising_accuracy({0.1: rows(1000, 510), 0.2: rows(1000, 500)}) is None
    assert checks.rising_accuracy({0.2: rows(1000, 500), 0.1: rows(1000, 511)}) is not None
    assert checks.black_box_wins(rows(1000, 500), rows(1000, 510)) is None
    assert checks.black_box_wins(rows(1000, 500), rows(1000, 511)).severity == "serious"
    assert checks.black_box_wins(rows(1000, 500), ~rows(1000, 700)).severity == "caution"
    assert checks.not_converged(rows(1000, 500), rows(1000, 511), steps=10) is not None
    # Twenty gained and twenty lost is chance, not a lack of steps.
    assert checks.not_converged(rows(1000, 500), rows(1000, 520) & ~rows(1000, 20), steps=10) is None
    assert checks.not_converged(rows(64, 30), rows(64, 34), steps=10) is None
    assert checks.not_converged(rows(64, 30), rows(64, 35), steps=10) is not None


def test_chance_is_one_class_drawn_by_lot_or_the_commonest_for_all():
    even = torch.arange(1000) % 10
    assert checks.chance(rows(1000, 121), even, classes=10) is None
    assert checks.chance(rows(1000, 118), even, classes=10).severity == "serious"
    assert "0 of 1000 clean images" in checks.chance(rows(1000, 0), even, classes=10).seen
    most = torch.where(torch.arange(1000) < 900, 0, even)
    assert checks.chance(rows(1000, 900), most, classes=10).severity == "caution"
    assert checks.chance(rows(1000, 930), most, classes=10) is None


class Says(nn.Module):
    """Answers with what a function makes of honest logits."""

    def __init__(self, of):
        super().__init__()
        self.of = of
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.of(self.linear(x.flatten(1)))


def fixed_batch(z):
    return z.view(8, 10)


def no_single(z):
    if len(z) == 1:
        raise RuntimeError("expected more than 1 value per channel")
    return z


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: (z, z), "returns a tuple"),
        (lambda z: {"scores": z, "features": z}, "returns a dict with scores, features"),
        (lambda z: z / 0, "NaN or infinity for 64 of 64 images"),
        (lambda z: z[:, :7], "has 7 classes and the data have 10"),
        (lambda z: z.argmax(-1), r"shape \(64,\) for 64 images"),
        (lambda z: z.long(), "torch.int64"),
        (lambda z: z.squeeze(), r"shape \(10,\) for 1 images"),
        (no_single, "cannot run at batch size 1"),
        (lambda z: z.view(1, 10), "runs on one image but not on 64"),
        (lambda z: z @ torch.zeros(3, 3), "cannot run on 64 images of"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_its_cure(change, message, points):
    with pytest.raises(InputError, match=message) as error:
        check_classifier(Says(change), points, 10)
    assert any(word in str(error.value) for word in ("factory", "Look for", "expected", "evaluation mode", "Export"))


def test_a_model_without_an_answer_for_some_images_is_admitted(points):
    def bent(z):
        z = z.clone()
        z[: len(z) // 2, 0], z[:, 1] = torch.nan, -torch.inf  # a masked class is an answer
        return z

    check_classifier(Says(bent), points, 10)


def test_pixels_must_lie_between_0_and_1(points):
    net = Says(lambda z: z)
    check_classifier(net, points, 10)
    with pytest.raises(InputError, match="from 0 to 255, not from 0 to 1; divide by 255"):
        check_classifier(net, Points((255 * points.x).round(), points.y, points.rows), 10)
    with pytest.raises(InputError, match="belongs inside"):
        check_classifier(net, points._replace(x=2 * points.x - 1), 10)


def test_several_networks_as_one_are_admitted(honest, points):
    check_classifier(Ensemble([honest, trained()]), points, 10)
    with pytest.raises(InputError, match="has 10 classes and the data have 7"):
        check_classifier(Ensemble([honest, honest]), points, 7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_probabilities_are_admitted_as_rounded(honest, points, dtype):
    check_probabilities(honest(points.x).to(dtype).softmax(-1))


@pytest.mark.parametrize("of", [lambda z: z, torch.sigmoid, lambda z: z.log_softmax(-1), lambda z: z.softmax(0)])
def test_what_is_said_to_be_probabilities_and_is_none_is_refused(of, honest, points):
    with pytest.raises(InputError, match=r"for \d+ of 96 images are not probabilities.*leave out `outputs`"):
        check_probabilities(of(honest(points.x)))
