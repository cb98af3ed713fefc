"""Names: from what a user writes to a component, and from a component to what it is called.

The namespace is the registry. A name resolves in its package, its signature is the schema, its docstring the help,
and the package's ``__all__`` the list.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import reprlib
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from surefooted.errors import InputError, did_you_mean

PACKAGES = {
    "methods": "surefooted.methods",
    "attacks": "surefooted.attacks",
    "networks": "surefooted.nets",
    "data": "surefooted.data",
    "metrics": "surefooted.metrics",
    "scores": "surefooted.scores",
    "targets": "surefooted.methods.targets",
    "views": "surefooted.methods.views",
    "augmentations": "surefooted.data.augment",
    "recorders": "surefooted.recorders",
    "corruptions": "surefooted.corruptions",
    "recipes": "surefooted.recipes",
    "studies": "surefooted.studies",
}


def names(package: str) -> list[str]:
    """The components of a package."""
    return sorted(importlib.import_module(package).__all__)


def resolve(package: str, name: str) -> Callable[..., Any]:
    """The component of that name; the error suggests the nearest."""
    if name not in (known := names(package)):
        kind = next((kind for kind, where in PACKAGES.items() if where == package), package)
        raise InputError(f"there is no {name!r} among the {kind}.{did_you_mean(name, known)}")
    return getattr(importlib.import_module(package), name)


def build(package: str, given: Any, *positional: Any) -> Any:
    """Make a component from its name, or from ``{name: arguments}``. Faults of all arguments come in one error."""
    name, arguments = split(given)
    name = name.partition("@")[0]  # the version that numbers were made with; the code at hand is the current one
    component = resolve(package, name)
    hints = get_type_hints(component)
    return component(*positional, **{key: _read(value, hints.get(key)) for key, value in arguments.items()})


def complete(package: str, given: Any) -> dict[str, Any]:
    """The complete spec of what was named, or of a component, as plain data."""
    component = build(package, given) if isinstance(given, str | Mapping) else given
    spec = getattr(component, "spec", None)
    if spec is None:
        raise InputError(
            f"{reprlib.repr(component)} has no name; make it with a function of {package}, so that it can be stored "
            "and found again."
        )
    try:
        canonical(spec.json())
    except TypeError:
        raise InputError(
            f"{spec.name} has an argument that was put together by hand; make it with a function of its package, so "
            "that it can be stored and found again."
        ) from None
    return spec.json()


def split(given: Any) -> tuple[str, dict[str, Any]]:
    """Name and arguments of ``"pgd"`` or ``{"pgd": {"eps": 0.1}}``."""
    if isinstance(given, str):
        return given, {}
    if not isinstance(given, Mapping):
        raise InputError(f"expected a name or {{name: arguments}}, got {reprlib.repr(given)}.")
    if len(given) != 1:
        raise InputError(f"expected one component as {{name: arguments}}, got the keys {', '.join(map(str, given))}.")
    ((name, arguments),) = given.items()
    if not isinstance(name, str):
        raise InputError(f"expected the name of a component, got {reprlib.repr(name)}.")
    if not isinstance(arguments, Mapping | None):
        raise InputError(f"the arguments of {name} are {arguments!r}; expected a table such as {{eps: 0.1}}.")
    return name, dict(arguments or {})


def called(given: str | Mapping[str, Any]) -> str:
    """The name that readers know, without the version of the code."""
    return split(given)[0].partition("@")[0]


def canonical(value: Any) -> str:
    """One spelling for equal data: what keys are made from."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _read(value: Any, hint: Any) -> Any:
    """What a command line or a TOML file can only write as the word none, where it means None."""
    if isinstance(value, str) and value.lower() in ("none", "null") and type(None) in _alternatives(hint):
        return None
    return "none" if value is None and "none" in _alternatives(hint) else value


def _alternatives(hint: Any) -> set[Any]:
    """The members of a union and the words of a Literal."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return set().union(*map(_alternatives, get_args(hint)))
    return {hint}
