"""Methods follow the equations of the papers; soft labels follow algorithm 1 of AR-AdaLS."""

from math import log

import pytest
import torch
from torch import nn

from surefooted.core import scores
from surefooted.core.types import Forward, Points
from surefooted.errors import InputError
from surefooted.models import nets
from surefooted.models.ensembles import Ensemble
from surefooted.models.nets import due_mlp
from surefooted.training import methods
from surefooted.training.methods import targets
from surefooted.training.methods.adversary import Adversary
from surefooted.training.methods.due import kl_penalty
from surefooted.training.methods.targets import RobustnessLevels, adaptive, label_smoothing, smoothing_eps

ALL = methods.__all__


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(16, 1, 6, 6, generator=generator)
    return Points(x, torch.randint(5, (16,), generator=generator), torch.arange(16))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 5))


def network(method):
    """A network for the method: a plain one, one that ends in a Gaussian process, or an ensemble of its size."""

    def one(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 5))

    if method.penalty is kl_penalty:
        torch.manual_seed(0)
        net = due_mlp((1, 6, 6), 5)
        net.initialise(torch.rand(50, 1, 6, 6), 16)
        return net
    return one(0) if method.members == 1 else Ensemble([one(m) for m in range(method.members)])


def start(method, points):
    """The state before the first epoch, with examples assigned to the levels in turn."""
    r = method.target.levels
    return method.target.init(RobustnessLevels(points.rows, points.rows % r, points.rows + 16, points.rows % r))


def loss_of(method, net, points):
    target = method.target.apply(start(method, points), points, 5)
    moved = method.perturb_points(net, points, target, seed=1)
    return method.outer_loss(net, moved, points.x, target), moved, target


@pytest.mark.parametrize("name", ALL)
def test_every_method_gives_weights_a_finite_gradient_and_lowers_its_loss(name, batch):
    method = getattr(methods, name)()
    net = network(method)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
    losses = []
    for _ in range(12):
        torch.manual_seed(0)  # of networks that draw at random
        loss, _, _ = loss_of(method, net, batch)
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ALL)
def test_the_points_that_are_trained_on_lie_in_ball_and_box(name, batch):
    method = getattr(methods, name)()
    _, moved, _ = loss_of(method, network(method), batch)
    if method.perturb is None:
        assert torch.equal(moved, batch.x)
    else:
        size = method.perturb.ball.size(moved - batch.x)
        assert (size <= method.perturb.ball.eps * (1 + 1e-5)).all() and size.max() > 0
        assert moved.min() >= 0 and moved.max() <= 1 and not moved.requires_grad


def ce(net, x, y, weight=1.0):
    return nn.functional.cross_entropy(net(x), y)


def entropy(net, x):
    return torch.distributions.Categorical(logits=net(x)).entropy().mean()


def test_losses_are_those_of_the_papers(net, batch):
    y, x = batch.y, batch.x

    def check(method, by_hand):
        loss, moved, _ = loss_of(method, net, batch)
        assert loss.item() == pytest.approx(by_hand(moved).item(), rel=1e-5)

    check(methods.vanilla(), lambda m: ce(net, x, y))
    check(methods.ls(eps=0.3), lambda m: nn.functional.cross_entropy(net(x), y, label_smoothing=0.3))
    check(methods.entm(lam=2), lambda m: ce(net, x, y) - 2 * entropy(net, x))
    check(methods.pat(), lambda m: 0.5 * ce(net, x, y) + 0.5 * ce(net, m, y))
    check(methods.fgsm_at(), lambda m: ce(net, m, y))
    check(methods.uta(), lambda m: ce(net, m, y))

    def entm(x):
        return ce(net, x, y) - 2 * entropy(net, x)

    check(methods.pat_entm(lam=2), lambda m: 0.5 * entm(x) + 0.5 * entm(m))

    def kl(p, q):
        return nn.functional.kl_div(net(q).log_softmax(-1), net(p).softmax(-1), reduction="batchmean")

    check(methods.trades(beta=3), lambda m: ce(net, x, y) + 3 * kl(x, m))
    check(methods.trades(beta=3, divergence="to_clean"), lambda m: ce(net, x, y) + 3 * kl(m, x))
    check(methods.trades_entm(lam=2, beta=3), lambda m: entm(x) + 3 * kl(x, m))


def test_the_default_of_entropy_maximisation_is_lambda_2():
    """Prediction (3/4, 1/4), class 0: CE = ln 4 − ln 3, H = ln 4 − ¾ ln 3; CE − 2 H = ½ ln 3 − ln 4, not −0.275."""
    logits = torch.tensor([[[log(3), 0.0]]])
    f = Forward(logits, torch.tensor([0]), logits)
    expected = pytest.approx(log(3) / 2 - log(4), rel=1e-6)  # −0.837; the divergence of TRADES is 0 at the clean point
    for method in (methods.entm(), methods.pat_entm(), methods.trades_entm()):
        assert float(method.loss(f)) == expected
    assert float(methods.pat_entm().perturb.objective(f)) == expected


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("ls", {"eps": 0.02}),
        ("adals", {"alpha": 0.05}),
        ("ar_adals", {"alpha": 0.005, "levels": 10}),
        ("pat", {"eps": 8 / 255, "steps": 7, "norm": "linf", "start": "uniform", "clean_share": 0.5}),
        ("pat_ls", {"smoothing": 0.74, "eps": 8 / 255, "steps": 7, "clean_share": 0.5}),
        ("pat_entm", {"lam": 2.0, "eps": 8 / 255, "steps": 7, "clean_share": 0.5}),
        ("trades", {"beta": 3.0, "eps": 8 / 255, "steps": 7, "divergence": "from_clean"}),
        ("trades_entm", {"lam": 2.0, "beta": 3.0, "eps": 8 / 255, "steps": 7}),
        ("uta", {"start": "clean", "clean_share": 0.0, "members": 1}),
        ("pgd_at", {"start": "clean", "clean_share": 0.0, "members": 1}),
    ],
)
def test_defaults_are_those_of_the_papers(name, defaults):
    arguments = getattr(methods, name)().spec.arguments
    assert {key: arguments[key] for key in defaults} == defaults


def test_the_steps_of_an_adversary_by_hand():
    """A pass per step and one for the last point: ε/4 in four steps; 0.3 in steps of 0.01 is thirty; at least one."""
    attacks = [Adversary(0.2), Adversary(0.3, step_size=0.01), Adversary(0.0), Adversary(0.2, 7)]
    assert [adversary.attack(scores.entropy()).passes for adversary in attacks] == [5, 31, 2, 8]
    arguments = Adversary(8 / 255, 7).attack(scores.entropy()).spec.arguments
    assert arguments["step_size"] == pytest.approx(2 / 255) and arguments["keep"] == "last"


def test_a_gaussian_start_is_0_005_in_pat_and_0_001_in_trades():
    methods_with_start = (methods.pat(start="gaussian"), methods.uta(start="gaussian"), methods.trades())
    assert [method.perturb.spec.arguments["sigma"] for method in methods_with_start] == [0.005, 0.005, 0.001]


def test_uta_raises_the_entropy_and_never_reads_the_labels(net, batch):
    method = methods.uta(eps=0.2, step_size=0.02)
    _, moved, _ = loss_of(method, net, batch)
    _, again, _ = loss_of(method, net, batch._replace(y=(batch.y + 1) % 5))
    assert torch.equal(moved, again) and entropy(net, moved) > entropy(net, batch.x)


def test_uta_takes_the_steps_of_algorithm_1(net, batch):
    """Two sign steps up the entropy from the clean point, written out."""
    x = batch.x
    for _ in range(2):
        x = x.detach().requires_grad_()
        (g,) = torch.autograd.grad(entropy(net, x), x)
        x = (batch.x + (x + 0.03 * g.sign() - batch.x).clamp(-0.05, 0.05)).clamp(0, 1)
    _, moved, _ = loss_of(methods.uta(eps=0.05, step_size=0.03, steps=2), net, batch)
    assert torch.allclose(moved, x.detach(), atol=1e-6)


def test_inner_losses_read_the_softened_labels(net, batch):
    """PAT-LS's perturbation differs from PAT's; that of PAT on AR-AdaLS labels, which start as one-hot, is PAT's."""
    options = {"start": "clean", "eps": 0.1, "step_size": 0.03}
    plain, smooth = (loss_of(m(**options), net, batch)[1] for m in (methods.pat, methods.pat_ls))
    adaptive_labels = loss_of(methods.pat_ar_adals(**options), net, batch)[1]
    assert not torch.equal(plain, smooth) and torch.equal(plain, adaptive_labels)


def test_the_clean_pass_of_trades_is_run_once_a_batch_not_once_a_step(net, batch):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.passes = net, 0

        def forward(self, x):
            self.passes += 1
            return self.net(x)

    counting = Counting()
    loss_of(methods.trades(steps=7), counting, batch)
    # One clean and seven perturbed inside, one clean and one perturbed outside.
    assert counting.passes == 1 + 7 + 2


@pytest.mark.parametrize("target", targets.__all__)
def test_targets_are_distributions_whose_greatest_class_is_the_label(target, batch):
    made = getattr(targets, target)()
    r = made.levels
    state = made.init(RobustnessLevels(batch.rows, batch.rows % r, batch.rows + 16, batch.rows % r))
    soft = made.apply(state, batch, 5)
    if soft.ndim == 1:
        assert torch.equal(soft, batch.y)
    else:
        assert torch.allclose(soft.sum(1), torch.ones(16)) and torch.equal(soft.argmax(1), batch.y)


def test_label_smoothing_by_hand():
    soft = label_smoothing(eps=0.2).apply({}, Points(torch.zeros(1, 1), torch.tensor([2]), torch.tensor([0])), 4)
    assert soft[0].tolist() == pytest.approx([0.05, 0.05, 0.85, 0.05])


def worked_example():
    """Two levels of two validation examples, four classes.

    Level 1: confidence (0.7 + 0.9) / 2 = 0.8, accuracy 0.5. Level 2: confidence (0.5 + 0.6) / 2 = 0.55, accuracy 1.
    """
    p = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.9, 0.1, 0.0, 0.0], [0.5, 0.3, 0.1, 0.1], [0.2, 0.6, 0.1, 0.1]])
    validation = Points(p, torch.tensor([0, 3, 0, 1]), torch.tensor([10, 11, 12, 13]))
    levels = RobustnessLevels(torch.arange(4), torch.tensor([0, 1, 1, 0]), validation.rows, torch.tensor([0, 0, 1, 1]))
    return p.log(), validation, levels


def test_ar_adals_follows_a_hand_worked_algorithm_1():
    log_p, validation, levels = worked_example()
    target = adaptive(alpha=0.1, levels=2)
    state = target.init(levels)
    assert state["p"].tolist() == [1, 1]
    state = target.refresh(state, log_p, validation)
    # 1 − 0.1 · (0.8 − 0.5) = 0.97; 1 − 0.1 · (0.55 − 1) = 1.045, clipped to 1
    assert state["p"].tolist() == pytest.approx([0.97, 1.0])
    state = target.refresh(state, log_p, validation)
    assert state["p"].tolist() == pytest.approx([0.94, 1.0])
    # ε = (0.94 − 1) · 4 / (1 − 4) = 0.08: the true class gets 0.94, the others 0.02; level 2 stays one-hot
    train = Points(torch.zeros(4, 1), torch.tensor([0, 1, 2, 3]), torch.arange(4))
    assert smoothing_eps(torch.tensor(0.94), 4).item() == pytest.approx(0.08)
    soft = target.apply(state, train, 4)
    assert soft[0].tolist() == pytest.approx([0.94, 0.02, 0.02, 0.02])
    assert soft[1].tolist() == pytest.approx([0, 1, 0, 0])
    assert soft[3].tolist() == pytest.approx([0.02, 0.02, 0.02, 0.94])


def test_adals_is_ar_adals_with_one_level():
    log_p, validation, levels = worked_example()
    target = adaptive(alpha=0.2, levels=1)
    state = target.init(RobustnessLevels.single(levels.train_rows, levels.validation_rows))
    state = target.refresh(state, log_p, validation)
    # confidence 2.7 / 4 = 0.675, accuracy 0.75: p would rise above 1
    assert state["p"].tolist() == [1.0]
    wrong = validation._replace(y=torch.tensor([3, 3, 3, 3]))
    state = target.refresh(state, log_p, wrong)
    # confidence 0.675, accuracy 0
    assert state["p"].tolist() == pytest.approx([1 - 0.2 * 0.675])


def test_soft_labels_stay_above_uniform():
    log_p, validation, levels = worked_example()
    target = adaptive(alpha=100, levels=1)
    state = target.init(RobustnessLevels.single(levels.train_rows, levels.validation_rows))
    state = target.refresh(state, log_p, validation._replace(y=torch.full((4,), 3)))
    assert 0.25 < state["p"].item() < 0.2501 and 0 < smoothing_eps(state["p"], 4).item() < 1


def test_a_level_without_validation_examples_is_refused():
    rows = torch.arange(4)
    with pytest.raises(InputError, match="examples in each of 3 levels, but the validation set has 4"):
        adaptive(levels=3).init(RobustnessLevels(rows, rows % 3, rows + 4, rows % 2))


def test_free_combinations(net, batch):
    """UTA's attack with EntM's loss on AR-AdaLS labels, which no paper has, needs no new code."""
    method = methods.custom(
        perturb={"pgd": {"objective": "entropy", "eps": 0.2, "steps": 5, "start": "clean"}},
        loss={"entm_loss": {"lam": 1}},
        target={"adaptive": {"levels": 4}},
    )
    loss, moved, _ = loss_of(method, net, batch)
    assert loss.isfinite() and entropy(net, moved) > entropy(net, batch.x)
    assert method.spec.arguments["target"]["adaptive"]["levels"] == 4


@pytest.mark.parametrize("options", [{"view": {"mc_dropout": {"samples": 3}}}, {"mode": "train"}])
def test_options_of_an_attack_are_refused_without_one(options):
    with pytest.raises(InputError, match=r"Set one \(`method.perturb=pgd`\)"):
        methods.custom(**options)
    methods.custom(perturb="fgsm", **options)


def test_entropy_maximisation_prefers_uncertain_predictions():
    """At λ = 2 the loss is least where the prediction is not one-hot: EntM's non-maximal probabilities are above 0."""
    logits = torch.zeros(10, requires_grad=True)
    optimiser = torch.optim.Adam([logits], 0.05)
    for _ in range(600):
        optimiser.zero_grad()
        scores.entm_loss(lam=2.0)(Forward(logits[None, None], torch.tensor([0]))).sum().backward()
        optimiser.step()
    p = logits.softmax(-1).detach()
    # The label smoothing γ with the same non-maximal probabilities is 0.74 for ten classes, as in the paper.
    assert 10 * float(p[1:].mean()) == pytest.approx(0.74, abs=0.01)
    assert float(-(p * p.log()).sum()) < log(10)


def test_mixup_lies_between_pairs_and_adds_up():
    x = torch.rand(8, 1, 3, 3)
    points, y = Points(x, torch.arange(8) % 3, torch.arange(8)), torch.arange(8) % 3
    mix = methods.mixup(alpha=5.0).mix
    mixed, target = mix(points, y, 3, 7)
    again, _ = mix(points, y, 3, 7)
    assert torch.equal(mixed.x, again.x) and torch.equal(mixed.rows, points.rows)
    assert torch.allclose(target.sum(1), torch.ones(8)) and not torch.equal(mixed.x, mix(points, y, 3, 8)[0].x)
    # Each image is λ of itself and 1 − λ of one other, and so is its label.
    line = (mixed.x - x).flatten(1)
    shares = set()
    for k in range(8):
        ways = {j: (x[j] - x[k]).flatten() for j in range(8) if j != k}
        along = {j: float(line[k] @ way / way.square().sum()) for j, way in ways.items()}
        hits = [(j, t) for j, t in along.items() if torch.allclose(line[k], t * ways[j], atol=1e-5)]
        if line[k].abs().max() > 1e-6:
            ((j, share),) = hits
            shares.add(round(share, 4))
            expected = (1 - share) * nn.functional.one_hot(y[k], 3) + share * nn.functional.one_hot(y[j], 3)
            assert torch.allclose(target[k], expected, atol=1e-5)
    assert len(shares) == 1


def test_examples_are_ranked_in_one_way_only():
    with pytest.raises(InputError, match="only one of by, column and every"):
        adaptive(every=2, column="ages.npy")
    assert adaptive(by="entropy").ranking.score.spec.name == "entropy" and adaptive(every=3).ranking.every == 3


def test_the_learning_rate_of_the_labels_changes_after_an_epoch():
    """Confidence 0.9 and accuracy 0: the label falls by 0.9 α, twice by the first α, then by the second."""
    target = adaptive(alpha=0.1, levels=1, later=((2, 0.2),))
    rows = torch.arange(4)
    state = target.init(RobustnessLevels.single(rows, rows + 4))
    log_p = torch.tensor([[0.9, 0.1]]).log().expand(4, -1)
    seen = []
    for _ in range(3):
        state = target.refresh(state, log_p, Points(log_p, torch.ones(4, dtype=torch.int64), rows + 4))
        seen.append(float(state["p"]))
    assert seen == pytest.approx([0.91, 0.82, 0.64], abs=1e-6)


def test_examples_are_ranked_by_the_distance_to_the_network_s_own_decision_boundary():
    for name in ("carlini_wagner", {"ddn": {"steps": 9}}):
        ranks = methods.ar_adals(robustness=name).target.ranking.attack
        assert ranks.away_from == "prediction" and ranks.spec.arguments["away_from"] == "prediction"
    assert methods.ar_adals(robustness={"ddn": {"steps": 9}}).target.ranking.attack.spec.arguments["steps"] == 9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"robustness": "pgd"}, "smallest perturbation, but pgd keeps another"),
        ({"by": "kl_from_clean"}, "kl_from_clean needs several predictions per example"),
        ({"by": "mutual_information"}, "mutual_information .* cannot rank single predictions"),
    ],
)
def test_attacks_and_scores_that_cannot_rank_examples_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        methods.ar_adals(**given)


ARGUMENTS = {name: getattr(methods, name)().spec.arguments for name in ALL}
# Methods whose step grows with ε.
GROWING = [
    name for name in ALL if {"steps", "step_size"} <= ARGUMENTS[name].keys() and not ARGUMENTS[name]["step_size"]
]


@pytest.mark.parametrize("name", GROWING)
def test_the_attack_of_a_larger_ball_reaches_its_edge(name):
    net = nets.mlp((1, 4, 4), 3, width=8).eval()
    points = Points(torch.full((6, 1, 4, 4), 0.5), torch.arange(6) % 3, torch.arange(6))
    method = getattr(methods, name)(eps=0.3)
    moved = method.perturb_points(net, points, torch.full((6, 3), 1 / 3), seed=0)
    assert (moved - 0.5).abs().max().item() == pytest.approx(0.3)


def test_the_methods_of_entm_take_steps_of_a_quarter_of_the_radius():
    assert {"pat", "pat_ls", "pat_entm", "trades", "trades_entm", "pat_ar_adals"} <= set(GROWING)
