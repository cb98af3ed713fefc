"""A number for each row of a data set, from a file: whatever examples are to be told apart by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from surefooted.data.paths import locate
from surefooted.errors import InputError


@dataclass(frozen=True, eq=False)
class Column:
    """A column that was read."""

    values: Float64[Tensor, " n"]

    @cached_property
    def checksum(self) -> str:
        return hashlib.sha256(self.values.numpy().tobytes()).hexdigest()


def read_column(path: str) -> Column:
    """A .npy file of one number per row; a relative path is looked up here, then under the data root."""
    file = locate(path)
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is no .npy file of numbers: {error}.") from None
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "biuf":
        seen = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "an archive"
        raise InputError(f"{file} holds {seen}; expected one number for each row of the data set.")
    return Column(torch.from_numpy(values.astype(np.float64)))


def column_at(column: Column, rows: Int64[Tensor, " b"], path: str) -> Float64[Tensor, " b"]:
    """The numbers of these rows."""
    if int(rows.max()) >= len(column.values):
        raise InputError(
            f"{path} has {len(column.values)} numbers, and the data set has a row {int(rows.max())}; it needs one for "
            "each row of the whole table that the splits are cut from."
        )
    values = column.values[rows]
    if bool(values.isnan().any()):
        raise InputError(f"{path} is NaN in {int(values.isnan().sum())} of the rows used; give every row a number.")
    return values
