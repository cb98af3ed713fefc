"""Orders of the images of a split: the data set's own, a random one, and that in which the studies stored results."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from tiny_sets import CLASSES, drawn, write_folder, write_known_sets, write_npz, write_parquet_set, write_table

from surefooted import data
from surefooted.auditing import audit_options
from surefooted.components.spec import digest
from surefooted.data.order import ordered, parse_order
from surefooted.data.paths import set_data_root
from surefooted.data.split import shuffled_rows
from surefooted.errors import ArgumentError, DataNotice
from surefooted.pipeline.tasks import AttackTask, CorruptionTask, PredictTask, choose_order, resolve_data
from surefooted.pipeline.tasks.base import without_location

TRAIN, TEST = drawn(20, 2), drawn(9, 3)


@dataclass
class Network:
    """A victim that is never loaded."""

    data: Any = None
    key: str = "0" * 64

    def load(self, store):
        raise AssertionError


@pytest.fixture(params=["parquet", "folder", "npz", "table"])
def load(request, tmp_path):
    """A function that loads a set with test images of its own, which are sorted by class."""
    places = {"parquet": write_parquet_set, "folder": write_folder, "table": write_table}
    if request.param == "npz":
        path = write_npz(tmp_path / "tiny.npz", TRAIN, TEST)
    else:
        path = places[request.param](tmp_path / "tiny", TRAIN, TEST)
    return lambda **options: getattr(data, request.param)(path, **options)


@pytest.fixture
def mnist(tmp_path):
    set_data_root(write_known_sets(tmp_path, "mnist"))
    yield resolve_data("mnist")
    set_data_root(None)


def test_official_test_images_keep_the_order_of_their_files(load):
    for splits in (load(), load(split_seed=7), load(test_limit=5)):
        n = len(splits.test)
        assert np.array_equal(splits.test.x[:, 0].numpy(), TEST[0][:n])
        assert splits.test.y.tolist() == TEST[1][:n].tolist() and splits.test.rows.tolist() == list(range(20, 20 + n))


def test_images_held_out_for_testing_are_a_random_sample():
    splits = data.digits()
    assert splits.draw is None and splits.drawn_test is splits.test
    assert torch.equal(splits.test.rows, shuffled_rows(1797, 0, stream=0)[-449:])


def test_the_order_of_the_split_is_that_of_stored_results(mnist):
    """Keys of earlier versions say no order: rows are drawn by the seed of the split, and a limit is cut from these."""
    for options, seed, limit in (({}, 0, 0), ({"split_seed": 3}, 3, 0), ({"test_limit": 30}, 0, 30)):
        splits = data.mnist(**options)
        rows = 200 + shuffled_rows(100, seed, stream=1)[: limit or None]
        assert torch.equal(splits.drawn_test.rows, rows)
        assert torch.equal(splits.drawn_test.x, data.mnist().test.x[rows - 200])
    victim = Network(mnist)
    task, official = PredictTask(victim, limit=5), PredictTask(victim, limit=5, order="official")
    arguments = {"victim": victim.key, "part": "test", "moved": None, "limit": 5}
    assert task.key == digest({"kind": "predicted", **arguments})
    assert official.key == digest({"kind": "predicted", **arguments, "order": "official"})


def test_tasks_read_the_images_of_their_order(mnist):
    victim = Network(mnist)
    splits = data.mnist()
    for order, expected in (
        ("split", splits.drawn_test.rows),
        ("official", torch.arange(200, 300)),
        ("random:4", 200 + shuffled_rows(100, 4, stream=3)),
    ):
        attack = AttackTask(victim, {"fgsm": {"eps": 0.1}}, "test", limit=7, order=order)
        corruption = CorruptionTask(mnist, "fog", limit=7, order=order)
        assert torch.equal(attack.images().rows, expected[:7]) and torch.equal(corruption.images().rows, expected[:7])
    keys = {CorruptionTask(mnist, "fog", limit=7, order=order).key for order in ("split", "official", "random:4")}
    assert len(keys) == 3
    assert without_location(mnist) == mnist


def test_a_random_order_is_a_permutation_that_its_seed_fixes(mnist):
    splits = data.mnist()
    for split in ("train", "validation", "test"):
        rows = [ordered(splits, split, f"random:{seed}").rows for seed in (0, 0, 1)]
        assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
        assert torch.equal(rows[0].sort().values, getattr(splits, split).rows.sort().values)


def test_older_results_are_found_where_the_order_is_all_the_same(mnist):
    victim, digits = Network(mnist), Network(resolve_data("digits"))
    assert choose_order(victim, None, "test", 10, "official") == "official"
    assert choose_order(victim, None, "test", 10, "random") == "random:0"
    for limit in (0, 100, 1000):  # of the whole split, every order has the same images
        assert choose_order(victim, None, "test", limit, "official") == "split"
    assert choose_order(victim, None, "train", 10, "official") == "split"
    assert choose_order(digits, None, "test", 10, "official") == "split"
    limited = resolve_data({"mnist": {"test_limit": 30}})  # 30 others than those that the split draws
    assert choose_order(victim, limited, "test", 0, "official") == "official"
    assert choose_order(Network(), None, "test", 5, "official") == "official"


def test_a_limit_that_loses_classes_is_told(load):
    splits = resolve_data(load())
    with pytest.warns(
        DataNotice, match=r"The first 6 of the 9 test images of tiny hold 2 of 3 classes.*`order=random`"
    ):
        choose_order(Network(), splits, "test", 6, "official")
    for limit, order in ((7, "official"), (0, "official"), (3, "random:0"), (3, "split")):
        choose_order(Network(), splits, "test", limit, order)


@pytest.mark.parametrize("text", ["", "randm", "random:", "random:-1", "random:1e3", "Official", "random:9999999999"])
def test_other_orders_are_refused(text):
    for check in (parse_order, lambda order: audit_options(order=order)):
        with pytest.raises(ArgumentError, match=r"`order` is .*expected official, random, random:SEED"):
            check(text)


def test_classes_are_those_of_the_set(load):
    assert load().test.classes == CLASSES
