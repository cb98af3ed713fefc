"""Numbers that the papers print, for comparison with ours. They are copied from the papers' tables, not computed."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

# Titles of the data sets by their names in those tables.
DATA_SET_TITLES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}


@cache
def printed_numbers(paper: str) -> tuple[dict[str, str], ...]:
    """The rows of a paper's table of numbers, as text by column.

    Args:
        paper: ``ar_adals``, ``entm``, ``entm_analysis`` or ``uta``.

    Returns:
        One row per printed number.

    Example:
        >>> sorted({row["table"] for row in printed_numbers("ar_adals")})
        ['1', '2', '3']
    """
    text = files(__package__).joinpath(f"{paper}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
