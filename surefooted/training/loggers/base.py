"""What a logger is: three calls per training. Any object that has them is a logger."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from surefooted.components.code import first_line
from surefooted.components.component import Component, Spec
from surefooted.errors import DependencyError


@runtime_checkable
class Logger(Protocol):
    """Where the history of a training goes.

    A logger sees every epoch once and in order. Epochs that a checkpoint or the store has already come first, at once.

    Example:
        >>> class Printer:
        ...     def start(self, key, arguments): print(arguments["method"])
        ...     def log(self, entry): print(entry["epoch"])
        ...     def finish(self): print("done")
        >>> import surefooted as sf
        >>> data = {"digits": {"train_limit": 64}}
        >>> run = sf.train("vanilla", "mlp", data, {"recipe": {"epochs": 2}}, loggers=[Printer()])
        {'vanilla': {}}
        1
        2
        done
    """

    def start(self, key: str, arguments: Mapping[str, Any]) -> None:
        """Called once before the first epoch.

        Args:
            key: of the training in the store.
            arguments: the complete arguments of the training.
        """

    def log(self, entry: Mapping[str, Any]) -> None:
        """Called with the history entry of every epoch."""

    def finish(self) -> None:
        """Called once after the last epoch, or after an error."""


class NamedLogger(Component):
    """Base of the loggers of this package, which have a name and arguments."""

    kind: ClassVar[str] = "logger"
    spec: Spec | None = None


def numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a history entry but the epoch; a list gives one for each of its elements.

    Example:
        >>> numbers({"epoch": 1, "loss": 0.5, "soft_labels": [0.9, 0.8]})
        {'loss': 0.5, 'soft_labels.0': 0.9, 'soft_labels.1': 0.8}
    """
    found: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, list):
            found |= {f"{name}.{k}": float(one) for k, one in enumerate(value)}
        elif name != "epoch":
            found[name] = float(value)
    return found


def flat(arguments: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested arguments as one level, with dots in their names.

    Example:
        >>> flat({"net": {"mlp": {"width": 8}}, "seed": 0})
        {'net.mlp.width': 8, 'seed': 0}
    """
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value if isinstance(value, str | int | float | bool) else str(value)
    return found


def load_package(module: str, package: str) -> Any:
    """Import an optional package.

    Raises:
        DependencyError: if it is missing; another message if it is installed but broken.

    Example:
        >>> load_package("missing.part", "missing")
        Traceback (most recent call last):
        surefooted.errors.DependencyError: This logger needs the package missing. Run: pip install missing.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name in (module, module.partition(".")[0], package):
            raise DependencyError(f"This logger needs the package {package}. Run: pip install {package}.") from None
        fault: Exception = error
    except Exception as error:
        fault = error
    raise DependencyError(
        f"The package {package} is installed but cannot be imported ({first_line(fault)}). Install it again, or a "
        "version that fits the other packages."
    ) from fault
