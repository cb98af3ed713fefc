"""Training: the same bits for the same seed, recipes as the papers print them, two processes like one."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from surefooted.api import train
from surefooted.core.files import read_json, read_tensors, write_tensors
from surefooted.core.rng import Noise
from surefooted.core.types import Points
from surefooted.data import digits
from surefooted.data.augment import shift
from surefooted.data.images import Images
from surefooted.errors import ArgumentError, InputError
from surefooted.evaluation.metrics.levels import levels_of
from surefooted.models.prediction import predict
from surefooted.models.weights import seeded_network
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import attack_task, train_task
from surefooted.training import methods, recipes
from surefooted.training.batches import Batches, steps_per_epoch, total_steps
from surefooted.training.loop import fit
from surefooted.training.methods.targets import RobustnessLevels

CPU = Runtime("cpu")


@pytest.fixture
def data(tmp_path):
    """Images of 6×6 pixels in three classes, 130 for training: bright at the top, at the bottom, or nowhere."""
    rng = np.random.default_rng(0)
    y = np.arange(260) % 3
    x = rng.integers(0, 155, (260, 6, 6), dtype=np.uint8)
    x[y == 0, :2] += 100
    x[y == 1, 4:] += 100
    np.savez(tmp_path / "bars.npz", x_train=x, y_train=y)
    return {"npz": {"path": str(tmp_path / "bars.npz"), "validation": 0.33}}


def weights(task, store):
    return read_tensors(task.path(store) / "weights.safetensors")[0]


def trained(method, data, store=None, net=None, **options):
    recipe = {"recipe": {"epochs": 2, "batch": 32} | options.pop("recipe", {})}
    task = train_task(method, net or {"mlp": {"width": 8, "dropout": 0.2}}, data, recipe, **options)
    store = store or Store()
    execute([task], store, runtime=CPU)
    return task, weights(task, store), task.history(store)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


LEARNT = {"pat_ar_adals": {"levels": 3, "alpha": 0.5, "eps": 0.1, "steps": 1,
                           "robustness": {"carlini_wagner": {"steps": 3, "away_from": "prediction"}}}}  # fmt: skip


@pytest.mark.parametrize("method", ["vanilla", {"pat": {"steps": 1}}, {"adals": {"alpha": 0.5}}, LEARNT])
def test_the_same_seed_gives_the_same_bits_and_another_others(method, data, tmp_path):
    first = trained(method, data, Store(tmp_path / "a"))
    torch.rand(3)  # draws of other code do not matter
    again = trained(method, data, Store(tmp_path / "b"))
    other = trained(method, data, Store(tmp_path / "c"), seed=1)
    assert same(first[1], again[1]) and first[2] == again[2]
    assert not same(first[1], other[1])


def test_training_leaves_the_random_state_of_its_caller_unchanged(data):
    state = torch.get_rng_state()
    trained("vanilla", data)
    assert torch.equal(state, torch.get_rng_state())


def test_training_lowers_the_loss_and_raises_the_accuracy(data):
    _, _, history = trained("vanilla", data, recipe={"epochs": 30, "lr": 0.01}, net={"mlp": {"width": 16}})
    assert history[-1]["accuracy"] > 0.9 and history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert [entry["epoch"] for entry in history] == list(range(1, 31))
    assert {"accuracy", "nll", "ece", "loss", "lr", "epoch"} == set(history[-1])


def test_learnt_labels_are_kept_with_the_history_and_upstream_is_shared(data):
    store = Store()
    task, _, history = trained(LEARNT, data, store)
    labels = torch.tensor([entry["soft_labels"] for entry in history])
    assert labels.shape == (2, 3) and bool((labels <= 1).all()) and bool((labels > 1 / 3).all())
    on_train, on_validation = task.requires
    assert plan([on_train, on_validation, on_train.victim], store) == []
    # A variant, and the vanilla model itself, find the artifacts.
    variant = train_task({"ar_adals": {"levels": 2, "robustness": LEARNT["pat_ar_adals"]["robustness"]}},
                       task.net, data, task.recipe)  # fmt: skip
    assert [c.label for c in plan([variant], store)] == ["train ar_adals, seed 0"]
    assert plan([train_task("vanilla", task.net, data, task.recipe)], store) == []
    # Levels are ranked separately, of equal size, over exactly the rows of their split.
    levels = task.levels(store)
    for level in (levels.train, levels.validation):
        assert len(level.bincount()) == 3 and int(level.bincount().max() - level.bincount().min()) <= 1
    splits = train("vanilla", task.net, data, task.recipe, store=store, runtime=CPU).data
    assert sorted(levels.train_rows.tolist()) == sorted(splits.train.rows.tolist())
    assert sorted(levels.validation_rows.tolist()) == sorted(splits.validation.rows.tolist())


def test_rows_that_no_attack_changed_are_the_most_robust(data):
    store = Store()
    task, *_ = trained("vanilla", data, store)
    weak = attack_task(task, {"pgd": {"eps": 0.02, "steps": 2, "keep": "nearest"}})
    execute([weak], store, runtime=CPU)
    found, sizes = weak.result(store)["found"], weak.distances(store)
    assert 0 < int(found.sum()) < len(found)
    assert bool(sizes[~found].isinf().all()) and bool(sizes[found].isfinite().all())
    level = levels_of(sizes, levels=4)
    assert int(level[~found].max()) == 3 and int(level[found].max()) <= int(level[~found].min())


def test_a_run_resumes_from_its_checkpoint_to_the_same_bits(data, tmp_path):
    """In one process; test_resume kills it."""
    splits = train("vanilla", "mlp", data, {"recipe": {"epochs": 1}}, runtime=CPU).data
    method, shape = methods.adals(alpha=0.5), splits.train.shape

    def run(epochs, checkpoint=None):
        net = seeded_network({"mlp": {"width": 8, "dropout": 0.3}}, shape, 3, 0)
        recipe = recipes.recipe(epochs=epochs, batch=32, augment=("crop", "flip"))
        history = fit(method, net, splits, recipe, checkpoint=checkpoint).history
        return net.state_dict(), history

    run(2, tmp_path / "c")
    resumed, whole = run(5, tmp_path / "c"), run(5)
    assert same(resumed[0], whole[0]) and resumed[1] == whole[1]


def test_attacks_that_propose_have_a_new_key_since_training_takes_their_best_point():
    for perturb, more in (("pgd", False), ("autoattack", True), ("nearest_boundary", True)):
        assert ("perturb" in train_task({"custom": {"perturb": perturb}}, "mlp", "digits").arguments()) == more


def test_an_epoch_resumes_with_the_same_number_of_steps_only(data, tmp_path, monkeypatch):
    """The number of processes changes it if the batch size is not a multiple of them."""
    splits = train("vanilla", "mlp", data, {"recipe": {"epochs": 1}}, runtime=CPU).data
    net, recipe = seeded_network("mlp", splits.train.shape, 3, 0), recipes.recipe(epochs=2, batch=10)

    class Stopped(Exception):
        pass

    def stop(step):
        monkeypatch.setattr("surefooted.training.loop.SECONDS_BETWEEN_CHECKPOINTS", 0)
        if file.exists():
            raise Stopped

    file = tmp_path / "c.safetensors"
    with pytest.raises(Stopped):
        fit(methods.vanilla(), net, splits, recipe, checkpoint=file, tick=stop)
    tensors, about = read_tensors(file)
    name = next(name for name in tensors if "losses" in name)
    assert about["step"] > 0
    write_tensors(file, tensors | {name: tensors[name][:-1]}, about)
    with pytest.raises(InputError, match=r"within an epoch .*\(\d+ steps per epoch before, .*same number of `devices`"):
        fit(methods.vanilla(), net, splits, recipe, checkpoint=file)


@pytest.mark.parametrize(
    "given, message",
    [({"schedule": "steps"}, "needs drops"), ({"warmup": 3, "epochs": 2}, "3 epochs is longer than the training of 2")],
)
def test_incomplete_schedules_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        recipes.recipe(**given)


def test_augmentations_of_one_recipe_draw_from_different_streams():
    """The first draws from stream 16 and the second from 17, bit for bit; on one stream, two shifts would be alike."""
    x = torch.arange(4 * 5 * 6, dtype=torch.float32).view(4, 1, 5, 6)
    images = Images(x, torch.zeros(4, dtype=torch.int64), torch.tensor([3, 1, 7, 5]), 120.0, ("a",))
    recipe = recipes.recipe(batch=4, augment=("shift", "shift"))
    order = torch.arange(4)
    points, _ = Batches(images, methods.vanilla(), recipe, seed=7).make_batch(2, 0, [order], {})

    def shifted(points, stream):
        return points._replace(x=shift()(points, Noise(7, points.rows, 2, stream=stream)))

    plain = images.points(order)
    assert torch.equal(points.x, shifted(shifted(plain, 16), 17).x)
    assert not torch.equal(points.x, shifted(shifted(plain, 16), 16).x)


def test_every_augmentation_of_a_recipe_has_its_own_noise():
    seen = []

    def spy(points, noise):
        seen.append(noise.uniform(2))
        return points.x

    images = Images(torch.zeros(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64), torch.arange(4), 1.0, ("a",))
    recipe = dataclasses.replace(recipes.recipe(batch=4), augment=(spy, spy, spy))
    batches = Batches(images, methods.vanilla(), recipe, seed=0)
    for epoch in (0, 1):
        batches.make_batch(epoch, 0, [torch.arange(4)], {})
    assert len(torch.cat(seen).unique()) == 2 * 3 * 4 * 2


def test_a_batch_that_is_too_small_for_its_processes_is_refused():
    assert steps_per_epoch(100, 6, 3) == 16  # the last batch of 4 images leaves one process with one image only
    with pytest.raises(ArgumentError, match="Batch size 5 is too small for 3 processes"):
        steps_per_epoch(100, 5, 3)
    with pytest.raises(ArgumentError, match="5 training images are too few for 3 processes"):
        steps_per_epoch(5, 6, 3)


def test_batch_norm_over_a_single_value_is_refused_before_training():
    """ResNet-18 leaves one pixel of a digit. A convolution that leaves several can be trained on one image."""
    one, five = digits(train_limit=1), digits(train_limit=5)
    with pytest.raises(ArgumentError, match=r"Batches of one image .* Increase `recipe.batch`\."):
        train_task("vanilla", "resnet18", five, {"recipe": {"batch": 1}})
    with pytest.raises(ArgumentError, match=r"Batches of one image .* Train on more images\."):
        train_task("vanilla", "resnet18", one)
    train_task("vanilla", "resnet18", five, {"recipe": {"batch": 4}})  # its last batch of one image is dropped
    norm = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    with pytest.raises(ArgumentError, match="Batches of one image"):
        fit(methods.vanilla(), norm, five, recipes.recipe(epochs=1, batch=1))
    assert int(norm[1].num_batches_tracked) == 0
    spatial = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 10))
    for data in (one, five):
        assert len(fit(methods.vanilla(), spatial, data, recipes.recipe(epochs=1, batch=1)).history) == 1


@pytest.mark.parametrize("members", [1, 3])
def test_every_epoch_has_its_own_order_and_every_step_its_own_masks(data, monkeypatch, members):
    splits = train("vanilla", "mlp", data, {"recipe": {"epochs": 1}}, runtime=CPU).data
    n, asked, masks, points_of = len(splits.train), [], [], Images.points

    def points(images, index=slice(None), device=None):
        if isinstance(index, torch.Tensor):
            asked.append(index)
        return points_of(images, index, device)

    monkeypatch.setattr(Images, "points", points)
    net = seeded_network({"mlp": {"width": 64, "dropout": 0.5}}, splits.train.shape, 3, 0, members)
    one = net.members[0] if members > 1 else net
    layer = next(module for module in one.modules() if isinstance(module, nn.Dropout))

    def seen(module, inputs):  # what it would draw of ones, where it draws
        if module.training:
            masks.append(tuple(nn.functional.dropout(torch.ones(200), 0.5).tolist()))

    layer.register_forward_pre_hook(seen)
    method = methods.vanilla() if members == 1 else methods.ensemble(members=members)
    fit(method, net, splits, recipes.recipe(epochs=6, batch=n))
    assert len(asked) == 6 * members and all(sorted(order.tolist()) == list(range(n)) for order in asked)
    assert len({tuple(order.tolist()) for order in asked}) == 6 * members
    assert len(masks) == 6 and len(set(masks)) == 6


def rates(made, *epochs):
    return [pytest.approx(made.learning_rate(epoch), rel=1e-6) for epoch in epochs]


def test_learning_rates_are_those_that_the_papers_print():
    lr = recipes.ar_adals_cifar10()
    assert rates(lr, 0, 79.9, 80, 120, 160, 180) == [1e-3, 1e-3, 1e-4, 1e-5, 1e-6, 5e-7]
    assert rates(recipes.entm_mnist(), 0, 19.9, 20, 39) == [0.01, 0.01, 0.001, 0.001]
    assert rates(recipes.entm_resnet18(), 0, 60, 84, 100) == [0.1, 0.01, 0.001, 1e-4]
    assert rates(recipes.entm_resnet18(adversarial=False), 0, 99, 100, 150) == [0.1, 0.1, 0.01, 0.001]
    assert recipes.entm_resnet18(adversarial=False).epochs == 200
    assert rates(recipes.edward2_wide_resnet(), 0.5, 1, 60, 120, 160) == [0.05, 0.1, 0.02, 0.004, 0.0008]
    assert rates(recipes.uta_lenet(), 0, 99) == [1e-3, 1e-3]
    assert rates(recipes.uta_resnet18(), 0, 59, 60, 120, 160) == [0.1, 0.1, 0.1 / 15, 0.1 / 15**2, 0.1 / 15**3]
    assert rates(recipes.due_wide_resnet(), 0, 60, 120, 160) == [0.1, 0.02, 0.004, 0.0008]
    assert rates(recipes.uta_cyclic(), 0, 36, 90) == [0, 0.2, 0]
    cyclic = recipes.recipe(epochs=10, lr=1.0, schedule="cyclic")
    assert rates(cyclic, 0, 2, 4, 7, 10) == [0, 0.5, 1, 0.5, 0]
    assert rates(recipes.recipe(epochs=10, lr=1.0, schedule="cosine"), 0, 5, 10) == [1, 0.5, pytest.approx(0, abs=1e-6)]


def test_growing_eps():
    """Linear between the given epochs and all of ε after the last one, where training is as without the schedule."""
    grows = recipes.growing_eps(of="entm_mnist", shares=((2, 0.2), (4, 0.6), (6, 1)))
    assert [grows.eps_share(at) for at in (0, 2, 3, 4, 5, 6, 39)] == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.8, 1, 1])
    assert grows.epochs == 40 and rates(grows, 0, 39) == [0.01, 0.001]
    splits, own = digits(train_limit=64, validation=0.1), recipes.recipe(epochs=2, batch=32)
    method = methods.pat(eps=0.2, steps=2, step_size=0.1, start="uniform")
    net = seeded_network("mlp", splits.train.shape, 10, 0)
    x = splits.train.points(slice(0, 8))
    sizes = [(method.scale_eps(share).perturb_points(net, x, x.y, seed=0) - x.x).abs().max() for share in (0, 0.5, 1)]
    assert sizes == pytest.approx([0, 0.1, 0.2], abs=1e-6)

    def trained(recipe):
        torch.manual_seed(0)
        fit(method, net := seeded_network("mlp", splits.train.shape, 10, 0), splits, recipe)
        return torch.cat([w.flatten() for w in net.parameters()])

    whole, small = (trained(recipes.growing_eps(of=own, shares=((0, first), (1, 1)))) for first in (1, 0))
    assert torch.equal(whole, trained(own)) and not torch.equal(whole, small)


def test_a_shorter_recipe_keeps_the_shape_of_its_schedule():
    assert rates(recipes.ar_adals_cifar10(epochs=20), 0, 8, 12, 16, 18) == [1e-3, 1e-4, 1e-5, 1e-6, 5e-7]


def test_weight_decay_is_on_the_kernels_of_convolutions_alone_where_asked():
    net = seeded_network("resnet18", (3, 32, 32), 10, 0)
    kernels = {id(m.weight) for m in net.modules() if isinstance(m, nn.Conv2d)}
    groups = recipes.ar_adals_cifar10().optimiser(net).param_groups
    decayed = {id(w): group["weight_decay"] for group in groups for w in group["params"]}
    assert {w for w, decay in decayed.items() if decay} == kernels and {decayed[w] for w in kernels} == {2e-4}
    assert decayed.keys() == {id(w) for w in net.parameters()}
    everywhere = recipes.entm_resnet18().optimiser(net).param_groups
    assert {g["weight_decay"] for g in everywhere} == {1e-4}
    assert {id(w) for g in everywhere for w in g["params"]} == decayed.keys()


def test_weight_decay_is_coupled(data):
    """Adam with L2, not AdamW: a weight without gradient moves by the full learning rate."""
    net = seeded_network({"mlp": {"width": 4}}, (1, 6, 6), 3, 0)
    optimiser = recipes.recipe(lr=0.1, weight_decay=0.5).optimiser(net)
    before = [w.detach().clone() for w in net.parameters()]
    for w in net.parameters():
        w.grad = torch.zeros_like(w)
    optimiser.step()
    for old, new in zip(before, net.parameters()):
        torch.testing.assert_close(new.detach(), old - 0.1 * old.sign() * (old != 0), atol=1e-4, rtol=0)


RISE = {"schedule": "steps", "drops": [[0, 1e32]]}


@pytest.mark.parametrize("recipe", [{}, {"batch": 200, "epochs": 1}])
def test_a_loss_that_is_not_finite_is_reported_and_the_last_good_checkpoint_kept(data, recipe):
    store = Store()
    given = {"optimiser": "sgd", "epochs": 3, "batch": 32, "lr": 1e6} | RISE | recipe
    task = train_task("vanilla", {"mlp": {"width": 8}}, data, {"recipe": given})
    with pytest.raises(InputError) as error:
        execute([task], store, runtime=CPU)
    text = str(error.value)
    assert ("became" in text or "no finite answer" in text) and "epoch 1, " in text and "learning rate 1e+38" in text
    assert "step 2" in text or recipe
    assert not task.is_done(store)


def test_a_good_epoch_survives_a_bad_one(data):
    """The learning rate jumps in the second epoch: the checkpoint of the first epoch stays unchanged."""
    store = Store()
    rise = {"schedule": "steps", "drops": [[1, 1e30]], "optimiser": "sgd", "epochs": 3, "batch": 32}
    task = train_task("vanilla", {"mlp": {"width": 8}}, data, {"recipe": rise})
    for _ in range(2):  # and again, from the checkpoint
        with pytest.raises(InputError, match="epoch 2, "):
            execute([task], store, runtime=CPU)
        kept, about = read_tensors(store.root / "work" / task.key / "checkpoint.safetensors")
        assert about["epoch"] == 1 and all(bool(t.isfinite().all()) for t in kept.values())


def test_bf16_trains(data):
    long = {"net": {"mlp": {"width": 16}}, "recipe": {"lr": 0.01, "epochs": 20}}
    _, low, history = trained("vanilla", data, precision="bf16", **long)
    _, full, _ = trained("vanilla", data, **long)
    assert history[-1]["accuracy"] > 0.8 and not same(low, full)
    assert all(w.dtype == torch.float32 for w in low.values())


def test_a_batch_may_be_larger_than_the_data(data):
    """A batch larger than the set is the whole set; a last batch of one image is dropped."""
    _, _, history = trained("vanilla", data, recipe={"batch": 10_000})
    assert len(history) == 2
    made = recipes.recipe(epochs=2, batch=10)
    assert [total_steps(made, n) for n in (1, 9, 10, 11, 12)] == [2, 2, 2, 2, 4]


def test_methods_without_levels_or_validation_images_are_refused(data):
    splits = train("vanilla", "mlp", data, {"recipe": {"epochs": 1}}, runtime=CPU).data
    net = seeded_network("mlp", splits.train.shape, 3, 0)
    with pytest.raises(InputError, match="needs the robustness level of every example"):
        fit(methods.ar_adals(levels=2), net, splits, recipes.recipe(epochs=1))
    for count in (100, 1000):
        with pytest.raises(InputError, match=rf"learns its labels from {count} subset\(s\) of the validation split"):
            train_task({"ar_adals": {"levels": count}}, "mlp", data)
    with pytest.raises(
        InputError, match=r"the validation split, which has 0 images\. Hold out more \(`data.validation=0.1`\)"
    ):
        train_task("adals", "mlp", {"npz": data["npz"] | {"validation": 0}})
    empty = RobustnessLevels.single(splits.train.rows, splits.validation.rows)
    with pytest.raises(InputError, match="10 levels"):
        methods.ar_adals().target.init(empty)


def test_invalid_images_are_refused(data):
    task, *_ = trained("vanilla", data)
    net = task.load(Store())
    x, y, i = torch.rand(4, 1, 6, 6), torch.tensor([0, 1, 2, 0]), torch.arange(4)
    for bad, message in ((255 * x, "divide by 255"), (x - 0.6, "belongs inside the model"), (x / 0, "not from 0 to 1")):
        with pytest.raises(InputError, match=message):
            predict(net, Points(bad, y, i))
    with pytest.raises(InputError, match=r"class indices from 0 to 2 .* y ranges from 1 to 3"):
        predict(net, Points(x, y + 1, i))
    with pytest.raises(InputError, match="This network reads images of"):
        predict(net, Points(torch.rand(4, 3, 6, 6), y, i))


PAIRED = recipes.recipe(epochs=2, batch=26, optimiser="sgd", lr=0.1)


def prepared(data, store):
    splits = train("vanilla", "mlp", data, {"recipe": {"epochs": 1}}, store=store, runtime=CPU).data
    return splits, seeded_network({"small_convnet": {"width": 4}}, splits.train.shape, 3, 0)


def spread(fabric, data, folder, tick):
    """One of two processes: train, and write the final weights to a file."""
    torch.set_num_threads(1)
    splits, net = prepared(data, Store(folder / str(fabric.global_rank)))
    fit(methods.pat(steps=2, eps=0.1, start="clean"), net, splits, PAIRED, fabric=fabric, tick=tick)
    (folder / f"{fabric.global_rank}.json").write_text(json.dumps([w.tolist() for w in net.state_dict().values()]))


def test_two_processes_train_to_the_same_weights_and_close_to_those_of_one(data, tmp_path):
    steps = []
    Runtime("cpu", 2, threads=1).launch("fp32", spread, data, tmp_path, tick=steps.append)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    splits, alone = prepared(data, Store())
    fit(methods.pat(steps=2, eps=0.1, start="clean"), alone, splits, PAIRED)
    for one, two in zip(alone.state_dict().values(), first):
        torch.testing.assert_close(one, torch.tensor(two), rtol=1e-3, atol=1e-5)
    assert sum(steps) == total_steps(PAIRED, len(splits.train))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accelerator": "gpu"}, "`accelerator` is 'gpu'. Did you mean 'cpu'?"),
        ({"devices": 0}, "`devices` is 0; expected a whole number of at least 1"),
        ({"threads": -1}, "`threads` is -1"),
    ],
)
def test_invalid_runtime_options_are_refused(options, message):
    with pytest.raises(InputError) as error:
        Runtime(**options)
    assert message in str(error.value)


def test_provenance_names_devices_versions_and_seconds(data):
    store = Store()
    task, *_ = trained("vanilla", data, store)
    about = read_json(task.path(store) / "provenance.json")
    assert about["devices"] == 1 and about["torch"] == torch.__version__ and about["seconds"] >= 0
