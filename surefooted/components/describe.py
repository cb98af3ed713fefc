"""Descriptions of components: their help, and their arguments with types and defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from surefooted.components.component import to_plain
from surefooted.components.spec import base_name, parse_spec, resolve
from surefooted.errors import InputError


def non_default(kind: str, given: str | Mapping[str, Any]) -> dict[str, Any]:
    """A spec reduced to the arguments that differ from their defaults.

    Example:
        >>> non_default("attack", {"pgd": {"eps": 0.1, "norm": "linf"}})
        {'pgd': {'eps': 0.1}}
    """
    name, arguments = base_name(given), parse_spec(given)[1]
    try:
        defaults = {argument["name"]: argument["default"] for argument in describe(kind, name)["arguments"]}
    except InputError:  # a component that another version of the package had
        defaults = {}
    return {name: {key: value for key, value in arguments.items() if key not in defaults or value != defaults[key]}}


def describe(kind: str, name: str) -> dict[str, Any]:
    """What ``surefooted list`` prints of a component.

    Returns:
        ``name``, ``summary`` (the first line of the docstring), ``text`` (the rest) and ``arguments``, a list of
        dictionaries with ``name``, ``type``, ``default`` and ``required``.

    Example:
        >>> describe("score", "smoothed_cross_entropy")["arguments"]
        [{'name': 'gamma', 'type': 'number in [0, 1]', 'default': 0.1, 'required': False}]
    """
    component = resolve(kind, name)
    summary, _, text = (inspect.getdoc(component) or "").partition("\n")
    return {"name": name, "summary": summary, "text": text.strip(), "arguments": _arguments(component)}


def _arguments(component: Callable[..., Any]) -> list[dict[str, Any]]:
    hints = get_type_hints(component, include_extras=True)
    return [
        {
            "name": parameter.name,
            "type": _type_text(hints[parameter.name]),
            "default": None if parameter.default is parameter.empty else to_plain(parameter.default),
            "required": parameter.default is parameter.empty,
        }
        for parameter in inspect.signature(component).parameters.values()
        if parameter.kind is not parameter.POSITIONAL_ONLY
    ]


def _type_text(hint: Any) -> str:
    """A type in plain words: the choices of a Literal, the range of a number, the kind of a component."""
    if hasattr(hint, "__metadata__"):
        return next(
            (m.description for m in hint.__metadata__ if getattr(m, "description", None)), _type_text(hint.__origin__)
        )
    if hasattr(hint, "__args__"):
        separator = ", " if getattr(hint, "__origin__", None) is tuple else " | "
        return separator.join(_type_text(part) for part in hint.__args__ if part is not ...)
    return {type(None): "none"}.get(hint) or (hint.__name__.lower() if isinstance(hint, type) else str(hint))
