"""Components: plain functions. The signature is the schema, the docstring the help, and the result knows its name.

An attack, method, network, ... is made by a function. The aliases below put ranges into its signature; ``@checked``
enforces them on every call, from Python and from the command line alike, reports all that is wrong at once, and writes
the call's name and complete arguments on what was made: the ``spec`` that captions, files and keys quote.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, ParamSpec, TypeVar, cast

from pydantic import ConfigDict, Field, ValidationError, validate_call
from pydantic_core import CoreSchema, core_schema

from surefooted.components.spec import build
from surefooted.errors import InputError, did_you_mean

Count = Annotated[int, Field(ge=1, description="whole number from 1")]
Whole = Annotated[int, Field(ge=0, description="whole number from 0")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, description="number above 0")]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, description="number from 0")]
Share = Annotated[float, Field(ge=0, le=1, description="number in [0, 1]")]
Finite = Annotated[float, Field(allow_inf_nan=False, description="finite number")]

_P = ParamSpec("P")
_T = TypeVar("T")


@dataclass(frozen=True)
class Spec:
    """A component by name, with its complete arguments: plain data, fit for a file and a key.

    Attributes:
        arguments: numbers, strings and lists; a component among them stands as its own ``{name: arguments}``.
        version: of the component's code (``VERSION`` in its module, of all or by name); moves when its numbers do.
    """

    name: str
    arguments: dict[str, Any]
    version: int = 1

    def json(self) -> dict[str, Any]:
        """``{name: arguments}``, which ``spec.build`` reads back; ``name@2`` once its numbers have moved."""
        return {self.name if self.version == 1 else f"{self.name}@{self.version}": self.arguments}

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={_brief(v)}' for k, v in self.arguments.items())})"


class Component:
    """Base of what components make. Where one is an argument of another, its name will do: ``pgd(objective="dlr")``.

    Attributes:
        kind: the key of ``KINDS`` under which names of this class are looked up.
        spec: the call that made it; None if it was put together by hand.
    """

    kind: ClassVar[str]
    spec: Spec | None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        def read(value: Any) -> Any:
            return build(cls.kind, value) if isinstance(value, str | dict) else value

        return core_schema.no_info_before_validator_function(read, core_schema.is_instance_schema(cls))


def component(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Check the arguments of every call against the signature, and write the ``spec`` on the result."""
    signature = inspect.signature(function)
    # What is given by position only is what the component is made for (image shape, classes), not how.
    described = {k for k, p in signature.parameters.items() if p.kind is not p.POSITIONAL_ONLY}
    # Unwrapped: what checks shapes at run time has globals of its own.
    moved = inspect.unwrap(function).__globals__.get("VERSION", 1)
    version = moved.get(function.__name__, 1) if isinstance(moved, dict) else moved

    @functools.wraps(function)
    def named(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        made = function(*args, **kwargs)
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        if isinstance(made, Component) or callable(made):  # a metric's plain number carries no name
            options = {k: to_plain(v) for k, v in given.arguments.items() if k in described}
            object.__setattr__(made, "spec", Spec(function.__name__, options, version))
        return made

    valid = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(named)

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return cast(_T, valid(*args, **kwargs))
        except ValidationError as error:
            raise InputError(explain_faults(error, function)) from None

    return call


def to_plain(value: Any) -> Any:
    """An argument as plain data; a component as its spec."""
    if isinstance(spec := getattr(value, "spec", None), Spec):
        return spec.json()
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    return str(value) if isinstance(value, PurePath) else value


def explain_faults(error: ValidationError, function: Callable) -> str:
    """All faults of one call, a line each, with the nearest name for an unknown argument."""
    parameters = inspect.signature(function).parameters
    names = list(parameters)
    offered = [name for name, p in parameters.items() if p.kind is not p.POSITIONAL_ONLY]
    lines = []
    for fault in error.errors(include_url=False):
        first, *rest = fault["loc"]  # an argument given by position is told by its number
        where = ".".join([names[first] if isinstance(first, int) else first, *map(str, rest)])
        if fault["type"] == "unexpected_keyword_argument":
            hint = did_you_mean(where, offered) if offered else " It takes none."
            if where in parameters:
                hint = " It is not an option: what it is made for brings it. Leave it out."
            lines.append(f"{function.__name__} has no argument {where!r}.{hint}")
        elif fault["type"].startswith("missing"):
            lines.append(f"{function.__name__} needs the argument {where!r}.")
        elif fault["type"] == "tuple_type" and isinstance(seen := fault["input"], str):
            several = f"[{seen}], and several with commas between: [{seen},...]"
            lines.append(f"{function.__name__}: {where} = {seen!r}: expected a list; write {several}.")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            end = "" if message.endswith((".", "?")) else "."
            seen = reprlib.repr(fault["input"])
            lines.append(f"{function.__name__}: {where} = {seen}: {message[:1].lower()}{message[1:]}{end}")
    return "\n".join(lines)


def _brief(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        ((name, arguments),) = value.items()
        return str(Spec(name, arguments)) if arguments else str(name)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
