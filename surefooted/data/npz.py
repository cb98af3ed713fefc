"""Arrays in a NumPy archive."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.data.classes import number_names
from surefooted.data.images import Splits
from surefooted.data.parts import group_parts, make_source, report_overlap, report_unread
from surefooted.data.paths import locate
from surefooted.data.split import SplitOptions, split_source
from surefooted.data.tables import Layout, image_table
from surefooted.errors import DataError


@component
def npz(
    path: str | Path,
    *,
    layout: Layout = "auto",
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """NumPy archive of arrays ``x_train, y_train, x_test, y_test``.

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 from 0 to 255 or floats from 0 to 1; labels are class
    indices from 0, without a gap if there are training images, (N,) or (N, 1). An optional array of strings,
    ``classes``, names the classes; with it, classes may have no images. ``x_val, y_val`` (or ``valid``, ``validation``,
    ``dev``) are validation images, or the test split if there are no test images. Without training images the set can
    be evaluated on but not trained on. A warning names arrays that are not read. Nothing is unpickled.

    Args:
        path: the file; a relative path is tried here first, then under the data root.
        layout: position of the channels; auto takes the axis of length 1 or 3.
        test: share of the training images held out for testing, if there are no test and no validation images.
        validation: share of the training images held out, if there are no validation images beside test images; 0 for
            none.
        split_seed: seed of the split.
        train_limit: number of training images; 0 for all.
        test_limit: number of test images; 0 for all.

    Returns:
        Training, validation and test images.

    Raises:
        DataError: the file cannot be read, or its arrays cannot be used.
        ArgumentError: the layout is ambiguous and must be given.

    Example:
        >>> import numpy as np
        >>> import surefooted as sf
        >>> x = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
        >>> np.savez("waves.npz", x_train=x, y_train=np.arange(40) % 2)
        >>> splits = sf.data.npz("waves.npz")
        >>> splits.train.shape, len(splits.test)
        ((3, 8, 8), 10)
    """
    file = locate(path)
    arrays, parts = _read_arrays(file)
    tables = {}
    for part, name in parts.items():
        names = f"x_{name}", f"y_{name}"
        tables[part] = image_table(arrays[names[0]], arrays[names[1]], names, layout, "data.layout")
    classes = _class_names(arrays, [table.y for table in tables.values()], alone="train" not in tables)
    scale = 255.0 if next(iter(tables.values())).x.dtype == np.uint8 else 1.0
    options = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    source = report_overlap(make_source(tables, classes, name=file.stem, scale=scale), file.stem)
    return split_source(source, options, name=file.stem, title=file.stem)


def _read_arrays(file: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays by name, and the name of each part: ``val`` of ``x_val, y_val``."""
    try:
        with zipfile.ZipFile(file):  # Checked before NumPy opens it: a single array or a pickle is not an archive.
            pass
        with np.load(file, allow_pickle=False) as archive:
            parts = group_parts({name[2:] for name in archive if name[:2] in ("x_", "y_")}, repr(str(file)))
            parts = parts or {"train": "train"}
            expected = [f"{prefix}_{name}" for name in parts.values() for prefix in "xy"]
            if missing := [name for name in expected if name not in archive]:
                raise DataError(
                    f"{str(file)!r} has no array {missing[0]!r}; it has {', '.join(archive) or 'none'}. Rename them."
                )
            unread = [name for name in archive if name not in (*expected, "classes")]
            report_unread(unread, repr(str(file)), f"Read are {', '.join(expected)} and classes.")
            return {name: archive[name] for name in (*expected, "classes") if name in archive}, parts
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{str(file)!r} cannot be read as a NumPy archive ({error}). Write it with np.savez, without objects."
        ) from None


def _class_names(arrays: dict[str, np.ndarray], labels: list[np.ndarray], *, alone: bool) -> tuple[str, ...]:
    if "classes" not in arrays:
        return number_names(*labels, alone=alone)
    names = arrays["classes"]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(f"classes is {names.dtype} {names.shape}; expected a list of strings.")
    return tuple(str(name) for name in names)
