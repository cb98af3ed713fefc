"""Arguments with their ranges in the signature, checked where a component is made.

A component (attack, method, network, ...) is a plain function that returns the thing. Its signature is the schema:
the aliases below put ranges into it, ``@checked`` enforces them on every call, from Python and from the command line
alike, and reports all that is wrong at once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar, cast

from pydantic import ConfigDict, Field, ValidationError, validate_call

from surefooted.errors import InputError, did_you_mean

Count = Annotated[int, Field(ge=1, description="whole number from 1")]
Whole = Annotated[int, Field(ge=0, description="whole number from 0")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, description="number above 0")]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, description="number from 0")]
Share = Annotated[float, Field(ge=0, le=1, description="number in [0, 1]")]
Finite = Annotated[float, Field(allow_inf_nan=False, description="finite number")]

P = ParamSpec("P")
T = TypeVar("T")


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Check the arguments of every call against the signature; all faults in one ``InputError``."""
    valid = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return cast(T, valid(*args, **kwargs))
        except ValidationError as error:
            raise InputError(explain(error, function)) from None

    return call


def explain(error: ValidationError, function: Callable) -> str:
    """All faults of one call, a line each, with the nearest name for an unknown argument."""
    names = list(inspect.signature(function).parameters)
    lines = []
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "unexpected_keyword_argument":
            hint = did_you_mean(where, names) if names else " It takes none."
            lines.append(f"{function.__name__} has no argument {where!r}.{hint}")
        elif fault["type"].startswith("missing"):
            lines.append(f"{function.__name__} needs the argument {where!r}.")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{function.__name__}: {where} = {fault['input']!r}: {message[:1].lower()}{message[1:]}.")
    return "\n".join(lines)
