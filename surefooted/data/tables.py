"""Checks of images and labels in arrays, from memory or from an archive."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from surefooted.data.split import ImageTable
from surefooted.errors import ArgumentError, DataError, DataNotice

Layout = Literal["auto", "nhwc", "nchw"]

_CHANNELS = (1, 3)
_ROUNDING = 1e-6  # floats this far outside [0, 1] are rounded into it


def image_table(x: np.ndarray, y: np.ndarray, names: tuple[str, str], layout: str, option: str) -> ImageTable:
    """Check images and labels, and bring them into the form of tables.

    Args:
        x: images, (N, H, W), (N, H, W, C) or (N, C, H, W).
        y: labels, (N,) or (N, 1).
        names: what the two arrays are called, for messages.
        layout: position of the channels, ``auto``, ``nhwc`` or ``nchw``.
        option: name of the argument that sets the layout, for messages.

    Raises:
        DataError: they cannot be used.
        ArgumentError: the layout is ambiguous.

    Example:
        >>> table = image_table(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4), ("x", "y"), "auto", "layout")
        >>> table.x.shape
        (4, 3, 8, 8)
    """
    x_name, y_name = names
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{y_name} is {y.dtype} {y.shape}; expected class indices (N,). {_label_cure(y)}")
    if x.shape[:1] != y.shape:
        images = len(x) if x.ndim else "no"
        raise DataError(f"{x_name} has {images} images, {y_name} {len(y)} labels; expected one label per image.")
    if len(y) == 0:
        raise DataError(f"{x_name} is empty; expected at least one image.")
    pixels = _check_values(_channels_first(x, layout, x_name, option), x_name)
    return ImageTable(np.ascontiguousarray(pixels), y.astype(np.int64))


def as_array(value: Any, name: str) -> np.ndarray:
    """Images or labels in memory as a NumPy array. Half precision becomes float32.

    Args:
        value: an array, a tensor, a Pillow image, a number, or (nested) lists of these.
        name: what it is called, for messages.

    Raises:
        DataError: it is nothing of the kind, or its items differ in shape.

    Example:
        >>> as_array([torch.zeros(2, 2), torch.ones(2, 2)], "x").shape
        (2, 2, 2)
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        array: np.ndarray = (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()
        return array
    if isinstance(value, Image.Image) and value.mode not in ("L", "RGB"):
        raise DataError(f"{name} has a Pillow image of mode {value.mode}; expected L or RGB. Convert it.")
    if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor | np.ndarray | Image.Image):
        items = [as_array(item, name) for item in value]
        if len(shapes := sorted({item.shape for item in items})) > 1:
            sizes = " and ".join("×".join(map(str, shape)) for shape in shapes[:2])
            raise DataError(f"{name} has items of different shapes, {sizes}. Resize the images to one size.")
        return np.stack(items)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} is no array ({error}); expected a NumPy array, a tensor or nested lists.") from None
    if array.dtype == object:
        raise DataError(f"{name} is {type(value).__name__}; expected a NumPy array, a tensor or lists of numbers.")
    return array


def _label_cure(y: np.ndarray) -> str:
    """How to make class indices of other labels."""
    if y.ndim == 2:
        return "Convert one-hot labels with y.argmax(1)."
    if y.dtype.kind in "US":
        return "Number the names with classes, y = np.unique(y, return_inverse=True), and pass or store both."
    return "Convert whole numbers: y.astype(int) of an array, y.long() of a tensor."


def _channels_first(x: np.ndarray, layout: str, name: str, option: str) -> np.ndarray:
    if x.ndim == 3:
        return x[:, None]
    if x.ndim != 4:
        raise DataError(f"{name} is {x.shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W).")
    if layout == "auto":
        last, second = x.shape[3] in _CHANNELS, x.shape[1] in _CHANNELS
        if last == second:
            raise ArgumentError(
                f"{name} is {x.shape}: {'two axes have' if last else 'no axis has'} length 1 or 3, so the channels are "
                f"ambiguous. Set `{option}=nhwc` or `{option}=nchw`."
            )
        layout = "nhwc" if last else "nchw"
    return x.transpose(0, 3, 1, 2) if layout == "nhwc" else x


# So many images of which none is brighter are probably of another range, such as 0 to 16.
_ENOUGH, _DARK = 8, 1 / 12


def _check_values(x: np.ndarray, name: str) -> np.ndarray:
    """Pixels as uint8 from 0 to 255 or float32 from 0 to 1."""
    if x.dtype == np.uint8:
        if x.max() == 1 or (len(x) >= _ENOUGH and 0 < x.max() <= _DARK * 255):
            _report_dark(name, f"from {x.min()} to {x.max()} of 255")
        return x
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(
            f"{name} is {x.dtype}; expected uint8 from 0 to 255 or floats from 0 to 1. Divide by the largest possible "
            "value, or convert with x.astype(np.uint8) if it is 255."
        )
    bad = np.flatnonzero(~np.isfinite(x).all((1, 2, 3)))
    if len(bad):
        raise DataError(f"{name} has NaN or infinity in {len(bad)} image(s), the first in row {bad[0]}.")
    low, high = x.min(), x.max()
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        hint = "Divide by 255." if low >= 0 and 127 < high <= 255 else "Scale to [0, 1]."
        if low < 0 and high < 20:
            hint = "Undo the normalisation: it belongs inside the model (`mean`, `std`), behind pixels in [0, 1]."
        raise DataError(f"{name} has floats from {low:.9g} to {high:.9g}; expected [0, 1]. {hint}")
    if 0 < high <= 1 / 255 or (len(x) >= _ENOUGH and 0 < high <= _DARK):
        _report_dark(name, f"from {low:.3g} to {high:.3g} of 1")
    x = x.astype(np.float32)
    return x.clip(0, 1) if low < 0 or high > 1 else x


def _report_dark(name: str, values: str) -> None:
    warnings.warn(
        f"Pixels of {name} range {values}: almost black, as if they were scaled twice or had another range, such as 0 "
        "to 16. Expected uint8 from 0 to 255, or floats from 0 to 1.",
        DataNotice,
        stacklevel=2,
    )
