"""What a component says of itself: its help, and its arguments with their types and defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from surefooted.components.component import to_plain
from surefooted.components.spec import base_name, parse_spec, resolve
from surefooted.errors import InputError


def non_default(kind: str, given: str | Mapping[str, Any]) -> dict[str, Any]:
    """What was named, with those of its arguments alone that are not the defaults."""
    name, arguments = base_name(given), parse_spec(given)[1]
    try:
        defaults = {known["name"]: known["default"] for known in describe(kind, name)["arguments"]}
    except InputError:  # of another version
        defaults = {}
    return {name: {key: value for key, value in arguments.items() if key not in defaults or value != defaults[key]}}


def describe(kind: str, name: str) -> dict[str, Any]:
    """What ``surefooted list`` prints: name, one-line summary, rest of the help, and arguments with their defaults."""
    component = resolve(kind, name)
    summary, _, text = inspect.getdoc(component).partition("\n")  # type: ignore[union-attr]  # a test holds docstrings
    return {"name": name, "summary": summary, "text": text.strip(), "arguments": _arguments(component)}


def _arguments(component: Callable) -> list[dict[str, Any]]:
    hints = get_type_hints(component, include_extras=True)
    return [
        {
            "name": parameter.name,
            "type": _spoken(hints[parameter.name]),
            "default": None if parameter.default is parameter.empty else to_plain(parameter.default),
            "required": parameter.default is parameter.empty,
        }
        for parameter in inspect.signature(component).parameters.values()
        if parameter.kind is not parameter.POSITIONAL_ONLY
    ]


def _spoken(hint: Any) -> str:
    """A type in the reader's words: the choices of a Literal, the range of a number, the kind of a component."""
    if hasattr(hint, "__metadata__"):
        return next(
            (m.description for m in hint.__metadata__ if getattr(m, "description", None)), _spoken(hint.__origin__)
        )
    if hasattr(hint, "__args__"):
        between = ", " if getattr(hint, "__origin__", None) is tuple else " | "
        return between.join(_spoken(part) for part in hint.__args__ if part is not ...)
    return {type(None): "none"}.get(hint) or (hint.__name__.lower() if isinstance(hint, type) else str(hint))
