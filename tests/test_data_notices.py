"""Nothing in a data set is passed over in silence: it is used, refused, or named in a warning."""

import os
import re
import sys
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_sets import CLASSES, HubSplit, drawn, fake_hub, parts, png, write_folder, write_parquet, write_parquet_set

from surefooted import data
from surefooted.errors import DataError, DataNotice


def told(load, *patterns):
    """Load a set, and expect exactly these notices."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        splits = load()
    messages = [str(warning.message) for warning in caught]
    assert all(warning.category is DataNotice for warning in caught) and len(messages) == len(patterns), messages
    for pattern, message in zip(patterns, messages):
        assert re.search(pattern, message), message
        assert (message[0].isupper() or message[0] == "`") and message.endswith(".")
    return splits


def add_part(root, name, rows):
    write_folder(root / "made", ([], []), rows)
    (root / "made" / "test").rename(root / name)


# Names of parts


@pytest.mark.parametrize("name", ["validation", "val", "valid", "dev", "Val", "VALID"])
def test_validation_images_are_found_under_every_name(tmp_path, name):
    root = write_folder(tmp_path / "set", drawn(20, 0), drawn(4, 1))
    add_part(root, name, drawn(6, 2))
    (root / "made").rmdir()
    splits = told(lambda: data.folder(root))
    assert [len(part) for part in parts(splits)] == [20, 6, 4]
    assert splits.validation.rows.tolist() == list(range(20, 26))
    assert np.array_equal(splits.validation.x[:, 0].numpy(), drawn(6, 2)[0])


@pytest.mark.parametrize("name", ["validation", "val"])
def test_without_test_images_validation_images_are_the_test_split(tmp_path, name):
    """ImageNet's layout: a share cut from the training images would be images that the model was trained on."""
    root = write_folder(tmp_path / "set", drawn(20, 0), ([], []))
    add_part(root, name, drawn(6, 2))
    (root / "made").rmdir()
    for part, rows in (("train", drawn(20, 0)), (name, drawn(6, 2))):
        write_parquet(tmp_path / "parquet" / f"{part}-0.parquet", *rows)
    (x, y), (x_val, y_val) = drawn(20, 0), drawn(6, 2)
    arrays = {"x_train": x, "y_train": y, f"x_{name}": x_val, f"y_{name}": y_val, "classes": np.array(CLASSES)}
    np.savez(tmp_path / "set.npz", **arrays)
    checksums = set()
    for load in (
        lambda: data.folder(root),
        lambda: data.parquet(tmp_path / "parquet"),
        lambda: data.npz(tmp_path / "set.npz"),
    ):
        splits = told(load, "has validation data but no test data: the validation data are its test split")
        assert [len(part) for part in parts(splits)] == [18, 2, 6]
        assert sorted(splits.test.rows.tolist()) == list(range(20, 26))
        checksums.add(splits.checksum)
    assert len(checksums) == 1
    tested = write_folder(tmp_path / "tested", drawn(20, 0), drawn(6, 2))
    assert data.folder(tested).checksum not in checksums, "stored results on another split are not taken for these"


@pytest.mark.parametrize("name", ["testing", "eval", "Test"])
def test_test_images_are_found_under_every_name(tmp_path, name):
    root = write_folder(tmp_path / "set", drawn(20, 0), drawn(4, 1))
    expected = data.folder(root).checksum
    (root / "test").rename(root / "other")
    (root / "other").rename(root / name)
    (root / "train").rename(root / "Training")
    assert told(lambda: data.folder(root)).checksum == expected


def test_two_names_of_one_part_are_refused(tmp_path):
    root = write_folder(tmp_path / "set", drawn(20, 0), drawn(4, 1))
    for name in ("val", "valid"):
        (root / name).mkdir()
    with pytest.raises(DataError, match=r"has 'val' and 'valid', which both mean validation data. Merge or rename"):
        data.folder(root)


@pytest.mark.parametrize(
    "name", ["train.parquet", "train-00000-of-00001.parquet", "train-00000-of-00001-b42a775f407cee45.parquet"]
)
def test_names_of_parquet_files(tmp_path, name):
    write_parquet(tmp_path / name, *drawn(20, 0))
    assert len(told(lambda: data.parquet(tmp_path, test=0, validation=0)).train) == 20
    if "of" in name:
        (tmp_path / name).rename(tmp_path / name.replace("00001", "00002", 1))
        with pytest.raises(DataError, match=r"has 1 train file.* one of 2"):
            data.parquet(tmp_path)


def test_shares_of_a_set_with_its_own_parts_have_no_effect(tmp_path):
    for part, count in (("train", 20), ("validation", 6), ("test", 3)):
        write_parquet(tmp_path / f"{part}-0.parquet", *drawn(count, count))
    splits = told(
        lambda: data.parquet(tmp_path, validation=0, test=0.4),
        "`data.test=0.4` has no effect.*has test images of its own",
        "`data.validation=0` has no effect.*has validation images of its own",
    )
    assert [len(part) for part in parts(splits)] == [20, 6, 3]


# Files that are not read


def test_what_is_not_read_is_named(tmp_path):
    root = write_folder(tmp_path / "set", drawn(20, 0), drawn(4, 1))
    expected = data.folder(root).checksum
    (root / "unlabelled").mkdir()
    (root / "classes.txt").write_text("cat")
    (root / "train" / "loose.png").write_bytes(png(drawn(1, 0)[0][0]))
    (root / "train" / "cat" / "notes.txt").write_text("")
    (root / "train" / "dog" / "no suffix").write_text("")
    splits = told(
        lambda: data.folder(root),
        "Not read in '.*set': 'classes.txt', 'unlabelled'. Read are train, test",
        "Not read in '.*train': 'loose.png', 'cat/notes.txt', 'dog/no suffix'. Read are images in the folders of",
    )
    assert splits.checksum == expected


def test_files_of_operating_systems_and_documents_are_left_out(tmp_path):
    root = write_folder(tmp_path / "set", drawn(20, 0), drawn(4, 1))
    expected = data.folder(root).checksum
    for name in (
        "README.md",
        "LICENSE",
        ".DS_Store",
        "train/Thumbs.db",
        "train/cat/desktop.ini",
        "train/cat/._0000.png",
    ):
        (root / name).write_text("")
    (root / "__MACOSX" / "train").mkdir(parents=True)
    (root / "train" / ".thumbnails").mkdir()
    assert told(lambda: data.folder(root)).checksum == expected


def test_images_below_a_class_belong_to_it(tmp_path):
    root = write_folder(tmp_path / "set", drawn(20, 0), drawn(4, 1))
    plain = data.folder(root, validation=0)
    for name in CLASSES:  # Tiny ImageNet's layout
        files = sorted((root / "train" / name).iterdir())
        (root / "train" / name / "images").mkdir()
        for file in files:
            file.rename(file.parent / "images" / file.name)
    splits = told(lambda: data.folder(root, validation=0), r"20 images in folders below.*train'.*'cat/images/0000.png'")
    assert splits.checksum == plain.checksum


def test_a_link_to_a_folder_above_is_refused(tmp_path):
    root = write_folder(tmp_path / "set", drawn(20, 0), drawn(4, 1))
    (root / "train" / "cat" / "again").symlink_to("..")
    with pytest.raises(DataError, match=r"cat/again' is a link to a folder that contains it"):
        data.folder(root)


@pytest.mark.parametrize("suffix", [".gif", ".TIF", ".heic", ".ppm"])
def test_images_of_other_formats_are_refused_not_lost(tmp_path, suffix):
    root = write_folder(tmp_path / "set", drawn(20, 0), drawn(4, 1))
    (root / "train" / "cat" / f"a{suffix}").write_bytes(b"")
    with pytest.raises(DataError, match=f"cat/a{suffix}' is an image of another format.*Convert"):
        data.folder(root)


def test_a_broken_link_is_refused(tmp_path):
    root = write_folder(tmp_path / "set", drawn(20, 0), drawn(4, 1))
    (root / "train" / "cat" / "a.png").symlink_to("gone.png")
    with pytest.raises(DataError, match=r"cat/a.png' cannot be read: No such file"):
        data.folder(root)


def test_parquet_files_and_columns_that_are_not_read_are_named(tmp_path):
    write_parquet_set(tmp_path, drawn(20, 0), drawn(4, 1))
    write_parquet(tmp_path / "extra-0.parquet", *drawn(4, 2))
    file = tmp_path / "train-00000-of-00001.parquet"
    table = pq.read_table(file)
    pq.write_table(table.append_column("mask", table["image"]).append_column("id", [list(range(20))]), file)
    told(
        lambda: data.parquet(tmp_path),
        "Not read in .*: 'extra-0.parquet'. Read are the Parquet files of train, test data",
        "Not read in the columns of .*train-00000-of-00001.parquet: 'mask', 'id'. Read are 'image' and 'label'",
    )


def test_a_directory_without_training_files_says_what_it_has(tmp_path):
    write_parquet(tmp_path / "data" / "train-0.parquet", *drawn(4, 0))
    with pytest.raises(
        DataError, match=r"no train-\*.parquet and no test-\*.parquet in .*, which has 'data'. Check the path"
    ):
        data.parquet(tmp_path)
    with pytest.raises(DataError, match=r"The folders in .* are 'data'"):
        data.folder(tmp_path)


# Labels and classes


@pytest.mark.parametrize(
    "labels, text",
    [
        (np.arange(20) % 10 + 1, "Labels are 1 to 10.*Subtract 1 from each"),
        (np.arange(20) % 5 * 5, "There are 5 labels from 0 to 20, and none of them is 1.*Renumber them"),
        (np.arange(20) % 4 + 2, "There are 4 labels from 2 to 5, and none of them is 0"),
    ],
)
def test_labels_that_are_no_class_indices_are_refused(tmp_path, labels, text):
    x, _ = drawn(20, 0)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=labels)
    write_parquet(tmp_path / "set" / "train-0.parquet", x, labels, names=None)
    for load in (lambda: data.npz(tmp_path / "a.npz"), lambda: data.parquet(tmp_path / "set")):
        with pytest.raises(DataError, match=text):
            load()


def test_classes_without_images_are_named(tmp_path):
    x, y = drawn(20, 0)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:5] ^ 1, y_test=[0] * 5, classes=[*CLASSES, "fox"])
    told(
        lambda: data.npz(tmp_path / "a.npz"),
        "The data set 'a' has no training images of 1 of its 4 classes: 'fox'",
        "The data set 'a' has no test images of 3 of its 4 classes: 'dog', 'eel', 'fox'",
    )


def test_class_names_must_differ(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", *drawn(20, 0), names=("cat", "cat", "eel"))
    with pytest.raises(DataError, match="several classes of the name 'cat'"):
        data.parquet(tmp_path)


def test_folders_named_by_numbers_in_alphabetical_order(tmp_path):
    for name in ("0", "1", "2", "10"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "a.png").write_bytes(png(np.full((4, 4), int(name), np.uint8)))
    splits = told(
        lambda: data.folder(tmp_path, test=0, validation=0), "numbers, in alphabetical order: '10' is class 2. .*rename"
    )
    assert splits.train.classes == ("0", "1", "10", "2")


def test_a_class_folder_that_is_not_utf8_is_refused(tmp_path):
    write_folder(tmp_path, drawn(20, 0), drawn(4, 1))
    try:
        os.mkdir(os.fsencode(tmp_path / "train") + b"/caf\xe9")
    except OSError:
        pytest.skip("this file system has names of UTF-8 only")
    with pytest.raises(DataError, match=r"class folder 'caf\\udce9' in .* is not UTF-8"):
        data.folder(tmp_path)


def test_test_images_that_are_training_images_are_counted(tmp_path):
    x, y = drawn(20, 0)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=np.concatenate([x[:2], x[2:6] ^ 1]), y_test=[0, 1, 2] * 2)
    told(
        lambda: data.npz(tmp_path / "a.npz"),
        r"The data set 'a' has 2 test images \(of 6\) that are training images too",
    )


# Archives of arrays


def archive(tmp_path, **arrays):
    x, y = drawn(20, 0)
    np.savez(tmp_path / "a.npz", **{"x_train": x, "y_train": y, **arrays})
    return tmp_path / "a.npz"


def test_arrays_that_are_not_read_are_named(tmp_path):
    file = archive(tmp_path, ids=np.arange(20), objects=np.array([{}]))  # nothing is unpickled
    told(lambda: data.npz(file), "Not read in '.*a.npz': 'ids', 'objects'. Read are x_train, y_train and classes")


@pytest.mark.parametrize("change", ["order", "bytes", "kind", "column"])
def test_arrays_mean_the_same_however_they_are_stored(tmp_path, change):
    x, y = drawn(20, 0, (5, 6, 3))
    x = (x / 255).astype(np.float32)
    plain = data.npz(archive(tmp_path, x_train=x, y_train=y)).checksum
    other = {
        "order": {"x_train": np.asfortranarray(x)},
        "bytes": {"x_train": x.astype(">f4"), "y_train": y.astype(">i4")},
        "kind": {"y_train": y.astype(np.uint8)},
        "column": {"y_train": y[:, None]},
    }[change]
    assert data.npz(archive(tmp_path, **{"x_train": x, "y_train": y, **other})).checksum == plain


@pytest.mark.parametrize(
    "arrays, text",
    [
        ({"y_train": np.arange(20) % 3 / 1.0}, r"float64 \(20,\).*y\.astype\(int\)"),
        ({"y_train": np.array(CLASSES)[np.arange(20) % 3]}, "np.unique"),
        ({"x_train": np.zeros((20, 5, 6), np.uint16)}, "uint16; expected uint8.*Divide by the largest possible value"),
        ({"x_train": np.zeros((20, 5, 6), bool)}, "bool; expected uint8"),
        ({"x_train": np.full((20, 5, 6), 1.00001)}, r"from 1\.00001 to 1\.00001"),
        ({"x_train": np.float32(1)}, "no images, y_train 20 labels"),
        ({"x_val": np.zeros((2, 5, 6), np.uint8)}, "no array 'y_val'; it has x_train, y_train, x_val"),
    ],
)
def test_the_cure_of_other_arrays_is_named(tmp_path, arrays, text):
    with pytest.raises(DataError, match=text):
        data.npz(archive(tmp_path, **arrays))


def test_an_archive_with_other_names_says_which(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=np.zeros(3), train_labels=np.zeros(3))
    with pytest.raises(DataError, match="no array 'x_train'; it has train_images, train_labels"):
        data.npz(tmp_path / "a.npz")


@pytest.mark.parametrize("scaled", [lambda x: x // 128, lambda x: x / 255 / 255])
def test_pixels_that_look_scaled_twice_are_told(scaled, tmp_path):
    file = archive(tmp_path, x_train=scaled(drawn(20, 0)[0]), y_train=np.arange(20) % 3)
    told(lambda: data.npz(file), "Pixels of x_train range from 0 to .*almost black, as if they were scaled twice")


def test_a_single_class_is_told(tmp_path):
    x = drawn(20, 0)[0]
    told(lambda: data.npz(archive(tmp_path, x_train=x, y_train=np.zeros(20, int))), "one class only, '0'")


def test_transparent_images_are_counted_when_they_are_decoded(tmp_path):
    """An alpha channel that is opaque everywhere is not told of."""
    rgba = np.full((12, 4, 4, 4), 255, np.uint8)
    rgba[[2, 5, 7], 0, 0, 3] = 254
    for row, image in enumerate(rgba):
        file = tmp_path / "set" / "train" / CLASSES[row % 3] / f"{row:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))
    told(lambda: data.folder(tmp_path / "set"), r"of 3 images \(of 12\) are composited on white")
    told(lambda: data.folder(tmp_path / "set"))


# The Hub


def test_splits_and_columns_of_the_hub_that_are_not_read_are_named(monkeypatch):
    split = HubSplit(*drawn(20, 0))
    split.features["id"] = None
    fake_hub(monkeypatch, lambda *_, **__: {"train": split, "validation": split, "test": HubSplit(*drawn(6, 1))})
    told(
        lambda: data.hub("a/b"),
        "Not read in a/b: 'validation'. Read are train, test",
        "Not read in the columns of a/b: 'id'. Read are 'image' and 'label'",
    )


def test_rows_of_the_hub_without_a_label_are_counted(monkeypatch):
    x, y = drawn(20, 0)
    fake_hub(monkeypatch, lambda *_, **__: {"train": HubSplit(x, [*y[:-2].tolist(), None, None])})
    with pytest.raises(DataError, match="a/b, train: 2 rows have no label"):
        data.hub("a/b", test_split="")


def test_files_that_a_set_of_the_hub_names(tmp_path, monkeypatch):
    """They are read in the set's own folder, and nowhere else: neither through a link nor in the working directory."""
    own, other = write_folder(tmp_path / "own", drawn(20, 0), ([], [])), tmp_path / "private.png"
    other.write_bytes(png(drawn(1, 0)[0][0]))
    (own / "link.png").symlink_to(other)
    x, y = drawn(20, 0)

    def load(path):
        files = [str(next((own / "train").glob(f"*/{row:04}.png"))) for row in range(20)]
        split = HubSplit([*files[:-1], path], y, path=True)
        fake_hub(monkeypatch, lambda *_, **__: {"train": split})
        return data.hub(str(own), test_split="", test=0, validation=0).train

    train = load(str(own / "train" / "eel" / "0019.png"))
    assert np.array_equal(train.x[train.rows.argsort()][:, 0].numpy(), x)
    for path in (str(other), str(own / "link.png"), "private.png", str(own / ".." / "private.png")):
        with pytest.raises(DataError, match=r"row 19: names the file .*not in the folder of the set"):
            load(path)
    with pytest.raises(DataError, match="row 19: no image"):
        load(None)


def test_images_of_several_sizes_are_brought_to_one_alike(tmp_path, monkeypatch):
    """By folder, table, Parquet files and the Hub: to the same pixels; without it, the error names the options."""
    rng, rows, encoded = np.random.default_rng(0), ["image,label"], []
    for k, shape in enumerate([(9, 12, 3), (20, 10, 3), (8, 8, 3)] * 3):
        picture, name = rng.integers(0, 256, shape, dtype=np.uint8), CLASSES[k // 3]
        file = tmp_path / "set" / "train" / name / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(picture))
        rows.append(f"train/{name}/{k}.png,{name}")
        encoded.append(picture)
    (tmp_path / "set" / "table.csv").write_text("\n".join(rows))
    y = np.arange(9) // 3
    write_parquet(tmp_path / "parquet" / "train-0.parquet", encoded, y)
    fake_hub(monkeypatch, lambda *_, **__: {"train": HubSplit(encoded, y)})
    held = {"test": 0.3, "validation": 0}
    sources = {
        "folder": lambda **options: data.folder(tmp_path / "set", **options, **held),
        "table": lambda **options: data.table(tmp_path / "set" / "table.csv", **options, **held),
        "parquet": lambda **options: data.parquet(tmp_path / "parquet", **options, **held),
        "hub": lambda **options: data.hub("a/b", test_split="", **options, **held),
    }
    checksums = set()
    for load in sources.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataNotice)
            splits = load(resize=8, crop=6)
            with pytest.raises(DataError, match=r"Images differ in size .*set `data.resize` and `data.crop`"):
                load()
        assert splits.train.shape == (3, 6, 6)
        checksums.add(splits.checksum)
    assert len(checksums) == 1


def test_a_broken_library_is_told_from_a_missing_one(tmp_path, monkeypatch):
    (tmp_path / "datasets.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    with pytest.raises(Exception, match=r"is installed but broken .*nothing_of_that_name.*Install it again"):
        data.hub("a/b")


def test_labels_are_read_whatever_their_integer_type(tmp_path):
    pictures, y = drawn(20, 0)
    table = pa.table({"image": [{"bytes": png(p)} for p in pictures], "label": pa.array(y, pa.uint8())})
    pq.write_table(table, tmp_path / "train-0.parquet")
    assert sorted(told(lambda: data.parquet(tmp_path, test=0, validation=0)).train.y.tolist()) == y.tolist()
