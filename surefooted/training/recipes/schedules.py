"""Schedules of the optimiser beside the plain ones of ``recipe``: one cycle as in torch, and functions of the user."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from surefooted.components.code import Code, arguments_of, find_code, first_line, is_code, keep_code
from surefooted.components.component import Spec
from surefooted.components.spec import parse_spec
from surefooted.errors import ArgumentError, did_you_mean

SCHEDULES = ("constant", "steps", "cyclic", "cosine", "onecycle")
# The defaults of torch.optim.lr_scheduler.OneCycleLR.
_FIRST_DIVISOR, _LAST_DIVISOR = 25.0, 1e4
_MOMENTA = 0.85, 0.95
_BETA_2 = 0.999


@dataclass(frozen=True, eq=False)
class OwnSchedule:
    """A user's function from the share of the training that is done to the factor of the learning rate.

    Attributes:
        code: the function.
    """

    code: Code

    @property
    def spec(self) -> Spec:
        return Spec(self.code.name, {}, self.code.digest)

    def __call__(self, progress: float) -> float:
        """The factor.

        Raises:
            ArgumentError: if the function fails, or returns anything but a finite number from 0.
        """
        try:
            value = self.code.value(progress)
            factor = float(value)
        except (Exception, SystemExit) as error:
            raise ArgumentError(
                f"The schedule {self.code.name} failed at {progress:g} of the training ({first_line(error)}). Expected "
                "a function from a number in [0, 1) to the factor of the learning rate."
            ) from error
        if not (math.isfinite(factor) and factor >= 0):
            raise ArgumentError(
                f"The schedule {self.code.name} returns {factor:g} at {progress:g} of the training; expected a finite "
                "number from 0, the factor of the learning rate."
            )
        return factor


def read_schedule(given: Any) -> str | OwnSchedule:
    """The name of a schedule, or a schedule of the user's code.

    Args:
        given: a name, ``module:function``, or a function.

    Raises:
        ValueError: for an unknown name.
        ArgumentError: if the function cannot be found, or is none of one number.

    Example:
        >>> read_schedule("cosine")
        'cosine'
        >>> read_schedule("math:cos")(0.0)
        1.0
    """
    if isinstance(given, OwnSchedule) or given in SCHEDULES:
        schedule: str | OwnSchedule = given
        return schedule
    name = parse_spec(given)[0] if isinstance(given, str | Mapping) else ""
    if not callable(given) and not is_code(name):
        raise ValueError(f"expected one of the schedules, or MODULE:FUNCTION.{did_you_mean(name, SCHEDULES)}")
    code = keep_code(given) if callable(given) else find_code(name)
    if not callable(code.value):
        raise ArgumentError(f"The schedule {code.name} is no function.")
    parameters = arguments_of(code.value).values()
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.kind < p.VAR_POSITIONAL]
    if len(required) > 1:
        raise ArgumentError(
            f"The schedule {code.name} takes the arguments ({', '.join(required)}); expected one, the share of the "
            "training that is done."
        )
    own = OwnSchedule(code)
    for progress in (0.0, 0.5):  # a fault is reported before the training, if it shows
        own(progress)
    return own


def one_cycle(
    lr: float, rise: float, momentum: Literal["lr", "momentum", "betas"]
) -> Callable[[float, float], dict[str, Any]]:
    """The settings of ``torch.optim.lr_scheduler.OneCycleLR`` with its defaults, from a step and the number of steps.

    Args:
        lr: highest learning rate.
        rise: share of the steps over which it rises.
        momentum: what falls from 0.95 to 0.85 and rises again: ``momentum`` of SGD, the first of the ``betas`` of Adam;
            ``lr`` sets the learning rate alone.

    Example:
        >>> settings = one_cycle(1.0, 0.3, "momentum")
        >>> [settings(step, 10) for step in (0, 2, 9)]
        [{'lr': 0.04, 'momentum': 0.95}, {'lr': 1.0, 'momentum': 0.85}, {'lr': 4...e-06, 'momentum': 0.95}]
    """
    first, low, high = lr / _FIRST_DIVISOR, *_MOMENTA
    last = first / _LAST_DIVISOR

    def settings(step: float, steps: float) -> dict[str, Any]:
        peak, end = float(rise * steps) - 1, float(steps - 1)
        if step <= peak:
            share = step / peak if peak else 1.0
            rate, beta = _cosine(first, lr, share), _cosine(high, low, share)
        else:
            share = min((step - peak) / (end - peak), 1.0)
            rate, beta = _cosine(lr, last, share), _cosine(low, high, share)
        extra = {"lr": {}, "momentum": {"momentum": beta}, "betas": {"betas": (beta, _BETA_2)}}[momentum]
        return {"lr": rate, **extra}

    return settings


def _cosine(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine, in the arithmetic of torch."""
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
