"""Image files that a table names, with their labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.classes import Classes, label_indices, read_classes
from surefooted.data.decode import Encoded, Framing, states_image_rules
from surefooted.data.folder import read_file
from surefooted.data.images import Splits
from surefooted.data.parquet import readable_parquet
from surefooted.data.parts import make_source, part_named, report_overlap, report_unread
from surefooted.data.paths import locate, path_within
from surefooted.data.split import ImageTable, SplitOptions, split_source
from surefooted.errors import ArgumentError, DataError

# Arguments that results were stored without; see ``component``.
ADDED = ("classes",)
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@component
@states_image_rules
def table(
    path: str | Path,
    *,
    image: str = "image",
    label: str = "label",
    split: str = "split",
    resize: Whole = 0,
    crop: Whole = 0,
    classes: Classes = "",
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """Table of image files and labels, in a CSV, TSV or Parquet file.

    A row names an image file, by its path from the folder of the table, and its class. Files outside that folder are
    refused. If all labels are whole numbers, they are class indices from 0, without a gap if there are training rows;
    otherwise they are names, and classes are in alphabetical order. If there is a column of splits, it says which rows
    are ``train``, ``validation`` (``valid``, ``val``, ``dev``) and ``test`` data, and test images keep their order.
    Without training rows the set can be evaluated on but not trained on; without test rows the validation images are
    the test split. Images of several sizes are brought to one by ``resize`` and ``crop``. Decoded images are cached in
    SUREFOOTED_CACHE (~/.cache/surefooted).

    Args:
        path: the table; a relative path is tried here first, then under the data root.
        image: name of the column of paths.
        label: name of the column of labels.
        split: name of the column of splits, which may be missing.
        resize: length of the shorter side in pixels, to which images are scaled (Pillow's bilinear interpolation, with
            anti-aliasing); 0 keeps their size.
        crop: side of the square that is cut from their centre, such as 224 after ``resize=256``; 0 for none.
        classes: number of classes, or a text file that names them all in the order of their indices, one per line; by
            default the classes found, in alphabetical order. Needed if a test set alone does not hold every class.
        test: share of the images held out for testing, if there is no column of splits.
        validation: share of the training images held out, if there are no validation rows; 0 for none.
        split_seed: seed of the split.
        train_limit: number of training images; 0 for all.
        test_limit: number of test images; 0 for all.

    Returns:
        Training, validation and test images.

    Raises:
        DataError: the table cannot be read, a row cannot be used, or an image is missing or cannot be decoded.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> import surefooted as sf
        >>> rows = ["image,label"]
        >>> for k in range(20):
        ...     Image.fromarray(np.full((8, 8), 10 * k, np.uint8)).save(f"shade{k}.png")
        ...     rows.append(f"shade{k}.png,{'dark' if k < 10 else 'light'}")
        >>> _ = Path("shades.csv").write_text("\\n".join(rows))
        >>> splits = sf.data.table("shades.csv")
        >>> splits.train.classes, splits.train.shape, len(splits.test)
        (('dark', 'light'), (1, 8, 8), 5)
    """
    file = locate(path)
    columns = _read_columns(file, [image, label], split)
    framing = Framing(resize, crop)
    files = _image_paths(columns[image], file)
    parts = _rows_of_parts(columns[split], file) if split in columns else {"train": np.arange(len(files))}
    names, y = _number_labels(columns[label], read_classes(classes), alone="train" not in parts, file=file)
    tables = {
        part: ImageTable(_read_pixels([files[k] for k in rows], file, framing), y[rows]) for part, rows in parts.items()
    }
    source = make_source(tables, names, name=file.stem, test_as_given=split in columns)
    options = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    return split_source(report_overlap(source, file.stem), options, name=file.stem, title=file.stem)


def _read_columns(file: Path, required: Sequence[str], optional: str) -> dict[str, list[str]]:
    """The named columns as text. A notice names the other columns."""
    kind = file.suffix.lower()
    if kind in _DELIMITERS:
        found = _read_csv(file, _DELIMITERS[kind])
    elif kind == ".parquet":
        found = _read_parquet(file, [*required, optional])
    else:
        raise DataError(f"{str(file)!r} is no table: expected a file .csv, .tsv or .parquet.")
    for name, option in zip(required, ("image", "label")):
        if name not in found:
            raise ArgumentError(
                f"{str(file)!r} has no column {name!r}; it has {', '.join(map(repr, found)) or 'none'}. Set "
                f"`data.{option}` to the right one."
            )
    read = [*required, *([optional] if optional in found else [])]
    report_unread(
        [name for name in found if name not in read], f"the columns of {file}", f"Read are {', '.join(read)}."
    )
    if not found[required[0]]:
        raise DataError(f"{str(file)!r} has no rows; expected at least one.")
    for name in read:
        if "" in found[name]:
            raise DataError(f"{file}, row {found[name].index('')}: no {name}. Complete or remove the row.")
    return {name: found[name] for name in read}


def _read_csv(file: Path, delimiter: str) -> dict[str, list[str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            header, *rows = [row for row in csv.reader(text, delimiter=delimiter, strict=True) if row] or [[]]
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{str(file)!r} cannot be read as a table ({error}). Write it as UTF-8.") from None
    if len(set(header)) < len(header):
        raise DataError(f"{str(file)!r} has several columns of one name. Rename them.")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise DataError(
                f"{file}, row {number}: {len(row)} values; the header has {len(header)} columns. Put values with a "
                f"{delimiter!r} in double quotes."
            )
    return {name: [row[k].strip() for row in rows] for k, name in enumerate(header)}


def _read_parquet(file: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """The named columns as text; the others are empty."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable_parquet(file), pq.ParquetFile(file) as content:
        kinds = {field.name: field.type for field in content.schema_arrow}
        plain = [
            name
            for name in names
            if (name in kinds and (pa.types.is_integer(kinds[name]) or pa.types.is_large_string(kinds[name])))
            or (name in kinds and pa.types.is_string(kinds[name]))
        ]
        for name in names:
            if name in kinds and name not in plain:
                hint = " Use the data set 'parquet' for embedded images." if pa.types.is_struct(kinds[name]) else ""
                raise DataError(f"{file}: column {name!r} is {kinds[name]}; expected text or whole numbers.{hint}")
        values = content.read(columns=plain).to_pydict() if plain else {}
    found = {name: ["" if v is None else str(v) for v in column] for name, column in values.items()}
    return {name: found.get(name, []) for name in kinds}


def _image_paths(names: Sequence[str], file: Path) -> list[Path]:
    """The image files, none of them outside the folder of the table and none named twice."""
    root, rows, paths = file.parent, dict[str, int](), list[Path]()
    for row, name in enumerate(names):
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts or "\0" in name:
            raise DataError(
                f"{file}, row {row}: {name!r} is outside the folder of the table. Name files by their path from there."
            )
        if rows.setdefault(name, row) != row:
            raise DataError(f"{file}, row {row}: {name!r} is the image of row {rows[name]} too. Remove one of them.")
        try:
            found = path_within(root / name, root).is_file()
        except OSError:  # a name too long for the file system
            found = False
        if not found:
            raise DataError(f"{file}, row {row}: there is no file {name!r} in {str(root)!r}. Copy it, or drop the row.")
        paths.append(root / name)
    return paths


def _number_labels(
    labels: Sequence[str], given: tuple[str, ...], *, alone: bool, file: Path
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the classes, and the index of each label."""
    if unprintable := [label for label in labels if not label.isprintable()]:
        raise DataError(f"{file}: the label {unprintable[0]!r} has characters that cannot be printed. Rename it.")
    return label_indices(labels, given, alone=alone, where=str(file))


def _rows_of_parts(splits: Sequence[str], file: Path) -> dict[str, np.ndarray]:
    """Rows of each part, in order."""
    named = [part_named(split) for split in splits]
    if None in named:
        row = named.index(None)
        raise DataError(f"{file}, row {row}: split {splits[row]!r}; expected train, validation or test.")
    rows = {part: np.flatnonzero([name == part for name in named]) for part in ("train", "validation", "test")}
    return {part: found for part, found in rows.items() if len(found)}


def _read_pixels(files: Sequence[Path], file: Path, framing: Framing) -> np.ndarray:
    def images() -> Iterator[Encoded]:
        return ((str(path), read_file(path)) for path in files)

    return decode_cached(images, len(files), cache_key(data for _, data in images()), file.stem, framing)
