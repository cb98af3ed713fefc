"""What ranks the examples of AR-AdaLS: an attack beforehand, one on the fly, a score, or a file's column."""

import numpy as np
import pytest
import torch

from surefooted.attacks import nearest_boundary
from surefooted.components.spec import build
from surefooted.core.scores import entropy
from surefooted.core.types import Forward
from surefooted.data import digits
from surefooted.errors import InputError
from surefooted.evaluation.metrics.levels import levels_of
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, PredictTask, TrainTask, train_task
from surefooted.training.loop import fit
from surefooted.training.methods import ar_adals
from surefooted.training.recipes import recipe

CPU = Runtime("cpu", threads=1)
SMALL = {"digits": {"train_limit": 120, "test_limit": 60, "validation": 0.2}}
QUICK = {"nearest_boundary": {"steps": 3, "away_from": "prediction"}}


def task(**options):
    return train_task(
        {"ar_adals": {"levels": 4, "robustness": QUICK, **options}}, "small_convnet", SMALL, {"recipe": {"epochs": 4}}
    )


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_score_of_the_vanilla_model_ranks_the_greatest_first(store):
    made = task(by="entropy")
    assert [type(need) for need in made.requires] == [PredictTask, PredictTask]
    execute([made], store, runtime=CPU, quiet=True)
    p, levels = made.requires[0].result(store), made.levels(store)
    value = entropy()(Forward(p.log_p[None], p.y))
    assert torch.equal(levels.train, levels_of(-value, levels=4)) and torch.equal(levels.train_rows, p.rows)
    assert value[levels.train == 0].min() >= value[levels.train == 3].max()


def test_a_column_ranks_by_its_numbers_and_enters_the_key(store, tmp_path):
    file = tmp_path / "age.npy"
    np.save(file, np.arange(1797)[::-1])
    made = task(column=str(file))
    assert made.requires == ()
    execute([made], store, runtime=CPU, quiet=True)
    levels = made.levels(store)
    assert levels.train_rows[levels.train == 0].min() > levels.train_rows[levels.train == 3].max()
    np.save(file, np.arange(1797))
    assert task(column=str(file)).key != made.key


@pytest.mark.parametrize(
    "values, said",
    [
        (np.ones(5), "5 numbers, but the data set has a row"),
        (np.ones((1797, 2)), r"shape \(1797, 2\); expected one number"),
        (np.full(1797, np.nan), "NaN in"),
        (np.array(["a"] * 1797), "expected one number"),
    ],
)
def test_columns_that_do_not_fit_are_refused(values, said, store, tmp_path):
    np.save(tmp_path / "c.npy", values)
    with pytest.raises(InputError, match=said):
        made = task(column=str(tmp_path / "c.npy"))
        made.levels(store)


def test_on_the_fly_the_network_in_training_ranks():
    data = digits(**SMALL["digits"])
    torch.manual_seed(0)
    net = build("network", "small_convnet", (1, 8, 8), 10)
    attack = nearest_boundary(steps=3, away_from="prediction")
    method = ar_adals(levels=4, robustness=attack, every=2, alpha=0.05)
    history = fit(method, net, data, recipe(epochs=5, batch=32)).history
    assert len(history[-1]["soft_labels"]) == 4 and min(history[-1]["soft_labels"]) < 1
    assert TrainTask.requires.func(task(every=2)) == ()


def test_an_attack_beforehand_is_the_default():
    assert [type(need) for need in task().requires] == [AttackTask, AttackTask]
