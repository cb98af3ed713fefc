"""Data sets: every source gives ``Splits`` of training, validation and test images."""

from surefooted.data.arrays import arrays as arrays  # no component: no name finds arrays again
from surefooted.data.digits import digits
from surefooted.data.folder import folder
from surefooted.data.hub import hub
from surefooted.data.named import cifar10, cifar100, fashion_mnist, mnist, svhn
from surefooted.data.npz import npz
from surefooted.data.parquet import parquet
from surefooted.data.plane import plane
from surefooted.data.table import table

__all__ = [
    "cifar10",
    "cifar100",
    "digits",
    "fashion_mnist",
    "folder",
    "hub",
    "mnist",
    "npz",
    "parquet",
    "plane",
    "svhn",
    "table",
]
