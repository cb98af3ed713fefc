"""Names: from what a user writes to a component, and from a component to what it is called.

The namespace is the registry. A name resolves in its package, its signature is the schema, its docstring the help,
and the package's ``__all__`` the list.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import reprlib
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from surefooted.errors import InputError, did_you_mean

# The package that holds the components of each kind. Modules are imported by name when first asked for, because every
# package of components imports this one.
KINDS = {
    "method": "surefooted.training.methods",
    "attack": "surefooted.attacks",
    "network": "surefooted.models.nets",
    "data": "surefooted.data",
    "metric": "surefooted.evaluation.metrics",
    "score": "surefooted.core.scores",
    "target": "surefooted.training.methods.targets",
    "view": "surefooted.training.methods.views",
    "augmentation": "surefooted.data.augment",
    "recorder": "surefooted.training.recorders",
    "corruption": "surefooted.data.corruptions",
    "recipe": "surefooted.training.recipes",
    "study": "surefooted.studies",
}


def plural(kind: str) -> str:
    """The word for several components of a kind, as ``surefooted list`` takes it."""
    return {"data": "data", "study": "studies"}.get(kind, f"{kind}s")


def names(kind: str) -> list[str]:
    """The names of all components of a kind."""
    return sorted(importlib.import_module(KINDS[kind]).__all__)


def resolve(kind: str, name: str) -> Callable[..., Any]:
    """The component of that kind and name; the error suggests the nearest name."""
    if name not in (known := names(kind)):
        raise InputError(f"there is no {name!r} among the {plural(kind)}.{did_you_mean(name, known)}")
    return getattr(importlib.import_module(KINDS[kind]), name)


def build(kind: str, given: Any, *positional: Any) -> Any:
    """Make a component from its name, or from ``{name: arguments}``. Faults of all arguments come in one error."""
    name, arguments = parse_spec(given)
    name = name.partition("@")[0]  # the version that numbers were made with; the code at hand is the current one
    component = resolve(kind, name)
    hints = get_type_hints(component)
    return component(*positional, **{key: _read(value, hints.get(key)) for key, value in arguments.items()})


def complete(kind: str, given: Any) -> dict[str, Any]:
    """The complete spec, as plain data, of a component given by name, by ``{name: arguments}`` or as itself.

    A study names the same few components thousands of times, so each distinct spelling is built once per process. Data
    sets are not remembered: their files may change.
    """
    if kind != "data" and isinstance(given, str | Mapping):
        try:
            spelled = canonical(given)
        except TypeError:  # a component among the arguments
            return _spec_of(kind, build(kind, given))
        spec: dict[str, Any] = json.loads(_completed(kind, spelled))
        return spec
    return _spec_of(kind, build(kind, given) if isinstance(given, str | Mapping) else given)


def parse_spec(given: Any) -> tuple[str, dict[str, Any]]:
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


def base_name(given: str | Mapping[str, Any]) -> str:
    """The name that readers know, without the version of the code."""
    return parse_spec(given)[0].partition("@")[0]


def canonical(value: Any) -> str:
    """One spelling for equal data: what keys are made from."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@functools.lru_cache(maxsize=4096)
def _completed(kind: str, given: str) -> str:
    return canonical(_spec_of(kind, build(kind, json.loads(given))))


def _spec_of(kind: str, component: Any) -> dict[str, Any]:
    spec = getattr(component, "spec", None)
    if spec is None:
        raise InputError(
            f"{reprlib.repr(component)} was not made by a registered function, so it has no reproducible key. "
            f"Build it with a function of {KINDS[kind]}."
        )
    try:
        canonical(spec.json())
    except TypeError:
        raise InputError(
            f"{spec.name} has an argument that was put together by hand; make it with a function of its package, so "
            "that it can be stored and found again."
        ) from None
    plain: dict[str, Any] = spec.json()
    return plain


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
