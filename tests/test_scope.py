"""A study in another scope: fewer or more seeds, epochs and images than its size has, and chosen radii."""

import pytest

from surefooted import studies
from surefooted.errors import ArgumentError
from surefooted.pipeline.tasks import CorruptionTask, TrainTask
from surefooted.studies.scope import Scope
from surefooted.studies.uta.study import uta_chapters

GRID = next(chapter.grid for chapter in uta_chapters("smoke") if chapter.name == "mnist")


def test_a_scope_changes_what_it_names_and_nothing_else():
    narrowed = Scope(seeds=3, epochs=7, limit=0).narrow(GRID)
    assert (narrowed.seeds, narrowed.epochs, narrowed.limit) == (3, 7, 0)
    assert narrowed.methods == GRID.methods and narrowed.white_box == GRID.white_box
    assert vars(Scope().narrow(GRID)) == vars(GRID)


def test_every_chapter_of_uta_takes_a_scope():
    for chapter in uta_chapters("cpu"):
        narrowed = chapter.narrow(Scope(seeds=2, epochs=3))
        for name, runs in vars(narrowed).items():
            if hasattr(runs, "recipe"):
                ((_, recipe),) = runs.recipe.items()
                assert runs.seeds == 2, name
                # Two lengths of training are what this chapter compares.
                assert (recipe["epochs"] == 3) is not chapter.name.startswith("longer")


def test_ar_adals_takes_a_scope():
    tasks = studies.ar_adals(size="smoke", seeds=3, epochs=1, limit=7).tasks()
    trained = [task for task in tasks if isinstance(task, TrainTask)]
    assert {task.seed for task in trained} == {0, 1, 2}
    assert {next(iter(task.recipe.values()))["epochs"] for task in trained} == {1}
    assert {task.limit for task in tasks if isinstance(task, CorruptionTask)} == {7}


def test_the_page_says_what_was_asked_for():
    assert Scope(2, 5, 0).describe() == " Asked for: 2 trainings per method, 5 epochs, all test images."
    assert Scope().describe() == ""


def test_chosen_radii_are_those_of_the_size():
    whole = studies.uta(size="smoke", only=("mnist",))
    one = studies.uta(size="smoke", only=("mnist",), radii=(0.1,))
    assert {task.key for task in one.tasks()} < {task.key for task in whole.tasks()}
    with pytest.raises(ArgumentError, match=r"`radii` contains 0\.7; the training radii are 0\.1, 0\.2"):
        studies.uta(size="smoke", only=("mnist",), radii=(0.7,))
