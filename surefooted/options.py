"""Options of components on the command line and in files: ``--method.eps 8/255``, or the same in TOML or YAML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from surefooted.errors import InputError, did_you_mean

NAME = ""  # where a tree of options holds the component's own name


def gather(
    slots: Sequence[str], named: Mapping[str, str | None], extra: Sequence[str], file: Path | None = None
) -> dict[str, Any]:
    """One ``{name: arguments}`` a slot, from a file, then from flags, which win.

    Args:
        slots: the parts that may be given, such as method, net and data.
        named: what ``--net lenet`` and the like said.
        extra: the words that the command line left over: ``--net.width 32`` or ``--net.width=32``.

    Raises:
        InputError: at a slot that there is not, a word that is no option, or a file that cannot be read.
    """
    tree: dict[str, Any] = {slot: _tree(value) for slot, value in _read(file, slots).items()}
    for slot, name in named.items():
        if name is not None:
            if isinstance(tree.get(slot), dict) and tree[slot].get(NAME) not in (None, name):
                tree[slot] = {}  # another component than the file's: its arguments are not this one's
            _put(tree, [slot, NAME], name)
    for path, value in _pairs(extra):
        if path[0] not in slots:
            raise InputError(f"there is no option --{'.'.join(path)}.{did_you_mean(path[0], slots)}")
        _put(tree, path, value)
    return {slot: _component(branch, slot) for slot, branch in tree.items()}


def parse(text: str) -> Any:
    """A value as typed: 8/255, 0.1, 3, true, none, [crop, flip], or a word."""
    if text.lower() in ("none", "null"):
        return None
    try:
        return float(Fraction(text)) if "/" in text else yaml.safe_load(text)
    except (ValueError, ZeroDivisionError, yaml.YAMLError):
        return text


def _pairs(words: Sequence[str]) -> list[tuple[list[str], Any]]:
    pairs, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise InputError(f"unexpected {word!r}; arguments of components are written --net.width 32.")
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise InputError(f"{word} has no value; write {word} VALUE.")
            value = rest.pop(0)
        path = key.split(".")
        if len(path) == 1:
            path.append(NAME)
        pairs.append(([part.replace("-", "_") for part in path], parse(value)))
    return pairs


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    """``--method.perturb pgd`` names a component and ``--method.perturb.eps 0.1`` is its argument: both fit one tree."""
    for part in path[:-1]:
        branch = tree.get(part, {})
        tree = tree.setdefault(part, branch)
        if not isinstance(tree, dict):
            raise InputError(f"{'.'.join(path)}: {part} is {tree!r} already; give it once.")
    leaf = tree.get(path[-1])
    if isinstance(leaf, dict):
        leaf[NAME] = value
    else:
        tree[path[-1]] = value


def _component(branch: Any, slot: str) -> Any:
    """Back to ``{name: arguments}``."""
    if not isinstance(branch, dict):
        return branch
    arguments = {
        key: _component(value, f"{slot}.{key}") if isinstance(value, dict) else value
        for key, value in branch.items()
        if key != NAME
    }
    # Without a name the branch is arguments only: of the default component, which the caller knows.
    return {branch[NAME]: arguments} if NAME in branch else arguments


def _tree(value: Any) -> Any:
    """``{"pgd": {"eps": 0.1}}`` as a tree; a plain word is a name."""
    if isinstance(value, str):
        return {NAME: value}
    if isinstance(value, Mapping) and len(value) == 1 and isinstance(next(iter(value.values())), Mapping | None):
        ((name, arguments),) = value.items()
        return {NAME: name, **(arguments or {})}
    return value


def _read(file: Path | None, slots: Sequence[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = file.read_text()
        content = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read as {'TOML' if file.suffix == '.toml' else 'YAML'}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} holds {type(content).__name__}; expected a table with {', '.join(slots)}.")
    for key in content:
        if key not in slots:
            raise InputError(f"{file} has an unknown key {key!r}.{did_you_mean(str(key), slots)}")
    return content
