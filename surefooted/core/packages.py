"""Optional packages: imported where they are needed, and a broken one told apart from a missing one."""

from __future__ import annotations

import importlib
from types import ModuleType

from surefooted.errors import DependencyError


def import_package(name: str, needed_by: str, install: str, *, cure: str = "") -> ModuleType:
    """Import an optional package.

    Args:
        name: of the package, as in an import statement.
        needed_by: what needs it, for the message.
        install: what pip installs.
        cure: for a broken package; by default to install it again.

    Raises:
        DependencyError: if the package is missing, or installed but broken.

    Example:
        >>> import_package("json", "JSON", "json").__name__
        'json'
        >>> import_package("no_such_package", "Nothing", "nothing")
        Traceback (most recent call last):
        surefooted.errors.DependencyError: Nothing needs the package no_such_package. Install it: pip install nothing.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken package may raise anything: a missing operator, symbol, attribute or file
        if isinstance(error, ModuleNotFoundError) and error.name in (None, name, name.partition(".")[0]):
            raise DependencyError(f"{needed_by} needs the package {name}. Install it: pip install {install}.") from None
        raise broken_package(name, needed_by, error, cure) from None


def broken_package(name: str, needed_by: str, error: Exception, cure: str = "") -> DependencyError:
    """The error for a package that is installed but cannot be used."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
    cure = cure or f"Install it again: pip install --force-reinstall {name}."
    return DependencyError(f"{needed_by} needs the package {name}, which is installed but broken ({reason}). {cure}")
