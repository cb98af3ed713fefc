"""UTA in every form: pixels and features, one network, several, dropout masks; the same algorithm in all."""

import pytest
import torch
from torch import nn

from surefooted.attacks import carlini_wagner, pgd
from surefooted.core import scores
from surefooted.core.scores import cross_entropy, entropy
from surefooted.core.types import Forward, Points
from surefooted.errors import InputError, ModelError
from surefooted.models import nets
from surefooted.models.ensembles import Ensemble, MonteCarloDropout
from surefooted.models.latent import LatentVictim
from surefooted.pipeline.tasks import train_task
from surefooted.training import methods
from surefooted.training.methods.views import latent, mc_dropout

STAGE = latent(stage="fc1")


def lenet(seed=0):
    torch.manual_seed(seed)
    return nets.lenet((1, 12, 12), 4)


def several(count=3):
    return Ensemble([lenet(seed) for seed in range(count)])


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(8, 1, 12, 12, generator=generator)
    return Points(x, torch.randint(4, (8,), generator=generator), torch.arange(8))


@pytest.mark.parametrize("make, features", [(lenet, (8, 120)), (several, (8, 3, 120))])
def test_both_halves_together_are_the_network(make, features, batch):
    net = make().eval()
    for stage in ("normalise", "conv1", "conv1.conv", "conv2", "fc1", "fc1.linear", "fc1.relu", "fc2"):
        victim = LatentVictim(net, stage)
        z = victim.lift(batch.x)
        assert torch.equal(victim(z), net(batch.x).view(-1, 8, 4))
        assert not stage.startswith("fc1") or z.shape == features


def test_a_dotted_stage_cuts_before_the_activation(batch):
    net = lenet().eval()
    before, after = (LatentVictim(net, stage).lift(batch.x) for stage in ("fc1.linear", "fc1"))
    assert bool((before < 0).any()) and torch.equal(before.relu(), after)


@pytest.mark.parametrize("make", [lenet, several])
def test_attacks_move_features_and_nothing_else(make, batch):
    net = make().eval()
    victim = LatentVictim(net, "fc1")
    z = victim.lift(batch.x).detach()
    result = pgd(eps=0.5, steps=20, objective=entropy(), keep="worst")(victim, batch)
    assert result.x.shape == z.shape and bool((result.size <= 0.5 * (1 + 1e-6)).all())
    before, after = (entropy()(Forward(victim(at).detach(), batch.y)) for at in (z, result.x))
    assert bool((after[~result.found] > before[~result.found]).all())
    assert float(result.x.min()) < 0  # no box bounds features


@pytest.mark.parametrize("variable", ["sine", "tanh"])
def test_carlini_and_wagner_s_attack_needs_no_box(variable, batch):
    """Alone: what finds the nearest boundary afterwards would mend whatever it did."""
    victim = LatentVictim(lenet().eval(), "fc1")
    result = carlini_wagner(steps=50, polish=0, variable=variable, lr=0.05, away_from="prediction")(victim, batch)
    assert bool(result.found.all()) and bool(result.x.isfinite().all())


@pytest.mark.parametrize("method", [methods.uta, methods.pgd_at])
@pytest.mark.parametrize("make, members", [(lenet, 1), (several, 3)])
def test_algorithm_1_in_features_by_hand(method, make, members, batch):
    """K sign steps of size α in the features, projected; then the loss at E(x) + δ, for encoder and classifier."""
    net = make().train()
    slots = method(eps=0.03, steps=4, step_size=0.01, members=members, view=STAGE)
    victim, delta = LatentVictim(net, "fc1"), torch.zeros_like(LatentVictim(net, "fc1").lift(batch.x))
    raised = entropy() if method is methods.uta else cross_entropy()
    for _ in range(4):
        delta = delta.detach().requires_grad_()
        value = raised(Forward(victim(victim.lift(batch.x).detach() + delta), batch.y)).sum()
        delta = (delta + 0.01 * torch.autograd.grad(value, delta)[0].sign()).clamp(-0.03, 0.03)
    moved = slots.perturb_points(net, batch, batch.y, seed=0)
    assert torch.allclose(moved, delta, atol=1e-6)
    loss = slots.outer_loss(net, moved, batch.x, batch.y)
    logits = victim(victim.lift(batch.x) + delta.detach())
    by_hand = sum(nn.functional.cross_entropy(one, batch.y) for one in logits)
    assert torch.allclose(loss, by_hand, rtol=1e-5)
    loss.backward()
    assert all(bool(weight.grad.abs().sum() > 0) for name, weight in net.named_parameters() if "conv1" in name)


def test_triangular_steps_are_the_paper_s():
    """From α to max(α, ε / 5) at half of the steps and back, in a victim whose gradient never changes sign."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    net[1].weight.data = torch.tensor([[1.0], [-1.0]])
    at = Points(torch.full((1, 1, 1, 1), 0.5), torch.tensor([0]), torch.tensor([0]))
    slots = methods.pgd_at(eps=0.4, steps=5, step_size=0.005, schedule="triangular")
    # 0.005, 0.0425, 0.08, 0.0425, 0.005
    assert abs(float(slots.perturb_points(net, at, at.y, seed=0)) - (0.5 - 0.175)) < 1e-6


def test_several_members_are_attacked_by_their_mean_prediction(batch):
    net = several().train()
    slots = methods.uta(eps=0.2, steps=1, step_size=0.2, members=3)
    x = batch.x.clone().requires_grad_()
    p = net(x).softmax(-1).mean(0)
    (gradient,) = torch.autograd.grad(-(p * p.log()).sum(), x)
    assert torch.allclose(
        slots.perturb_points(net, batch, batch.y, seed=0), (batch.x + 0.2 * gradient.sign()).clamp(0, 1)
    )


@pytest.mark.parametrize(
    "name", ["entropy", "mutual_information", "variance", "margin_uncertainty", "cw_margin", "dlr"]
)
def test_any_uncertainty_may_be_raised(name, batch):
    net = several().train()
    for member in net.members:  # surer than at random, or the first step would leap over the boundary
        member.fc3.weight.data *= 30
    slots = methods.uta(eps=0.02, steps=5, step_size=0.004, members=3, uncertainty=name)
    moved = slots.perturb_points(net, batch, batch.y, seed=0)
    before, after = (slots.perturb.objective(Forward(net(x), batch.y)).mean() for x in (batch.x, moved))
    assert after > before


def test_dropout_masks_are_fresh_and_not_those_of_the_outer_pass(batch):
    torch.manual_seed(0)
    net = nets.small_convnet((1, 12, 12), 4, width=4, dropout=0.5).train()
    masks = []
    layer = next(module for module in net.modules() if isinstance(module, nn.Dropout))
    layer.register_forward_hook(lambda module, inputs, out: masks.append((out == 0).detach()))
    slots = methods.uta(eps=0.1, steps=2, step_size=0.05, view=mc_dropout(samples=1))
    torch.manual_seed(7)
    moved = slots.perturb_points(net, batch, batch.y, seed=7)
    slots.outer_loss(net, moved, batch.x, batch.y)
    assert len(masks) == 3 and not any(torch.equal(a, b) for a, b in ((masks[0], masks[1]), (masks[0], masks[2])))
    assert torch.equal(moved, slots.perturb_points(net, batch, batch.y, seed=7))
    assert not torch.equal(moved, slots.perturb_points(net, batch, batch.y, seed=8))
    assert net.training and all(weight.requires_grad for weight in net.parameters())
    assert isinstance(slots.view.make_victim(net), MonteCarloDropout)


@pytest.mark.parametrize(
    "net, stage, message",
    [
        (lenet(), "fc9", r"normalise, conv1, conv2, fc1, fc2, fc3"),
        (lenet(), "fc3", r"fc3 is the last stage"),
        (nn.Linear(2, 2), "fc1", r"Sequential of named stages; got Linear"),
    ],
)
def test_a_stage_that_cannot_be_is_refused(net, stage, message):
    with pytest.raises(ModelError, match=message):
        LatentVictim(net, stage)


def test_no_steps_are_refused():
    with pytest.raises(InputError, match=r"steps = 0"):
        methods.uta(steps=0)


@pytest.mark.parametrize(
    "method, message",
    [
        ({"uta": {"view": {"latent": {"stage": "fc9"}}}}, "no latent space after stage 'fc9'"),
        ({"pgd_at": {"view": "mc_dropout"}}, "needs a network with dropout"),
        ("due", "this network has none"),
        ({"uta": {"uncertainty": "variance"}}, "variance is constant for a single prediction"),
        ({"ar_adals": {"levels": 1, "every": 2}}, "does not rank examples"),
        ({"custom": {"clean_share": 0.5}}, "clean_share` is 0.5: .* has no attack"),
        ({"due": {"clean_share": 0.5}}, "clean_share` is 0.5: .* has no attack"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_work(method, message):
    with pytest.raises(InputError, match=message):
        train_task(method, "small_convnet", "digits")


def test_a_score_that_needs_several_predictions_is_refused_in_a_formula_too():
    for score in (2 * scores.variance(), scores.mutual_information() + 0.5 * scores.variance()):
        with pytest.raises(InputError, match="constant for a single prediction"):
            methods.uta(uncertainty=score)
    methods.uta(uncertainty=scores.entropy() - scores.mutual_information())
    methods.uta(uncertainty=2 * scores.variance(), members=2)


def test_a_free_combination_may_be_latent_and_of_several_networks():
    """Filled in by hand, the slots of UTA in features are UTA in features."""
    given = {"eps": 0.2, "steps": 3, "step_size": 0.05}
    by_hand = methods.custom(
        perturb=pgd(**given, objective=scores.entropy(), start="clean"),
        loss=scores.summed_cross_entropy(),
        members=2,
        view=latent(stage="fc1"),
    )
    named = methods.uta(**given, members=2, view=latent(stage="fc1"))
    net = Ensemble([nets.small_convnet((1, 12, 12), 4, width=4) for _ in range(2)]).eval()
    points = Points(torch.rand(5, 1, 12, 12), torch.arange(5) % 4, torch.arange(5))
    assert torch.equal(*(one.perturb_points(net, points, points.y, seed=0) for one in (by_hand, named)))


def test_dropout_masks_of_several_networks_are_all_samples():
    net = Ensemble([nets.small_convnet((1, 12, 12), 4, width=4, dropout=0.5) for _ in range(2)]).eval()
    x = torch.rand(5, 1, 12, 12)
    logits = MonteCarloDropout(net, samples=3)(x)
    assert logits.shape == (6, 5, 4)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 1e-12  # as good as none: every sample is what its network says
    logits = MonteCarloDropout(net, samples=3)(x)
    assert torch.allclose(logits, net(x).repeat_interleave(3, 0), atol=1e-5)
