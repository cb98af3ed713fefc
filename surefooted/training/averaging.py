"""The average of the weights along a training, kept by ``torch.optim.swa_utils``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from surefooted.components.code import first_line
from surefooted.core.rng import torch_seed
from surefooted.data.images import Images
from surefooted.errors import ArgumentError, ModelError
from surefooted.models.nets.due import Due
from surefooted.models.victims import as_victim
from surefooted.training.recipes.base import Averaging

# Separates the dropout of the passes for batch norm from that of the training steps.
_STREAM = 2


class WeightAverage:
    """The averaged weights of a network in training.

    Args:
        net: the network; a copy of it holds the average.
        averaging: which average.
        epochs: of the whole run.

    Raises:
        ArgumentError: if the network has no meaningful average.
        ModelError: if it cannot be copied.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> average = WeightAverage(net, Averaging("ema", decay=0.9), epochs=1)
        >>> for value in (0.0, 1.0):
        ...     _ = nn.init.constant_(net.weight, value)
        ...     average.after_step()
        >>> round(float(average.net.weight), 3)  # 0.9 · 0 + 0.1 · 1
        0.1
    """

    def __init__(self, net: nn.Module, averaging: Averaging, epochs: int) -> None:
        check_averages(net, averaging)
        self.source, self.averaging, self.epochs = net, averaging, epochs
        moving = averaging.kind == "ema"
        try:
            # The moving average has the statistics of batch norm in it. SWA takes them anew: those of the last epoch
            # belong to other weights.
            self.model = AveragedModel(
                net, multi_avg_fn=get_ema_multi_avg_fn(averaging.decay) if moving else None, use_buffers=moving
            )
        except (RuntimeError, TypeError) as error:
            raise ModelError(
                f"The network cannot be copied, as `recipe.average={averaging.kind}` needs ({first_line(error)})."
            ) from None

    @property
    def net(self) -> nn.Module:
        """The network to evaluate: the average if there is one by now, else the network in training."""
        averaged: nn.Module = self.model.module
        return averaged if int(self.model.n_averaged) else self.source

    def after_step(self) -> None:
        """Take the weights after a step into the moving average."""
        if self.averaging.kind == "ema":
            self.model.update_parameters(self.source)

    def after_epoch(self, done: int, train: Images, batch: int, seed: int) -> None:
        """Take the weights after an epoch into the mean, and the statistics of batch norm from the training images.

        Args:
            done: epochs done.
            train: the training images, which are passed in their order, without augmentation.
            batch: images per forward pass.
            seed: of the training; it keys dropout.
        """
        if self.averaging.kind != "swa" or done <= self.averaging.begin * self.epochs:
            return
        self.model.update_parameters(self.source)
        torch.manual_seed(torch_seed(seed, done, _STREAM))
        parts = [train.points(slice(a, a + batch)).x for a in range(0, len(train), batch)]
        update_bn([x for x in parts if len(x) > 1], _Forward(self.model.module))


class _Forward(nn.Module):
    """A network as a victim, for ``update_bn``: what the forward pass of other code needs is in ``models.guard``."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return as_victim(self.net)(x)


def check_averages(net: nn.Module, averaging: Averaging | None) -> None:
    """Refuse weight averaging of a Gaussian process, whose variational parameters have no meaningful average.

    Example:
        >>> check_averages(nn.Linear(2, 2), Averaging("ema"))
    """
    if averaging is not None and any(isinstance(module, Due) for module in net.modules()):
        raise ArgumentError(
            f"`recipe.average={averaging.kind}` averages weights, but this network ends in a Gaussian process, whose "
            "variational parameters have no meaningful average. Use `recipe.average=none`."
        )
