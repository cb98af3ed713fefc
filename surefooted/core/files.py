"""Files that are whole or not there: written to a temporary name, synced, renamed. Nothing is ever unpickled."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import reprlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from surefooted.errors import InputError

_HINTS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, it goes on where it was",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "that is not allowed; choose another place, or change its permissions",
    errno.EPERM: "that is not allowed; choose another place, or change its permissions",
    errno.EISDIR: "it is a directory; give the name of a file",
    errno.ENOTDIR: "a part of its path is a file; choose another place",
    errno.EEXIST: "a file is in its place; choose another place",
}


def write_file(path: Path, data: bytes | str) -> None:
    """Write so that a kill at any moment leaves the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with as_input_error(path):
        try:
            with open(temporary, "wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    write_file(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}).") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Tensors as safetensors, with plain data about them in the header."""
    from safetensors.torch import save

    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_file(path, save(held, {"about": json.dumps(about)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and what was written about them.

    Raises:
        InputError: where the file is missing, truncated, a pickle (refused, never loaded) or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path} is not there; expected a .safetensors file.")
    try:
        with open(path, "rb") as file:
            head = file.read(8)
        if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or zipfile.is_zipfile(path):
            raise InputError(
                f"{path} is a pickle (torch.save), which can run any code when it is read; it was not loaded. "
                "Convert it where you trust it: safetensors.torch.save_file(state_dict, 'weights.safetensors')."
            )
        with safe_open(path, "pt") as tensors:
            about = json.loads((tensors.metadata() or {}).get("about", "{}"))
            if not isinstance(about, dict):
                raise InputError(f"{path} says of itself {reprlib.repr(about)}; expected a file that surefooted wrote.")
            return {name: tensors.get_tensor(name) for name in tensors.keys()}, about  # noqa: SIM118 - not a dict
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    except InputError:
        raise
    except (SafetensorError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not a whole safetensors file ({error}): it is truncated, damaged or of another kind."
        ) from None


@contextmanager
def with_hint(cure: str) -> Iterator[None]:
    """Append a hint to an error raised in the block: only the caller knows how the file at fault can be made anew."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{error} {cure}") from None


@contextmanager
def as_input_error(path: Path) -> Iterator[None]:
    """Turn what a disk refuses into an error with its cure."""
    try:
        yield
    except OSError as error:
        cure = _HINTS.get(error.errno or 0, f"{error.strerror or error}; choose another place")
        raise InputError(f"cannot write {path}: {cure}.") from None


def sha256_of(file: Path) -> str:
    """Of a file's bytes."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
