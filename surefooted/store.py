"""The store: artefacts under the hash of all that made them. What exists is never computed again.

``<root>/artefacts/<kind>/<key>/`` appears whole, by a rename; ``<root>/work/<key>/`` holds what an unfinished
computation needs to go on, under a lock that the system releases when its holder dies.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from surefooted.errors import InputError
from surefooted.files import explained, read_json, write_json

FORMAT = 1


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
            with explained(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
                if not stamp.exists():
                    write_json(stamp, {"format": FORMAT})
        except InputError as error:
            raise InputError(f"{error} A store is a directory that can be written to (--store).") from None
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
        return (self.path(kind, key) / "spec.json").exists()

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
        kept = sorted(self.path(kind, "").glob("*"), key=lambda path: path.stat().st_mtime)
        some = f"; the latest: {', '.join(path.name[:12] for path in kept[:-5:-1])}" if kept else ""
        raise InputError(
            f"no {kind} artefact in {self.root} has a key that begins with {prefix!r}; it has {len(kept)}{some}."
        )

    @contextmanager
    def making(self, kind: str, key: str, about: Any) -> Iterator[tuple[Path, Path] | None]:
        """A place for the artefact's files and one for work that survives a kill; None if another process made it.

        The artefact appears when the block ends without error; the work is then removed.
        """
        work = self.root / "work" / key
        fresh = work / "artefact"
        with explained(self.root):
            lock = _locked(work / "lock")
        with lock:
            if self.has(kind, key):
                shutil.rmtree(work, ignore_errors=True)
                yield None
                return
            with explained(self.root):
                shutil.rmtree(fresh, ignore_errors=True)
                for left in work.glob(".*"):  # half-written files of a killed run
                    left.unlink(missing_ok=True)
                fresh.mkdir()
            yield fresh, work
            write_json(fresh / "spec.json", about)
            with explained(self.root):
                final = self.path(kind, key)
                final.parent.mkdir(parents=True, exist_ok=True)
                os.replace(fresh, final)
                _sync(final.parent)
            shutil.rmtree(work, ignore_errors=True)


def default_root() -> Path:
    return Path(os.environ.get("SUREFOOTED_STORE") or ".surefooted").resolve()


def _locked(path: Path) -> IO[str]:
    """Wait for the lock and hold it until the file is closed; the system lets go of it however its holder ends."""
    import fcntl

    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(path, "w")  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:  # another process has just finished, and removed the directory
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is at work on {path.parent.name[:12]}; waiting for it.", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        return file


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
