"""Image files in one folder per class."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.data.cache import cache_key, decode_cached
from surefooted.data.classes import Classes, named_classes, read_classes
from surefooted.data.decode import IMAGE_SUFFIXES, Encoded, Framing, states_image_rules
from surefooted.data.images import Splits
from surefooted.data.parts import group_parts, is_ignored, make_source, report_overlap, report_unread
from surefooted.data.paths import directory, locate, path_within
from surefooted.data.split import ImageTable, SplitOptions, split_source
from surefooted.errors import DataError, DataNotice

# Arguments that results were stored without; see ``component``.
ADDED = ("resize", "crop", "classes")
# Images of formats that are not read: their loss would change the data set.
_OTHER_SUFFIXES = (
    *(".gif", ".tif", ".tiff", ".jp2", ".j2k", ".jxl", ".avif", ".heic", ".heif", ".mpo"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".pcx", ".psd", ".svg"),
)


@component
@states_image_rules
def folder(
    path: str | Path,
    *,
    resize: Whole = 0,
    crop: Whole = 0,
    classes: Classes = "",
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """Folder of images, ``train/<class>/*.png`` and ``test/<class>/*.png``.

    Classes are the folders in ``train`` in alphabetical order; images are in the order of their file names. Images in
    folders below a class belong to that class. Validation images are in ``validation``, ``valid``, ``val`` or ``dev``;
    if there is no folder ``test``, ``testing`` or ``eval``, they are the test split, as in ImageNet. Test images have
    the order of their classes. Without ``train`` the set can be evaluated on but not trained on. Images of several
    sizes are brought to one by ``resize`` and ``crop``. A warning names what is not read. Names that begin with a dot
    and files of operating systems (``Thumbs.db``) are ignored. Links out of the folder are refused. Decoded images are
    cached in SUREFOOTED_CACHE (~/.cache/surefooted).

    Args:
        path: the folder; a relative path is tried here first, then under the data root.
        resize: length of the shorter side in pixels, to which images are scaled (Pillow's bilinear interpolation, with
            anti-aliasing); 0 keeps their size.
        crop: side of the square that is cut from their centre, such as 224 after ``resize=256``; 0 for none.
        classes: number of classes, or a text file that names them all in the order of their indices, one per line; by
            default the classes found, in alphabetical order. Needed if a test set alone does not hold every class.
        test: share of the training images held out for testing, if there are no test and no validation images.
        validation: share of the training images held out, if there are no validation images beside test images; 0 for
            none.
        split_seed: seed of the split.
        train_limit: number of training images; 0 for all.
        test_limit: number of test images; 0 for all.

    Returns:
        Training, validation and test images.

    Raises:
        DataError: there are no images, folders differ between the parts, or an image cannot be used.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> import surefooted as sf
        >>> for name, level in (("black", 0), ("white", 200)):
        ...     Path("pictures/train", name).mkdir(parents=True)
        ...     for k in range(10):
        ...         Image.fromarray(np.full((8, 8), level + k, np.uint8)).save(f"pictures/train/{name}/{k}.png")
        >>> splits = sf.data.folder("pictures")
        >>> splits.train.classes, splits.train.shape
        (('black', 'white'), (1, 8, 8))
    """
    root = directory(locate(path))
    parts = group_parts((entry.name for entry in root.iterdir() if entry.is_dir()), repr(str(root)))
    if not parts:
        found = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not is_ignored(entry.name))
        raise DataError(
            f"There is no folder {str(root / 'train')!r} and no {str(root / 'test')!r}; expected train/<class>/*.png. "
            f"The folders in {str(root)!r} are {', '.join(map(repr, found[:5])) or 'none'}."
        )
    unread = sorted(e.name for e in root.iterdir() if not is_ignored(e.name) and e.name not in parts.values())
    report_unread(unread, repr(str(root)), f"Read are {', '.join(parts.values())}.")
    first = root / parts.get("train", parts.get("test", parts.get("validation", "")))
    given, found_classes = read_classes(classes), class_folders(first, root)
    names = given or named_classes(found_classes, alone="train" not in parts, where=repr(str(root)))
    _check_names(names, first, are_given=bool(given))
    tables = {part: _read_table(root / name, root, names, part, Framing(resize, crop)) for part, name in parts.items()}
    name = root.resolve().name
    options = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    source = report_overlap(make_source(tables, names, name=name), name)
    return split_source(source, options, name=name, title=name)


def class_folders(part: Path, root: Path) -> set[str]:
    """Names of the folders of classes in a part of a data set."""
    return {entry.name for entry in path_within(part, root).iterdir() if entry.is_dir() and not is_ignored(entry.name)}


def image_files(folder: Path, root: Path) -> list[Path]:
    """Image files in a folder and in the folders below it, in the order of their paths.

    Raises:
        DataError: a file or a folder is a link out of the root.
    """
    return [file for file in sorted(_walk(folder, root)) if _is_image(file)]


def class_files(part: Path, classes: Sequence[str], root: Path) -> list[list[Path]]:
    """Image files of each class, in the order of their paths; none of a class that has no folder.

    One warning tells of files that are not read, another of images in folders below those of the classes.

    Raises:
        DataError: a file or a folder is a link out of the root, or a file is an image of another format.
    """
    folders = [part / name for name in classes]
    found = [sorted(_walk(folder, root)) if folder.is_dir() else [] for folder in folders]
    loose = sorted(entry for entry in part.iterdir() if not entry.is_dir() and not is_ignored(entry.name))
    unread = [*loose, *(file for file in chain(*found) if not _is_image(file))]
    for file in unread:
        if file.suffix.lower() in _OTHER_SUFFIXES:
            raise DataError(f"{str(file)!r} is an image of another format than PNG, JPEG, WebP or BMP. Convert it.")
    report_unread(
        [str(file.relative_to(part)) for file in unread], repr(str(part)), "Read are images in the folders of classes."
    )
    files = [list(filter(_is_image, of_class)) for of_class in found]
    below = [file for folder, of_class in zip(folders, files) for file in of_class if file.parent != folder]
    if below:
        warnings.warn(
            f"There are {len(below)} images in folders below those of the classes in {str(part)!r} (the first is "
            f"{str(below[0].relative_to(part))!r}): their class is the first folder of that path.",
            DataNotice,
            stacklevel=2,
        )
    return files


def read_file(file: Path) -> bytes:
    """Content of a file."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{str(file)!r} cannot be read: {error.strerror}.") from None


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _walk(folder: Path, root: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Files of a folder and of all folders below it."""
    above = (*above, folder.resolve())
    for entry in path_within(folder, root).iterdir():
        if is_ignored(entry.name):
            continue
        if not path_within(entry, root).is_dir():
            yield entry
        elif any(place.is_relative_to(entry.resolve()) for place in above):
            raise DataError(f"{str(entry)!r} is a link to a folder that contains it. Remove it.")
        else:
            yield from _walk(entry, root, above)


def _check_names(classes: tuple[str, ...], train: Path, *, are_given: bool) -> None:
    """Refuse names that cannot be written down; tell of numbers that are not in the order of numbers."""
    if not classes:
        raise DataError(f"{str(train)!r} has no images; expected {train.name}/<class>/*.png.")
    for name in classes:
        if not name.isprintable():
            raise DataError(
                f"The name of the class folder {name!r} in {str(train)!r} is not UTF-8, or has characters that cannot "
                "be printed. Rename it."
            )
    if not are_given and all(name.isdecimal() for name in classes) and list(classes) != sorted(classes, key=int):
        wrong = next(k for k, name in enumerate(sorted(classes, key=int)) if classes[k] != name)
        warnings.warn(
            f"The class folders in {str(train)!r} are numbers, in alphabetical order: {classes[wrong]!r} is class "
            f"{wrong}. If a model has them in the order of numbers, rename the folders to 00, 01, 02, ...",
            DataNotice,
            stacklevel=2,
        )


def _read_table(folder: Path, root: Path, classes: tuple[str, ...], part: str, framing: Framing) -> ImageTable:
    unknown = sorted(class_folders(folder, root) - set(classes))
    if unknown:
        raise DataError(
            f"{str(folder / unknown[0])!r} is not one of the {len(classes)} classes: {', '.join(classes[:10])}"
            f"{', ...' * (len(classes) > 10)}. Rename or remove it."
        )
    found = class_files(folder, classes, root)
    for name, of_class in zip(classes, found):
        if not of_class and part == "train" and (folder / name).is_dir():
            raise DataError(f"{str(folder / name)!r} has no images ({', '.join(IMAGE_SUFFIXES)}). Fill or remove it.")
    files = list(chain(*found))
    labels = [label for label, of_class in enumerate(found) for _ in of_class]
    if not files:
        raise DataError(f"{str(folder)!r} has no images; expected {folder.name}/<class>/*.png.")

    def images() -> Iterator[Encoded]:
        return ((str(file), read_file(file)) for file in files)

    key = cache_key(data for _, data in images())
    return ImageTable(decode_cached(images, len(files), key, str(folder), framing), np.array(labels, np.int64))
