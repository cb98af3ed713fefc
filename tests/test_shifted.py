"""Readers of official releases of corrupted test sets, on small ones written here."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_sets import write_npz

from surefooted.data.corruption_releases import cifar_c, imagenet_c
from surefooted.data.images import Images
from surefooted.errors import InputError
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import CorruptedPredictTask, CorruptionTask, ReleasedCorruptionTask, train_task

N, FIRST = 12, 50


@pytest.fixture
def release(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (5 * N, 8, 10, 3), dtype=np.uint8)
    y = np.tile(np.arange(N, dtype=np.uint8) % 3, 5)
    np.save(tmp_path / "fog.npy", x)
    np.save(tmp_path / "labels.npy", y)
    return tmp_path, x


def clean(order=range(N)):
    rows = torch.tensor(list(order))
    x = torch.zeros(len(rows), 3, 8, 10, dtype=torch.uint8)
    return Images(x, rows % 3, rows + FIRST, 255.0, ("a", "b", "c"))


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_cifar_c_returns_corrupted_test_images_in_their_order(release, severity):
    folder, x = release
    test = clean([7, 0, 11, 3])
    shifted = cifar_c(folder, "fog", severity, test, first=FIRST)
    for got, row in zip(shifted.x, [7, 0, 11, 3]):
        assert np.array_equal(got.permute(1, 2, 0), x[(severity - 1) * N + row])
    assert torch.equal(shifted.y, test.y) and torch.equal(shifted.rows, test.rows)
    assert shifted.points().x.max() <= 1 and shifted.classes == test.classes


def test_a_release_replaces_generated_corruptions(release, tmp_path):
    folder, x = release
    train = (np.zeros((FIRST, 8, 10, 3), np.uint8), np.arange(FIRST) % 3)
    file = write_npz(tmp_path / "set.npz", train, (np.full((N, 8, 10, 3), 200, np.uint8), np.arange(N) % 3))
    data = {"npz": {"path": str(file), "validation": 0.0}}
    task = ReleasedCorruptionTask(data, "fog", limit=7, folder=str(folder), first=FIRST)
    victim = train_task("vanilla", {"mlp": {"width": 4}}, data, {"recipe": {"epochs": 1}})
    store, predictions = Store(tmp_path / "store"), CorruptedPredictTask(victim, task)
    execute([predictions], store, runtime=Runtime("cpu"), quiet=True)
    at = task.images().rows.numpy() - FIRST
    for level, images in enumerate(task.result(store)):
        assert np.array_equal(images.permute(0, 2, 3, 1), x[level * N + at])
    assert [len(p.y) for p in predictions.result(store)] == [7] * 5
    assert task.key != CorruptionTask(data, "fog", limit=7).key
    assert task.key != ReleasedCorruptionTask(data, "fog", limit=7, folder=str(folder), first=FIRST - 1).key
    np.save(folder / "fog.npy", 255 - x)
    assert ReleasedCorruptionTask(data, "fog", limit=7, folder=str(folder), first=FIRST).key != task.key
    with pytest.raises(InputError, match=r"no type of corruption 'frost\.npy'"):
        _ = ReleasedCorruptionTask(data, "frost", folder=str(folder)).key


def pickled(folder):
    np.save(folder / "fog.npy", np.array([{}], dtype=object))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "fog.npy").unlink(), "no type of corruption 'fog.npy'"),
        (lambda f: (f / "labels.npy").unlink(), "no array of labels"),
        (pickled, "cannot be read as a NumPy array"),
        (lambda f: (f / "fog.npy").write_bytes(b""), "cannot be read as a NumPy array"),
        (lambda f: np.save(f / "fog.npy", np.zeros((5 * N, 8, 10, 3))), "float64"),
        (lambda f: np.save(f / "fog.npy", np.zeros((5 * N + 1, 8, 10, 3), np.uint8)), "five times the test set"),
        (lambda f: np.save(f / "fog.npy", np.zeros((5 * N, 9, 9, 3), np.uint8)), "9×9 pixels, the test set of 8×10"),
        (
            lambda f: np.save(f / "fog.npy", np.zeros((50, 8, 10, 3), np.uint8)),
            "50 images; expected one class index per image",
        ),
        (lambda f: np.save(f / "labels.npy", np.zeros(5 * N, np.uint8)), "differ in 8 of 12 labels, first at row 1"),
        (lambda f: np.save(f / "labels.npy", np.zeros(5 * N)), "float64"),
    ],
)
def test_faults_of_a_release_are_reported(release, spoil, message):
    folder, _ = release
    spoil(folder)
    with pytest.raises(InputError) as error:
        cifar_c(folder, "fog", 2, clean(), first=FIRST)
    assert message in str(error.value)


def test_faults_of_arguments_are_reported(release):
    folder, _ = release
    with pytest.raises(InputError, match=r"'fog\.npy'"):
        cifar_c(folder, "fogg", 2, clean(), first=FIRST)
    with pytest.raises(InputError, match="severity = 6"):
        cifar_c(folder, "fog", 6, clean(), first=FIRST)
    with pytest.raises(InputError, match="rows from 50 to 61"):
        cifar_c(folder, "fog", 1, clean())


@pytest.fixture
def folders(tmp_path):
    for name, shade in (("cat", 10), ("ape", 200)):
        folder = tmp_path / "snow" / "4" / name
        folder.mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (16, 16), (shade + number,) * 3).save(folder / f"v{number}.JPEG")
    return tmp_path


def test_imagenet_c_is_in_the_order_of_classes_and_names(folders):
    shifted = imagenet_c(folders, "snow", 4, count=6)
    assert shifted.classes == ("ape", "cat") and shifted.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert shifted.x[:, 0, 0, 0].tolist() == [200, 201, 202, 10, 11, 12]
    assert imagenet_c(folders, "snow", 4, count=None, classes=("cat", "ape")).x[0, 0, 0, 0] == 10


def test_faults_of_folders_are_reported(folders):
    for options, message in (
        ({"count": 50_000}, "has 6 images; expected 50000"),
        ({"classes": ("ape", "cat", "dog")}, "Missing: dog"),
        ({"classes": ("ape",)}, "unknown: cat"),
    ):
        with pytest.raises(InputError, match=message):
            imagenet_c(folders, "snow", 4, **options)
    with pytest.raises(InputError, match="Did you mean 'snow'"):
        imagenet_c(folders, "snwo", 4)
    with pytest.raises(InputError, match="no severity '3'"):
        imagenet_c(folders, "snow", 3)
