"""Options of components on the command line and in files: ``--method.eps 8/255``, or the same in TOML or YAML.

Options are collected in a tree of dictionaries, in which the entry ``NAME`` holds a component's name and the others its
arguments. Components leave this module as ``{name: arguments}``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from surefooted.errors import ArgumentError, StoreError, did_you_mean

NAME = ""
FRACTION = re.compile(r"[+-]?\d+(\.\d+)?/\d+")


def parse_components(
    slots: Sequence[str],
    named: Mapping[str, str | None],
    words: Sequence[str],
    file: Path | None = None,
    *,
    defaults: Mapping[str, str] | None = None,
    bare: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Read the component of each slot from a file and from flags; flags override the file.

    Args:
        slots: the slots that the command has, such as method, net and data.
        named: component names from flags such as ``--net lenet``.
        words: the rest of the command line, such as ``--net.width 32`` or ``--net.width=32``.
        file: TOML or YAML file with components by slot.
        defaults: component names for slots that are left out or given by options only.
        bare: slot of a word without a flag, as in ``surefooted train pat``.

    Returns:
        ``{name: arguments}`` for each slot that was given or has a default.

    Raises:
        ArgumentError: for an unknown slot, a word that is no option, or options of a slot without a component name.
        StoreError: for a file that cannot be read.

    Example:
        >>> parse_components(("net",), {"net": "mlp"}, ["--net.width", "4"])
        {'net': {'mlp': {'width': '4'}}}
    """
    flags: dict[str, Any] = {}
    for slot, name in named.items():
        if name is not None:
            _put(flags, [slot, NAME], name)
    for path, value in _pairs(words, bare):
        if path[0] not in slots:
            given = ".".join(filter(None, path))
            hint = f" Arguments of components follow their slot: --SLOT.{given} VALUE." if NAME in path else ""
            raise ArgumentError(f"There is no option --{given}.{did_you_mean(path[0], slots)}{hint}")
        _put(flags, path, value)
    tree = _merge({slot: _as_branch(_as_tree(value)) for slot, value in _read(file, slots).items()}, flags)
    for slot, name in (defaults or {}).items():
        branch = tree.setdefault(slot, {})
        if isinstance(branch, dict):
            branch.setdefault(NAME, name)
    for slot, branch in tree.items():
        if not isinstance(branch, dict):
            raise ArgumentError(f"{slot} is {branch!r}; expected a name, or a name with its options.")
    return {slot: _as_component(branch, slot) for slot, branch in tree.items()}


def parse_arguments(words: Sequence[str]) -> dict[str, Any]:
    """Read plain options such as ``--seeds 2`` or ``--seeds=2``.

    Example:
        >>> parse_arguments(["--seeds", "2", "--levels=5"])
        {'seeds': '2', 'levels': '5'}
    """
    arguments = {}
    for path, value in _pairs(words, None):
        name = ".".join(filter(None, path))
        arguments[name] = parse_value(value) if isinstance(value, str) else value
    return arguments


def parse_value(text: str) -> Any:
    """A typed value: fractions and lists are read here; words and numbers are left to the argument's type.

    Example:
        >>> parse_value("[1/4, crop]"), parse_value("0.1")
        ([0.25, 'crop'], '0.1')
    """
    try:
        return _with_numbers(yaml.safe_load(text) if text[:1] in ("[", "{") else text)
    except yaml.YAMLError:
        return text


def parse_numbers(text: str | None, *, flag: str) -> tuple[float, ...]:
    """Numbers separated by commas; empty if the flag was not given.

    Example:
        >>> parse_numbers("0.5, 1/4", flag="--mean")
        (0.5, 0.25)
    """
    try:
        return tuple(float(Fraction(part.strip())) for part in text.split(",")) if text else ()
    except (ValueError, ZeroDivisionError):
        raise ArgumentError(f"{flag} is {text!r}; expected one number per channel, such as 0.49,0.48,0.45.") from None


def _with_numbers(value: Any) -> Any:
    """The value with its fractions as numbers."""
    if isinstance(value, str) and FRACTION.fullmatch(value):
        try:
            return float(Fraction(value))
        except ZeroDivisionError:
            return value
    if isinstance(value, list):
        return [_with_numbers(v) for v in value]
    return {key: _with_numbers(v) for key, v in value.items()} if isinstance(value, dict) else value


def _pairs(words: Sequence[str], bare: str | None) -> list[tuple[list[str], Any]]:
    """Path in the tree and value of every option."""
    pairs: list[tuple[list[str], Any]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            if bare is None:
                raise ArgumentError(f"Unexpected {word!r}; arguments of components are written --net.width 32.")
            pairs.append(([bare, NAME], word))
            bare = None
            continue
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ArgumentError(f"{word} has no value; write {word} VALUE.")
            text = rest.pop(0)
        path = key.replace("-", "_").split(".")
        if not all(path):
            raise ArgumentError(f"{word} is not an option; arguments of components are written --net.width 32.")
        pairs.append((path, _as_tree(parse_value(text))) if len(path) > 1 else ([*path, NAME], text))
    return pairs


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    """Put a value into the tree: ``--method.perturb pgd`` and ``--method.perturb.eps 0.1`` may come in any order."""
    *parents, last = path
    for part in parents:
        branch = tree.setdefault(part, {})
        if isinstance(branch, str):
            branch = tree[part] = {NAME: branch}
        if not isinstance(branch, dict):
            raise ArgumentError(f"--{'.'.join(filter(None, path))}: {part} is already {branch!r}; give it once.")
        tree = branch
    tree[last] = _merge(tree[last], value) if isinstance(tree.get(last), dict) else value


def _merge(under: Any, over: Any) -> Any:
    """Merge two trees; the second wins. Arguments of a component that it replaces are dropped."""
    if isinstance(under, dict) or isinstance(over, dict):  # if one is a component, a word is the other's name
        under, over = _as_branch(under), _as_branch(over)
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    if NAME in over and under.get(NAME, over[NAME]) != over[NAME]:
        return over
    return {**under, **{key: _merge(under.get(key), value) for key, value in over.items()}}


def _as_branch(value: Any) -> Any:
    return {NAME: value} if isinstance(value, str) else value


def _as_tree(value: Any) -> Any:
    """``{"pgd": {"eps": 0.1}}`` as a tree, at any depth."""
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1 and isinstance(next(iter(value.values())), Mapping | None):
        ((name, arguments),) = value.items()
        return {NAME: name, **{key: _as_tree(v) for key, v in (arguments or {}).items()}}
    return {key: _as_tree(v) for key, v in value.items()}


def _as_component(branch: Any, path: str) -> Any:
    """A tree as ``{name: arguments}``."""
    if not isinstance(branch, dict):
        return branch
    if NAME not in branch:
        raise ArgumentError(
            f"Options for --{path} were given ({', '.join(branch)}) without --{path} itself; add --{path} NAME."
        )
    arguments = {key: _as_component(value, f"{path}.{key}") for key, value in branch.items() if key != NAME}
    if not isinstance(branch[NAME], str):
        raise ArgumentError(f"{branch[NAME]!r} is not the name of a component; expected a word, such as pgd.")
    return {branch[NAME]: arguments}


def _read(file: Path | None, slots: Sequence[str]) -> dict[str, Any]:
    """The components of a file, by slot."""
    if file is None:
        return {}
    kind = "TOML" if file.suffix == ".toml" else "YAML"
    try:
        text = file.read_text()
        content = tomllib.loads(text) if kind == "TOML" else yaml.safe_load(text)
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}. Check --config.") from None
    except (ValueError, yaml.YAMLError) as error:
        raise ArgumentError(f"{file} is not valid {kind}: {error}") from None
    if not isinstance(content, dict):
        raise ArgumentError(f"{file} does not contain a table; expected one with {', '.join(slots)}.")
    unknown = [
        f"{file} has an unknown key {key!r}.{did_you_mean(str(key), slots)}" for key in content if key not in slots
    ]
    if unknown:
        raise ArgumentError("\n".join(unknown))
    return {slot: _with_numbers(value) for slot, value in content.items()}
