"""The store: artefacts under the hash of all that made them. What exists is never computed again.

``<root>/artefacts/<kind>/<key>/`` appears whole, by a rename, with a list of its files by which damage is known later;
``<root>/work/<key>/`` holds what an unfinished computation needs to go on, under a lock that the system releases when
its holder dies.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from surefooted.core.files import as_input_error, read_json, read_tensors, sha256_of, with_hint, write_json
from surefooted.errors import InputError

FORMAT = 1
LIST = "files.json"
UNLISTED = ("provenance.json", LIST)  # times and machines are no part of what an artefact is
_CHECKED: set[Path] = set()  # artefacts whose bytes this process has read, and found to be those that were written


class Store:
    """A directory of artefacts.

    Args:
        root: created when missing. By default ``SUREFOOTED_STORE``, or ``.surefooted`` in the working directory.

    Raises:
        InputError: where it was written by a newer version, or cannot be written to.
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
            raise InputError(f"{error} A store is a directory that can be written to (--store).") from None
        with with_hint("Delete it, or restore it from a copy."):
            found = read_json(stamp)
        version = found.get("format") if isinstance(found, dict) else None
        if not isinstance(version, int) or version > FORMAT:
            raise InputError(
                f"the store {self.root} has format {version!r}, this version reads up to {FORMAT}; "
                "upgrade surefooted or choose another store (--store)."
            )

    def path(self, kind: str, key: str) -> Path:
        return self.root / "artefacts" / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Whether the artefact is there, every file of its size; one that has no list of files needs its spec alone."""
        try:
            _check_sizes(self.path(kind, key))
        except InputError:
            return False
        return True

    @contextmanager
    def reading(self, kind: str, key: str) -> Iterator[Path]:
        """The artefact's directory, to read from; its bytes are checked once in a process.

        Raises:
            InputError: where it is not there or damaged; what the block finds unreadable is said with the same cure.
        """
        place = self.path(kind, key)
        if not place.exists():
            raise InputError(f"{place} is not there; run what makes it.")
        try:
            with with_hint(f"Delete {place} and run again what made it; it is made anew."):
                if place not in _CHECKED:
                    _check_bytes(place)
                    _CHECKED.add(place)
                yield place
        except OSError as error:
            raise InputError(f"{place} cannot be read: {error.strerror or error}.") from None

    def tensors(self, kind: str, key: str, name: str) -> dict[str, Tensor]:
        """Tensors of one file of an artifact."""
        with self.reading(kind, key) as place:
            return read_tensors(place / name)[0]

    def find(self, kind: str, prefix: str) -> Path:
        """The artefact whose key begins so."""
        if not prefix.isalnum():  # a key is hexadecimal: nothing with a dot or a slash may reach the file system
            raise InputError(f"{prefix!r} is no key of an artefact; expected hexadecimal digits.")
        found = sorted(self.path(kind, "").glob(f"{prefix}*"))
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(path.name[: len(prefix) + 8] for path in found[:4])
            raise InputError(
                f"{len(found)} keys of {self.root} begin with {prefix!r} ({some}); give more of its digits."
            )
        kept = self._latest(kind)
        some = f"; the latest: {', '.join(path.name[:12] for path in kept[:4])}" if kept else ""
        raise InputError(
            f"no {kind} artefact in {self.root} has a key that begins with {prefix!r}; it has {len(kept)}{some}."
        )

    def all(self, kind: str) -> Iterator[tuple[str, float, Any]]:
        """Key, time of making and spec of every artefact that is whole, the latest first."""
        for place in self._latest(kind):
            if self.has(kind, place.name):
                with with_hint(f"Delete {place} and run again what made it; it is made anew."):
                    yield place.name, place.stat().st_mtime, read_json(place / "spec.json")

    def _latest(self, kind: str) -> list[Path]:
        return sorted(self.path(kind, "").glob("*"), key=lambda path: path.stat().st_mtime, reverse=True)

    @contextmanager
    def making(self, kind: str, key: str, about: Any) -> Iterator[tuple[Path, Path] | None]:
        """A place for the artefact's files and one for work that survives a kill; None if another process made it.

        The artefact appears when the block ends without error, in the place of one that is not whole; the work is then
        removed. After an error it stays, if there is any.
        """
        final, work = self.path(kind, key), self.root / "work" / key
        fresh, replaced = work / "artefact", work / "replaced"
        with as_input_error(self.root):
            lock = _locked(work / "lock")
        with lock:
            if self.has(kind, key):
                shutil.rmtree(work, ignore_errors=True)
                yield None
                return
            with as_input_error(self.root):
                shutil.rmtree(fresh, ignore_errors=True)
                shutil.rmtree(replaced, ignore_errors=True)
                for left in work.glob(".*"):  # half-written files of a killed run
                    left.unlink(missing_ok=True)
                fresh.mkdir()
            if final.exists():
                print(f"{final} is not whole; it is made anew.", file=sys.stderr)
            try:
                yield fresh, work
                write_json(fresh / "spec.json", about)
                with as_input_error(self.root):
                    write_json(fresh / LIST, _listed(fresh))
                    final.parent.mkdir(parents=True, exist_ok=True)
                    if final.exists():
                        os.replace(final, replaced)
                    _CHECKED.discard(final)
                    os.replace(fresh, final)
                    _sync(final.parent)
            except BaseException:
                _leave_no_empty(work)
                raise
            shutil.rmtree(work, ignore_errors=True)


def default_root() -> Path:
    return Path(os.environ.get("SUREFOOTED_STORE") or ".surefooted").resolve()


def _listed(place: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of the files that make an artefact."""
    names = sorted(file.name for file in place.iterdir() if file.name not in UNLISTED)
    return {name: {"size": (place / name).stat().st_size, "sha256": sha256_of(place / name)} for name in names}


def _check_sizes(place: Path) -> dict[str, dict[str, Any]]:
    """The list of an artefact's files, each of which is there with its size; empty in a store older than such lists."""
    listed = read_json(place / LIST) if (place / LIST).exists() else {}
    if not isinstance(listed, dict) or not all(map(_is_entry, listed, listed.values())):
        raise InputError(f"{place / LIST} is no list of the files beside it.")
    for name in {"spec.json": None, **listed}:
        file = place / name
        if not file.is_file():
            raise InputError(f"{file} is not there.")
        if name in listed and (size := file.stat().st_size) != listed[name]["size"]:
            raise InputError(f"{file} is damaged: it has {size} bytes, and {listed[name]['size']} were written.")
    return listed


def _check_bytes(place: Path) -> None:
    for name, entry in _check_sizes(place).items():
        if sha256_of(place / name) != entry["sha256"]:
            raise InputError(f"{place / name} is damaged: its bytes are not those that were written.")


def _is_entry(name: str, entry: Any) -> bool:
    """A name that leads nowhere else, and what is said of its file."""
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and isinstance(entry, dict)
        and entry.keys() == {"size", "sha256"}
    )


def _leave_no_empty(work: Path) -> None:
    """Remove what holds nothing to go on with. The lock goes after what it guards: another may take it up at once."""
    with suppress(OSError):
        if {entry.name for entry in work.iterdir()} <= {"lock", "artefact"}:
            shutil.rmtree(work / "artefact", ignore_errors=True)
            (work / "lock").unlink()
            work.rmdir()


def _locked(path: Path) -> IO[str]:
    """Wait for the lock and hold it until the file is closed; the system lets go of it however its holder ends."""
    import fcntl

    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "w")  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:  # another process has just finished, and removed the directory
            continue
        except FileExistsError:  # it was removed while mkdir looked at it; or there is a file in its place
            if path.parent.is_file():
                raise
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is at work on {path.parent.name[:12]}; waiting for it.", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()  # its holder has removed it: who comes now locks another


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
