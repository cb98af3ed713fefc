"""Classifiers that a function in the user's Python code builds."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from torch import nn

from surefooted.errors import ModelError
from surefooted.models.guard import contained, describe_error

_BOX_OUTPUTS = "`outputs=probabilities`, `outputs=logits` or `outputs=labels`"


def build_from_factory(module: str, function: str, *, takes_images: bool = False) -> nn.Module | Callable[[Any], Any]:
    """Call a factory, or take an existing module or black box.

    Modules in the working directory are found, as by ``python -m``.

    Args:
        module: dotted name of a Python module.
        function: name of a function without arguments that returns a ``torch.nn.Module``, or of such a module.
        takes_images: also accept a black box: a function of one argument, an array of images, or what a factory returns
            if that can be called.

    Raises:
        ModelError: if the module cannot be imported, or the function is missing, needs other arguments, fails or
            returns something else.

    Example:
        >>> build_from_factory("torch.nn", "Flatten")
        Flatten(start_dim=1, end_dim=-1)
    """
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ModelError(f"{module}:{function} names no function; expected MODULE:FUNCTION, such as mymodels:resnet.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        with contained():
            imported = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # the user's code may raise anything, and a script may exit
        raise ModelError(
            f"The module {module!r} cannot be imported ({describe_error(error)}). Run in its folder or add that "
            f'folder to PYTHONPATH, and try: python -c "import {module}".'
        ) from None
    factory: Any = getattr(imported, function, None)
    if isinstance(factory, nn.Module):
        return factory
    if not callable(factory):
        raise ModelError(
            f"{module} has no function {function!r}; expected one that takes no arguments and returns a "
            "torch.nn.Module."
        )
    required = _required_arguments(factory)
    if takes_images and len(required) == 1:
        box: Callable[[Any], Any] = factory
        return box
    if required:
        hint = f" If it takes images itself (a black box), say what it returns: {_BOX_OUTPUTS}." * (len(required) == 1)
        raise ModelError(
            f"{module}:{function} needs arguments ({', '.join(required)}); expected a function that takes none. Write "
            f"one that fills them in: def model(): return {function}({', '.join(f'{name}=...' for name in required)})."
            f"{hint}"
        )
    try:
        with contained():
            net: nn.Module | Callable[[Any], Any] = factory()
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"{module}:{function} failed ({describe_error(error)}). To see the traceback: "
            f'python -c "import {module}; {module}.{function}()".'
        ) from None
    if isinstance(net, nn.Module) or (takes_images and callable(net)):
        return net
    hint = f" If it takes images (a black box), say what it returns: {_BOX_OUTPUTS}." * callable(net)
    raise ModelError(f"{module}:{function} returned a {type(net).__name__}; expected a torch.nn.Module.{hint}")


def _required_arguments(factory: Callable[..., Any]) -> list[str]:
    """Names of the arguments without a default."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # a function written in C
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
