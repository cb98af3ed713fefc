"""Arrays of the user as tensors: NumPy arrays, lists, tuples and tensors with gradients are all read alike."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import numpy as np
import torch
from pydantic import BeforeValidator
from torch import Tensor

from surefooted.errors import ArgumentError

# A tensor, a NumPy array, a list or tuple of numbers, or anything that NumPy reads as an array.
ArrayLike: TypeAlias = Any


def as_tensor(value: ArrayLike, name: str) -> Tensor:
    """Read an array as a tensor without gradients; messages name the argument `name`.

    Args:
        value: a tensor, a NumPy array, a list or tuple of numbers or of tensors, or anything that NumPy reads.
        name: the argument, for error messages.

    Raises:
        ArgumentError: if it is not an array of numbers.

    Example:
        >>> as_tensor([[0.5, 0.5]], "p").shape
        torch.Size([1, 2])
        >>> as_tensor("cat", "y")
        Traceback (most recent call last):
        surefooted.errors.ArgumentError: `y` is 'cat'; expected numbers: a tensor, a NumPy array or a list.
    """
    if isinstance(value, Tensor):
        return value.detach()
    try:
        if isinstance(value, list | tuple) and value and all(isinstance(item, Tensor) for item in value):
            return torch.stack(list(value)).detach()
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise ValueError
        # Torch reads neither long doubles, nor most unsigned integers, nor the bytes of another machine.
        known = {"f": array.dtype.itemsize <= 8, "u": array.dtype.itemsize == 1}.get(array.dtype.kind, True)
        array = array.astype(array.dtype.newbyteorder("=") if known else {"f": "f8", "u": "i8"}[array.dtype.kind])
        return torch.tensor(np.ascontiguousarray(array) if array.ndim else array)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        shown = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
        raise ArgumentError(f"`{name}` is {shown}; expected numbers: a tensor, a NumPy array or a list.") from None


def _validated(value: Any) -> Any:
    """For pydantic, which names the argument itself."""
    try:
        return as_tensor(value, "")
    except ArgumentError:
        raise ValueError("expected numbers: a tensor, a NumPy array or a list") from None


# The argument of a component: what is given is read as a tensor.
AnyArray = Annotated[Tensor, BeforeValidator(_validated)]
