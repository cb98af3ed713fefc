"""Data sets known by name, as Parquet directories under the data root.

The title of a copy that was encoded with loss says so, as in CIFAR-10 (JPEG q75).
"""

from __future__ import annotations

from pathlib import Path

from surefooted.components.component import Share, Whole, component
from surefooted.data.decode import encoding
from surefooted.data.images import Splits
from surefooted.data.parquet import find_shards, read_images, read_source
from surefooted.data.paths import data_root, directory
from surefooted.data.split import SplitOptions, split_source
from surefooted.errors import InputError

ON_THE_HUB = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "svhn": "ufldl-stanford/svhn",
}


@component
def mnist(*, validation: Share = 0.1, split_seed: Whole = 0, train_limit: Whole = 0, test_limit: Whole = 0) -> Splits:
    """MNIST: handwritten digits, 28×28 grey, 60,000 to train and 10,000 to test on.

    Read from ``mnist`` under the data root (--data-root or SUREFOOTED_DATA), a directory as ``parquet`` takes it.

    Args:
        validation: share of the training images held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: train on the first so many only; 0 for all.
        test_limit: test on the first so many only; 0 for all.

    Source: Y. LeCun, C. Cortes, C. Burges. The MNIST database of handwritten digits, 1998.
    """
    return known("mnist", "MNIST", SplitOptions(validation, split_seed, train_limit, test_limit))


@component
def fashion_mnist(
    *, validation: Share = 0.1, split_seed: Whole = 0, train_limit: Whole = 0, test_limit: Whole = 0
) -> Splits:
    """Fashion-MNIST: articles of clothing, 28×28 grey, 60,000 to train and 10,000 to test on.

    Read from ``fashion_mnist`` under the data root (--data-root or SUREFOOTED_DATA), a directory as ``parquet`` takes
    it.

    Args:
        validation: share of the training images held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: train on the first so many only; 0 for all.
        test_limit: test on the first so many only; 0 for all.

    Source: H. Xiao, K. Rasul, R. Vollgraf. Fashion-MNIST: a Novel Image Dataset, 2017, https://arxiv.org/abs/1708.07747
    """
    return known("fashion_mnist", "Fashion-MNIST", SplitOptions(validation, split_seed, train_limit, test_limit))


@component
def cifar10(*, validation: Share = 0.1, split_seed: Whole = 0, train_limit: Whole = 0, test_limit: Whole = 0) -> Splits:
    """CIFAR-10: ten kinds of objects, 32×32 colour, 50,000 to train and 10,000 to test on.

    Read from ``cifar10`` under the data root (--data-root or SUREFOOTED_DATA), a directory as ``parquet`` takes it.

    Args:
        validation: share of the training images held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: train on the first so many only; 0 for all.
        test_limit: test on the first so many only; 0 for all.

    Source: A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    return known("cifar10", "CIFAR-10", SplitOptions(validation, split_seed, train_limit, test_limit))


@component
def cifar100(
    *, validation: Share = 0.1, split_seed: Whole = 0, train_limit: Whole = 0, test_limit: Whole = 0
) -> Splits:
    """CIFAR-100: a hundred kinds of objects, 32×32 colour, 50,000 to train and 10,000 to test on.

    Read from ``cifar100`` under the data root (--data-root or SUREFOOTED_DATA), Parquet files with the columns ``img``
    and ``fine_label``, as the Hub has them.

    Args:
        validation: share of the training images held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: train on the first so many only; 0 for all.
        test_limit: test on the first so many only; 0 for all.

    Source: A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    cut = SplitOptions(validation, split_seed, train_limit, test_limit)
    return known("cifar100", "CIFAR-100", cut, image="img", label="fine_label")


@component
def svhn(*, validation: Share = 0.1, split_seed: Whole = 0, train_limit: Whole = 0, test_limit: Whole = 0) -> Splits:
    """SVHN: house numbers, cropped to one digit, 32×32 colour, 73,257 to train and 26,032 to test on.

    Read from ``svhn`` under the data root (--data-root or SUREFOOTED_DATA), a directory as ``parquet`` takes it; the
    files of its ``cropped_digits``.

    Args:
        validation: share of the training images held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: train on the first so many only; 0 for all.
        test_limit: test on the first so many only; 0 for all.

    Source: Y. Netzer et al. Reading Digits in Natural Images with Unsupervised Feature Learning, 2011.
    """
    return known("svhn", "SVHN", SplitOptions(validation, split_seed, train_limit, test_limit))


def known(name: str, title: str, cut: SplitOptions, *, image: str = "image", label: str = "label") -> Splits:
    """A set under the data root; its title names a lossy encoding, whose results compare with no published ones."""
    folder = folder_of(name, title)
    source = read_source(folder, image, label)
    if source.test is None:
        raise InputError(f"No test-*.parquet in {str(folder)!r}: the copy of {title} is not complete. Copy it again.")
    _, first = next(read_images(find_shards(folder, "train")[0], image))
    found = encoding(first)
    return split_source(source, cut, name=name, title=f"{title} ({found})" if found.startswith("JPEG") else title)


def folder_of(name: str, title: str) -> Path:
    root = data_root()
    if root is None:
        raise InputError(
            f"{title} is looked for under the data root, and none is given. Give --data-root, or set SUREFOOTED_DATA, "
            f"to the directory that holds {name!r}; the Hub has its Parquet files as {ON_THE_HUB[name]}. "
            "The data set 'digits' needs nothing."
        )
    if not (root / name).exists():
        raise InputError(
            f"{title} is not in the data root: there is no {str(root / name)!r}. Copy its Parquet files there (the Hub "
            f"has them as {ON_THE_HUB[name]}), or give another root with --data-root or SUREFOOTED_DATA. "
            "The data set 'digits' needs nothing."
        )
    return directory(root / name)
