"""Files of predictions: NumPy archives, CSV and Parquet. They are untrusted: nothing is unpickled, sizes are limited.

Names of arrays and columns, in any case:

========================================  =======================================================================
labels                                    ``y``, ``label``, ``labels``, ``target``, ``targets``, ``y_true``
logits                                    ``logits`` (array or list column); columns ``logit_0``, ``logit_1``, ...
probabilities                             ``probabilities``, ``probs``; columns ``p0``, ``p1``, ... or ``prob_cat``, ...
log-probabilities                         ``log_p``, ``log_probs``; columns ``log_p_0``, ``log_p_1``, ...
any of these, told by their values        ``outputs``, ``scores``, ``predictions``
predicted label and its probability       ``pred``, ``prediction``, ``predicted``, ``y_pred`` and ``confidence``
names of the rows (optional)              ``id``, ``ids``, ``row``, ``rows``, ``index``, ``filename``
names of the classes (optional, npz)      ``classes``, ``class_names``
========================================  =======================================================================

One column or array of a single number per row is the logit or the probability of the second of two classes.
"""

from __future__ import annotations

import csv
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from surefooted.data.parquet import readable_parquet
from surefooted.data.parts import report_unread
from surefooted.data.paths import locate
from surefooted.errors import DataError
from surefooted.evaluation.saved_predictions import OutputKind, SavedPredictions, read_outputs

_MOST_BYTES = 2**32  # of all that is read of a file
_DELIMITERS = ",;\t"

_LABELS = ("y", "label", "labels", "target", "targets", "y_true", "true_label")
_PREDICTED = ("pred", "prediction", "predicted", "y_pred", "predicted_label")
_CONFIDENCE = ("confidence", "confidences", "conf")
_IDS = ("id", "ids", "row", "rows", "index", "filename")
_CLASSES = ("classes", "class_names")
_ANY_OUTPUTS = ("outputs", "output", "scores", "predictions", "preds")
# Names of whole arrays, and the beginnings of names of columns.
_ARRAYS: dict[OutputKind, tuple[str, ...]] = {
    "logits": ("logits", "logit"),
    "probabilities": ("probabilities", "probability", "probs", "prob", "p"),
    "log_probabilities": ("log_probabilities", "log_probs", "log_prob", "log_p", "logp"),
}
_EXPECTED = (
    "labels (y, label or target) and logits (logits, or columns logit_0, logit_1, ...), probabilities (probs, p0, p1, "
    "... or prob_0, prob_1, ...), log-probabilities (log_p), or pred and confidence"
)


def read_predictions(path: str | PathLike[str], *, outputs: str = "auto") -> SavedPredictions:
    """Read a file of predictions and labels, ``.npz``, ``.csv``, ``.tsv`` or ``.parquet``; names are listed above.

    Args:
        path: the file; a relative path is tried here first, then under the data root.
        outputs: what the numbers are, ``logits``, ``probabilities``, ``log_probabilities`` or ``labels``; by default
            their names say it, and else their values.

    Raises:
        DataError: if the file cannot be read, is too large, or lacks labels or outputs.
        ArgumentError: if `outputs` is unknown.

    Example:
        >>> np.savez("logits.npz", logits=np.array([[2.0, -1.0], [0.5, 0.9]]), y=np.array([0, 1]))
        >>> saved = read_predictions("logits.npz")
        >>> saved.outputs, saved.p
        ('logits', Predictions(n=2, classes=2))
    """
    file = locate(Path(path))
    if file.is_dir():
        raise DataError(f"{str(file)!r} is a directory; expected a file of predictions.")
    kind = file.suffix.lower()
    if kind == ".npz":
        columns = _read_npz(file)
    elif kind in (".csv", ".tsv"):
        columns = _read_csv(file)
    elif kind == ".parquet":
        columns = _read_parquet(file)
    else:
        raise DataError(
            f"{str(file)!r} is no file of predictions: expected .npz, .csv, .tsv or .parquet. Save arrays with "
            'np.savez("predictions.npz", logits=logits, y=labels).'
        )
    return _interpret(columns, file, outputs)


def _interpret(columns: Mapping[str, np.ndarray], file: Path, outputs: str) -> SavedPredictions:
    """Find the labels and the outputs among arrays or columns."""
    name, read = file.name, set[str]()

    def named(names: Sequence[str]) -> np.ndarray | None:
        found = [column for column in columns if column.strip().lower() in names]
        if len(found) > 1:
            raise DataError(f"{name} has {found[0]!r} and {found[1]!r}, which mean the same. Rename or remove one.")
        read.update(found)
        return columns[found[0]] if found else None

    y, ids, classes = named(_LABELS), named(_IDS), named(_CLASSES)
    found = {kind: one for kind in _ARRAYS if (one := _outputs_of_kind(columns, kind, name))}
    if outputs in found:
        found = {outputs: found[outputs]}
    if y is None or not (found or outputs == "labels" or _has(columns, (*_PREDICTED, *_ANY_OUTPUTS))):
        missing = "labels" if y is None else "outputs"
        shown = ", ".join(map(repr, list(columns)[:12])) + (", ..." if len(columns) > 12 else "")
        raise DataError(f"{name} has no {missing}; it has {shown or 'nothing'}. Expected {_EXPECTED}.")
    names: tuple[str, ...] = () if classes is None else tuple(map(str, classes.tolist()))
    confidence, stated, values = None, None, None
    if found and outputs != "labels":
        kind, (values, used, class_names) = next(iter(found.items()))
        read.update(used)
        names = class_names or names
        stated = (kind, repr(used[0]) + (f", {used[1]!r}, ..." if len(used) > 1 else ""))
    else:
        values = named(_ANY_OUTPUTS) if outputs != "labels" else None
        if values is None:
            values = named(_PREDICTED)
            if values is not None and (values.ndim == 1 or outputs == "labels"):
                confidence, outputs = named(_CONFIDENCE), "labels"
        if values is None:
            raise DataError(f"{name} has no predicted labels; expected a column pred, with confidence.")
    unread = [column for column in columns if column not in read]
    report_unread(unread, name, f"Read are {', '.join(sorted(read)[:8])}{', ...' if len(read) > 8 else ''}.")
    return read_outputs(
        values, y, outputs=outputs, confidence=confidence, classes=names, ids=ids, stated=stated, name=name
    )


def _has(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> bool:
    return any(column.strip().lower() in names for column in columns)


def _outputs_of_kind(
    columns: Mapping[str, np.ndarray], kind: OutputKind, name: str
) -> tuple[np.ndarray, list[str], tuple[str, ...]] | None:
    """An array of this kind, or the columns of the classes in order; with the names read and the names of classes."""
    whole = [column for column in columns if column.strip().lower() in _ARRAYS[kind]]
    if len(whole) > 1:
        raise DataError(f"{name} has {whole[0]!r} and {whole[1]!r}, which mean the same. Rename or remove one.")
    if whole:
        return columns[whole[0]], whole, ()
    suffixes = {column: match for column in columns if (match := _class_of(column.strip(), kind)) is not None}
    if not suffixes:
        return None
    if all(suffix.isdigit() for suffix in suffixes.values()):
        ordered = sorted(suffixes, key=lambda column: int(suffixes[column]))
        numbers = [int(suffixes[column]) for column in ordered]
        if numbers != list(range(len(numbers))):
            raise DataError(
                f"{name} has the columns {', '.join(map(repr, ordered[:4]))}, ...: expected them to be numbered from 0 "
                f"without a gap, one per class; got {len(numbers)} from {numbers[0]} to {numbers[-1]}."
            )
        classes: tuple[str, ...] = ()
    else:
        ordered, classes = list(suffixes), tuple(suffixes.values())
    values = [columns[column] for column in ordered]
    if bad := [column for column, value in zip(ordered, values) if value.ndim != 1 or value.dtype.kind not in "iuf"]:
        raise DataError(f"{name}: the column {bad[0]!r} holds {columns[bad[0]].dtype}; expected one number per row.")
    return np.stack(values, 1), ordered, classes


def _class_of(column: str, kind: OutputKind) -> str | None:
    """The class that a column of this kind is of: ``0`` of ``logit_0`` and ``p0``, ``cat`` of ``prob_cat``."""
    for beginning in _ARRAYS[kind]:
        numbered = re.fullmatch(rf"{beginning}[_.\- ]?(\d{{1,6}})", column, re.IGNORECASE)
        by_name = re.fullmatch(rf"{beginning}_(.+)", column, re.IGNORECASE) if len(beginning) > 1 else None
        if match := numbered or by_name:
            return str(match[1])
    return None


def _is_known(column: str) -> bool:
    """Whether an array or a column of this name may be read."""
    name = column.strip()
    known = (*_LABELS, *_PREDICTED, *_CONFIDENCE, *_IDS, *_CLASSES, *_ANY_OUTPUTS)
    return name.lower() in known or _is_numeric(name)


def _read_npz(file: Path) -> dict[str, np.ndarray]:
    """The arrays; those whose names mean nothing here stay in the file, and empty ones stand for them."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = {member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")}
            known, size = sorted(filter(_is_known, names)), 0
            for name in known:
                where = f"{file.name}, {name!r}"
                with archive.open(f"{name}.npy") as content:
                    size += _check_header(content, where)
                _check_size(size, where)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] if name in known else np.empty(0) for name in arrays if name in names}
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{str(file)!r} cannot be read as a NumPy archive ({error}). Write it with np.savez, without objects."
        ) from None


def _check_header(content: Any, where: str) -> int:
    """The bytes of an array; objects are refused, which would be pickles."""
    version = np.lib.format.read_magic(content)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(content)
    if dtype.hasobject:
        raise DataError(
            f"{where} holds Python objects, which are not read. Save numbers or text, such as array.astype(float)."
        )
    return abs(int(np.prod(shape, dtype=object))) * dtype.itemsize


def _check_size(size: int, where: str) -> None:
    """Refuse more bytes than are read of a file."""
    if size > _MOST_BYTES:
        raise DataError(f"{where}: this takes {size:,} bytes; at most {_MOST_BYTES:,} are read of a file. Save less.")


def _text_array(column: Any, where: str) -> np.ndarray:
    """Arrow's text as an array, in which every row takes as much as the longest."""
    import pyarrow.compute as pc

    longest = pc.max(pc.utf8_length(column)).as_py() or 0
    _check_size(4 * longest * len(column), where)
    return np.asarray(column.to_numpy(zero_copy_only=False)).astype(str)


def _read_csv(file: Path) -> dict[str, np.ndarray]:
    """The columns; those of classes and confidences as numbers, the others as text."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    try:
        if file.stat().st_size > _MOST_BYTES:
            raise DataError(f"{str(file)!r} is larger than {_MOST_BYTES // 2**30} GiB. Save it as .npz.")
        with file.open(encoding="utf-8-sig", newline="") as text:
            line = text.readline(2**24)
        delimiter = max(_DELIMITERS, key=line.count)
        header = [name.strip() for name in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
        _check_names(header, file)
        numeric = {name for name in header if _is_numeric(name)}
        types = {name: pa.float64() if name in numeric else pa.string() for name in header}

        def read(decimal: str) -> Any:
            convert = arrow.ConvertOptions(
                column_types=types, decimal_point=decimal, strings_can_be_null=False, check_utf8=True
            )
            options = arrow.ReadOptions(column_names=header, skip_rows=1, use_threads=False)
            return arrow.read_csv(file, options, arrow.ParseOptions(delimiter=delimiter), convert)

        try:
            table = read(".")
        except pa.ArrowInvalid:
            if delimiter == ",":
                raise
            table = read(",")
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        reason = str(error).splitlines()[0][:200]
        raise DataError(
            f"{str(file)!r} cannot be read as a table ({reason}). Write it as UTF-8, with a header and a row per image."
        ) from None
    if not table.num_rows:
        raise DataError(f"{str(file)!r} has no rows; expected at least one.")
    return {
        name: column.to_numpy() if name in numeric else _text_array(column.combine_chunks(), f"{file.name}, {name!r}")
        for name, column in zip(header, table.columns)
    }


def _is_numeric(column: str) -> bool:
    kinds: Sequence[OutputKind] = tuple(_ARRAYS)
    of_class = any(column.lower() in _ARRAYS[kind] or _class_of(column, kind) is not None for kind in kinds)
    return of_class or column.lower() in (*_CONFIDENCE, *_ANY_OUTPUTS)


def _check_names(header: Sequence[str], file: Path) -> None:
    if not header or all(re.fullmatch(r"[-+0-9.eE]+", name) for name in header):
        raise DataError(f"{str(file)!r} has no header: its first line names no column. Expected {_EXPECTED}.")
    if repeated := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{str(file)!r} has several columns named {repeated[0]!r}. Rename them.")


def _read_parquet(file: Path) -> dict[str, np.ndarray]:
    """The columns: numbers, text, and lists of equal length as rows of an array."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable_parquet(file), pq.ParquetFile(file) as content:
        schema, rows = content.schema_arrow, content.metadata.num_rows
        _check_names(schema.names, file)
        plain = [field.name for field in schema if _is_plain(field.type)]
        known = [name for name in plain if _is_known(name)]
        _check_size(_bytes_of(content.metadata, known), file.name)
        table = content.read(columns=known)
    if not rows:
        raise DataError(f"{str(file)!r} has no rows; expected at least one.")
    report_unread([name for name in schema.names if name not in plain], file.name, "Read are numbers, text and lists.")
    columns = {name: np.empty(0) for name in plain}
    for name in known:
        column = table[name].combine_chunks()
        if (
            pa.types.is_list(column.type)
            or pa.types.is_large_list(column.type)
            or pa.types.is_fixed_size_list(column.type)
        ):
            flat = column.flatten()
            if len(flat) % rows or (np.diff([0, *np.cumsum(column.value_lengths().to_numpy(zero_copy_only=False))])
                                    != len(flat) // rows).any():  # fmt: skip
                raise DataError(f"{file.name}: the lists of {name!r} differ in length; expected one number per class.")
            columns[name] = flat.to_numpy(zero_copy_only=False).reshape(rows, -1)
        else:
            text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            where = f"{file.name}, {name!r}"
            columns[name] = _text_array(column.fill_null(""), where) if text else column.to_numpy(zero_copy_only=False)
    return columns


def _bytes_of(metadata: Any, names: Sequence[str]) -> int:
    """What these columns of a Parquet file take at least: 8 bytes for each number, and as much as is stored."""
    groups = (metadata.row_group(k) for k in range(metadata.num_row_groups))
    parts = (group.column(k) for group in groups for k in range(group.num_columns))
    return sum(
        max(8 * part.num_values, part.total_uncompressed_size)
        for part in parts
        if any(part.path_in_schema == name or part.path_in_schema.startswith(f"{name}.") for name in names)
    )


def _is_plain(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
        return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
    plain = (
        pa.types.is_floating,
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    return any(is_kind(kind) for is_kind in plain)
