"""Parquet files in the Hugging Face image convention."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.decode import Encoded
from surefooted.data.images import Splits
from surefooted.data.paths import directory, locate, path_within
from surefooted.data.split import ImageSource, ImageTable, SplitOptions, class_numbers, split_source
from surefooted.errors import InputError

_BATCH = 256  # encoded images held at a time


@component
def parquet(
    path: str | Path,
    *,
    image: str = "image",
    label: str = "label",
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """Directory of Parquet files in the Hugging Face image convention.

    Files ``train-*.parquet`` and, where there are any, ``test-*.parquet`` and ``validation-*.parquet``, each in one or
    more shards. An image is a struct with ``bytes``, the encoded file; a label a class index. Class names come from
    the file's ``huggingface`` metadata, where it has them. Images are decoded once and kept in SUREFOOTED_CACHE
    (~/.cache/surefooted).

    Args:
        path: the directory; a relative one is looked up here, then under the data root.
        image: name of the column of images.
        label: name of the column of labels.
        test: share of the training files held out for testing, where there are no test files.
        validation: share of the training images held out, where there are no validation files; 0 for none.
        split_seed: seed of the split.
        train_limit: train on the first so many only; 0 for all.
        test_limit: test on the first so many only; 0 for all.
    """
    folder = directory(locate(path))
    source = read_source(folder, image, label)
    cut = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    name = folder.resolve().name
    return split_source(source, cut, name=name, title=name)


def read_source(folder: Path, image: str = "image", label: str = "label") -> ImageSource:
    shards = {part: find_shards(folder, part) for part in ("train", "validation", "test")}
    if not shards["train"]:
        raise InputError(f"No train-*.parquet in {str(folder)!r}. Check the path, or name the files so.")
    names = {file: _read_names(file, image, label) for files in shards.values() for file in files}
    if len(set(names.values())) > 1:
        (one, some), (other, others) = next(
            ((a, x), (b, y)) for a, x in names.items() for b, y in names.items() if x != y
        )
        raise InputError(f"Class names differ: {one.name} has {some}, {other.name} has {others}. Make them the same.")

    labels = {part: _read_labels(files, label) for part, files in shards.items() if files}
    classes = names[shards["train"][0]] or class_numbers(*labels.values())
    tables = {part: ImageTable(_read_pixels(shards[part], image, len(y)), y) for part, y in labels.items()}
    return ImageSource(tables["train"], tables.get("validation"), tables.get("test"), classes)


def find_shards(folder: Path, part: str) -> list[Path]:
    files = [path_within(file, folder) for file in sorted(folder.glob(f"{part}-*.parquet"))]
    # A copy that broke off between two shards would otherwise pass for a smaller data set.
    for file in files:
        numbers = re.search(r"-of-(\d+)\.parquet$", file.name)
        if numbers and int(numbers[1]) != len(files):
            raise InputError(
                f"{len(files)} {part} files in {str(folder)!r}, but {file.name} is one of {int(numbers[1])}. "
                "Copy those that are missing, or remove those that are too many."
            )
    return files


def _read_names(file: Path, image: str, label: str) -> tuple[str, ...]:
    """Class names from the metadata (none if there are none), once the columns are known to be right."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable(file), pq.ParquetFile(file) as table:
        schema = table.schema_arrow
    kinds = {field.name: field.type for field in schema}
    seen = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    expected = f"{file}: a column {image!r} of struct with 'bytes' and a column {label!r} of whole numbers are expected"
    picture = kinds.get(image)
    if picture is None or not pa.types.is_struct(picture) or picture.get_field_index("bytes") < 0:
        raise InputError(f"{expected}; there are {seen or 'none'}. Name the right one with image=....")
    if label not in kinds or not pa.types.is_integer(kinds[label]):
        raise InputError(f"{expected}; there are {seen}. Name the right one with label=....")
    kind = picture.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise InputError(f"{expected}; 'bytes' is {kind}, not binary. Store the encoded image files there.")
    return _class_names(file, (schema.metadata or {}).get(b"huggingface"), label)


def _class_names(file: Path, metadata: bytes | None, label: str) -> tuple[str, ...]:
    if metadata is None:
        return ()
    try:
        names = json.loads(metadata)["info"]["features"][label].get("names") or []
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{file}: its 'huggingface' metadata do not describe {label!r}. Write the file anew."
        ) from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{file}: class names are {names!r}; a list of strings is expected.")
    return tuple(names)


def _read_labels(files: list[Path], label: str) -> np.ndarray:
    import pyarrow.parquet as pq

    parts = []
    for file in files:
        with _readable(file), pq.ParquetFile(file) as table:
            column = table.read(columns=[label])[label]
            if column.null_count:
                raise InputError(f"{file}: {column.null_count} rows have no label. Use a labelled set.")
            parts.append(column.cast("int64").to_numpy())
    return np.concatenate(parts)


def _read_pixels(files: list[Path], image: str, count: int) -> np.ndarray:
    def images() -> Iterator[Encoded]:
        return (encoded for file in files for encoded in read_images(file, image))

    if count == 0:
        raise InputError(f"{files[0]}: no images. At least one is needed.")
    with _readable(files[0]):
        key = cache_key(file.read_bytes() for file in files)
    part, _, _ = files[0].name.partition("-")
    return decode_cached(images, count, key, f"{files[0].parent.name} ({part})")


def read_images(file: Path, image: str) -> Iterator[Encoded]:
    import pyarrow.parquet as pq

    row = 0
    with _readable(file), pq.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=_BATCH, columns=[f"{image}.bytes"]):
            for data in batch.column(0).field("bytes"):
                if not data.is_valid:
                    raise InputError(f"{file}, row {row}: no image bytes. Paths to files are not followed: embed them.")
                yield f"{file}, row {row}", data.as_py()
                row += 1


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{str(file)!r} cannot be read as Parquet ({str(error).splitlines()[0]}). "
            "It may be cut short: copy or download it again."
        ) from None
