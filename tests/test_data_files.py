"""Data sets in files: which files are read and which are refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_sets import CLASSES, drawn, parts, png, write_folder, write_npz, write_parquet, write_parquet_set

from surefooted import data
from surefooted.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SUREFOOTED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SUREFOOTED_DATA", raising=False)
    return tmp_path / "cache"


def refused(text, source, *args, **options):
    with pytest.raises(InputError, match=text):
        source(*args, **options)


@pytest.mark.parametrize("source", [data.parquet, data.folder, data.npz])
def test_a_missing_path_is_named(source, tmp_path):
    refused(f"no '{tmp_path}/nowhere'.*Check the path", source, tmp_path / "nowhere")


@pytest.mark.parametrize("source", [data.parquet, data.folder])
def test_a_file_is_no_directory(source, tmp_path):
    (tmp_path / "file").write_text("")
    refused("expected a directory", source, tmp_path / "file")


# Parquet


def test_shards_are_read_in_order(tmp_path):
    x, y = drawn(20, 0)
    whole = data.parquet(write_parquet_set(tmp_path / "whole", (x, y), drawn(5, 1)))
    for shard, rows in enumerate((slice(0, 7), slice(7, 20))):
        write_parquet(tmp_path / "shards" / f"train-0000{shard}-of-00002.parquet", x[rows], y[rows])
    write_parquet(tmp_path / "shards" / "test-00000-of-00001.parquet", *drawn(5, 1))
    assert data.parquet(tmp_path / "shards").checksum == whole.checksum


def test_a_missing_shard_is_noticed(tmp_path):
    write_parquet(tmp_path / "train-00000-of-00003.parquet", *drawn(5, 0))
    refused("1 train file.* one of 3", data.parquet, tmp_path)


def test_official_validation_files_are_the_validation_set(tmp_path):
    sets = {"train": drawn(20, 0), "validation": drawn(6, 1), "test": drawn(4, 2)}
    for part, rows in sets.items():
        write_parquet(tmp_path / f"{part}-0.parquet", *rows)
    splits = data.parquet(tmp_path)
    assert len(splits.train) == 20 and splits.validation.rows.tolist() == list(range(20, 26))
    assert sorted(splits.test.rows.tolist()) == list(range(26, 30))
    assert np.array_equal(splits.validation.x[:, 0].numpy(), sets["validation"][0])


def test_without_test_files_a_share_is_held_out(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", *drawn(20, 0))
    assert [len(part) for part in parts(data.parquet(tmp_path, test=0.2, validation=0.25))] == [12, 4, 4]
    refused("no train-", data.parquet, tmp_path.parent)


def test_class_names_are_numbers_without_metadata(tmp_path):
    write_parquet_set(tmp_path, drawn(20, 0), drawn(5, 1), names=None)
    assert data.parquet(tmp_path).train.classes == ("0", "1", "2")


@pytest.mark.parametrize("length", [0, 3, 100, -20, -1])
def test_a_truncated_file_is_refused(tmp_path, length):
    write_parquet_set(tmp_path, drawn(20, 0), drawn(5, 1))
    file = tmp_path / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:length])
    refused("cannot be read as Parquet.*truncated", data.parquet, tmp_path)


def test_a_file_damaged_inside_is_refused(tmp_path):
    write_parquet_set(tmp_path, drawn(40, 0), drawn(5, 1))
    file = tmp_path / "train-00000-of-00001.parquet"
    content = bytearray(file.read_bytes())
    content[200:1200] = bytes(1000)
    file.write_bytes(content)
    refused("train-00000-of-00001.parquet", data.parquet, tmp_path)


@pytest.mark.parametrize(
    "columns, text",
    [
        ({"img": [{"bytes": b""}], "label": [0]}, r"column 'image' of struct.*the columns are img \(.*`data.image`"),
        ({"image": [b""], "label": [0]}, r"the columns are image \(binary\)"),
        ({"image": [{"path": "a.png"}], "label": [0]}, "of struct with 'bytes'"),
        ({"image": [{"bytes": "a"}], "label": [0]}, "'bytes' is string, not binary"),
        ({"image": [{"bytes": b""}], "label": ["cat"]}, r"label \(string\).*`data.label`"),
        ({"image": [{"bytes": b""}]}, "column 'label' of whole numbers"),
        ({"image": [{"bytes": b""}], "label": pa.array([None], pa.int64())}, "1 rows have no label"),
        ({"image": [{"bytes": None}, {"bytes": b""}], "label": [0, 0]}, "row 0: no image bytes"),
        ({"image": [{"bytes": b"GIF89a"}], "label": [0]}, "row 0: cannot be decoded: it is a GIF image.*Convert"),
    ],
)
def test_other_columns_are_refused(tmp_path, columns, text):
    pq.write_table(pa.table(columns), tmp_path / "train-0.parquet")
    refused(text, data.parquet, tmp_path)


def test_columns_may_have_other_names(tmp_path):
    table = pa.table({"img": [{"bytes": png(p)} for p in drawn(8, 0)[0]], "fine_label": [0, 1] * 4})
    pq.write_table(table, tmp_path / "train-0.parquet")
    assert data.parquet(tmp_path, image="img", label="fine_label").train.classes == ("0", "1")


@pytest.mark.parametrize(
    "text, about",
    [
        ("{", "do not describe"),
        ('{"info": 3}', "do not describe"),
        ('{"info": {"features": {"label": []}}}', "do not describe"),
        ('{"info": {"features": {"label": {"names": [1, 2]}}}}', "expected a list of strings"),
    ],
)
def test_broken_metadata_are_refused(tmp_path, text, about):
    table = pa.table({"image": [{"bytes": b""}], "label": [0]})
    pq.write_table(table.replace_schema_metadata({"huggingface": text}), tmp_path / "train-0.parquet")
    refused(about, data.parquet, tmp_path)


def test_class_names_must_agree(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", *drawn(5, 0))
    write_parquet(tmp_path / "test-0.parquet", *drawn(5, 0), names=("x", "y", "z"))
    refused("Class names differ: train-0.parquet has .*cat", data.parquet, tmp_path)


@pytest.mark.parametrize("label, hint", [(3, "outside the 3 classes"), (-1, "-1 usually marks unlabelled")])
def test_labels_outside_the_classes_are_named(tmp_path, label, hint):
    x, y = drawn(6, 0)
    y[4] = label
    write_parquet_set(tmp_path, drawn(8, 1), (x, y))
    refused(f"test, row 4: label {label} is outside.*{hint}" if label < 0 else hint, data.parquet, tmp_path)


def test_labels_without_names_must_be_indices(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", drawn(2, 0)[0], [0, 10**12], names=None)
    refused("2 labels from 0 to 1000000000000, and none of them is 1.*store the names", data.parquet, tmp_path)


def test_an_empty_set_is_refused(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", *drawn(0, 0))
    refused("no images", data.parquet, tmp_path)


# Decoding


def test_an_undecodable_image_is_named(tmp_path):
    write_parquet_set(tmp_path, drawn(8, 0), drawn(3, 1))
    rows = iter(range(8))
    write_parquet(
        tmp_path / "train-00000-of-00001.parquet",
        *drawn(8, 0),
        encode=lambda p: png(p)[: 45 if next(rows) == 5 else None],
    )
    refused(r"train-00000-of-00001.parquet, row 5: cannot be decoded", data.parquet, tmp_path)


def test_images_of_two_sizes_are_named(tmp_path):
    write_folder(tmp_path, drawn(4, 0), drawn(2, 1))
    (tmp_path / "train" / "eel").mkdir(exist_ok=True)
    (tmp_path / "train" / "eel" / "odd.png").write_bytes(png(np.zeros((7, 9), np.uint8)))
    refused(r"differ in size .*0\.png has 6×5, .*odd.png has 9×7", data.folder, tmp_path)


def test_train_and_test_of_two_sizes_are_named(tmp_path):
    write_parquet_set(tmp_path, drawn(4, 0, (5, 6)), drawn(2, 1, (6, 6)))
    refused("test images are 6×6 with 1 channel .* training images 5×6", data.parquet, tmp_path)


def test_one_colour_image_makes_all_of_them_colour(tmp_path):
    grey, _ = drawn(3, 0)
    colour, _ = drawn(1, 1, (5, 6, 3))
    images = [*grey, *colour]
    write_parquet(tmp_path / "train-0.parquet", images, [0, 0, 1, 2])
    table = data.parquet(tmp_path, test=0, validation=0).train
    at = table.rows.argsort()
    expected = np.stack([np.broadcast_to(p[..., None] if p.ndim == 2 else p, (5, 6, 3)) for p in images])
    assert np.array_equal(table.x[at].numpy(), expected.transpose(0, 3, 1, 2))


def test_sixteen_bits_are_refused_not_clipped(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", [np.full((5, 6), 4000, np.uint16)], [0])
    refused("row 0: has 16 bits per channel; expected at most 8", data.parquet, tmp_path)


@pytest.mark.parametrize("limit", [20, 10])
def test_decompression_bombs_are_refused(tmp_path, monkeypatch, limit):
    """Pillow warns above its limit, and raises above twice that: both count."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    write_parquet(tmp_path / "train-0.parquet", *drawn(3, 0))
    refused("row 0: refused as a decompression bomb", data.parquet, tmp_path)


# Folders


def test_a_folder_without_test_holds_out_a_share(tmp_path):
    write_folder(tmp_path, drawn(20, 0), ([], []))
    assert [len(part) for part in parts(data.folder(tmp_path, test=0.2, validation=0.25))] == [12, 4, 4]


def test_folders_that_are_no_image_folders_are_refused(tmp_path):
    refused("no folder .*train", data.folder, tmp_path)
    (tmp_path / "train").mkdir()
    refused("has no images", data.folder, tmp_path)
    (tmp_path / "train" / "cat").mkdir()
    refused("train/cat' has no images", data.folder, tmp_path)
    write_folder(tmp_path, drawn(20, 0), drawn(4, 1))
    (tmp_path / "test" / "yak").mkdir()
    refused("test/yak' is not one of the 3 classes: cat, dog, eel", data.folder, tmp_path)


@pytest.mark.parametrize("link", ["train/cat/linked.png", "train/fox", "test"])
def test_links_out_of_the_folder_are_refused(tmp_path, link):
    write_folder(tmp_path / "other", drawn(10, 0), drawn(4, 1))
    write_folder(tmp_path / "a", drawn(10, 0), ([], []))
    target = {"train/cat/linked.png": "train/cat/0000.png", "train/fox": "train/cat", "test": "test"}[link]
    (tmp_path / "a" / link).symlink_to(tmp_path / "other" / target)
    refused(f"a/{link}' is a link out of .*copy", data.folder, tmp_path / "a")


def test_links_within_the_folder_and_to_it_are_followed(tmp_path):
    write_folder(tmp_path / "a", drawn(10, 0), drawn(4, 1))
    (tmp_path / "a" / "train" / "cat" / "again.png").symlink_to("0000.png")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert len(data.folder(tmp_path / "b", validation=0).train) == 11


def test_parquet_links_out_of_the_folder_are_refused(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", *drawn(10, 0))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train-0.parquet").symlink_to(tmp_path / "train-0.parquet")
    refused("is a link out of", data.parquet, tmp_path / "a")


# Archives of arrays


def saved(tmp_path, **arrays):
    x, y = drawn(10, 0)
    np.savez(tmp_path / "a.npz", **{"x_train": x, "y_train": y, **arrays})
    return tmp_path / "a.npz"


@pytest.mark.parametrize("layout", ["nhw", "nhwc", "nchw"])
@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float32, np.float64])
def test_layouts_and_kinds_of_arrays(tmp_path, layout, kind):
    x, y = drawn(10, 0, (5, 6) if layout == "nhw" else (5, 6, 3))
    channels_first = x[:, None] if layout == "nhw" else x.transpose(0, 3, 1, 2)
    stored = channels_first if layout == "nchw" else x
    stored = stored if kind == np.uint8 else (stored / 255).astype(kind)
    table = data.npz(saved(tmp_path, x_train=stored, y_train=y[:, None]), test=0, validation=0).train
    at = table.rows.numpy()
    tolerance = 1e-3 if kind == np.float16 else 1e-7
    np.testing.assert_allclose(table.points().x.numpy(), channels_first[at] / 255, atol=tolerance)
    assert table.y.tolist() == y[at].tolist() and table.scale == (255 if kind == np.uint8 else 1)


def test_an_archive_with_test_arrays(tmp_path):
    splits = data.npz(write_npz(tmp_path / "a.npz", drawn(10, 0), drawn(4, 1)), validation=0)
    assert len(splits.train) == 10 and sorted(splits.test.rows.tolist()) == [10, 11, 12, 13]


def test_ambiguous_channels_must_be_given(tmp_path):
    file = saved(tmp_path, x_train=drawn(10, 0, (3, 4, 3))[0])
    refused("two axes have length 1 or 3.*`data.layout=nhwc`", data.npz, file)
    assert data.npz(file, layout="nchw").train.shape == (3, 4, 3)
    assert data.npz(saved(tmp_path, x_train=drawn(10, 0, (5, 6, 2))[0]), layout="nhwc").train.shape == (2, 5, 6)
    refused("no axis has length 1 or 3", data.npz, file)
    refused("layout = 'hwc'", data.npz, file, layout="hwc")


def floats(value, row=3):
    x = np.full((10, 5, 6), 0.5)
    x[row, 1, 1] = value
    return x


@pytest.mark.parametrize(
    "arrays, text",
    [
        ({"x_train": floats(np.nan)}, r"NaN or infinity in 1 image\(s\), the first in row 3"),
        ({"x_train": floats(np.inf)}, "NaN or infinity"),
        ({"x_train": floats(254.0)}, r"from 0.5 to 254; expected \[0, 1\]. Divide by 255"),
        ({"x_train": floats(1.01)}, r"to 1.01; .* Scale to \[0, 1\]"),
        ({"x_train": floats(-0.2)}, "from -0.2"),
        ({"x_train": np.zeros((10, 5, 6), np.int32)}, "x_train is int32; expected uint8"),
        ({"x_train": np.zeros((10, 5), np.uint8)}, r"x_train is \(10, 5\)"),
        ({"x_train": np.zeros((9, 5, 6), np.uint8)}, "9 images, y_train 10 labels"),
        ({"x_train": np.zeros((0, 5, 6), np.uint8), "y_train": np.zeros(0, int)}, "x_train is empty"),
        ({"y_train": np.eye(10)}, r"class indices .*one-hot labels with y\.argmax"),
        ({"y_train": np.array(["cat"] * 10)}, "class indices"),
        ({"y_train": np.arange(10) - 1}, "label -1 is outside"),
        ({"y_train": np.full(10, 3), "classes": np.array(CLASSES)}, r"train, row 0: label 3 is outside the 3 classes"),
        ({"classes": np.arange(3)}, "list of strings"),
        ({"x_test": np.zeros((2, 5, 6), np.uint8)}, "has no array 'y_test'; it has x_train, y_train, x_test"),
        ({"x_test": np.zeros((2, 4, 4), np.uint8), "y_test": np.zeros(2, int)}, "test images are 4×4"),
        ({"x_test": np.zeros((2, 5, 6)), "y_test": np.zeros(2, int)}, "of float32, training images .* of uint8"),
        ({"x_train": np.array([{}] * 10)}, "cannot be read as a NumPy archive"),
    ],
)
def test_faulty_arrays_are_refused(tmp_path, arrays, text):
    refused(text, data.npz, saved(tmp_path, **arrays))


def test_files_that_are_not_archives_are_refused(tmp_path):
    x, _ = drawn(4, 0)
    np.save(tmp_path / "a.npy", x)
    whole = saved(tmp_path).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("hello")
    for name in ("a.npy", "cut.npz", "text.npz", "."):
        refused("cannot be read as a NumPy archive", data.npz, tmp_path / name)
    damaged = bytearray(whole)
    damaged[150:200] = bytes(50)
    (tmp_path / "damaged.npz").write_bytes(damaged)
    refused("cannot be read as a NumPy archive", data.npz, tmp_path / "damaged.npz")
