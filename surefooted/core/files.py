"""Atomic files: written to a temporary name, synced, then renamed. Nothing is ever unpickled."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import reprlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from surefooted.errors import InputError, StoreError


def write_file(path: Path, data: bytes | str) -> None:
    """Write a file atomically: a kill at any moment leaves the old file or the new one, never a part.

    Raises:
        StoreError: if the disk refuses; the message says why and what to do.

    Example:
        >>> write_file(Path("note.txt"), "text")
        >>> Path("note.txt").read_text()
        'text'
    """
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
    """Write plain data as JSON, atomically.

    Example:
        >>> write_json(Path("values.json"), {"eps": 0.1})
        >>> read_json(Path("values.json"))
        {'eps': 0.1}
    """
    write_file(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        StoreError: if the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read as JSON ({error}).") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors as safetensors, with plain data about them in the header, atomically.

    Example:
        >>> import torch
        >>> write_tensors(Path("t.safetensors"), {"x": torch.zeros(2, 3)}, {"seed": 0})
        >>> tensors, about = read_tensors(Path("t.safetensors"))
        >>> tensors["x"].shape, about
        (torch.Size([2, 3]), {'seed': 0})
    """
    from safetensors.torch import save

    contiguous, seen = dict[str, Tensor](), set[int]()
    for name, tensor in tensors.items():
        held = tensor.detach().cpu().contiguous()
        storage = held.untyped_storage().data_ptr()  # tied weights: the format has no two names for one memory
        contiguous[name] = held.clone() if storage in seen else held
        seen.add(storage)
    write_file(path, save(contiguous, {"about": json.dumps(about)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a safetensors file and the data about them.

    Raises:
        StoreError: if the file is missing, truncated, a pickle (refused, never loaded) or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise StoreError(f"{path} does not exist; expected a .safetensors file.")
    try:
        with open(path, "rb") as file:
            head = file.read(9)
        # The first 8 bytes of safetensors are the length of the header, which may begin like a pickle (640, 896, ...).
        has_header = head[8:] == b"{"
        protocol = head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        if (protocol and not has_header) or zipfile.is_zipfile(path):
            raise StoreError(
                f"{path} is a pickle (torch.save). Reading a pickle can run any code, so it was not loaded. Convert it "
                "on a machine where you trust it: safetensors.torch.save_file(state_dict, 'weights.safetensors')."
            )
        with safe_open(path, "pt") as tensors:
            about = json.loads((tensors.metadata() or {}).get("about", "{}"))
            if not isinstance(about, dict):
                raise StoreError(
                    f"{path} holds {reprlib.repr(about)} as its metadata; expected a file that surefooted wrote."
                )
            return {name: tensors.get_tensor(name) for name in tensors.keys()}, about  # noqa: SIM118 - not a dict
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from None
    except StoreError:
        raise
    except (SafetensorError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{path} is not a whole safetensors file ({error}). It is truncated, damaged or of another format."
        ) from None


def tensors_digest(tensors: Mapping[str, Tensor], about: Sequence[str] = ()) -> str:
    """A hash of tensors with their names, and of some text about them, as 16 hexadecimal digits.

    Example:
        >>> import torch
        >>> tensors_digest({"x": torch.zeros(2)}) != tensors_digest({"x": torch.ones(2)})
        True
    """
    import torch

    sha = hashlib.sha256(json.dumps(list(about)).encode())
    for name, tensor in tensors.items():
        content = tensor.detach().cpu().contiguous()
        sha.update(repr((name, content.dtype, tuple(content.shape))).encode())
        sha.update(content.flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]


@contextmanager
def with_hint(hint: str) -> Iterator[None]:
    """Append a hint to an ``InputError`` raised in the block: only the caller knows how to make the file again.

    Example:
        >>> with with_hint("Train the network again."):
        ...     read_json(Path("absent.json"))
        Traceback (most recent call last):
        surefooted.errors.StoreError: absent.json cannot be read as JSON (...). Train the network again.
    """
    try:
        yield
    except InputError as error:
        raise type(error)(f"{error} {hint}") from None


@contextmanager
def as_input_error(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of writing a file into a ``StoreError`` that says what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, f"{error.strerror or error}; choose another place")
        raise StoreError(f"Cannot write {path}: {hint}.") from None


_HINTS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, it resumes",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "permission denied; choose another place, or change its permissions",
    errno.EPERM: "permission denied; choose another place, or change its permissions",
    errno.EISDIR: "it is a directory; give the name of a file",
    errno.ENOTDIR: "a part of its path is a file; choose another place",
    errno.EEXIST: "a file already exists at that path; choose another place",
}


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
