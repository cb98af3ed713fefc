"""Setup before the first training step: statistics of the data, memory layout, robustness levels."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from surefooted.core.rng import Noise
from surefooted.data.images import Images, Splits
from surefooted.errors import ArgumentError, DataError
from surefooted.models.ensembles import Ensemble
from surefooted.models.guard import is_known
from surefooted.models.nets.due import Due
from surefooted.models.nets.normalise import Normalise
from surefooted.training.methods.base import Method
from surefooted.training.methods.targets import RobustnessLevels
from surefooted.training.recipes.base import LabelNoise

# Images that are attacked at once to rank them.
_RANKING_BATCH = 4096
# Training images from which a Gaussian process takes its inducing points, about.
_GP_IMAGES = 1000
# Separates the draws of noisy labels from those of attacks and augmentations.
_LABEL_STREAM = 8


def initialise_from_data(net: nn.Module, train: Images, device: torch.device) -> None:
    """Set what a network takes from the training images before the first step; a checkpoint overwrites it later.

    These are the statistics of the normalisation, and the inducing points of a Gaussian process.
    """
    for module in net.modules():
        if isinstance(module, Normalise) and module.mode != "none":
            module.fit(train.points().x)
    for module in net.modules():
        if isinstance(module, Due):
            subset = torch.arange(len(train))[:: -(-len(train) // _GP_IMAGES)]
            module.to(device).initialise(train.points(subset).x, len(train))


def check_smallest_batch(net: nn.Module, images: int, batch: int, shape: tuple[int, ...]) -> None:
    """Refuse a network whose batch norm cannot be trained on a batch of one image, if there is such a batch.

    Batch norm after a convolution that leaves several pixels averages over these, so it can.

    Args:
        net: the network; it is not changed.
        images: number of training images.
        batch: images per step. A last batch of one image is dropped, so only a batch of 1, or one image in all, is met.
        shape: (C, H, W) of the images.

    Raises:
        ArgumentError: if torch refuses the batch.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4))
        >>> check_smallest_batch(net, images=5, batch=2, shape=(1, 2, 2))
        >>> check_smallest_batch(net, images=5, batch=1, shape=(1, 2, 2))
        Traceback (most recent call last):
        surefooted.errors.ArgumentError: Batches of one image cannot train this network: ... Increase `recipe.batch`.
    """
    if min(images, batch) != 1:
        return
    try:
        copy = deepcopy(net).to("meta").train()  # shapes without numbers
        with torch.no_grad():
            copy(torch.empty(1, *shape, device="meta"))
    except Exception as error:  # not every layer knows shapes without numbers; the training reports its own errors
        if "more than 1 value per channel" in str(error):
            hint = "Train on more images." if images == 1 else "Increase `recipe.batch`."
            raise ArgumentError(
                "Batches of one image cannot train this network: its batch norm takes mean and variance over a single "
                f"value. {hint}"
            ) from None


def with_label_noise(images: Images, noise: LabelNoise) -> Images:
    """The images with a share of their labels replaced by another class: a function of seed and row.

    Example:
        >>> import surefooted as sf
        >>> train = sf.digits().train
        >>> noisy = with_label_noise(train, LabelNoise(0.5))
        >>> share = (noisy.y != train.y).float().mean()
        >>> bool((share - 0.5).abs() < 0.06)
        True
    """
    classes = len(images.classes)
    if classes < 2:
        return images
    draws = Noise(noise.seed, images.rows, stream=_LABEL_STREAM).uniform(2).double()
    others = (images.y + 1 + (draws[:, 1] * (classes - 1)).long()) % classes
    return replace(images, y=torch.where(draws[:, 0] < noise.share, others, images.y))


def to_memory_format(net: nn.Module, device: torch.device, *, mixed: bool = False) -> None:
    """Use channels last where convolutions are faster with it: on a CPU it takes 0.6 of the time of a LeNet's step.

    Args:
        mixed: convolutions run in half precision, for which GPUs are faster with channels last, too.
    """
    if (mixed or device.type == "cpu") and _bears_layout(net):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's stubs


def _bears_layout(net: nn.Module) -> bool:
    """Whether a network may be laid out: the code of others may rely on the layout, as ``.view(B, -1)`` does."""
    return all(map(is_known, net.members)) if isinstance(net, Ensemble) else is_known(net)


def initial_levels(method: Method, data: Splits, given: RobustnessLevels | None) -> RobustnessLevels:
    """The robustness levels before the first epoch: those given, if the method ranks examples before training.

    Raises:
        DataError: the method learns its labels on the validation set, which is empty.
        ArgumentError: the method needs levels, but none are given.

    Example:
        >>> import surefooted as sf
        >>> data = sf.digits(train_limit=32, validation=0.5)
        >>> initial_levels(sf.methods.vanilla(), data, None).train.unique()  # one level
        tensor([0])
    """
    target = method.target
    if target.is_adaptive and not len(data.validation):
        raise DataError(
            "This method learns its labels on the validation set, which is empty. Set `data.validation=0.1`."
        )
    train, validation = data.train.rows, data.validation.rows
    if target.ranking is None:
        return RobustnessLevels.single(train, validation)
    if target.ranking.every:  # a placeholder: the network ranks the examples before its first step
        return RobustnessLevels.from_ranking(
            train, train.double(), validation, validation.double(), levels=target.levels
        )
    if given is None:
        raise ArgumentError(
            "This method needs the robustness level of every example. Give fit the levels, or train through "
            "surefooted.train, which computes them."
        )
    return given


def current_levels(method: Method, net: nn.Module, data: Splits, device: torch.device) -> RobustnessLevels:
    """The robustness levels by the network in training: its own attack on both sets ranks the examples."""
    assert method.target.ranking is not None
    attack, ranked = method.target.ranking.attack, list[Tensor]()
    for images in (data.train, data.validation):
        starts = range(0, len(images), _RANKING_BATCH)
        results = [attack(net, images.points(slice(a, a + _RANKING_BATCH), device)) for a in starts]
        ranked += [images.rows, torch.cat([result.distance for result in results]).cpu()]
    return RobustnessLevels.from_ranking(*ranked, levels=method.target.levels).to(device)
