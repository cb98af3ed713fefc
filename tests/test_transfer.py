"""Transfer attacks from a surrogate to a victim, and the adaptive attack on smoothed labels."""

import pytest
import torch

from surefooted import transfer
from surefooted.attacks import adaptive_smoothing, pgd, square
from surefooted.attacks.transfer import as_transfer_attack
from surefooted.data import digits
from surefooted.errors import InputError
from surefooted.models.prediction import predict
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import PredictTask, attack_task, train_task
from surefooted.pipeline.tasks.transfer import TransferTask

CPU = Runtime("cpu", threads=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("transfer"))


@pytest.fixture(scope="module")
def trained(store):
    """Two vanilla networks of different seeds."""
    data = {"digits": {"train_limit": 200}}
    tasks = [train_task("vanilla", "small_convnet", data, {"recipe": {"epochs": 8}}, seed=seed) for seed in (0, 1)]
    execute(tasks, store, runtime=CPU, quiet=True)
    return tasks


def test_a_transfer_to_the_surrogate_itself_is_a_white_box_attack(store, trained):
    net, points = trained[0].load(store), digits().test.points(slice(0, 100))
    white = pgd(eps=0.1, steps=10, keep="last")(net, points)
    through = transfer({"pgd": {"eps": 0.1, "steps": 10}}, net, net, points)
    missed = net(points.x).argmax(1) != points.y
    assert torch.equal(through.found, white.found | missed)
    assert torch.equal(through.x[~missed], white.x[~missed]) and (through.size[missed] == 0).all()
    assert (through.queries == 2).all()


def test_a_transfer_attack_is_weaker_than_a_white_box_attack(store, trained):
    proxy, net = (task.load(store) for task in trained)
    points = digits().test.points(slice(0, 200))
    attack = pgd(eps=0.15, steps=20, keep="last")
    white, black = attack(net, points).found.float().mean(), transfer(attack, net, proxy, points).found.float().mean()
    clean = (net(points.x).argmax(1) != points.y).float().mean()
    assert clean < black < white


def test_points_of_an_attack_that_does_not_clip_are_evaluated_outside_the_box(store, trained):
    """On the surrogate and on the victim, in Python and in tasks. No other points may be outside [0, 1]."""
    free = {"pgd": {"eps": 0.3, "steps": 5, "keep": "last", "clip": False}}
    moved = attack_task(trained[0], free, limit=40)
    tasks = [TransferTask(trained[1], moved), PredictTask(trained[0], source_attack=moved)]
    execute(tasks, store, runtime=CPU, quiet=True)
    x = moved.result(store)["x"]
    assert x.min() < -0.2 and x.max() > 1.2
    points = digits().test.points(slice(0, 40))
    result = transfer(free, *(task.load(store) for task in reversed(trained)), points)
    assert torch.equal(result.found, tasks[0].result(store)["found"])
    with pytest.raises(InputError, match="not from 0 to 1"):
        predict(trained[0].load(store), points._replace(x=x))


def test_transfer_attacks_use_the_last_or_the_worst_point_by_default():
    assert as_transfer_attack("pgd")["pgd"]["keep"] == "last"
    assert as_transfer_attack({"square": {"eps": 0.1}})["square"]["keep"] == "worst"
    assert as_transfer_attack({"pgd": {"keep": "found"}})["pgd"]["keep"] == "found"
    assert "keep" not in as_transfer_attack("ddn")["ddn"]


def test_the_task_agrees_with_predictions_at_the_perturbed_points(store, trained):
    proxy, victim = trained
    moved = attack_task(proxy, as_transfer_attack({"pgd": {"eps": 0.15, "steps": 5}}), limit=100)
    task, seen = TransferTask(victim, moved), PredictTask(victim, "test", moved)
    execute([task, seen], store, runtime=CPU, quiet=True)
    found = task.result(store)
    missed = victim.load(store)(digits().test.points(slice(0, 100)).x).argmax(1) != found["y"]
    wrong = seen.result(store).log_p.argmax(1) != found["y"]
    assert torch.equal(found["found"], missed | wrong) and missed.any() and (wrong & ~missed).any()


def test_the_adaptive_attack_is_no_weaker_than_its_first_gamma(store, trained):
    net, points = trained[0].load(store), digits().test.points(slice(0, 100))
    plain = pgd(eps=0.1, steps=10)(net, points)
    alone = adaptive_smoothing(eps=0.1, steps=10, gammas=(0.0,))(net, points)
    assert torch.equal(alone.x, plain.x) and torch.equal(alone.found, plain.found)
    whole = adaptive_smoothing(eps=0.1, steps=10)
    found = whole(net, points).found
    assert (found >= plain.found).all() and whole.passes == 11 * 11
    with pytest.raises(InputError, match="gammas is empty"):
        adaptive_smoothing(gammas=())


def test_training_images_of_the_victim_are_refused(store, trained):
    """Images that are new to a surrogate trained on another split may be training images of the victim."""
    other = train_task("vanilla", "small_convnet", {"digits": {"split_seed": 1}}, {"recipe": {"epochs": 1}})
    moved = attack_task(other, {"fgsm": {"eps": 0.1}})
    for make in (lambda: TransferTask(trained[0], moved), lambda: PredictTask(trained[0], source_attack=moved)):
        with pytest.raises(InputError, match="images of the test split are training images"):
            make()


def test_square_transfers_too(store, trained):
    proxy, net = (task.load(store) for task in trained)
    points = digits().test.points(slice(0, 20))
    result = transfer(square(eps=0.2, queries=20, keep="worst"), net, proxy, points)
    assert torch.equal(result.found, net(result.x).argmax(1) != points.y) and result.found.any()
