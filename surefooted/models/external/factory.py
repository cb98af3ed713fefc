"""Classifiers made by a function in Python code that is not ours."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from surefooted.errors import InputError


def build_from_factory(module: str, function: str) -> nn.Module:
    """Call a factory, or take a module as it is; files in the working directory are found, as by ``python -m``."""
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise InputError(
            f"--model {module}:{function} names no function; write MODULE:FUNCTION, such as mymodels:resnet."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a stranger's code raises; a script may end the program
        raise InputError(
            f"the module {module!r} cannot be imported ({_fault(error)}); run where it lies, or set PYTHONPATH to its "
            f'folder, and try: python -c "import {module}".'
        ) from None
    factory = getattr(found, function, None)
    if isinstance(factory, nn.Module):
        return factory
    if not callable(factory):
        raise InputError(
            f"{module} has no function {function!r}; expected one that takes no arguments and returns a module."
        )
    if needed := _needed(factory):
        raise InputError(
            f"{module}:{function} needs arguments ({', '.join(needed)}); expected a function that takes none. Write "
            f"one that fills them in: def model(): return {function}({', '.join(f'{name}=...' for name in needed)})."
        )
    try:
        net = factory()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{module}:{function} failed ({_fault(error)}). For the whole traceback: "
            f'python -c "import {module}; {module}.{function}()".'
        ) from None
    if not isinstance(net, nn.Module):
        raise InputError(f"{module}:{function} returned a {type(net).__name__}; expected a torch.nn.Module.")
    return net


def _needed(factory: Callable[..., Any]) -> list[str]:
    """Arguments without a default."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # made in C
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _fault(error: BaseException) -> str:
    """Kind, first line and place of what a stranger's code raised."""
    first = next(iter(str(error).strip().splitlines()), "")
    _, *frames = traceback.extract_tb(error.__traceback__)  # the first is ours
    theirs = [one for one in frames if not any(path in one.filename for path in ("importlib", "site-packages"))]
    place = f", {Path(theirs[-1].filename).name} line {theirs[-1].lineno}" if theirs else ""
    return f"{type(error).__name__}{': ' * bool(first)}{first}{place}"
