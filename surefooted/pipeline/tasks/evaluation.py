"""What the tasks that evaluate a victim share: its network, its images, and chunks that survive a kill."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from surefooted.core.files import read_tensors, with_hint, write_tensors
from surefooted.data.images import Images
from surefooted.data.order import Order, parse_order, report_missing_classes, stored_order
from surefooted.errors import DataError
from surefooted.models.external import ExternalModel, InMemoryModel
from surefooted.models.fuse import fuse_batchnorm
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName
from surefooted.pipeline.tasks.datasets import load_splits, split_images, training_data
from surefooted.pipeline.tasks.leakage import check_unseen

# Numbers in a batch of images, and the bounds of its images; images that a black box is checked with.
QUERIED_IMAGES = 8
BATCH_NUMBERS, FEWEST_IMAGES, MOST_IMAGES = 2**21, 16, 512


def load_for_eval(victim: Source, store: Store, device: torch.device) -> nn.Module:
    """The victim's network on a device; batch norm of Surefooted's own networks is fused."""
    net = victim.load(store).to(device)
    return net if isinstance(victim, ExternalModel | InMemoryModel) or _has_other_code(net) else fuse_batchnorm(net)


def _has_other_code(net: nn.Module) -> bool:
    """Whether a part of a network is of the user's code, which may call the layers of a Sequential one by one."""
    return any(
        type(part).__module__.partition(".")[0] not in ("torch", "surefooted", "gpytorch", "linear_operator")
        for part in net.modules()
    )


def batch_size(shape: tuple[int, ...]) -> int:
    """Images per forward pass: 512 of up to 64 × 64 grey pixels, fewer of larger ones, at least 16.

    A network keeps about 100 MB per image of 224 × 224 pixels for its gradient.

    Example:
        >>> batch_size((3, 32, 32)), batch_size((3, 224, 224))
        (512, 16)
    """
    fitting = max(1, BATCH_NUMBERS // prod(shape))
    # A power of two, so that the batches of an attack's chunks are those of the predictions on the same images.
    return min(MOST_IMAGES, max(FEWEST_IMAGES, 1 << (fitting.bit_length() - 1)))


def images_to_check(victim: Source, shape: tuple[int, ...]) -> int:
    """Images that checks ask a victim about: a batch, or a few of a black box, whose queries may have a price."""
    return batch_size(shape) if getattr(victim, "differentiable", True) else QUERIED_IMAGES


def eval_images(
    victim: Source, data: ComponentSpec | None, split: SplitName, limit: int, order: Order = "split"
) -> Images:
    """The images that a victim is evaluated on.

    Args:
        data: a data set; None for the one that the victim was trained on.
        limit: take the first ``limit`` images of the order; 0 for all.
        order: see ``data.order``.

    Raises:
        DataError: if the data set is not known, the split is empty, or the victim was trained on some of the images.
    """
    own = training_data(victim)
    if data is None and own is None:
        raise DataError(
            "The data set is not known: the weights do not name it, or it is not at hand. Name a data set with `data`."
        )
    images = split_images(data or own or {}, split, limit, order)
    if data and split != "train":
        check_unseen(victim, data, images, split)
    return images


def choose_order(victim: Source, data: ComponentSpec | None, split: SplitName, limit: int, order: str) -> Order:
    """The order for the tasks of a command: where it is all the same, the one under which older results are found.

    A notice tells if the first ``limit`` images lack classes.

    Args:
        data: a data set; None for the one that the victim was trained on.
        limit: number of images; 0 for all.
        order: the order that was asked for.

    Raises:
        ArgumentError: if there is no such order.
    """
    order, known = parse_order(order), data or training_data(victim)
    if known is None:  # refused by ``eval_images``
        return order
    splits = load_splits(known)
    if order == "official" and limit:
        report_missing_classes(splits, split, limit)
    return stored_order(splits, split, limit, order)


def run_in_chunks(
    work: Path,
    n: int,
    chunk: int,
    compute: Callable[[slice], dict[str, Tensor]],
    skip: Callable[[int], None],
) -> dict[str, Tensor]:
    """Compute tensors of ``n`` rows, ``chunk`` rows at a time, and write down each chunk before the next begins.

    A chunk that was written before a kill is read instead of computed. The random draws of a chunk depend on the seed
    and its rows only, so a resumed task gives the same numbers. A single chunk is not written down: the artifact holds
    it a moment later.

    Args:
        skip: called with the number of rows of a chunk that is read instead of computed.
    """
    if n <= chunk:
        return {name: tensor.cpu() for name, tensor in compute(slice(0, n)).items()}
    parts = []
    for start in range(0, n, chunk):
        file = work / f"rows_{start}_{chunk}.safetensors"
        if file.exists():
            with with_hint(f"Delete {file} and run the same command again."):
                part = read_tensors(file)[0]
            skip(min(chunk, n - start))
        else:
            part = compute(slice(start, start + chunk))
            write_tensors(file, part, {})
        parts.append({name: tensor.cpu() for name, tensor in part.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
