"""AutoAttack and other unions: laws, few classes, stochastic victims, parity with numbers from the original code."""

import json
import warnings
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
import torch
from exact import linear
from torch import nn

from surefooted.attacks import apgd, autoattack, carlini_wagner, fgsm, pgd, square, worst_of
from surefooted.attacks.base import Attack
from surefooted.components.spec import build
from surefooted.core.scores import cross_entropy
from surefooted.core.types import Points
from surefooted.data import digits
from surefooted.errors import InputError, ReducedAttack
from surefooted.models.weights import load_model

HERE = Path(__file__).parent / "data"
SMALL = {"steps": 10, "targets": 3, "queries": 60}


@pytest.fixture(scope="module")
def net():
    return load_model(HERE / "digits_pat.safetensors")


@pytest.fixture(scope="module")
def points():
    return digits().test.points(slice(0, 48))


def original_record(norm):
    """Results of the original code in a few runs with different seeds, with their provenance."""
    return json.loads((HERE / f"autoattack_{norm}.json").read_text())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("part", ["apgd_ce", "apgd_t", "fab_t", "square"])
def test_each_part_is_as_strong_as_the_original_s(norm, part, net):
    record = original_record(norm)
    points, chosen = digits().test.points(slice(0, record["n"])), {"norm": norm, "eps": record["eps"]}
    assert int((net(points.x).argmax(1) == points.y).sum()) == record["clean"]
    found = autoattack(**chosen, version="custom", attacks=(part,))(net, points).found
    assert int((~found).sum()) <= max(record["robust"][part]) + 1  # chance changes a row


@pytest.mark.parametrize("norm, budget, cost", [("linf", "full", 1), ("l2", "lean", 0.45), ("linf", "quick", 0.13)])
def test_the_whole_is_as_strong_as_the_original(norm, budget, cost, net):
    record = original_record(norm)
    points = digits().test.points(slice(0, record["n"]))
    result = autoattack(norm=norm, eps=record["eps"], budget=budget)(net, points)
    withstood = int((~result.found).sum())
    assert withstood <= min(record["robust"]["total"]) + (budget == "quick")
    assert result.queries[~result.found].sum() < cost * withstood * (autoattack().passes + 2)


def test_a_union_of_one_attack_equals_that_attack(net, points):
    one = pgd(eps=0.15, steps=5)
    assert all(torch.equal(a, b) for a, b in zip(worst_of(attacks=(one,))(net, points), one(net, points)))


def test_later_attacks_attack_only_the_rows_that_withstood(net, points):
    first, second = fgsm(eps=0.15), pgd(eps=0.15, steps=20)
    union = worst_of(attacks=(first, second))(net, points)
    alone = first(net, points)
    assert torch.equal(union.queries[alone.found], alone.queries[alone.found])
    assert torch.equal(union.x[alone.found], alone.x[alone.found]) and union.found[alone.found].all()
    assert union.found.sum() > alone.found.sum()
    queries = union.queries[~union.found]
    assert (queries == 1 + first.passes + second.passes).all()


def test_the_draws_of_the_second_attack_do_not_depend_on_the_length_of_the_first(net, points):
    """The short attack draws fewer times; what Square draws after it is the same."""
    after = square(eps=0.15, queries=80)
    weak = (pgd(eps=0.15, steps=1, step_size=1e-6, restarts=n) for n in (1, 4))
    short, long = (worst_of(attacks=(one, after))(net, points) for one in weak)
    assert torch.equal(short.found, long.found) and torch.equal(short.x, long.x)
    assert short.found.any() and not torch.equal(short.queries, long.queries)


def test_a_union_in_a_union_has_its_own_draws(net, points):
    seen = []

    def search(oracle):
        drawn = oracle.noise()
        seen.append((drawn.seed, drawn.step))

    one = replace(pgd(eps=0.15), search=search)
    worst_of(attacks=(worst_of(attacks=(one, one)), one, worst_of(attacks=(one, one))))(net, points, seed=3)
    assert len(set(seen)) == 5
    flat = seen[2]
    assert flat == (3, (1 << 24) + 1)  # the draws of attacks that are not nested


def test_attacks_that_do_not_fit_together_are_refused():
    with pytest.raises(InputError, match="attacks is empty"):
        worst_of(attacks=())
    with pytest.raises(InputError, match="differ in ball"):
        worst_of(attacks=(pgd(eps=0.1), fgsm(eps=0.2)))
    with pytest.raises(InputError, match="differ in ball"):
        worst_of(attacks=(pgd(norm="l2", eps=0.1), carlini_wagner()))
    with pytest.raises(InputError, match="differ in clip"):
        worst_of(attacks=(pgd(eps=0.1), pgd(eps=0.1, clip=False)))
    for wrong in ({"version": "custom"}, {"attacks": ("square",)}, {"version": "custom", "attacks": ("fab",)}):
        with pytest.raises(InputError, match="attacks"):
            autoattack(**wrong)


def test_specs_build_the_same_attack(net, points):
    given = {"worst_of": {"attacks": [{"pgd": {"eps": 0.1, "steps": 3}}, {"square": {"eps": 0.1, "queries": 20}}]}}
    attack = build("attack", given)
    again = build("attack", attack.spec.json())
    assert again.spec == attack.spec and torch.equal(attack(net, points).x, again(net, points).x)
    custom = autoattack(version="custom", attacks=("apgd_t", "square"), eps=0.1)
    assert build("attack", custom.spec.json()).spec == custom.spec


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("budget", ["full", "lean", "quick"])
def test_robust_accuracy_on_a_linear_victim_is_the_exact_one(norm, budget):
    net, points, exact = linear(shape=(1, 3, 3))
    for share in (0.2, 0.5, 0.8):
        eps = float(exact[norm].quantile(share))
        with pytest.warns(
            ReducedAttack, match="apgd_t needs at least 4 classes, and the model has 2; APGD on the margin"
        ):
            found = autoattack(norm=norm, eps=eps, budget=budget, queries=100)(net, points).found
        assert found[exact[norm] < eps * 0.999].all() and not found[exact[norm] > eps * 1.001].any()


@pytest.mark.parametrize("version", ["standard", "rand"])
@pytest.mark.parametrize("classes, missing", [(2, {"apgd_dlr", "apgd_t"}), (3, {"apgd_t"}), (5, set())])
def test_few_classes_are_attacked_with_what_remains(version, classes, missing):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, classes)).eval()
    x = torch.rand(40, 1, 6, 6)
    points = Points(x, net(x).argmax(1), torch.arange(40))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = autoattack(version=version, eps=0.05, eot=2 if version == "rand" else None, **SMALL)(net, points)
    parts = {"standard": {"apgd_t"}, "rand": {"apgd_dlr"}}[version] & missing
    assert [w.category for w in caught] == [ReducedAttack] * bool(parts) and all(
        p in str(caught[0].message) for p in parts
    )
    assert result.found.any() and torch.equal(result.found, net(result.x).argmax(1) != points.y)


class Stochastic(nn.Module):
    """Adds random noise in every mode."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x + 0.1 * torch.randn_like(x))


def test_a_stochastic_victim_is_attacked_in_its_mean_prediction(net, points):
    victim, few = Stochastic(net), points.take(slice(0, 40))
    attack = autoattack(version="rand", eps=0.15, steps=15, eot=8)
    assert attack.passes == 2 * 16 * 8
    state = torch.get_rng_state()
    result, again = attack(victim, few, seed=1), attack(victim, few, seed=1)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(result.x, again.x)
    with torch.no_grad():
        mean = torch.stack([victim(result.x).softmax(-1) for _ in range(200)]).mean(0)
    still_wrong = mean.argmax(1) != few.y
    assert still_wrong[result.found].float().mean() > 0.9 and result.found.float().mean() > 0.2


def test_in_a_union_an_attack_averages_as_many_passes_as_alone(net, points):
    """Judged by one pass, unlucky clean rows would be dropped, turn out to be right in the end and count as robust."""
    victim, few = Stochastic(net), points.take(slice(0, 60))
    one = apgd(eps=0.15, steps=10, eot=8)
    for listed in (
        worst_of(attacks=(one,)),
        autoattack(version="custom", attacks=("apgd_ce",), steps=10, eps=0.15, eot=8),
    ):
        assert listed.eot == 8 and listed.passes == one.passes
        alone, union = one(victim, few, seed=2), listed(victim, few, seed=2)
        assert abs(int(alone.found.sum()) - int(union.found.sum())) <= 4
    mixed = worst_of(attacks=(one, square(eps=0.15, queries=5)))
    assert mixed.passes == one.passes + 8 * square(eps=0.15, queries=5).passes
    assert autoattack(version="custom", attacks=("apgd_ce",)).eot == 1 and autoattack(version="rand").eot == 20
    with pytest.raises(InputError, match="standard' is for deterministic victims"):
        autoattack(eot=5)


def test_the_budget_lean_does_not_affect_the_attack_that_follows(net, points):
    seen = []
    spy = Attack(lambda oracle: seen.append(oracle.tracker.give_up_ratio), pgd(eps=0.1).ball, cross_entropy(), 1)
    worst_of(attacks=(autoattack(eps=0.1, budget="lean", **SMALL), spy))(net, points)
    assert seen == [inf]
