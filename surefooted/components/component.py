"""Components: plain functions. The signature is the schema, the docstring the help, and the result knows its spec.

A function makes an attack, a method, a network, ... The aliases below annotate its arguments with ranges. The decorator
``component`` validates every call, from Python and from the command line, reports all faults in one error, and writes
the name and the complete arguments of the call on the result: the ``spec`` that captions, files and keys quote.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import PurePath
from types import UnionType
from typing import Annotated, Any, ClassVar, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, validate_call
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from surefooted.components.spec import accepts_code, build
from surefooted.components.spelling import VALUES, suggest, understand
from surefooted.components.text import choices
from surefooted.errors import ArgumentError

# Tensors hold float32 and int64; a larger number would overflow in the middle of a run.
LARGEST_FLOAT = 3.4e38
LARGEST_INT = 2**63 - 1


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        raise ValueError(f"expected a number, not {str(bool(value)).lower()}")
    return value


# Python, and with it pydantic, counts True as the number 1: ``pgd(eps=True)`` would be an attack.
NO_BOOL = BeforeValidator(_refuse_bool)

Count = Annotated[int, Field(ge=1, le=LARGEST_INT, description="whole number from 1"), NO_BOOL]
Whole = Annotated[int, Field(ge=0, le=LARGEST_INT, description="whole number from 0"), NO_BOOL]
Positive = Annotated[float, Field(gt=0, le=LARGEST_FLOAT, allow_inf_nan=False, description="number above 0"), NO_BOOL]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST_FLOAT, allow_inf_nan=False, description="number from 0"), NO_BOOL]
Share = Annotated[float, Field(ge=0, le=1, description="number in [0, 1]"), NO_BOOL]
Finite = Annotated[
    float, Field(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT, allow_inf_nan=False, description="finite number"), NO_BOOL
]

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, repr=False)
class Spec:
    """The name and the complete arguments of a component: plain data that fits in a file and in a key.

    Attributes:
        name: the function that made the component.
        arguments: numbers, strings and lists; a component among them is its own ``{name: arguments}``.
        version: version of the component's numbers: ``VERSION`` in its module, for all components or by name; a
            function of the arguments where only some of them have other numbers. For a user's code, the hash of its
            source.

    Example:
        >>> import surefooted as sf
        >>> sf.scores.entm_loss(lam=1.5).spec
        entm_loss(lam=1.5)
        >>> sf.scores.entm_loss(lam=1.5).spec.json()
        {'entm_loss@2': {'lam': 1.5}}
    """

    name: str
    arguments: dict[str, Any]
    version: int | str = 1

    def json(self) -> dict[str, Any]:
        """``{name: arguments}``, a copy that ``build`` reads back; the name is ``name@2`` from version 2 on."""
        return {self.name if self.version == 1 else f"{self.name}@{self.version}": deepcopy(self.arguments)}

    def __str__(self) -> str:
        if self.name.endswith(")"):  # a formula
            return self.name
        return f"{self.name}({', '.join(f'{name}={_short(value)}' for name, value in self.arguments.items())})"

    __repr__ = __str__


@dataclass(frozen=True)
class Fault:
    """What is wrong with one argument of a call.

    Attributes:
        path: the argument, and the position in it: ``drops.0``. Empty if the text says all.
        value: the value that was given, in few characters.
        text: what was expected.
    """

    path: str
    value: str
    text: str


class CallError(ArgumentError):
    """A function was called with invalid arguments.

    Attributes:
        function: name of the function.
        faults: one per argument.

    Example:
        >>> error = CallError("pgd", [Fault("eps", "'much'", "expected a number.")])
        >>> str(error), error.within("attack")
        ("pgd: eps = 'much': expected a number.", "`attack.eps` is 'much': expected a number.")
    """

    def __init__(self, function: str, faults: Sequence[Fault]) -> None:
        self.function, self.faults = function, list(faults)
        super().__init__("\n".join(f"{function}: {one.path} = {one.value}: {one.text}" if one.path else one.text
                                   for one in faults))  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:  # a worker process may raise it
        return type(self), (self.function, self.faults)

    def within(self, slot: str) -> str:
        """The message for arguments that the user gives as ``slot.argument``; as ``argument`` if the slot is empty."""
        return "\n".join(
            f"`{'.'.join(filter(None, (slot, one.path)))}` is {one.value}: {one.text}" if one.path else one.text
            for one in self.faults
        )


@contextmanager
def in_slot(slot: str) -> Iterator[None]:
    """Name the arguments of a component that is built in the block by the slot that it is for.

    Example:
        >>> with in_slot("attack"):
        ...     build("attack", {"pgd": {"steps": 0}})
        Traceback (most recent call last):
        surefooted.errors.ArgumentError: `attack.steps` is 0: input should be greater than or equal to 1.
    """
    try:
        yield
    except CallError as error:
        raise ArgumentError(error.within(slot)) from None


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
            is_code = accepts_code(cls.kind) and callable(value) and not isinstance(value, Component)
            return build(cls.kind, value) if is_code or isinstance(value, str | dict) else value

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
        surefooted.components.component.CallError: scaled has no argument 'scael'. Did you mean 'scale'?
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
            now = version(arguments) if callable(version) else version
            object.__setattr__(made, "spec", Spec(function.__name__, arguments, now))
        return made

    hints = get_type_hints(function, include_extras=True)
    with_spec.__annotations__ = {name: _without_bool(hint) for name, hint in hints.items()}
    validated = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(with_spec)

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return validated(*args, **kwargs)
        except ValidationError as error:
            if respelt := respell(error, function, kwargs):
                return call(*args, **(kwargs | respelt))  # type: ignore[arg-type]
            raise call_error(error, function) from None

    return call


def respell(error: ValidationError, function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are one of their choices in another spelling, such as ``norm="Linf"``, in the right one.

    Example:
        >>> from surefooted.attacks import pgd
        >>> pgd(norm="L2", eps=0.5).spec.arguments["norm"]
        'l2'
    """
    hints, respelt = get_type_hints(function), {}
    for name in {str(fault["loc"][0]) for fault in error.errors(include_url=False)} & given.keys() & hints.keys():
        allowed = choices(hints[name])
        if isinstance(given[name], str | int | float) and given[name] not in allowed:
            respelt[name] = understand(str(given[name]), allowed, VALUES)
    return {name: value for name, value in respelt.items() if value is not None}


def _without_bool(hint: Any) -> Any:
    """A type that takes no True or False for a number, at any depth."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        number = parts[0] in (int, float) and NO_BOOL not in parts
        return Annotated[(*parts, NO_BOOL)] if number else hint
    if hint in (int, float):
        return Annotated[hint, NO_BOOL]
    if origin in (Union, UnionType) and bool not in parts:
        return Union[tuple(map(_without_bool, parts))]  # noqa: UP007 - of any number of types
    if origin in (tuple, list):
        return origin[tuple(_without_bool(part) for part in parts)]
    return hint


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
    if isinstance(value, float):
        return value + 0.0  # -0.0 is 0.0: equal arguments have equal keys
    return str(value) if isinstance(value, PurePath) else value


def call_error(error: ValidationError, function: Callable[..., Any]) -> CallError:
    """All faults of one call; for an unknown argument with the nearest known name."""
    parameters = inspect.signature(function).parameters
    faults: dict[tuple[str, str], Fault] = {}
    for fault in error.errors(include_url=False):
        for one in _faults(fault, function.__name__, parameters):
            # Of a union, the alternatives that failed say in turn what they had expected; the first is enough.
            faults.setdefault((one.path, one.text if not one.path else ""), one)
    return CallError(function.__name__, list(faults.values()))


def _faults(fault: ErrorDetails, name: str, parameters: Mapping[str, inspect.Parameter]) -> list[Fault]:
    first, *rest = fault["loc"]
    argument = list(parameters)[first] if isinstance(first, int) else first  # pydantic numbers positional arguments
    if fault["type"] == "unexpected_keyword_argument":
        options = [option for option, p in parameters.items() if p.kind is not p.POSITIONAL_ONLY]
        hint = suggest(argument, options) if options else " It takes no arguments."
        if argument in parameters:
            hint = " It is not an option: Surefooted supplies it. Leave it out."
        return [Fault("", "", f"{name} has no argument {argument!r}.{hint}")]
    if fault["type"].startswith("missing"):
        return [Fault("", "", f"{name} needs the argument {argument!r}.")]
    where = ".".join([argument, *(str(part) for part in rest if isinstance(part, int))])  # words name types of a union
    nested = fault.get("ctx", {}).get("error")
    if isinstance(nested, CallError):
        return [Fault(f"{where}.{one.path}", one.value, one.text) if one.path else one for one in nested.faults]
    seen, message = fault["input"], fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "tuple_type" and isinstance(seen, str):
        return [Fault(where, repr(seen), f"expected a list. Write [{seen}] for one value, [{seen},...] for several.")]
    if fault["type"] == "string_type":
        message = "expected text; write it in quotes"
    if fault.get("ctx", {}).get("le") == LARGEST_FLOAT:
        message = f"tensors hold numbers up to {LARGEST_FLOAT:g}"
    end = "" if message.endswith((".", "?")) else "."
    return [Fault(where, reprlib.repr(seen), f"{message[:1].lower()}{message[1:]}{end}")]


def _short(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        ((name, arguments),) = value.items()
        return str(Spec(name, arguments)) if arguments else str(name)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
