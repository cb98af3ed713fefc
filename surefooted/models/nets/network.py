"""The decorator of networks: a component that also states the smallest image that it reads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar, cast, runtime_checkable

from torch import nn

from surefooted.components.component import Count, component
from surefooted.components.spec import names, resolve
from surefooted.errors import ArgumentError

Shape = tuple[Count, Count, Count]
"""(C, H, W) of the images."""

Args = ParamSpec("Args")
Net = TypeVar("Net", bound=nn.Module, covariant=True)


@runtime_checkable
class NetworkFactory(Protocol[Args, Net]):
    """A component that builds a network: ``factory(shape, classes, **options)``.

    Attributes:
        min_side: minimum height and width of the images, in pixels.
    """

    min_side: int

    def __call__(self, *args: Args.args, **kwargs: Args.kwargs) -> Net: ...


def image_network(*, min_side: int = 1) -> Callable[[Callable[Args, Net]], NetworkFactory[Args, Net]]:
    """Declare a network: a component whose first argument is the shape of the images, which may be too small.

    Args:
        min_side: minimum height and width of the images, in pixels; the layers would shrink smaller ones to nothing.

    Example:
        >>> import surefooted as sf
        >>> sf.nets.lenet.min_side
        12
    """

    def declare(factory: Callable[Args, Net]) -> NetworkFactory[Args, Net]:
        @functools.wraps(factory)
        def sized(*args: Args.args, **options: Args.kwargs) -> Net:
            _check_size(factory.__name__, min_side, cast(Shape, args[0]))
            return factory(*args, **options)

        declared = cast(NetworkFactory[Args, Net], component(sized))
        declared.min_side = min_side
        return declared

    return declare


def _check_size(name: str, min_side: int, shape: Shape) -> None:
    _, height, width = shape
    if min(height, width) < min_side:
        factories = {
            other: cast(NetworkFactory[..., nn.Module], resolve("network", other)) for other in names("network")
        }
        fitting = [other for other, factory in factories.items() if factory.min_side <= min(height, width)]
        raise ArgumentError(
            f"{name} needs images of at least {min_side}×{min_side} pixels; these have {height}×{width}. "
            f"Enlarge the images, or use a network that reads them: {', '.join(fitting)}."
        )
