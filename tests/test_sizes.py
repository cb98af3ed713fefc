"""Sizes of the studies that no test could run: all that they would make can be told, and of which data it is."""

import pytest
from tiny_sets import write_known_sets

from surefooted import studies
from surefooted.pipeline.execute import plan
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, TrainTask

# What size cpu of uta has not, or has of other data.
OWN = ("overfitting-cifar10", "looks", "svhn", "fast", "several-fashion_mnist")
SIZES = {
    "ar_adals paper": ({}, {"cifar10"}),
    "ar_adals cifar100": ({}, {"cifar100"}),
    "ar_adals svhn": ({}, {"svhn"}),
    "entm everything": ({}, {"mnist", "cifar10", "cifar100", "svhn"}),
    "uta everything": ({"only": OWN}, {"fashion_mnist", "cifar10", "svhn"}),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_known_sets(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("size", SIZES)
def test_a_size_can_be_planned(size, root, tmp_path, monkeypatch):
    monkeypatch.setenv("SUREFOOTED_DATA", str(root))
    monkeypatch.setenv("SUREFOOTED_CACHE", str(tmp_path / "cache"))
    (name, which), (options, data) = size.split(), SIZES[size]
    todo = plan(getattr(studies, name)(size=which, **options).tasks(), Store(tmp_path / "store"))
    trained = {next(iter(task.data)) for task in todo if isinstance(task, TrainTask)}
    assert trained == data and all(task.total_ticks() > 0 and task.label for task in todo)
    if name == "entm":  # figure 1 ends at 150/255 after 150 steps, on two data sets
        far = [one for one in todo if isinstance(one, AttackTask) and one.attack.get("pgd", {}).get("steps") == 150]
        assert {next(iter(task.victim.data)) for task in far} == {"cifar10", "cifar100"}
