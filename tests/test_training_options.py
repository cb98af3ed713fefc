"""Options of a training, held against torch's own: AdamW, one cycle, averages of weights, clipping; label noise."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

import surefooted as sf
from surefooted.components.spec import complete
from surefooted.core.rng import torch_seed
from surefooted.errors import InputError
from surefooted.models.weights import seeded_network
from surefooted.training.batches import Batches, pack_seed
from surefooted.training.loop import fit
from surefooted.training.setup import with_label_noise

SPLITS = sf.digits(train_limit=100, validation=0.25, test_limit=40)
NET = {"small_convnet": {"width": 2}}


def new_net():
    return seeded_network(NET, SPLITS.train.shape, 10, 0)


def trained_by_torch(recipe, method, make_optimiser, *, scheduler=None, average=None, clip=None, swa_from=None):
    """The weights that a plain loop over the same batches ends with, by torch's own means; and the learning rates."""
    net = new_net().to(memory_format=torch.channels_last)
    optimiser, rates = make_optimiser(net.parameters()), []
    batches = Batches(SPLITS.train, method, recipe, 0)
    schedule = scheduler(optimiser, recipe.epochs * len(batches)) if scheduler else None
    averaged = average(net) if average else None
    for epoch in range(recipe.epochs):
        permutations = batches.permutations(epoch)
        for step in range(len(batches)):
            net.train()
            number = epoch * len(batches) + step
            torch.manual_seed(torch_seed(0, number, 0, 1))
            points, target = batches.make_batch(epoch, step, permutations, {})
            perturbed = method.perturb_points(net, points, target, seed=pack_seed(0, number))
            loss = method.outer_loss(net, perturbed, points.x, target)
            optimiser.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            rates.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            if schedule and number + 1 < recipe.epochs * len(batches):
                schedule.step()
            if averaged and swa_from is None:
                averaged.update_parameters(net)
        if averaged and swa_from is not None and epoch + 1 > swa_from:
            averaged.update_parameters(net)
            parts = range(0, len(SPLITS.train), recipe.batch)
            update_bn([SPLITS.train.points(slice(a, a + recipe.batch)).x for a in parts], averaged)
    return (averaged.module if averaged else net).state_dict(), rates


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def ema(net):
    return AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)


CASES = {
    "AdamW, one cycle, clipping and EMA": (
        {"optimiser": "adamw", "weight_decay": 0.05, "lr": 0.01, "schedule": "onecycle", "clip_norm": 0.5}
        | {"average": "ema", "ema_decay": 0.8},
        lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.05),
        {"scheduler": lambda o, n: OneCycleLR(o, 0.01, total_steps=n), "average": ema, "clip": 0.5},
    ),
    "SGD, one cycle with momentum and SWA": (
        {"optimiser": "sgd", "lr": 0.05, "schedule": "onecycle", "rise": 0.4, "average": "swa", "swa_begin": 0.3},
        lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9),
        {"scheduler": lambda o, n: OneCycleLR(o, 0.05, total_steps=n, pct_start=0.4), "average": AveragedModel}
        | {"swa_from": 0.9},
    ),
}


@pytest.mark.parametrize(("options", "optimiser", "by_torch"), CASES.values(), ids=CASES)
def test_a_training_ends_with_the_weights_of_a_plain_loop_by_torch_bit_for_bit(options, optimiser, by_torch):
    recipe, method = sf.recipe(epochs=3, batch=25, augment=("shift",), **options), sf.methods.fgsm_at(eps=0.05)
    expected, rates = trained_by_torch(recipe, method, optimiser, **by_torch)
    net = new_net()
    state = fit(method, net, SPLITS, recipe)
    assert same(net.state_dict(), expected)
    steps = len(rates) // 3
    assert [entry["lr"] for entry in state.history] == rates[steps - 1 :: steps]
    p = sf.predict(net.eval(), SPLITS.validation)
    assert state.history[-1]["accuracy"] == sf.metrics.accuracy(p)  # of the average, not of the last weights


class Stopped(Exception):
    pass


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_it_resumes_to_the_same_bits_within_an_epoch(tmp_path, monkeypatch, average):
    """The checkpoint holds the averaged weights beside those in training."""
    options = {"ema_decay": 0.8} if average == "ema" else {"swa_begin": 0.2}
    recipe = sf.recipe(epochs=4, batch=25, optimiser="adamw", schedule="onecycle", clip_norm=0.5, label_noise=0.2,
                       average=average, **options)  # fmt: skip
    whole, history = new_net(), []
    record = sf.recorders.robust_accuracy(eps=0.1, steps=2, images=20)
    state = fit(sf.methods.vanilla(), whole, SPLITS, recipe, recorder=record)
    monkeypatch.setattr("surefooted.training.loop.SECONDS_BETWEEN_CHECKPOINTS", 0)
    for most in (1, 2, 3):
        steps = 0

        def stop(n):
            nonlocal steps
            steps += n
            if steps > 2 * most:  # noqa: B023 - called at once
                raise Stopped

        with pytest.raises(Stopped):
            fit(sf.methods.vanilla(), new_net(), SPLITS, recipe, recorder=record, checkpoint=tmp_path / "c", tick=stop)
    net = new_net()
    resumed = fit(sf.methods.vanilla(), net, SPLITS, recipe, recorder=record, checkpoint=tmp_path / "c",
                  on_epoch=history.append)  # fmt: skip
    assert same(net.state_dict(), whole.state_dict()) and resumed.history == state.history == history
    shares = [entry["robust_accuracy"] for entry in history]
    assert shares == state.recorded["robust_accuracy"].tolist() and len(shares) == 4
    again = new_net()  # from the checkpoint of the last epoch
    fit(sf.methods.vanilla(), again, SPLITS, recipe, recorder=record, checkpoint=tmp_path / "c")
    assert same(again.state_dict(), whole.state_dict())


def test_label_noise_is_symmetric_and_in_training_alone():
    train = sf.digits().train
    noisy = with_label_noise(train, dataclasses.replace(sf.recipe(label_noise=0.4).label_noise))
    changed = noisy.y != train.y
    assert float(changed.float().mean()) == pytest.approx(0.4, abs=0.04)  # 3 standard deviations of 1,300 draws
    shift = ((noisy.y - train.y) % 10)[changed].bincount(minlength=10)
    assert shift[0] == 0 and int(shift[1:].min()) > 0.5 * int(changed.sum()) / 9
    assert torch.equal(
        noisy.take(slice(7)).y, with_label_noise(train.take(slice(7)), sf.recipe(label_noise=0.4).label_noise).y
    )
    other = with_label_noise(train, sf.recipe(label_noise=0.4, label_noise_seed=1).label_noise)
    assert not torch.equal(other.y, noisy.y)
    seen = []

    def watched(f):
        seen.append(f.target)
        return sf.scores.cross_entropy()(f)

    method = dataclasses.replace(sf.methods.vanilla(), loss=sf.Score(watched))
    fit(method, new_net(), SPLITS, sf.recipe(epochs=1, batch=len(SPLITS.train), label_noise=1.0))
    order = Batches(SPLITS.train, method, sf.recipe(), 0).permutations(0)[0]
    assert bool((seen[0] != SPLITS.train.y[order]).all())


def test_options_that_came_later_leave_the_keys_of_older_trainings():
    stored = {"epochs", "batch", "optimiser", "lr", "momentum", "nesterov", "weight_decay", "decayed", "schedule"}
    stored |= {"drops", "warmup", "augment"}
    assert set(complete("recipe", "recipe")["recipe"]) == stored
    given = complete("recipe", {"recipe": {"average": "swa", "clip_norm": 1.0}})["recipe"]
    assert set(given) - stored == {"average", "clip_norm"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "onecycle", "warmup": 1}, "has a warmup and a momentum of its own"),
        ({"schedule": "onecycle", "momentum": 0.5}, "has a warmup and a momentum of its own"),
        ({"rise": 0.5}, r"rise is 0\.5, but it needs schedule='onecycle'"),
        ({"ema_decay": 0.5}, r"ema_decay is 0\.5, but it needs average='ema'"),
        ({"swa_begin": 0.5, "average": "ema"}, r"swa_begin is 0\.5, but it needs average='swa'"),
        ({"label_noise_seed": 3}, "label_noise_seed is 3, but it needs label_noise above 0"),
        ({"average": "swa", "swa_begin": 1}, "swa_begin = 1: input should be less than 1"),
        ({"clip_norm": 0}, "clip_norm = 0: input should be greater than 0"),
    ],
)
def test_options_that_would_not_be_read_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        sf.recipe(**options)
