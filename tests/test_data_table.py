"""Tables of paths and labels: every row is used in its order, or named in an error."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_sets import CLASSES, drawn, png, write_folder, write_table

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
    splits = data.table(table)
    assert (len(splits.train), len(splits.validation)) == (0, 0) and splits.test.rows.tolist() == list(range(12))
    assert np.array_equal(splits.test.x[:, 0].numpy(), TRAIN[0])


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
