"""Short forms of result values: numbers to three digits, tensors as their type and shape."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from html import escape
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


def printable(result: type[T]) -> type[T]:
    """Give a named tuple or dataclass a short ``repr``, and a table of its fields for notebooks.

    Example:
        >>> from surefooted.evaluation.metrics.paired import Difference
        >>> Difference(value=0.01234, low=-0.00567, high=0.0304, p=0.179, n=1000)
        Difference(value=0.0123, low=-0.00567, high=0.0304, p=0.179, n=1000)
    """
    for name, method in (("__repr__", _repr), ("_repr_html_", _html)):
        setattr(result, name, method)
    return result


def _repr(result: Any) -> str:
    return f"{type(result).__name__}({', '.join(f'{name}={_short(value)}' for name, value in _items(result))})"


def _html(result: Any) -> str:
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(_short(value))}</td></tr>" for name, value in _items(result))
    return f"<table><caption>{type(result).__name__}</caption>{''.join(rows)}</table>"


def _items(result: Any) -> list[tuple[str, Any]]:
    names = [field.name for field in fields(result)] if is_dataclass(result) else result._fields
    return [(name, getattr(result, name)) for name in names]


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}[{', '.join(map(str, value.shape))}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
