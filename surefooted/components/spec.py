"""Specs: from what a user writes, ``{name: arguments}``, to a component, and from a component to its complete spec.

A package is its own registry. A component's name is looked up in the package of its kind, its signature is the schema,
its docstring the help, and ``__all__`` of the package lists the names.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import re
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from surefooted.components.code import find_code, is_code, keep_code
from surefooted.components.spelling import COMPONENTS, suggest, understand
from surefooted.components.text import read_text
from surefooted.errors import ArgumentError

# The package that holds the components of each kind. A package is imported when a name of its kind is first looked up:
# every package of components imports this module.
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
    "logger": "surefooted.training.loggers",
    "corruption": "surefooted.data.corruptions",
    "recipe": "surefooted.training.recipes",
    "study": "surefooted.studies",
}
# The function that makes components of other names than those of the package: of a user's code, or of a formula.
_OTHERS = {
    "network": "surefooted.models.nets.own:own_network",
    "score": "surefooted.core.formulas:score_from_text",
}
_CODE_NAME = re.compile(r'"[\w.]+:[\w.]+(@\w+)?"|code\(')


def plural(kind: str) -> str:
    """The plural of a kind, which ``surefooted list`` takes as its argument.

    Example:
        >>> plural("attack"), plural("study"), plural("data")
        ('attacks', 'studies', 'data')
    """
    return {"data": "data", "study": "studies"}.get(kind, f"{kind}s")


def names(kind: str) -> list[str]:
    """The names of all components of a kind, sorted.

    Example:
        >>> "pgd" in names("attack")
        True
    """
    return sorted(importlib.import_module(KINDS[kind]).__all__)


def resolve(kind: str, name: str) -> Callable[..., Any]:
    """Look up the function that makes a component; case and punctuation of its name do not matter.

    Args:
        kind: a key of ``KINDS``.
        name: the name of a function of the kind's package. A network or score may also be ``module:function`` of other
            code, and a score a formula such as ``cross_entropy() - 2 * entropy()``.

    Raises:
        ArgumentError: if no component of the kind has the name; the message suggests the nearest name.

    Example:
        >>> resolve("attack", "PGD").__name__
        'pgd'
    """
    own = name.partition("@")[0]  # without the version: the code at hand is the current one
    if own in (known := names(kind)):
        component: Callable[..., Any] = getattr(importlib.import_module(KINDS[kind]), own)
        return component
    if kind in _OTHERS and (is_code(own) or (kind == "score" and not own.isidentifier())):
        module, _, function = _OTHERS[kind].partition(":")
        component = getattr(importlib.import_module(module), function)(name)
        return component
    if own.startswith("memory:"):
        kept = find_code(name).value
        return lambda: kept
    if found := understand(own, known):
        return resolve(kind, found)
    raise ArgumentError(f"There is no {own!r} among the {plural(kind)}.{suggest(own, known, COMPONENTS.get(kind, {}))}")


def accepts_code(kind: str) -> bool:
    """Whether components of a kind may be a user's functions.

    Example:
        >>> accepts_code("score"), accepts_code("attack")
        (True, False)
    """
    return kind in _OTHERS


def build(kind: str, given: Any, *positional: Any) -> Any:
    """Build a component from its name or from ``{name: arguments}``.

    Args:
        kind: a key of ``KINDS``.
        given: ``"pgd"`` or ``{"pgd": {"eps": 0.1}}``. Numbers may be given as text, as from a command line. For a
            network or a score also a function of the user.
        positional: the positional-only arguments: for a network the image shape and the number of classes.

    Raises:
        ArgumentError: for an unknown name or invalid arguments; the message lists all faults.

    Example:
        >>> build("attack", {"pgd": {"eps": "0.1", "steps": 5}}).spec.arguments["eps"]
        0.1
    """
    if callable(given) and kind in _OTHERS:
        given = keep_code(given).reference
    name, arguments = parse_spec(given)
    component = resolve(kind, name)
    hints = get_type_hints(component)
    return component(*positional, **{key: read_text(value, hints.get(key)) for key, value in arguments.items()})


def complete(kind: str, given: Any) -> dict[str, Any]:
    """The complete spec of a component, with every default, as plain data.

    A study names the same few components thousands of times, so each distinct spelling is built once per process. Data
    sets are not remembered: their files may change.

    Args:
        kind: a key of ``KINDS``.
        given: a name, ``{name: arguments}``, or a component.

    Raises:
        ArgumentError: as ``build``, or if the component or one of its arguments was not made by a registered function.

    Example:
        >>> complete("score", "smoothed_cross_entropy")
        {'smoothed_cross_entropy': {'gamma': 0.1}}
    """
    if not isinstance(given, str | Mapping):
        return _spec_of(kind, given)
    try:
        spelling = canonical(given) if kind != "data" else None
    except TypeError:  # a component among the arguments
        spelling = None
    if spelling is None or names_code(spelling):
        return _spec_of(kind, build(kind, given))
    spec: dict[str, Any] = json.loads(_completed(kind, spelling))
    return spec


def names_code(spelling: str) -> bool:
    """Whether a spec in JSON names code of the user, which may change while the process runs.

    Example:
        >>> names_code('{"custom":{"loss":"mine:loss"}}'), names_code('{"custom":{"loss":"entropy"}}')
        (True, False)
    """
    return _CODE_NAME.search(spelling) is not None


def parse_spec(given: Any) -> tuple[str, dict[str, Any]]:
    """Split ``"pgd"`` or ``{"pgd": {"eps": 0.1}}`` into the name and the arguments.

    Raises:
        ArgumentError: if it is neither.

    Example:
        >>> parse_spec({"pgd": {"eps": 0.1}})
        ('pgd', {'eps': 0.1})
    """
    if isinstance(given, str):
        return given, {}
    if not isinstance(given, Mapping):
        raise ArgumentError(f"Expected a name or {{name: arguments}}, got {reprlib.repr(given)}.")
    if len(given) != 1:
        raise ArgumentError(
            f"Expected one component as {{name: arguments}}, got the keys {', '.join(map(str, given))}."
        )
    ((name, arguments),) = given.items()
    if not isinstance(name, str):
        raise ArgumentError(f"Expected the name of a component, got {reprlib.repr(name)}.")
    if not isinstance(arguments, Mapping | None):
        raise ArgumentError(f"The arguments of {name} are {arguments!r}; expected a table such as {{eps: 0.1}}.")
    return name, dict(arguments or {})


def base_name(given: str | Mapping[str, Any]) -> str:
    """The name of a component without the version of its code.

    Example:
        >>> base_name({"entropy@2": {}})
        'entropy'
    """
    return parse_spec(given)[0].partition("@")[0]


def canonical(value: Any) -> str:
    """JSON in which equal data have equal text; keys are hashes of it.

    Example:
        >>> canonical({"b": 1, "a": [0.5, None]})
        '{"a":[0.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)


def digest(value: Any) -> str:
    """The SHA-256 of plain data, as 64 hexadecimal digits.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@functools.lru_cache(maxsize=4096)
def _completed(kind: str, given: str) -> str:
    return json.dumps(_spec_of(kind, build(kind, json.loads(given))))  # arguments in the order of the signature


def _spec_of(kind: str, component: Any) -> dict[str, Any]:
    """The spec that a registered function wrote on a component."""
    spec = getattr(component, "spec", None)
    if spec is None:
        raise ArgumentError(
            f"{reprlib.repr(component)} was not made by a registered function, so it has no reproducible key. "
            f"Build it with a function of {KINDS[kind]}, or train unstored (`store=None`)."
        )
    plain: dict[str, Any] = spec.json()
    try:
        canonical(plain)
    except TypeError:
        raise ArgumentError(
            f"{spec.name} has an argument that was not made by a registered function, so it has no reproducible key. "
            "Build the argument with a function of its package, or train unstored (`store=None`)."
        ) from None
    return plain
