"""Laws of images, splits and all data sets."""

import dataclasses
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tiny_sets import (
    CLASSES,
    HubSplit,
    drawn,
    fake_hub,
    named_sets,
    parts,
    png,
    write_folder,
    write_known_sets,
    write_npz,
    write_parquet,
    write_parquet_set,
    write_table,
)

from surefooted import data
from surefooted.data import images as images_module
from surefooted.data.images import Images, MappedImages, Splits
from surefooted.data.paths import set_data_root
from surefooted.data.split import shuffled_rows
from surefooted.errors import ArgumentError, DataError, DataNotice, DependencyError, InputError


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("SUREFOOTED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SUREFOOTED_DATA", raising=False)
    yield
    set_data_root(None)


@pytest.fixture(params=data.__all__)
def source(request, tmp_path, monkeypatch):
    """Every data set; those that read files read the same tiny set."""
    name = request.param
    train, test = drawn(40, 0), drawn(12, 1)
    root = tmp_path / "root"
    if facts := named_sets().get(name):
        write_parquet_set(root / name, train, test, columns=(facts.image, facts.label))
        set_data_root(root)
        return getattr(data, name)
    if name == "parquet":
        path = write_parquet_set(root / "tiny", train, test)
    elif name == "folder":
        path = write_folder(root / "tiny", train, test)
    elif name == "npz":
        path = write_npz(root / "tiny.npz", train, test)
    elif name == "table":
        path = write_table(root / "tiny", train, test)
    elif name == "hub":
        fake_hub(monkeypatch, lambda *_, **__: {"train": HubSplit(*train), "test": HubSplit(*test)})
        path = "someone/tiny"
    else:
        return getattr(data, name)
    return lambda **options: getattr(data, name)(path, **options)


# Laws of every data set


def test_every_source_gives_whole_images_in_range(source):
    splits = source()
    assert isinstance(splits, Splits) and splits.title and splits.name and len(splits.checksum) == 64
    for part in parts(splits):
        points = part.points()
        assert len(part) == len(part.x) == len(part.y) == len(part.rows) == len(points.x) > 0
        assert part.x.dtype in (torch.uint8, torch.float32) and part.y.dtype == part.rows.dtype == torch.int64
        assert points.x.dtype == torch.float32 and points.x.min() >= 0 and points.x.max() <= 1
        assert part.shape == points.x.shape[1:] == splits.train.shape
        assert part.y.min() >= 0 and part.y.max() < len(part.classes)
        torch.testing.assert_close(points.x * part.scale, part.x.float())


def test_no_row_occurs_twice(source):
    splits = source()
    rows = torch.cat([part.rows for part in parts(splits)])
    assert sorted(rows.tolist()) == list(range(len(rows)))


def test_same_seed_same_split_and_another_seed_another(source):
    first, again, other = source(), source(), source(split_seed=1)
    for a, b in zip(parts(first), parts(again)):
        assert torch.equal(a.rows, b.rows) and torch.equal(a.x, b.x) and torch.equal(a.y, b.y)
    assert not torch.equal(first.train.rows, other.train.rows)
    assert first.checksum == again.checksum == other.checksum


def test_rows_name_the_same_image_in_every_split(source):
    def table(splits):
        return {int(r): (x.numpy().tobytes(), int(y)) for p in parts(splits) for x, y, r in zip(p.x, p.y, p.rows)}

    assert table(source()) == table(source(split_seed=5, validation=0.3))


def test_a_smaller_limit_is_a_prefix_of_a_larger(source):
    whole, many, few = source(), source(train_limit=9, test_limit=6), source(train_limit=4, test_limit=2)
    for part, counts in (("train", (9, 4)), ("test", (6, 2))):
        rows = [getattr(s, part).rows.tolist() for s in (whole, many, few)]
        assert rows[1] == rows[0][: counts[0]] and rows[2] == rows[0][: counts[1]]
    assert torch.equal(whole.validation.rows, few.validation.rows)
    assert len(source(train_limit=10**6).train) == len(whole.train)


def test_the_validation_share_does_not_change_which_images_come_first(source):
    large, none = source(validation=0.3), source(validation=0)
    assert len(none.validation) == 0 and none.validation.points().x.shape == (0, *none.train.shape)
    assert torch.equal(none.train.rows[: len(large.train)], large.train.rows)
    assert len(large.validation) == round(0.3 * len(none.train))


@pytest.mark.parametrize(
    "options", [{"validation": 1.5}, {"split_seed": -1}, {"train_limit": "many"}, {"valdation": 0.1}]
)
def test_faulty_options_are_named(source, options):
    with pytest.raises(InputError, match=next(iter(options))):
        source(**options)


def test_shares_that_leave_nothing_are_refused(source):
    with pytest.raises(ArgumentError, match="leaves none to train on"):
        source(validation=1.0)
    with pytest.raises(ArgumentError, match=r"less than one image.*`data.validation=0` to hold out none"):
        source(validation=0.0001)


@pytest.mark.parametrize("name", data.__all__)
def test_all_sources_share_the_options(name):
    options = {p.name: p.default for p in inspect.signature(getattr(data, name)).parameters.values()}
    shared = {"validation": 0.1, "split_seed": 0, "train_limit": 0, "test_limit": 0}
    assert shared.items() <= options.items()


# Known answers


def test_digits_are_those_of_scikit_learn():
    splits, bunch = data.digits(), load_digits()
    for part in parts(splits):
        assert torch.equal(part.points().x[:, 0].double() * 16, torch.from_numpy(bunch.images)[part.rows])
        assert part.y.tolist() == bunch.target[part.rows].tolist()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1213, 135, 449)
    assert splits.train.scale == 16 and splits.train.shape == (1, 8, 8)


def test_the_same_content_has_the_same_checksum_however_stored(tmp_path):
    train, test = drawn(20, 2), drawn(6, 3)
    made = [
        data.folder(write_folder(tmp_path / "folder", train, test)),
        data.npz(write_npz(tmp_path / "a.npz", train, test)),
        data.parquet(write_parquet_set(tmp_path / "parquet", train, test)),
    ]
    assert len({splits.checksum for splits in made}) == 1
    for splits in made:
        assert splits.train.classes == CLASSES
        for part, (pictures, labels), offset in ((splits.train, train, 0), (splits.test, test, 20)):
            at = part.rows.numpy() - offset
            assert np.array_equal(part.x[:, 0].numpy(), pictures[at]) and part.y.tolist() == labels[at].tolist()


@pytest.mark.parametrize("change", ["pixel", "label", "class"])
def test_the_checksum_sees_every_change(tmp_path, change):
    (x, y), test = drawn(20, 2), drawn(6, 3)
    before = data.parquet(write_parquet_set(tmp_path / "a", (x, y), test)).checksum
    x, y, names = x.copy(), y.copy(), CLASSES
    if change == "pixel":
        x[7, 2, 2] ^= 1
    elif change == "label":
        y[7] = (y[7] + 1) % 3
    else:
        names = ("cat", "dog", "carp")
    assert data.parquet(write_parquet_set(tmp_path / "b", (x, y), test, names=names)).checksum != before


def test_the_shuffle_is_even():
    """Every row is equally likely at every place: chi-square over 500 seeds, 25 entries, 16 degrees of freedom."""
    counts = np.zeros((5, 5))
    for seed in range(500):
        counts[np.arange(5), shuffled_rows(5, seed, stream=0).numpy()] += 1
    assert ((counts - 100) ** 2 / 100).sum() < 39.3  # 0.1 % of the distribution lies beyond


# Images


def ramp(n=4):
    x = torch.arange(n * 6, dtype=torch.uint8).view(n, 1, 2, 3)
    return Images(x, torch.arange(n) % 2, torch.arange(n) + 100, 255.0, ("a", "b"))


@pytest.mark.parametrize("index", [slice(1, 3), torch.tensor([1, 2]), torch.tensor([False, True, True, False])])
def test_points_and_take_pick_the_same_rows(index):
    table = ramp()
    for chosen in (table.points(index), table.take(index).points(), table.points().take(index)):
        assert chosen.rows.tolist() == [101, 102] and chosen.y.tolist() == [1, 0]
        assert torch.equal(chosen.x, torch.arange(6, 18).view(2, 1, 2, 3) / 255)


def test_points_of_floats_do_not_share_memory_with_the_table():
    table = dataclasses.replace(ramp(), x=torch.full((4, 1, 2, 3), 0.5), scale=1.0)
    table.points().x.zero_()
    assert table.x.min() == 0.5


def test_all_pixel_values_become_what_division_gives():
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    got = Images(x, torch.zeros(1).long(), torch.zeros(1).long(), 255.0, ("a",)).points().x.flatten().numpy()
    assert np.array_equal(got, np.arange(256, dtype=np.float32) / np.float32(255)) and got.max() == 1


def test_large_sets_stay_on_disk_and_give_the_same_points(tmp_path, monkeypatch):
    root = write_parquet_set(tmp_path / "a", drawn(30, 4), drawn(10, 5))
    held = data.parquet(root)
    monkeypatch.setattr(images_module, "RESIDENT_LIMIT", 500)
    mapped = data.parquet(root)
    assert isinstance(mapped.train.x, MappedImages) and isinstance(mapped.train.to("cpu").x, MappedImages)
    assert isinstance(mapped.test.x, torch.Tensor), "300 bytes are below the limit"
    index = torch.tensor([3, 0, 3])
    for a, b in zip(parts(held), parts(mapped)):
        assert a.shape == b.shape and len(a.x) == len(b.x)
        assert torch.equal(a.points().x, b.points().x)
        for pick in (index if len(a) > 3 else index * 0, slice(1, 3)):
            assert torch.equal(a.points(pick).x, b.points(pick).x)
            assert torch.equal(a.take(pick).points().x, b.take(pick).points().x)
    assert held.checksum == mapped.checksum


# The data root and names


@pytest.mark.parametrize("name", named_sets())
def test_a_named_set_has_the_shape_and_the_classes_that_it_states(name, tmp_path):
    facts = named_sets()[name]
    set_data_root(write_known_sets(tmp_path, name))
    splits = getattr(data, name)()
    assert facts.name == splits.name == splits.spec.name == name and splits.title == facts.title
    assert splits.train.shape == facts.shape and len(splits.train.classes) == facts.classes
    assert facts.hub.count("/") == 1 and facts.hub in getattr(data, name).__doc__


@pytest.mark.parametrize("name", named_sets())
def test_a_missing_data_root_says_how_to_give_it(name):
    facts = named_sets()[name]
    pattern = rf"{facts.title} .*not set.*`data_root` or SUREFOOTED_DATA.*{facts.hub}.*'digits' needs no files"
    with pytest.raises(DataError, match=pattern):
        getattr(data, name)()


def test_a_set_that_is_not_in_the_root_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("SUREFOOTED_DATA", str(tmp_path))
    with pytest.raises(InputError, match=rf"Fashion-MNIST is not in.*{tmp_path}/fashion_mnist.*`data_root`"):
        data.fashion_mnist()


def test_a_named_set_without_test_files_is_refused(tmp_path):
    write_parquet(tmp_path / "mnist" / "train-0.parquet", *drawn(5, 0))
    set_data_root(tmp_path)
    with pytest.raises(InputError, match=r"no test-\*\.parquet"):
        data.mnist()


def test_set_data_root_goes_before_the_environment(tmp_path, monkeypatch):
    write_parquet_set(tmp_path / "one" / "mnist", drawn(20, 0), drawn(5, 1))
    monkeypatch.setenv("SUREFOOTED_DATA", str(tmp_path / "nowhere"))
    set_data_root(tmp_path / "one")
    assert len(data.mnist().test) == 5
    assert data.parquet("mnist").checksum == data.mnist().checksum
    with pytest.raises(InputError, match="There is no"):
        set_data_root(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "kind, options, title",
    [
        ("PNG", {}, "CIFAR-10"),
        ("JPEG", {"quality": 75}, "CIFAR-10 (JPEG q75)"),
        ("JPEG", {"quality": 90}, "CIFAR-10 (JPEG q90)"),
        ("JPEG", {"qtables": [[7] * 64, [9] * 64]}, "CIFAR-10 (JPEG)"),
    ],
)
def test_the_title_of_cifar10_names_a_lossy_encoding(tmp_path, kind, options, title):
    write_parquet_set(
        tmp_path / "cifar10",
        drawn(10, 0, (8, 8, 3)),
        drawn(3, 1, (8, 8, 3)),
        encode=lambda picture: png(picture, kind, **options),
    )
    set_data_root(tmp_path)
    assert data.cifar10().title == title


def test_the_titles_of_other_sets_name_a_lossy_encoding(tmp_path):
    write_parquet_set(
        tmp_path / "mnist",
        drawn(10, 0, (8, 8, 3)),
        drawn(3, 1, (8, 8, 3)),
        encode=lambda picture: png(picture, "JPEG", quality=75),
    )
    set_data_root(tmp_path)
    assert data.mnist().title == "MNIST (JPEG q75)"


# The Hub


def test_the_hub_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DependencyError, match=r"pip install 'surefooted\[hub\]'"):
        data.hub("uoft-cs/cifar10")


def test_the_hub_without_a_network(monkeypatch):
    def load(*_, **__):
        raise ConnectionError("no route")

    fake_hub(monkeypatch, load)
    with pytest.raises(DataError, match=r"could not be loaded \(ConnectionError: no route\).*network"):
        data.hub("uoft-cs/cifar10")


def test_the_hub_with_other_columns_or_splits(monkeypatch):
    split = HubSplit(*drawn(5, 0))
    fake_hub(monkeypatch, lambda *_, **__: {"train": split})
    with pytest.raises(ArgumentError, match=r"no split 'test'; it has train\. Set `data\.test_split`"):
        data.hub("a/b")
    with pytest.raises(
        ArgumentError, match=r"`data\.train_split` and `data\.test_split` are both empty; a/b has train"
    ):
        data.hub("a/b", train_split="", test_split="")
    with pytest.raises(InputError, match=r"the columns are image \(Image\), label"):
        data.hub("a/b", test_split="", image="img")
    assert len(data.hub("a/b", test_split="", test=0.4, validation=0).test) == 2
    fake_hub(monkeypatch, lambda *_, **__: {"test": split})
    alone = data.hub("a/b", train_split="")
    assert (len(alone.train), len(alone.validation), alone.test.rows.tolist()) == (0, 0, [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    "name", ["pandas", "csv", "imagefolder", "local", "./local", "script.py", "a/b/c", "", "a b/c"]
)
def test_a_name_that_could_run_code_never_reaches_the_library(name, monkeypatch, tmp_path):
    """``load_dataset("pandas")`` unpickles files of the working directory; ``a.py`` is a script."""
    loaded = []
    fake_hub(monkeypatch, lambda name, *_, **__: loaded.append(name))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text("")
    (tmp_path / "local" / "part").mkdir(parents=True)
    (tmp_path / "local" / "part" / "train.pkl").write_bytes(b"")
    with pytest.raises(DataError, match=r"expected OWNER/NAME|scripts and pickles can run code"):
        data.hub(name)
    assert not loaded


def test_a_local_folder_is_not_taken_for_a_reader_of_the_library(monkeypatch, tmp_path):
    splits = {"train": HubSplit(*drawn(5, 0)), "test": HubSplit(*drawn(3, 1))}
    fake_hub(monkeypatch, lambda name, *_, **__: splits if name == str((tmp_path / place).resolve()) else None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "pandas").mkdir()
    place = "pandas"
    assert len(data.hub(place, validation=0).test) == 3
    place = "owner/name"
    with pytest.warns(DataNotice, match="'owner/name' is a folder here: it is read in place of a set of that name"):
        data.hub(place, validation=0)


def test_an_old_library_that_runs_scripts_is_refused(monkeypatch):
    fake_hub(monkeypatch, lambda *_, **__: {})
    monkeypatch.setattr(sys.modules["datasets"], "__version__", "3.6.0")
    with pytest.raises(DependencyError, match=r"'datasets' 3.6.0 runs scripts.*version 4"):
        data.hub("a/b")


def test_paths_may_be_strings_or_paths(tmp_path):
    file = write_npz(tmp_path / "a.npz", drawn(20, 2), drawn(6, 3))
    assert data.npz(str(file)).checksum == data.npz(Path(file)).checksum
