"""Components: plain functions. The signature is the schema, the docstring the help, and the result knows its spec.

A function makes an attack, a method, a network, ... The aliases below annotate its arguments with ranges. The decorator
``component`` validates every call, from Python and from the command line, reports all faults in one error, and writes
the name and the complete arguments of the call on the result: the ``spec`` that captions, files and keys quote.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, ParamSpec, TypeVar

from pydantic import ConfigDict, Field, ValidationError, validate_call
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from surefooted.components.spec import build
from surefooted.errors import ArgumentError, did_you_mean

Count = Annotated[int, Field(ge=1, description="whole number from 1")]
Whole = Annotated[int, Field(ge=0, description="whole number from 0")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, description="number above 0")]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, description="number from 0")]
Share = Annotated[float, Field(ge=0, le=1, description="number in [0, 1]")]
Finite = Annotated[float, Field(allow_inf_nan=False, description="finite number")]

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, repr=False)
class Spec:
    """The name and the complete arguments of a component: plain data that fits in a file and in a key.

    Attributes:
        name: the function that made the component.
        arguments: numbers, strings and lists; a component among them is its own ``{name: arguments}``.
        version: version of the component's numbers (``VERSION`` in its module, for all components or by name).

    Example:
        >>> import surefooted as sf
        >>> sf.scores.entm_loss(lam=1.5).spec
        entm_loss(lam=1.5)
        >>> sf.scores.entm_loss(lam=1.5).spec.json()
        {'entm_loss@2': {'lam': 1.5}}
    """

    name: str
    arguments: dict[str, Any]
    version: int = 1

    def json(self) -> dict[str, Any]:
        """``{name: arguments}``, a copy that ``build`` reads back; the name is ``name@2`` from version 2 on."""
        return {self.name if self.version == 1 else f"{self.name}@{self.version}": deepcopy(self.arguments)}

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={_short(value)}' for name, value in self.arguments.items())})"

    __repr__ = __str__


class Component:
    """Base class of what components make. An argument of such a type also takes a name: ``pgd(objective="dlr")``.

    Attributes:
        kind: the key of ``KINDS`` under which names of this class are looked up.
        spec: the call that made the component; None if no registered function made it.
    """

    kind: ClassVar[str]
    spec: Spec | None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        def from_name(value: Any) -> Any:
            return build(cls.kind, value) if isinstance(value, str | dict) else value

        return core_schema.no_info_before_validator_function(from_name, core_schema.is_instance_schema(cls))


def component(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Validate the arguments of every call against the signature, and write the ``spec`` on the result.

    Raises:
        ArgumentError: when the decorated function is called with invalid arguments; the message lists all faults.

    Example:
        >>> @component
        ... def scaled(*, scale: Positive = 1.0):
        ...     return lambda x: scale * x
        >>> scaled(scale="0.5").spec
        scaled(scale=0.5)
        >>> scaled(scael=2)
        Traceback (most recent call last):
        surefooted.errors.ArgumentError: scaled has no argument 'scael'. Did you mean 'scale'?
    """
    signature = inspect.signature(function)
    # Positional-only arguments (image shape, number of classes) say what the component is made for, not how: they are
    # no part of the spec.
    options = {name for name, p in signature.parameters.items() if p.kind is not p.POSITIONAL_ONLY}
    # Unwrapped, because a run-time check of shapes wraps the function in one of another module.
    versions = inspect.unwrap(function).__globals__.get("VERSION", 1)
    version = versions.get(function.__name__, 1) if isinstance(versions, dict) else versions

    # Arguments that came after results were stored stay out of the spec at their defaults, so that keys stay.
    added = inspect.unwrap(function).__globals__.get("ADDED", ())
    defaults = {name: signature.parameters[name].default for name in added if name in signature.parameters}

    @functools.wraps(function)
    def with_spec(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        made = function(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if isinstance(made, Component) or callable(made):  # not the plain number that a metric returns
            arguments = {name: to_plain(value) for name, value in bound.arguments.items() if name in options}
            arguments = {k: v for k, v in arguments.items() if k not in defaults or v != defaults[k]}
            object.__setattr__(made, "spec", Spec(function.__name__, arguments, version))
        return made

    validated = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(with_spec)

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return validated(*args, **kwargs)
        except ValidationError as error:
            raise ArgumentError(explain_faults(error, function)) from None

    return call


def to_plain(value: Any) -> Any:
    """An argument as plain data: a component becomes its spec, a tuple a list, a path a string.

    Example:
        >>> to_plain((1, PurePath("a") / "b"))
        [1, 'a/b']
    """
    if isinstance(spec := getattr(value, "spec", None), Spec):
        return spec.json()
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    return str(value) if isinstance(value, PurePath) else value


def explain_faults(error: ValidationError, function: Callable[..., Any]) -> str:
    """All faults of one call, one per line; for an unknown argument with the nearest known name."""
    parameters = inspect.signature(function).parameters
    return "\n".join(_explain_fault(fault, function.__name__, parameters) for fault in error.errors(include_url=False))


def _explain_fault(fault: ErrorDetails, name: str, parameters: Mapping[str, inspect.Parameter]) -> str:
    first, *rest = fault["loc"]
    argument = list(parameters)[first] if isinstance(first, int) else first  # pydantic numbers positional arguments
    where = ".".join([argument, *map(str, rest)])
    if fault["type"] == "unexpected_keyword_argument":
        options = [option for option, p in parameters.items() if p.kind is not p.POSITIONAL_ONLY]
        hint = did_you_mean(where, options) if options else " It takes no arguments."
        if where in parameters:
            hint = " It is not an option: Surefooted supplies it. Leave it out."
        return f"{name} has no argument {where!r}.{hint}"
    if fault["type"].startswith("missing"):
        return f"{name} needs the argument {where!r}."
    seen = fault["input"]
    if fault["type"] == "tuple_type" and isinstance(seen, str):
        return f"{name}: {where} = {seen!r}: expected a list. Write [{seen}] for one value, [{seen},...] for several."
    message = fault["msg"].removeprefix("Value error, ")
    end = "" if message.endswith((".", "?")) else "."
    return f"{name}: {where} = {reprlib.repr(seen)}: {message[:1].lower()}{message[1:]}{end}"


def _short(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        ((name, arguments),) = value.items()
        return str(Spec(name, arguments)) if arguments else str(name)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
