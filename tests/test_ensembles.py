"""Ensembles and MC dropout: one victim of several samples; batched as in a loop; trained, kept and read again."""

import copy

import pytest
import torch
from torch import nn

from surefooted.attacks import carlini_wagner, pgd
from surefooted.components.spec import build
from surefooted.core.scores import adp_loss, cross_entropy, entropy, summed_cross_entropy
from surefooted.core.types import Forward, Points, log_mean_softmax
from surefooted.data import digits
from surefooted.errors import ArgumentError, InputError, ModelError
from surefooted.models import nets
from surefooted.models.ensembles import Ensemble, MonteCarloDropout
from surefooted.models.prediction import predict
from surefooted.models.victims import Victim, as_victim
from surefooted.models.weights import build_on_meta, seeded_network
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    BestOfSweep,
    DeepEnsemble,
    MCDropout,
    MemberOf,
    PredictTask,
    attack_task,
    train_task,
)
from surefooted.pipeline.tasks import attack as attack_module

CPU = Runtime("cpu", threads=1)
SMALL = {"digits": {"train_limit": 120, "test_limit": 60, "validation": 0.2}}
SLOW = {"resnet101", "wide_resnet", "wide_resnet28_10", "wide_resnet34_10", "resnet18"}
# Victims by themselves: several samples, drawn at random.
SAMPLED = {name for name in set(nets.__all__) - SLOW if isinstance(build_on_meta(name, (1, 32, 32), 10), Victim)}


def members(name="small_convnet", count=3, **options):
    networks = []
    for seed in range(count):
        torch.manual_seed(seed)
        networks.append(build("network", {name: options}, (1, 32, 32), 10))
    return networks


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", sorted(set(nets.__all__) - SLOW - SAMPLED))
def test_batched_members_answer_and_learn_as_a_loop_of_them(name, mode):
    torch.manual_seed(0)
    x = torch.rand(6, 1, 32, 32).double()
    loop = Ensemble(members(name)).double().train(mode == "train")
    batched = Ensemble(copy.deepcopy(list(loop.members)), mode="batched").train(mode == "train")
    sides = []
    for net in (loop, batched):
        z = x.clone().requires_grad_()
        logits = net(z)
        weights = [w for w in net.parameters() if w.requires_grad]
        gradients = torch.autograd.grad(logits.square().mean(), [z, *weights], allow_unused=True)
        sides.append([logits, *(g for g in gradients if g is not None), *net.state_dict().values()])
    for one, other in zip(*sides):
        assert torch.allclose(one.double(), other.double(), rtol=1e-6, atol=1e-9)


def test_a_network_that_is_there_twice_is_left_as_it_was():
    net, x = members()[0], torch.rand(3, 1, 32, 32)
    strides = [w.stride() for w in net.parameters()]
    predict(Ensemble([net, net]), Points(x, torch.zeros(3, dtype=torch.long), torch.arange(3)))
    assert [w.stride() for w in net.parameters()] == strides


def test_the_prediction_is_the_mean_over_members():
    nets_, x = members(), torch.rand(5, 1, 32, 32)
    mean = torch.stack([net(x).softmax(-1) for net in nets_]).mean(0)
    points = Points(x, torch.zeros(5, dtype=torch.long), torch.arange(5))
    assert torch.allclose(predict(Ensemble(nets_), points).log_p.exp(), mean, atol=1e-6)
    assert as_victim(ensemble := Ensemble(nets_)) is ensemble


def test_attacks_and_scores_see_the_whole_ensemble():
    ensemble, x = Ensemble(members()).eval(), torch.rand(12, 1, 32, 32)
    points = Points(x, log_mean_softmax(ensemble(x)).argmax(-1), torch.arange(12))
    result = carlini_wagner(search_steps=2, steps=60)(ensemble, points)
    assert result.found.all()
    assert (log_mean_softmax(ensemble(result.x)).argmax(-1) != points.y).all()
    assert all(weight.requires_grad for weight in ensemble.parameters())
    moved = pgd(eps=0.02, steps=3, objective=entropy(), keep="worst")(ensemble, points)
    before, after = (entropy()(Forward(ensemble(z), points.y)) for z in (x, moved.x))
    assert after.mean() > before.mean()


def test_members_that_do_not_belong_together_are_refused():
    with pytest.raises(ModelError, match="no members"):
        Ensemble([])
    unlike = [nn.Sequential(nn.Flatten(), nn.Linear(4, k)) for k in (2, 3)]
    with pytest.raises(ModelError, match="2, 3 classes"):
        Ensemble(unlike)(torch.rand(2, 1, 2, 2))
    with pytest.raises(ModelError, match=r"Members 1 and 2 .* differ in architecture"):
        Ensemble(unlike, mode="batched")


def test_dropout_draws_fresh_masks_that_the_seed_keys():
    (net,) = members(count=1, dropout=0.3)
    victim, x = MonteCarloDropout(net.eval(), samples=4), torch.rand(3, 1, 32, 32)
    points = Points(x, torch.zeros(3, dtype=torch.long), torch.arange(3))
    logits = victim(x)
    assert logits.shape == (4, 3, 10) and not torch.equal(logits[0], logits[1])
    assert not torch.equal(victim(x), logits) and not any(module.training for module in net.modules())
    a, b, c = (predict(victim, points, seed=seed).log_p for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    with pytest.raises(ModelError, match=r"`net\.dropout=0\.2`"):
        MonteCarloDropout(members(count=1)[0])
    with pytest.raises(ArgumentError, match="0 samples"):
        MonteCarloDropout(net, samples=0)


def test_many_masks_come_near_the_mean_over_all():
    """One dropout unit before a linear layer: the mean over masks is known."""
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(1, 2, bias=False))
    net[2].weight.data = torch.tensor([[1.0], [0.0]])
    x = torch.ones(1, 1, 1, 1)
    p = MonteCarloDropout(net.eval(), samples=4000)(x).softmax(-1).mean(0)[0, 0]
    exact = (torch.tensor([0.0, 2.0]).sigmoid()).mean()
    assert abs(float((p - exact).detach())) < 0.02


def test_adp_by_hand():
    """Two members, three classes: wrong answers at a right angle span a volume of 1, alike ones none."""
    tiny = 1e-6
    f = Forward(torch.tensor([[[0.5, 0.5 - tiny, tiny]], [[0.5, tiny, 0.5 - tiny]]]).double().log(), torch.tensor([0]))
    base = summed_cross_entropy()(f)
    assert torch.allclose(base, -2 * torch.tensor([0.5]).double().log())
    assert torch.allclose(adp_loss(alpha=0, beta=1)(f), base, atol=1e-4)
    assert torch.allclose(adp_loss(alpha=3, beta=0)(f), base - 3 * entropy()(f))
    alike = Forward(f.logits[:1].expand(2, -1, -1), f.target)
    volume = torch.tensor(2e-6 + 1e-12).double().log()
    assert torch.allclose(adp_loss(alpha=0, beta=1)(alike), 2 * cross_entropy()(alike) - volume)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("ensembles"))


def trained(method, store, seed=0, **net):
    task = train_task(method, {"small_convnet": net}, SMALL, {"recipe": {"epochs": 2}}, seed=seed)
    execute([task], store, runtime=CPU, quiet=True)
    return task


def test_a_lockstep_ensemble_is_trained_kept_and_read_again(store):
    task = trained({"ar_adals_of_ensemble": {"members": 3, "levels": 2, "alpha": 0.05}}, store)
    net = task.load(store)
    assert isinstance(net, Ensemble) and len(net.members) == 3
    assert not torch.equal(*(next(net.members[m].parameters()) for m in (0, 1)))
    entry = task.history(store)[-1]
    assert len(entry["soft_labels"]) == 2 and all(p <= 1 for p in entry["soft_labels"])
    p = predict(net, digits(**SMALL["digits"]).validation)
    assert entry["accuracy"] == pytest.approx(float((p.log_p.argmax(-1) == p.y).float().mean()))


def test_its_first_member_alone_is_the_single_network(store):
    """Its own loss, its own weights, the same batches: the others change nothing for it."""
    several, one = trained({"ensemble": {"members": 2}}, store), trained("vanilla", store)
    first = several.load(store).members[0].state_dict()
    for name, tensor in one.load(store).state_dict().items():
        assert torch.allclose(first[name], tensor, atol=1e-5), name


def test_an_ensemble_of_runs_and_dropout_are_victims_of_tasks(store):
    runs = tuple(trained("vanilla", store, seed) for seed in (0, 1))
    for victim in (DeepEnsemble(runs), MCDropout(trained("vanilla", store, dropout=0.3), 3)):
        tasks = [PredictTask(victim), attack_task(victim, {"pgd": {"eps": 0.1, "steps": 3}}, limit=30)]
        execute(tasks, store, runtime=CPU, quiet=True)
        assert len(tasks[0].result(store).y) == 60 and len(tasks[1].result(store)["found"]) == 30
    mean = torch.stack([predict(run.load(store), digits(**SMALL["digits"]).test).log_p.exp() for run in runs]).mean(0)
    assert torch.allclose(PredictTask(DeepEnsemble(runs)).result(store).log_p.exp(), mean, atol=1e-6)


def test_an_attack_on_random_masks_goes_on_to_the_same_bytes(store, tmp_path, monkeypatch):
    monkeypatch.setattr(attack_module, "SMALLEST_CHUNK", {"cpu": 16, "cuda": 16})
    monkeypatch.setattr(attack_module, "CHUNK_BATCH", 16)
    monkeypatch.setattr(attack_module, "CHUNK_PASSES", 1)
    victim = MCDropout(trained("vanilla", store, dropout=0.3), 3)
    task = attack_task(victim, {"apgd": {"eps": 0.1, "steps": 4, "eot": 2}}, limit=60)
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    execute([task], whole, runtime=CPU, quiet=True)
    execute([victim.net], broken, runtime=CPU, quiet=True)
    done = 0

    def stop(n):
        nonlocal done
        done += n
        if done > task.total_ticks() / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task.run(broken, CPU, stop)
    assert list(broken.root.glob("work/*/rows_*"))
    task.run(broken, CPU)
    assert (task.path(broken) / "attacked.safetensors").read_bytes() == (
        task.path(whole) / "attacked.safetensors"
    ).read_bytes()


def test_a_sweep_takes_the_setting_that_is_best_over_all_seeds(store):
    grid = tuple(tuple(trained({"ls": {"eps": eps}}, store, seed) for seed in (0, 1)) for eps in (0.9, 0.0))
    for measure, better in (("nll", min), ("accuracy", max)):
        values = [sum(one.history(store)[-1][measure] for one in setting) for setting in grid]
        best = grid[values.index(better(values))]
        assert [BestOfSweep(grid, at, measure).chosen(store) for at in (0, 1)] == [best[0], best[1]]
    assert len({BestOfSweep(grid, 0).key, BestOfSweep(grid, 1).key, BestOfSweep(grid, 0, "nll").key}) == 3
    one_by_one = BestOfSweep(
        tuple((one,) for setting in grid for one in setting), 0
    )  # the same networks, each a setting
    assert one_by_one.key != BestOfSweep(grid, 0).key
    whole = trained({"ensemble": {"members": 2}}, store)
    member = MemberOf(whole, 1).load(store)
    assert torch.equal(next(member.parameters()), next(whole.load(store).members[1].parameters()))
    with pytest.raises(InputError, match="no member 3"):
        MemberOf(whole, 2).load(store)


def test_members_in_lockstep_are_as_if_trained_alone(store):
    """Each on batches of its own; the first is the network of that seed."""
    together, alone = trained("ensemble", store), trained("vanilla", store)
    first, second = (dict(member.named_parameters()) for member in list(together.load(store).members)[:2])
    single = dict(alone.load(store).named_parameters())
    assert all(torch.equal(first[name], single[name]) for name in single)
    assert not any(torch.equal(first[name], second[name]) for name in single)


def test_every_member_begins_with_weights_of_its_own():
    whole = seeded_network("small_convnet", (1, 8, 8), 10, 3, members=6)
    first = [tuple(next(member.parameters()).flatten().tolist()) for member in whole.members]
    assert len(set(first)) == 6
    alone = seeded_network("small_convnet", (1, 8, 8), 10, 3)
    assert first[0] == tuple(next(alone.parameters()).flatten().tolist())


class WritesToInput(nn.Module):
    """A normalisation in place, before a linear layer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(x.sub_(0.5).div_(0.25).flatten(1))


@pytest.mark.parametrize("mode", ["loop", "batched"])
def test_members_that_write_to_their_input_change_no_image(mode):
    torch.manual_seed(0)
    x = torch.rand(6, 1, 2, 2)
    members, kept = [WritesToInput() for _ in range(2)], x.clone()
    ensemble = Ensemble(members, mode=mode).eval()
    points = Points(x, torch.zeros(6, dtype=torch.long), torch.arange(6))
    apart = torch.stack([member(kept.clone()) for member in members])
    assert torch.allclose(predict(ensemble, points).log_p, log_mean_softmax(apart), atol=1e-6)
    result = pgd(eps=0.1, steps=3)(ensemble, points)
    assert torch.equal(x, kept) and bool((result.size <= 0.1 * (1 + 1e-6)).all())


def test_batch_norm_that_was_made_in_inference_mode():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))

        def forward(self, x):
            return self.net(x)

    with torch.inference_mode():
        net = Wrapped().eval()
    points = Points(torch.rand(3, 1, 2, 2), torch.zeros(3, dtype=torch.long), torch.arange(3))
    assert predict(net, points).log_p.shape == (3, 3)
