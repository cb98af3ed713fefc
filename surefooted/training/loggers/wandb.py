"""Logger to Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surefooted.components.component import component
from surefooted.training.loggers.base import NamedLogger, load_package, numbers


class WandbLogger(NamedLogger):
    """Opens a run of Weights & Biases per training, with the arguments as its configuration.

    Args:
        project: name of the project.
        mode: ``online``, ``offline`` or ``disabled``; empty for the package's own setting.
    """

    def __init__(self, project: str, mode: str) -> None:
        self.project, self.mode = project, mode
        self.run: Any = None

    def start(self, key: str, arguments: Mapping[str, Any]) -> None:
        package = load_package("wandb", "wandb")
        # One run per training, also if it is killed and resumed.
        self.run = package.init(
            project=self.project,
            id=key[:12],
            resume="allow",
            config=dict(arguments) | {"key": key},
            mode=self.mode or None,
        )

    def log(self, entry: Mapping[str, Any]) -> None:
        self.run.log(numbers(entry), step=entry["epoch"])

    def finish(self) -> None:
        if self.run is not None:
            self.run.finish()


@component
def wandb(*, project: str = "surefooted", mode: str = "") -> WandbLogger:
    """History as a run of Weights & Biases, the arguments as its configuration. Needs the package wandb.

    Args:
        project: name of the project.
        mode: online, offline or disabled; by default the package's own setting.

    Example:
        >>> wandb(mode="offline").spec
        wandb(project=surefooted, mode=offline)
    """
    return WandbLogger(project, mode)
