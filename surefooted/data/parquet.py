"""Parquet files in the image convention of Hugging Face."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.classes import number_names
from surefooted.data.decode import AS_STORED, Encoded, Framing, states_image_rules
from surefooted.data.images import Splits
from surefooted.data.parts import group_parts, is_ignored, make_source, part_named, report_overlap, report_unread
from surefooted.data.paths import directory, locate, path_within
from surefooted.data.split import ImageSource, ImageTable, SplitOptions, split_source
from surefooted.errors import DataError

# Arguments that results were stored without; see ``component``.
ADDED = ("resize", "crop")
_BATCH = 256  # encoded images held at a time


@component
@states_image_rules
def parquet(
    path: str | Path,
    *,
    image: str = "image",
    label: str = "label",
    resize: Whole = 0,
    crop: Whole = 0,
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """Directory of Parquet files in the image convention of Hugging Face.

    Files are ``train-*.parquet`` and optionally ``test-*.parquet`` and ``validation-*.parquet`` (or ``valid``, ``val``,
    ``dev``), each in one or more shards. If there are no test files, the validation images are the test split. Without
    training files the set can be evaluated on but not trained on. An image is a struct with ``bytes``, the encoded
    image file; a label is a class index, from 0, without a gap if there are training files. Class names come from the
    files' ``huggingface`` metadata, if present; with them, classes may have no images. A warning names files and
    columns that are not read. Images of several sizes are brought to one by ``resize`` and ``crop``. Decoded images are
    cached in SUREFOOTED_CACHE (~/.cache/surefooted).

    Args:
        path: the directory; a relative path is tried here first, then under the data root.
        image: name of the column of images.
        label: name of the column of class indices.
        resize: length of the shorter side in pixels, to which images are scaled (Pillow's bilinear interpolation, with
            anti-aliasing); 0 keeps their size.
        crop: side of the square that is cut from their centre, such as 224 after ``resize=256``; 0 for none.
        test: share of the training images held out for testing, if there are no test and no validation files.
        validation: share of the training images held out, if there are no validation files beside test files; 0 for
            none.
        split_seed: seed of the split.
        train_limit: number of training images; 0 for all.
        test_limit: number of test images; 0 for all.

    Returns:
        Training, validation and test images.

    Raises:
        DataError: a file is missing or broken, or has other columns.

    Example:
        >>> import surefooted as sf
        >>> sf.data.parquet("mnist").train.shape  # a directory under the data root
        (1, 28, 28)
    """
    folder = directory(locate(path))
    options = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    name = folder.resolve().name
    source = read_source(folder, image, label, framing=Framing(resize, crop), report_columns=True)
    source = report_overlap(source, name)
    return split_source(source, options, name=name, title=name)


def read_source(
    folder: Path, image: str, label: str, *, framing: Framing = AS_STORED, report_columns: bool = False
) -> ImageSource:
    """Read all Parquet files of a directory.

    Args:
        folder: the directory.
        image: name of the column of images.
        label: name of the column of class indices.
        framing: how images are resized and cropped.
        report_columns: tell which other columns there are.
    """
    shards = find_shards(folder)
    read = {file.name for files in shards.values() for file in files}
    entries = sorted(e.name for e in folder.iterdir() if e.suffix == ".parquet" or e.is_dir())
    unread = [name for name in entries if name not in read and not is_ignored(name)]
    report_unread(unread, repr(str(folder)), f"Read are the Parquet files of {', '.join(shards)} data.")
    names = {file: _read_names(file, image, label) for files in shards.values() for file in files}
    first = next(iter(shards.values()))[0]
    for file, others in names.items():
        if others != names[first]:
            raise DataError(
                f"Class names differ: {first.name} has {names[first]}, {file.name} has {others}. Make them equal."
            )
    if report_columns:
        columns = [column for column in _columns(first) if column not in (image, label)]
        report_unread(columns, f"the columns of {first}", f"Read are {image!r} and {label!r}.")
    labels = {part: _read_labels(files, label) for part, files in shards.items()}
    classes = names[first] or number_names(*labels.values(), alone="train" not in labels)
    tables = {part: ImageTable(_read_pixels(shards[part], image, len(y), framing), y) for part, y in labels.items()}
    return make_source(tables, classes, name=folder.resolve().name)


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """Parquet files of each part, in order.

    Raises:
        DataError: a shard is missing. An interrupted copy could otherwise pass for a smaller data set.
    """
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.parquet")):
        name = file.stem.partition("-")[0]
        if part_named(name) and not is_ignored(file.name):
            found.setdefault(name, []).append(path_within(file, folder))
    parts = group_parts(found, repr(str(folder)))
    if not parts:
        entries = ", ".join(repr(entry.name) for entry in sorted(folder.iterdir())[:5]) or "nothing"
        raise DataError(
            f"There is no train-*.parquet and no test-*.parquet in {str(folder)!r}, which has {entries}. Check the "
            "path, or rename the files."
        )
    for name, files in found.items():
        for file in files:
            numbers = re.search(r"-of-(\d+)(-[0-9a-f]+)?\.parquet$", file.name)  # the Hub may append a hash
            if numbers and int(numbers[1]) != len(files):
                raise DataError(
                    f"{str(folder)!r} has {len(files)} {name} file(s), but {file.name} is one of {int(numbers[1])}. "
                    "Copy the missing files, or remove the extra ones."
                )
    return {part: found[name] for part, name in parts.items()}


def read_images(file: Path, image: str) -> Iterator[Encoded]:
    """Encoded images of a file, in order.

    Args:
        file: the Parquet file.
        image: name of the column of images.
    """
    import pyarrow.parquet as pq

    row = 0
    with readable_parquet(file), pq.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=_BATCH, columns=[f"{image}.bytes"]):
            for data in batch.column(0).field("bytes"):
                if not data.is_valid:
                    raise DataError(
                        f"{file}, row {row}: no image bytes. Paths to files are not followed; embed the images."
                    )
                yield f"{file}, row {row}", data.as_py()
                row += 1


def _read_names(file: Path, image: str, label: str) -> tuple[str, ...]:
    """Check the columns of a file and read its class names from the metadata; empty if it has none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable_parquet(file), pq.ParquetFile(file) as table:
        schema = table.schema_arrow
    types = {field.name: field.type for field in schema}
    columns = ", ".join(f"{name} ({kind})" for name, kind in types.items())
    expected = f"{file}: expected a column {image!r} of struct with 'bytes' and a column {label!r} of whole numbers"
    picture = types.get(image)
    if picture is None or not pa.types.is_struct(picture) or picture.get_field_index("bytes") < 0:
        raise DataError(f"{expected}; the columns are {columns or 'none'}. Set `data.image` to the right one.")
    if label not in types or not pa.types.is_integer(types[label]):
        raise DataError(f"{expected}; the columns are {columns}. Set `data.label` to the right one.")
    kind = picture.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(f"{expected}; 'bytes' is {kind}, not binary. Store the encoded image files there.")
    return _class_names(file, (schema.metadata or {}).get(b"huggingface"), label)


def _columns(file: Path) -> list[str]:
    """Names of all columns."""
    import pyarrow.parquet as pq

    with readable_parquet(file), pq.ParquetFile(file) as table:
        return list(table.schema_arrow.names)


def _class_names(file: Path, metadata: bytes | None, label: str) -> tuple[str, ...]:
    if metadata is None:
        return ()
    try:
        names = json.loads(metadata)["info"]["features"][label].get("names") or []
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{file}: its 'huggingface' metadata do not describe {label!r}. Write the file again."
        ) from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: class names are {names!r}; expected a list of strings.")
    return tuple(names)


def _read_labels(files: list[Path], label: str) -> np.ndarray:
    import pyarrow.parquet as pq

    parts = []
    for file in files:
        with readable_parquet(file), pq.ParquetFile(file) as table:
            column = table.read(columns=[label])[label]
            if column.null_count:
                raise DataError(
                    f"{file}: {column.null_count} rows have no label. Use a labelled set, or remove these rows."
                )
            parts.append(column.cast("int64").to_numpy())
    return np.concatenate(parts)


def _read_pixels(files: list[Path], image: str, count: int, framing: Framing) -> np.ndarray:
    def images() -> Iterator[Encoded]:
        return (encoded for file in files for encoded in read_images(file, image))

    if count == 0:
        raise DataError(f"{files[0]}: no images; expected at least one.")
    with readable_parquet(files[0]):
        key = cache_key(file.read_bytes() for file in files)
    part, _, _ = files[0].name.partition("-")
    return decode_cached(images, count, key, f"{files[0].parent.name} ({part})", framing)


@contextmanager
def readable_parquet(file: Path) -> Iterator[None]:
    """Turn errors of reading a Parquet file into a DataError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{str(file)!r} cannot be read as Parquet ({str(error).splitlines()[0]}). It may be truncated: copy or "
            "download it again."
        ) from None
