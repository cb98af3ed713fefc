"""Where data lie: the data root, the cache, and nothing outside the folder that was given."""

from __future__ import annotations

import os
from pathlib import Path

from surefooted.errors import InputError

_root: Path | None = None


def set_data_root(path: str | Path | None) -> None:
    """Where data sets given by name lie; goes before the environment's SUREFOOTED_DATA. ``None`` undoes it."""
    global _root
    _root = None if path is None else directory(Path(path).expanduser())


def data_root() -> Path | None:
    if _root is not None:
        return _root
    given = os.environ.get("SUREFOOTED_DATA")
    return Path(given).expanduser() if given else None


def cache_root() -> Path:
    """Where decoded images are kept: SUREFOOTED_CACHE, or ~/.cache/surefooted."""
    try:
        return Path(os.environ.get("SUREFOOTED_CACHE") or "~/.cache/surefooted").expanduser()
    except RuntimeError:
        raise InputError("There is no home directory to cache decoded images in. Set SUREFOOTED_CACHE.") from None


def locate(path: str | Path) -> Path:
    """The path as given or, where it is relative and not there, under the data root."""
    path = Path(path).expanduser()
    root = data_root()
    places = [path] if root is None or path.is_absolute() else [path, root / path]
    for place in places:
        if place.exists():
            return place
    looked = " and ".join(str(place.absolute()) for place in places)
    raise InputError(f"There is no {str(path)!r}; looked at {looked}. Check the path.")


def directory(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"There is no {str(path)!r}. Check the path.")
    if not path.is_dir():
        raise InputError(f"{str(path)!r} is a file; a directory is expected.")
    return path


def path_within(path: Path, root: Path) -> Path:
    """The path, unless a link leads it out of the root: files from elsewhere must not come in by a data set."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{str(path)!r} is a link out of {str(root)!r}. Put a copy of the file in its place.")
    return path
