"""Configuration files: TOML, YAML or JSON with components by slot. Values are text until their type is known.

A file may come from anywhere, so it is bounded in size and depth, and nothing in it is passed over: a key that stands
twice, or a key that is no slot of the command, is refused.
"""

from __future__ import annotations

import codecs
import json
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from surefooted.components.text import TextLoader
from surefooted.errors import ArgumentError, InputError, StoreError, did_you_mean

MAX_BYTES, MAX_VALUES, MAX_DEPTH = 100_000, 10_000, 30
_LONG_KEY = re.compile(rf"^[ \t\[]*(?:[\w-]+[ \t]*\.[ \t]*){{{MAX_DEPTH}}}", re.M)
# UTF-32 begins like UTF-16, so it comes first.
ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_config(file: Path, slots: Sequence[str]) -> dict[str, Any]:
    """The components of a file, by slot.

    Args:
        slots: the slots that the command has; another key is refused.

    Raises:
        StoreError: if the file cannot be read.
        ArgumentError: if its content cannot be used; the message says where and why.

    Example:
        >>> _ = Path("run.yaml").write_text("net: {mlp: {width: 4}}")
        >>> read_config(Path("run.yaml"), ["method", "net"])
        {'net': {'mlp': {'width': '4'}}}
    """
    kind = {".toml": "TOML", ".json": "JSON"}.get(file.suffix.lower(), "YAML")
    text = _decode(_read_bytes(file), file)
    try:
        content = {"TOML": _load_toml, "JSON": _load_json, "YAML": _load_yaml}[kind](text)
        _check_extent(content, _children)
    except yaml.MarkedYAMLError as error:
        raise ArgumentError(f"{file} is not valid YAML: {_place(error)}.{_hint(text, file)}") from None
    except (ValueError, yaml.YAMLError) as error:
        if isinstance(error, InputError):
            raise ArgumentError(f"{file} {error}") from None
        raise ArgumentError(f"{file} is not valid {kind}: {str(error).rstrip('.')}.") from None
    except RecursionError:
        raise ArgumentError(f"{file} is nested too deeply; components are at most {MAX_DEPTH} levels deep.") from None
    if not content and content != []:
        raise ArgumentError(f"{file} is empty; expected components, by {', '.join(slots)}.")
    if not isinstance(content, dict):
        raise ArgumentError(f"{file} does not contain a table; expected one with {', '.join(slots)}.")
    if unknown := [f"{file} has an unknown key {key!r}.{did_you_mean(key, slots)}" for key in content.keys() - slots]:
        raise ArgumentError("\n".join(sorted(unknown)))
    return content


def _read_bytes(file: Path) -> bytes:
    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            raise StoreError(f"{file} is a directory; `config` takes a TOML, YAML or JSON file.")
        if not stat.S_ISREG(mode):  # a device or a pipe may have no end, or no beginning
            raise StoreError(f"{file} is a device or a pipe; `config` takes a regular file.")
        with open(file, "rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}. Check `config`.") from None
    except ValueError as error:  # a NUL in the name, or a name that the locale cannot encode
        raise StoreError(f"{str(file)!r} cannot be read: {error}. Check `config`.") from None
    if len(data) > MAX_BYTES:
        raise StoreError(f"{file} has more than {MAX_BYTES:,} bytes; a configuration is a few lines. Check `config`.")
    return data


def _decode(data: bytes, file: Path) -> str:
    """The text of a file, which is UTF-8 whatever the locale is; a byte-order mark is not part of it."""
    encoding = next((name for mark, name in ENCODINGS.items() if data.startswith(mark)), None)
    if encoding is None and b"\0" in data:
        encoding = "UTF-16 without a byte-order mark, or no text at all"
    if encoding is None:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            encoding = f"another encoding than UTF-8, such as Latin-1 (line {line}, byte 0x{data[error.start]:02x})"
    raise ArgumentError(f"{file} is not valid UTF-8 text: it seems to be {encoding}. Save it as UTF-8.")


def _load_toml(text: str) -> Any:
    if _LONG_KEY.search(text):  # tomllib takes quadratic time on it
        raise RecursionError
    return tomllib.loads(text)


def _load_json(text: str) -> Any:
    def refuse(word: str) -> Any:
        raise ArgumentError(f"is not valid JSON: {word} is no number of JSON.")

    return json.loads(text, object_pairs_hook=_unique, parse_constant=refuse)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ArgumentError(f"has the key {key!r} twice in one table; give it once.")
        table[key] = value
    return table


class _Loader(TextLoader):
    """Refuses a key that stands twice in one table, a key that is no text, and aliases that expand without end."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        if node is None:
            return None
        _check_extent(node, _node_children)
        return self.construct_document(node)

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        self.depth = getattr(self, "depth", 0) + 1
        if self.depth > MAX_DEPTH:
            raise RecursionError
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            fault = None
            if not isinstance(key, yaml.ScalarNode):
                fault = "a key is a table or a list; expected a word"
            elif key.value in seen:
                fault = f"the key {key.value!r} is given twice in one table"
            if fault:
                raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
            seen.add(key.value)
            if key.tag != "tag:yaml.org,2002:merge":  # `<<`: a key of the table itself overrides a merged one
                key.tag = "tag:yaml.org,2002:str"
        return node


def _load_yaml(text: str) -> Any:
    return yaml.load(text, _Loader)


def _check_extent(root: Any, children: Callable[[Any], Iterable[Any]]) -> None:
    """Refuse what is too deep or too long. Aliases can make a few lines endless: a value counts each time it is met."""
    pending, count = [(root, 1)], 0
    while pending:
        value, depth = pending.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise RecursionError
        if count > MAX_VALUES:
            raise ArgumentError(f"holds more than {MAX_VALUES:,} values; a configuration is a few lines.")
        pending.extend((child, depth + 1) for child in children(value))


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _node_children(node: Any) -> Iterable[Any]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return where + ", ".join(filter(None, (error.context, error.problem)))


def _hint(text: str, file: Path) -> str:
    if "\t" in text:
        return " Indent with spaces, not tabs."
    return "" if file.suffix.lower() in (".yaml", ".yml") else " A TOML file needs the suffix .toml, a JSON file .json."
