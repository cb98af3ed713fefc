"""Logger to TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefooted.components.component import component
from surefooted.training.loggers.base import NamedLogger, flat, load_package, numbers


class TensorBoardLogger(NamedLogger):
    """Writes event files with ``torch.utils.tensorboard``: one folder per training, named by its key.

    Args:
        folder: folder of all trainings, which ``tensorboard --logdir`` takes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def start(self, key: str, arguments: Mapping[str, Any]) -> None:
        load_package("tensorboard", "tensorboard")
        made = load_package("torch.utils.tensorboard", "tensorboard").SummaryWriter
        # Earlier events of the same training would be shown twice.
        self.writer = made(str(self.folder / key[:12]), purge_step=0)
        lines = "\n".join(f"    {name} = {value}" for name, value in flat(arguments).items())
        self.writer.add_text("arguments", lines)

    def log(self, entry: Mapping[str, Any]) -> None:
        for name, value in numbers(entry).items():
            self.writer.add_scalar(name, value, entry["epoch"])
        self.writer.flush()

    def finish(self) -> None:
        if self.writer is not None:
            self.writer.close()


@component
def tensorboard(*, folder: Path = Path("runs")) -> TensorBoardLogger:
    """History as TensorBoard events, in one folder per training. Needs the package tensorboard.

    Args:
        folder: folder of all trainings; to see them, run: tensorboard --logdir FOLDER.

    Example:
        >>> tensorboard(folder="runs").spec
        tensorboard(folder=runs)
    """
    return TensorBoardLogger(folder)
