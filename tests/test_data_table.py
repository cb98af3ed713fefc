"""Tables of paths and labels: every row is used in its order, or named in an error."""

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_sets import CLASSES, drawn, png, write_folder, write_parquet, write_table

import surefooted as sf
from surefooted import data
from surefooted.errors import DataNotice, InputError

TRAIN, TEST = drawn(12, 0), drawn(6, 1)


@pytest.fixture
def places(tmp_path):
    return write_table(tmp_path / "tiny", TRAIN, TEST)


def rewritten(file, change):
    """The table with each line changed; the header is line 0."""
    lines = file.read_text().splitlines()
    file.write_text("\n".join(change(k, line) for k, line in enumerate(lines) if change(k, line) is not None))
    return file


def test_a_table_is_the_folder_of_the_same_images(places, tmp_path):
    """And the same in TSV and in Parquet; but test images keep their order."""
    expected = data.folder(write_folder(tmp_path / "folder", TRAIN, TEST))
    rows = [line.split(",") for line in places.read_text().splitlines()]
    columns = dict(zip(rows[0], map(list, zip(*rows[1:]))))
    pq.write_table(pa.table(columns), places.with_suffix(".parquet"))
    places.with_suffix(".tsv").write_text("\ufeff" + "\r\n".join("\t".join(row) for row in rows), encoding="utf-8")
    for suffix in (".csv", ".tsv", ".parquet"):
        splits = data.table(places.with_suffix(suffix))
        assert splits.checksum == expected.checksum and splits.test.classes == CLASSES
        assert splits.train.rows.tolist() == expected.train.rows.tolist()
        assert np.array_equal(splits.test.x[:, 0].numpy(), TEST[0]) and splits.test.y.tolist() == TEST[1].tolist()


def test_columns_may_have_other_names_and_labels_may_be_numbers(places):
    numbered = {name: str(k) for k, name in enumerate(CLASSES)}
    table = rewritten(places, lambda k, line: "file,class,part" if k == 0 else line)
    by_name = data.table(table, image="file", label="class", split="part")
    table = rewritten(table, lambda k, line: line.replace(name := line.split(",")[1], numbered.get(name, name)))
    by_number = data.table(table, image="file", label="class", split="part")
    assert by_number.test.y.tolist() == by_name.test.y.tolist() and by_number.test.classes == ("0", "1", "2")


def test_without_a_column_of_splits_a_share_is_held_out(places):
    table = rewritten(places, lambda k, line: line.rpartition(",")[0])
    assert [len(part) for part in (data.table(table).train, data.table(table).test)] == [13, 4]


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_test_set_alone_will_do(places, name):
    table = rewritten(places, lambda k, line: line.replace(",train", f",{name}") if ",test" not in line else None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        splits = data.table(table)
    told = ["number its 3 classes in alphabetical order", *["validation data are its test split"] * (name == "val")]
    assert all(text in str(one.message) for text, one in zip(told, caught, strict=True))
    assert (len(splits.train), len(splits.validation)) == (0, 0) and splits.test.rows.tolist() == list(range(12))
    assert np.array_equal(splits.test.x[:, 0].numpy(), TRAIN[0])


def test_labels_of_a_test_set_alone_keep_their_numbers(places):
    """Not every class need have an image; a number is a class index, a name has the index that the classes give it."""
    numbers = {"cat": "7", "dog": "0", "eel": "4"}
    alone = rewritten(places, lambda k, line: line if k == 0 or line.endswith(",test") else None)
    named = alone.read_text()
    rewritten(alone, lambda k, line: line.replace(name := line.split(",")[1], numbers.get(name, name)))
    expected = [int(numbers[CLASSES[label]]) for label in TEST[1]]
    for options, classes in (({}, 8), ({"classes": 10}, 10), ({"classes": "10"}, 10)):
        splits = data.table(alone, **options)
        assert splits.test.y.tolist() == expected and splits.test.classes == tuple(map(str, range(classes)))
    with pytest.raises(InputError, match="label 7 is outside the 5 classes"):
        data.table(alone, classes=5)
    alone.write_text(named)
    (names := alone.with_name("classes.txt")).write_text("ant\neel\ncow\ndog\ncat\n")
    splits = data.table(alone, classes=str(names))
    assert [splits.test.classes[label] for label in splits.test.y] == [CLASSES[label] for label in TEST[1]]
    assert splits.test.classes == ("ant", "eel", "cow", "dog", "cat")
    names.write_text("ant\neel\n")
    with pytest.raises(InputError, match=r"'cat' is not one of the 2 classes of `data\.classes`"):
        data.table(alone, classes=str(names))
    names.write_text("ant\nant\n")
    with pytest.raises(InputError, match="2 names; expected different names"):
        data.table(alone, classes=str(names))


def test_a_test_set_alone_is_the_same_in_every_format(places, tmp_path):
    """And nothing is trained on it: the parts to train on and to validate on are empty."""
    alone = rewritten(places, lambda k, line: line if k == 0 or line.endswith(",test") else None)
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    x, y = TEST
    write_folder(tmp_path / "folder", ([], []), TEST)
    write_parquet(tmp_path / "parquet" / "test-0.parquet", x, y)
    np.savez(tmp_path / "set.npz", x_test=x, y_test=y, classes=np.array(CLASSES))
    options = {"classes": str(tmp_path / "names.txt")}
    sets = [
        data.table(alone, **options),
        data.folder(tmp_path / "folder", **options),
        data.parquet(tmp_path / "parquet"),
        data.npz(tmp_path / "set.npz"),
        data.arrays(x, y, names=CLASSES),
    ]
    assert len({splits.checksum for splits in sets}) == 1
    for splits in sets:
        assert (len(splits.train), len(splits.validation)) == (0, 0)
        assert np.array_equal(splits.test.x[:, 0].numpy(), x) and splits.test.y.tolist() == y.tolist()
    with pytest.raises(InputError, match=r"no images to train on|train split is empty"):
        sf.train("vanilla", "mlp", sets[2])


def test_a_folder_of_a_test_set_may_lack_classes(tmp_path):
    write_folder(tmp_path / "set", ([], []), (TEST[0][:1], TEST[1][-1:]))
    (tmp_path / "names.txt").write_text("\n".join(["ant", *CLASSES]))
    with pytest.warns(DataNotice, match="number its 1 classes in alphabetical order.*`data.classes`"):
        assert data.folder(tmp_path / "set").test.y.tolist() == [0]
    assert data.folder(tmp_path / "set", classes=str(tmp_path / "names.txt")).test.y.tolist() == [3]
    (tmp_path / "set" / "test" / "zoo").mkdir()
    with pytest.raises(InputError, match="zoo' is not one of the 4 classes"):
        data.folder(tmp_path / "set", classes=str(tmp_path / "names.txt"))


def test_other_columns_are_told(places):
    with pytest.warns(DataNotice, match="Not read in the columns of .*: 'weight'"):
        data.table(rewritten(places, lambda k, line: line + (",1" if k else ",weight")))


def outside(places, way):
    secret = places.parent.parent / "secret.png"
    secret.write_bytes(png(TRAIN[0][0]))
    (places.parent / "link.png").symlink_to(secret)
    return {"above": "../secret.png", "absolute": str(secret), "link": "link.png", "hidden": "images/../../secret.png"}[
        way
    ]


@pytest.mark.parametrize("way", ["above", "absolute", "link", "hidden"])
def test_no_row_reaches_a_file_outside_the_folder(places, way):
    path = outside(places, way)
    with pytest.raises(InputError, match=r"outside the folder of the table|is a link out of"):
        data.table(rewritten(places, lambda k, line: f"{path},cat,train" if k == 2 else line))


@pytest.mark.parametrize(
    "line, text",
    [
        ("images/none.png,cat,train", "row 1: there is no file 'images/none.png'"),
        (f"{'x' * 300}.png,cat,train", "row 1: there is no file"),
        ("images/train0.png,cat,train", "row 1: 'images/train0.png' is the image of row 0 too"),
        ("images/train1.png,,train", "row 1: no label"),
        (",cat,train", "row 1: no image"),
        ("images/train1.png,cat,extra", "row 1: split 'extra'; expected train, validation or test"),
        ("images/train1.png,cat", "row 1: 2 values; the header has 3 columns"),
        ('"images/train1.png,cat,train', "cannot be read as a table"),
        ("images/train1.png,c\x1bat,train", "cannot be printed"),
        ("tiny.csv,cat,train", "tiny.csv: cannot be decoded"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(places, line, text):
    with pytest.raises(InputError, match=text):
        data.table(rewritten(places, lambda k, old: line if k == 2 else old))


@pytest.mark.parametrize(
    "name, content, text",
    [
        ("a.csv", b"", "no column 'image'; it has none"),
        ("a.csv", b"image,label\n", "no rows"),
        ("a.csv", b"path,label\na,b\n", "no column 'image'; it has 'path', 'label'. Set `data.image`"),
        ("a.csv", b"image,image,label\na,b,c\n", "several columns of one name"),
        ("a.csv", b"image,label\n\xff\xfe,b\n", "cannot be read as a table.*UTF-8"),
        ("a.parquet", b"PAR1", "cannot be read as Parquet"),
        ("a.xlsx", b"", r"expected a file \.csv, \.tsv or \.parquet"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=text):
        data.table(tmp_path / name)


def test_embedded_images_have_a_data_set_of_their_own(tmp_path):
    kind = pa.struct([("bytes", pa.binary())])
    pq.write_table(pa.table({"image": pa.array([{"bytes": b""}], kind), "label": [0]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="Use the data set 'parquet'"):
        data.table(tmp_path / "a.parquet")
