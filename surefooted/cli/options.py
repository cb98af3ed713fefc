"""Options of components on the command line and in files: ``--method.eps 8/255``, or the same in TOML or YAML.

Options are collected in a tree of dictionaries, in which the entry ``NAME`` holds a component's name and the others its
arguments. Components leave this module as ``{name: arguments}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from surefooted.cli.config import read_config
from surefooted.components.spec import KINDS
from surefooted.components.text import TextLoader, parse_fraction
from surefooted.errors import ArgumentError, InputError

NAME = ""


class UnknownOptionError(ArgumentError):
    """An option that the command does not have.

    Attributes:
        flag: the option as it was written.
        places: options of components of that name, such as ``--recipe.epochs`` for ``--epochs``.
        slots: slots of the command.
    """

    def __init__(self, flag: str, places: Sequence[str], slots: Sequence[str]) -> None:
        self.flag, self.places, self.slots = flag, places, slots
        super().__init__(self.among(slots))

    def among(self, names: Iterable[str]) -> str:
        """The message, with the nearest of these names."""
        if self.places:
            hint = f" Did you mean {' or '.join(self.places)}?"
        else:
            first, *rest = self.flag[2:].split(".")
            near = get_close_matches(first.replace("_", "-"), [name.replace("_", "-") for name in names], 1, 0.6)
            slots = f" Components are given as --{', --'.join(self.slots[:6])}, their arguments as --SLOT.NAME VALUE."
            hint = f" Did you mean {'.'.join([f'--{near[0]}', *rest])}?" if near else slots
        return f"There is no option {self.flag}.{hint}"


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
    words_read = [_Option(f"--{slot}", [slot, NAME], name) for slot, name in named.items() if name is not None]
    words_read += _read_words(words, bare)
    tree = _merge(_config_tree(file, slots), _flag_tree([one for one in words_read if one.path[0] in slots]))
    for slot, name in (defaults or {}).items():
        branch = tree.setdefault(slot, {})
        if isinstance(branch, dict):
            branch.setdefault(NAME, name)
    for one in words_read:
        if one.path[0] not in slots:
            raise UnknownOptionError(one.flag, _places(one.path, tree), slots)
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
    options = _read_words(words, None)
    _refuse_twice(options)
    return {".".join(filter(None, one.path)): one.text() for one in options}


def parse_numbers(text: str | None, *, flag: str) -> tuple[float, ...]:
    """Numbers separated by commas; empty if the flag was not given.

    Example:
        >>> parse_numbers("0.5, 1/4", flag="--mean")
        (0.5, 0.25)
    """
    if text is None:
        return ()
    try:
        numbers = [float(part) if (quotient := parse_fraction(part)) is None else quotient for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(map(isfinite, numbers)):
        raise ArgumentError(f"{flag} is {text!r}; expected one number per channel, such as 0.49,0.48,0.45.")
    return tuple(numbers)


def parse_number(text: str, *, flag: str) -> float:
    """A number or a fraction.

    Example:
        >>> parse_number("8/16", flag="--eps")
        0.5
    """
    try:
        number = float(text) if (quotient := parse_fraction(text)) is None else quotient
    except ValueError:
        raise ArgumentError(f"{flag} is {text!r}; expected a number, such as 0.5 or 8/255.") from None
    return number


def _inline_table(text: str) -> Any:
    """``{crop: {pad: 2}}`` as a table; any other text as it is, because the type that it is for is not known here."""
    if not text.startswith("{"):
        return text
    try:
        table = yaml.load(text, TextLoader)
    except (yaml.YAMLError, RecursionError):
        return text
    is_component = isinstance(table, dict) and len(table) == 1 and isinstance(next(iter(table.values())), dict)
    return table if is_component else text


@dataclass(frozen=True)
class _Option:
    """An option as it was written, its path in the tree, and its value if it has one."""

    flag: str
    path: list[str]
    value: str | None

    def text(self) -> str:
        if self.value is None:
            raise ArgumentError(f"{self.flag} has no value; write {self.flag} VALUE.")
        return self.value


def _read_words(words: Sequence[str], bare: str | None) -> list[_Option]:
    """The options in the rest of a command line; the first word without a flag names the component of ``bare``."""
    options: list[_Option] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            if bare is None or any(one.path == [bare, NAME] and one.flag == bare for one in options):
                raise ArgumentError(f"Unexpected {word!r}; arguments of components are written --net.width 32.")
            options.append(_Option(bare, [bare, NAME], word))
            continue
        flag, equals, text = word.partition("=")
        path = flag[2:].replace("-", "_").split(".")
        if not all(path):
            raise ArgumentError(f"{word} is not an option; arguments of components are written --net.width 32.")
        has_value = equals or (rest and not rest[0].startswith("--"))
        value = text if equals else rest.pop(0) if has_value else None
        options.append(_Option(flag, path if len(path) > 1 else [*path, NAME], value))
    return options


def _refuse_twice(options: Sequence[_Option]) -> None:
    seen: dict[tuple[str, ...], _Option] = {}
    for one in options:
        if (first := seen.setdefault(tuple(one.path), one)) is not one:
            raise ArgumentError(
                f"--{'.'.join(filter(None, one.path))} is given twice ({first.value} and {one.value}); give it once."
            )


def _flag_tree(options: Sequence[_Option]) -> dict[str, Any]:
    _refuse_twice(options)
    tree: dict[str, Any] = {}
    for one in options:
        text = one.text()
        _put(tree, one.path, text if one.path[-1] == NAME else _as_tree(_inline_table(text)))
    return tree


def _config_tree(file: Path | None, slots: Sequence[str]) -> dict[str, Any]:
    config = read_config(file, slots) if file else {}
    return {slot: _as_branch(_as_tree(value)) for slot, value in config.items()}


def _places(path: Sequence[str], tree: Mapping[str, Any]) -> list[str]:
    """Options of the chosen components that have the name of an option that does not exist."""
    from surefooted.components.describe import describe
    from surefooted.components.spelling import ARGUMENTS, understand

    found = []
    for slot, branch in tree.items():
        name = branch.get(NAME) if isinstance(branch, dict) else None
        with suppress(InputError):  # an unknown component is refused later, or was given for another option
            if path[1:] == [NAME] and name:
                options = [one["name"] for one in describe(_kind(slot), name)["arguments"]]
                found += [f"--{slot}.{option}"] if (option := understand(path[0], options, ARGUMENTS)) else []
    return found


def _kind(slot: str) -> str:
    return {"net": "network", "record": "recorder", "log": "logger", "ood": "data"}.get(
        slot, slot if slot in KINDS else "metric"
    )


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
