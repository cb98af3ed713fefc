"""The store: artifacts under the hash of their arguments, data, requirements and versions, each computed once.

Code is not hashed: a component or task whose numbers change raises its version. The kinds of tasks on disk are
``train``, ``attacked``, ``transferred``, ``predicted``, ``corrupted``, ``shifted`` (predictions on corrupted images),
``probed`` (sanity checks), ``analysed``, ``surface`` and ``unsure`` (uncertainties); see ``pipeline.tasks``.

``<root>/artefacts/<kind>/<key>/`` appears whole, by a rename, with a list of its files from which later damage is
detected. ``<root>/work/<key>/`` holds what an interrupted computation needs to resume, under a lock that the system
releases when its holder dies. (The folder keeps the spelling with an e, so that older stores are found.)
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from surefooted.core.files import as_input_error, read_json, read_tensors, sha256_of, with_hint, write_json
from surefooted.errors import InputError, StoreError

FORMAT = 1
FILE_LIST = "files.json"
UNLISTED = ("provenance.json", FILE_LIST)  # times and machines are not part of an artifact's content
_VERIFIED: set[Path] = set()  # artifacts whose bytes this process has read and found intact


class Store:
    """A directory of artifacts.

    Args:
        root: created if missing. Default: ``SUREFOOTED_STORE``, else ``.surefooted`` in the working directory.

    Raises:
        StoreError: if a newer version wrote the store, or if it cannot be written to.

    Example:
        >>> import surefooted as sf
        >>> store = sf.Store("my_store")
        >>> store.has("train", "0" * 64)
        False
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(root).resolve() if root else default_root()
        stamp = self.root / "store.json"
        try:
            with as_input_error(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
                if not stamp.exists():
                    write_json(stamp, {"format": FORMAT})
        except InputError as error:
            raise StoreError(f"{error} A store must be a writable directory; choose one with `store`.") from None
        with with_hint("Delete it, or restore it from a copy."):
            content = read_json(stamp)
        version = content.get("format") if isinstance(content, dict) else None
        if not isinstance(version, int) or version > FORMAT:
            raise StoreError(
                f"The store {self.root} has format {version!r}; this version reads formats up to {FORMAT}. "
                "Upgrade surefooted or choose another `store`."
            )

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def path(self, kind: str, key: str) -> Path:
        """The directory of an artifact, whether it exists or not."""
        return self.root / "artefacts" / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Whether the artifact exists and every listed file has its size. Without a list, ``spec.json`` suffices."""
        try:
            _check_sizes(self.path(kind, key))
        except InputError:
            return False
        return True

    @contextmanager
    def reading(self, kind: str, key: str) -> Iterator[Path]:
        """The artifact's directory, for reading. Its bytes are verified once per process.

        Raises:
            StoreError: if it is missing or damaged. An InputError raised in the block gets the same hint.
        """
        place = self.path(kind, key)
        if not place.exists():
            raise StoreError(f"{place} does not exist. Run the command that makes it.")
        try:
            with with_hint(f"Delete {place} and run the command again; the artifact is made anew."):
                if place not in _VERIFIED:
                    _check_bytes(place)
                    _VERIFIED.add(place)
                yield place
        except OSError as error:
            raise StoreError(f"{place} cannot be read: {error.strerror or error}.") from None

    def tensors(self, kind: str, key: str, name: str) -> dict[str, Tensor]:
        """Tensors of one file of an artifact."""
        with self.reading(kind, key) as place:
            return read_tensors(place / name)[0]

    def find(self, kind: str, prefix: str) -> Path:
        """The directory of the only artifact of a kind whose key begins with ``prefix``.

        Raises:
            StoreError: if no key or several keys begin with it.
        """
        if not prefix.isalnum():  # a key is hexadecimal: nothing with a dot or a slash may reach the file system
            raise StoreError(f"{prefix!r} is not a valid artifact key (expected hexadecimal digits).")
        matches = sorted(self.path(kind, "").glob(f"{prefix}*"))
        if len(matches) == 1:
            return matches[0]
        if matches:
            some = ", ".join(path.name[: len(prefix) + 8] for path in matches[:4])
            raise StoreError(
                f"{len(matches)} keys in {self.root} begin with {prefix!r} ({some}). Give more of the digits."
            )
        latest = self._latest(kind)
        some = f"; the latest: {', '.join(path.name[:12] for path in latest[:4])}" if latest else ""
        raise StoreError(
            f"No key of a {kind} artifact in {self.root} begins with {prefix!r}. The store has {len(latest)}{some}."
        )

    def all(self, kind: str) -> Iterator[tuple[str, float, Any]]:
        """Key, modification time and spec of every intact artifact of a kind, the latest first."""
        for place in self._latest(kind):
            if self.has(kind, place.name):
                with with_hint(f"Delete {place} and run the command again; the artifact is made anew."):
                    yield place.name, place.stat().st_mtime, read_json(place / "spec.json")

    def _latest(self, kind: str) -> list[Path]:
        return sorted(self.path(kind, "").glob("*"), key=lambda path: path.stat().st_mtime, reverse=True)

    @contextmanager
    def making(self, kind: str, key: str, spec: Any) -> Iterator[tuple[Path, Path] | None]:
        """A directory for the artifact's files and one for work that survives a kill; None if it exists by now.

        The artifact appears when the block ends without an error, in place of a damaged one if there is any; the work
        directory is then removed. After an error it stays, unless it is empty.
        """
        final, work = self.path(kind, key), self.root / "work" / key
        fresh, replaced = work / "artefact", work / "replaced"
        with as_input_error(self.root):
            lock = _acquire(work / "lock")
        try:
            if self.has(kind, key):
                shutil.rmtree(work, ignore_errors=True)
                yield None
                return
            with as_input_error(self.root):
                shutil.rmtree(fresh, ignore_errors=True)
                shutil.rmtree(replaced, ignore_errors=True)
                for partial in work.glob(".*"):  # half-written files of a killed run
                    partial.unlink(missing_ok=True)
                fresh.mkdir()
            if final.exists():
                print(f"{final} is damaged; it is made anew.", file=sys.stderr)
            try:
                yield fresh, work
                write_json(fresh / "spec.json", spec)
                with as_input_error(self.root):
                    write_json(fresh / FILE_LIST, _list_files(fresh))
                    final.parent.mkdir(parents=True, exist_ok=True)
                    if final.exists():
                        os.replace(final, replaced)
                    _VERIFIED.discard(final)
                    os.replace(fresh, final)
                    _sync(final.parent)
            except BaseException:
                _remove_if_empty(work)
                raise
            shutil.rmtree(work, ignore_errors=True)
        finally:
            lock.release()


def default_root() -> Path:
    """``SUREFOOTED_STORE``, else ``.surefooted`` in the working directory."""
    return Path(os.environ.get("SUREFOOTED_STORE") or ".surefooted").resolve()


def _list_files(place: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of the files that make an artifact."""
    names = sorted(file.name for file in place.iterdir() if file.name not in UNLISTED)
    return {name: {"size": (place / name).stat().st_size, "sha256": sha256_of(place / name)} for name in names}


def _check_sizes(place: Path) -> dict[str, dict[str, Any]]:
    """The list of an artifact's files, after checking that each exists with its size; empty in stores without lists."""
    listed = read_json(place / FILE_LIST) if (place / FILE_LIST).exists() else {}
    if not isinstance(listed, dict) or not all(map(_is_entry, listed, listed.values())):
        raise StoreError(f"{place / FILE_LIST} is not a list of the files beside it.")
    for name in {"spec.json": None, **listed}:
        file = place / name
        if not file.is_file():
            raise StoreError(f"{file} does not exist.")
        if name in listed and (size := file.stat().st_size) != listed[name]["size"]:
            raise StoreError(f"{file} is damaged: it has {size} bytes, but {listed[name]['size']} were written.")
    return listed


def _check_bytes(place: Path) -> None:
    for name, entry in _check_sizes(place).items():
        if sha256_of(place / name) != entry["sha256"]:
            raise StoreError(f"{place / name} is damaged: its bytes are not those that were written.")


def _is_entry(name: str, entry: Any) -> bool:
    """Whether a list's entry is well formed and its name stays inside the artifact's directory."""
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and isinstance(entry, dict)
        and entry.keys() == {"size", "sha256"}
    )


def _remove_if_empty(work: Path) -> None:
    """Remove a work directory that holds nothing to resume from. The lock goes last: another may acquire it at once."""
    with suppress(OSError):
        if {entry.name for entry in work.iterdir()} <= {"lock", "artefact"}:
            shutil.rmtree(work / "artefact", ignore_errors=True)
            (work / "lock").unlink()
            work.rmdir()


def _acquire(path: Path) -> FileLock:
    """Wait for the lock of a work directory. The system releases it however its holder ends."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                print(f"Another process is at work on {path.parent.name[:12]}; waiting for it.", file=sys.stderr)
                lock.acquire()
        except RuntimeError:  # filelock's word for a lock that this thread holds already
            raise StoreError(f"The artifact {path.parent.name[:12]} is being made by this very thread.") from None
        except FileNotFoundError:  # the holder has just finished and removed the directory
            continue
        except FileExistsError:  # the directory was removed while mkdir looked at it, or a file is in its place
            if path.parent.is_file():
                raise
            continue
        if path.exists():
            return lock
        lock.release()  # the holder removed the file that this lock is on: the next process would lock another


def _sync(directory: Path) -> None:
    """Make a rename in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
