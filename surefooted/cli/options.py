"""Options of components on the command line and in files: ``--method.eps 8/255``, or the same in TOML or YAML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from surefooted.errors import InputError, did_you_mean

NAME = ""  # where a tree of options holds the component's own name
FRACTION = re.compile(r"[+-]?\d+(\.\d+)?/\d+")


def gather(
    slots: Sequence[str],
    named: Mapping[str, str | None],
    words: Sequence[str],
    file: Path | None = None,
    *,
    defaults: Mapping[str, str] | None = None,
    bare: str | None = None,
) -> dict[str, dict[str, Any]]:
    """One ``{name: arguments}`` a slot, from a file, then from flags, which win.

    Args:
        slots: the parts that may be given, such as method, net and data.
        named: what ``--net lenet`` and the like said.
        words: what else the command line holds: ``--net.width 32`` or ``--net.width=32``.
        defaults: components for slots that are left out, or given by their options only.
        bare: the slot that a word of its own names, as in ``surefooted train pat``.

    Raises:
        InputError: at a slot that there is not, a word that is no option, a file that cannot be read, or options of a
            slot without a name.
    """
    flags: dict[str, Any] = {}
    for slot, name in named.items():
        if name is not None:
            _put(flags, [slot, NAME], name)
    for path, value in _pairs(words, bare):
        if path[0] not in slots:
            given = ".".join(filter(None, path))
            hint = f" Arguments of components follow their slot: --SLOT.{given} VALUE." if NAME in path else ""
            raise InputError(f"there is no option --{given}.{did_you_mean(path[0], slots)}{hint}")
        _put(flags, path, value)
    tree = _merged({slot: _named(_tree(value)) for slot, value in _read(file, slots).items()}, flags)
    for slot, name in (defaults or {}).items():
        branch = tree.setdefault(slot, {})
        if isinstance(branch, dict):
            branch.setdefault(NAME, name)
    for slot, branch in tree.items():
        if not isinstance(branch, dict):
            raise InputError(f"{slot} is {branch!r}; expected a name, or a name with its options.")
    return {slot: _component(branch, slot) for slot, branch in tree.items()}


def parse(text: str) -> Any:
    """A value as typed: 8/255 and [crop, flip] are read here, a plain word or number where its type is known."""
    try:
        return _plain(yaml.safe_load(text) if text[:1] in ("[", "{") else text)
    except yaml.YAMLError:
        return text


def _plain(value: Any) -> Any:
    """The same with its fractions as numbers."""
    if isinstance(value, str) and FRACTION.fullmatch(value):
        try:
            return float(Fraction(value))
        except ZeroDivisionError:
            return value
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return {key: _plain(v) for key, v in value.items()} if isinstance(value, dict) else value


def _pairs(words: Sequence[str], bare: str | None) -> list[tuple[list[str], Any]]:
    pairs: list[tuple[list[str], Any]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            if bare is None:
                raise InputError(f"unexpected {word!r}; arguments of components are written --net.width 32.")
            pairs.append(([bare, NAME], word))
            bare = None
            continue
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"{word} has no value; write {word} VALUE.")
            text = rest.pop(0)
        path = key.replace("-", "_").split(".")
        if not all(path):
            raise InputError(f"{word} is no option; arguments of components are written --net.width 32.")
        pairs.append((path, _tree(parse(text))) if len(path) > 1 else ([*path, NAME], text))
    return pairs


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    """``--method.perturb pgd`` names a component and ``--method.perturb.eps 0.1`` is its argument, in any order."""
    *way, last = path
    for part in way:
        branch = tree.setdefault(part, {})
        if isinstance(branch, str):
            branch = tree[part] = {NAME: branch}
        if not isinstance(branch, dict):
            raise InputError(f"--{'.'.join(filter(None, path))}: {part} is {branch!r} already; give it once.")
        tree = branch
    tree[last] = _merged(tree[last], value) if isinstance(tree.get(last), dict) else value


def _merged(under: Any, over: Any) -> Any:
    """Two trees as one, where the second wins; arguments of another component than it names are dropped."""
    if isinstance(under, dict) or isinstance(over, dict):  # where one is a component, a word is the other's name
        under, over = _named(under), _named(over)
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    if NAME in over and under.get(NAME, over[NAME]) != over[NAME]:
        return over
    return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}


def _named(value: Any) -> Any:
    return {NAME: value} if isinstance(value, str) else value


def _component(branch: Any, where: str) -> Any:
    """Back to ``{name: arguments}``."""
    if not isinstance(branch, dict):
        return branch
    if NAME not in branch:
        raise InputError(f"options of {where} were given ({', '.join(branch)}), but not which; add --{where} NAME.")
    arguments = {key: _component(value, f"{where}.{key}") for key, value in branch.items() if key != NAME}
    if not isinstance(branch[NAME], str):
        raise InputError(f"{branch[NAME]!r} is no name of a component; expected a word, such as pgd.")
    return {branch[NAME]: arguments}


def _tree(value: Any) -> Any:
    """``{"pgd": {"eps": 0.1}}`` as a tree, however deep."""
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1 and isinstance(next(iter(value.values())), Mapping | None):
        ((name, arguments),) = value.items()
        return {NAME: name, **{key: _tree(v) for key, v in (arguments or {}).items()}}
    return {key: _tree(v) for key, v in value.items()}


def _read(file: Path | None, slots: Sequence[str]) -> dict[str, Any]:
    if file is None:
        return {}
    kind = "TOML" if file.suffix == ".toml" else "YAML"
    try:
        text = file.read_text()
        content = tomllib.loads(text) if kind == "TOML" else yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}. Check --config.") from None
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file} is no {kind}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no table; expected one with {', '.join(slots)}.")
    unknown = [
        f"{file} has an unknown key {key!r}.{did_you_mean(str(key), slots)}" for key in content if key not in slots
    ]
    if unknown:
        raise InputError("\n".join(unknown))
    return _plain(content)
