"""Numbers that the papers print, to stand beside ours. Read off the papers' tables; nothing here was computed."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

# What those tables call a data set, and readers do.
SETS = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}


@cache
def printed(paper: str) -> tuple[dict[str, str], ...]:
    """The rows of a paper's table of numbers, as text by column."""
    text = files(__package__).joinpath(f"{paper}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
