"""Sizes of the studies that no test could run: all that they would compute can be told, and of which data it is."""

import pytest
from tiny_sets import write_known_sets

from surefooted import studies
from surefooted.cell import Train

# Of UTA's largest size the chapters that no smaller one has.
OWN = ("overfitting-cifar10", "looks", "svhn")
SIZES = {
    "paper": ("ar_adals", {}, {"cifar10"}),
    "cifar100": ("ar_adals", {}, {"cifar100"}),
    "svhn": ("ar_adals", {}, {"svhn"}),
    "everything of entm": ("entm", {}, {"mnist", "cifar10", "cifar100", "svhn"}),
    "everything of uta": ("uta", {"only": OWN}, {"cifar10", "svhn"}),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_known_sets(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("size", SIZES)
def test_a_size_can_be_told_whole(size, root, tmp_path, monkeypatch):
    monkeypatch.setenv("SUREFOOTED_DATA", str(root))
    monkeypatch.setenv("SUREFOOTED_CACHE", str(tmp_path))
    name, options, data = SIZES[size]
    study = getattr(studies, name)(size=size.split()[0], **options)
    cells = {cell.key: cell for cell in study.cells()}
    trained = {need.key: need for cell in cells.values() for need in (cell, *cell.needs) if isinstance(need, Train)}
    assert {next(iter(one.data)) for one in trained.values()} == data
    assert len(cells) > len(trained) and all(cell.work() > 0 for cell in cells.values())
