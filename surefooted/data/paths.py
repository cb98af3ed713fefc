"""Paths of data: the data root, the cache, and the refusal of links that lead out of a given folder."""

from __future__ import annotations

import os
from pathlib import Path

from surefooted.errors import DataError

_root: Path | None = None


def set_data_root(path: str | Path | None) -> None:
    """Set the directory of named data sets. It takes precedence over the environment variable SUREFOOTED_DATA.

    Args:
        path: the directory; None to unset it.

    Raises:
        DataError: there is no such directory.

    Example:
        >>> from surefooted.data.paths import data_root, set_data_root
        >>> set_data_root(".")
        >>> data_root()
        PosixPath('.')
        >>> set_data_root(None)
    """
    global _root
    _root = None if path is None else directory(Path(path).expanduser())


def data_root() -> Path | None:
    """The directory of named data sets, from ``set_data_root`` or SUREFOOTED_DATA; None if neither is set."""
    if _root is not None:
        return _root
    given = os.environ.get("SUREFOOTED_DATA")
    return Path(given).expanduser() if given else None


def cache_root() -> Path:
    """The directory of decoded images: SUREFOOTED_CACHE, or ~/.cache/surefooted."""
    try:
        return Path(os.environ.get("SUREFOOTED_CACHE") or "~/.cache/surefooted").expanduser()
    except RuntimeError:
        raise DataError("Decoded images cannot be cached: there is no home directory. Set SUREFOOTED_CACHE.") from None


def locate(path: str | Path) -> Path:
    """An existing path: as given or, if it is relative and does not exist, under the data root.

    Raises:
        DataError: the path does not exist in either place.
    """
    path = Path(path).expanduser()
    root = data_root()
    places = [path] if root is None or path.is_absolute() else [path, root / path]
    for place in places:
        if place.exists():
            return place
    tried = " and ".join(str(place.absolute()) for place in places)
    raise DataError(f"There is no {str(path)!r}; tried {tried}. Check the path.")


def directory(path: Path) -> Path:
    """The path, if it is a directory.

    Raises:
        DataError: it does not exist or is a file.
    """
    if not path.exists():
        raise DataError(f"There is no {str(path)!r}. Check the path.")
    if not path.is_dir():
        raise DataError(f"{str(path)!r} is a file; expected a directory.")
    return path


def path_within(path: Path, root: Path) -> Path:
    """The path, if no link leads it out of the root. Files from elsewhere must not enter a data set.

    Raises:
        DataError: a link leads it out of the root.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{str(path)!r} is a link out of {str(root)!r}. Replace it by a copy of the file.")
    return path
