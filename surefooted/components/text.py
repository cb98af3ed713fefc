"""Arguments that were written as text, on a command line or in a file, read by the type that each argument has.

Text stays text until the type is known: ``2024/05`` may be a folder or a fraction, ``[x]`` a folder or a list.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import isfinite
from pathlib import PurePath
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

# Short enough that the exact quotient is cheap to compute.
_FRACTION = re.compile(r"([+-]?\d{1,40}(?:\.\d{1,40})?)/(\d{1,40})")


class TextLoader(yaml.SafeLoader):
    """YAML in which every value is text but ``null``: no dates, no octal numbers, no ``on`` that is true."""


TextLoader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0].endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_text(value: Any, hint: Any) -> Any:
    """A value of a command line or a file as the argument's type takes it; what does not fit is left as it is.

    Args:
        value: text is read as a number, a fraction, a list or none if the type asks for one.
        hint: type of the argument.

    Example:
        >>> read_text("8/16", float), read_text("8/16", str), read_text("[1/2, 1]", tuple[float, ...])
        (0.5, '8/16', [0.5, '1'])
        >>> read_text("none", float | None), read_text(True, float)
        (None, 'true')
    """
    types = _alternatives(hint)
    if value is None and "none" in types:
        return "none"  # one of an argument's choices is the word itself
    if isinstance(value, bool) and types & {int, float}:
        return str(value).lower()  # true is no number, though Python and pydantic take it for 1
    elements = next((get_args(one) for one in types if get_origin(one) is tuple), ())
    if isinstance(value, str):
        if value.lower() in ("none", "null") and type(None) in types:
            return None
        if types & {str, PurePath}:
            return value
        if types & {int, float}:
            return _number(value, whole=float not in types)
        if elements:
            value = _inline(value)
    if isinstance(value, list) and elements:
        every = [elements[0]] * len(value) if elements[-1] is ... else [*elements, *[Any] * len(value)]
        return [read_text(one, element) for one, element in zip(value, every, strict=False)]
    return value


def choices(hint: Any) -> list[str]:
    """The words that a type allows, sorted; none if it allows any.

    Example:
        >>> choices(Literal["linf", "l2"] | None), choices(str)
        (['l2', 'linf'], [])
    """
    return sorted(one for one in _alternatives(hint) if isinstance(one, str))


def parse_fraction(text: str) -> float | None:
    """The number that ``8/255`` writes; None if the text is no fraction or divides by zero.

    Example:
        >>> parse_fraction("-1/2"), parse_fraction("1.5/3"), parse_fraction("1/0"), parse_fraction("a/b")
        (-0.5, 0.5, None, None)
    """
    found = _FRACTION.fullmatch(text.strip())
    if not found or not int(found[2]):
        return None
    return float(Fraction(found[1]) / int(found[2]))


def _number(text: str, *, whole: bool) -> Any:
    """Text as a number where Python would not read it: a fraction; or, for a whole number, ``1e3``."""
    if (fraction := parse_fraction(text)) is not None:
        return fraction
    if whole and re.fullmatch(r"[+-]?\d+(\.\d+)?[eE][+-]?\d{1,2}", text.strip()) and isfinite(number := float(text)):
        return number
    return text


def _inline(text: str) -> Any:
    """A list as YAML and TOML write it; the text itself if it is none."""
    try:
        return yaml.load(text, TextLoader) if text.startswith("[") else text
    except (yaml.YAMLError, RecursionError):
        return text


def _alternatives(hint: Any) -> set[Any]:
    """The members of a union and the words of a Literal."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return set().union(*map(_alternatives, get_args(hint)))
    return {hint}
