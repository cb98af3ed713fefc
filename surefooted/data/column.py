"""A number per row of a data set, read from a file: a given ranking of examples, such as by robustness."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from surefooted.data.paths import locate
from surefooted.errors import DataError


@dataclass(frozen=True, eq=False)
class ColumnValues:
    """Numbers of all rows of a data set.

    Attributes:
        values: one number per row.
    """

    values: Float64[Tensor, " n"]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the numbers."""
        return hashlib.sha256(self.values.numpy().tobytes()).hexdigest()


def read_column(path: str) -> ColumnValues:
    """Read a .npy file of one number per row.

    Args:
        path: the file; a relative path is tried here first, then under the data root.

    Raises:
        DataError: the file is missing or does not hold one number per row.

    Example:
        >>> import numpy as np
        >>> from surefooted.data.column import read_column
        >>> np.save("distances.npy", [0.5, 0.1, 0.3])
        >>> len(read_column("distances.npy").values)
        3
    """
    file = locate(path)
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as a .npy file of numbers: {error}.") from None
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "biuf":
        content = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "an archive"
        raise DataError(f"{file} holds {content}; expected one number per row of the data set.")
    return ColumnValues(torch.from_numpy(values.astype(np.float64)))


def column_at(column: ColumnValues, rows: Int64[Tensor, " b"], path: str) -> Float64[Tensor, " b"]:
    """The numbers of given rows.

    Args:
        column: numbers of all rows.
        rows: rows of the data set.
        path: path of the file, for messages.

    Raises:
        DataError: a row has no number, or NaN.
    """
    if int(rows.max()) >= len(column.values):
        raise DataError(
            f"{path} has {len(column.values)} numbers, but the data set has a row {int(rows.max())}. Expected one "
            "number per row of the whole table before it is split."
        )
    values = column.values[rows]
    if bool(values.isnan().any()):
        raise DataError(f"{path} is NaN in {int(values.isnan().sum())} of the rows used. Give every row a number.")
    return values
