"""scikit-learn's digits: handwriting that needs no download."""

from __future__ import annotations

import numpy as np

from surefooted.components.component import Share, Whole, component
from surefooted.data.images import Splits
from surefooted.data.split import ImageSource, ImageTable, SplitOptions, split_source


@component
def digits(
    *,
    test: Share = 0.25,
    validation: Share = 0.1,
    split_seed: Whole = 0,
    train_limit: Whole = 0,
    test_limit: Whole = 0,
) -> Splits:
    """Handwritten digits, 8×8 grey, 1,797 images, shipped with scikit-learn: needs no download.

    Pixels are whole numbers from 0 to 16. The set has no official test images.

    Args:
        test: share of all images held out for testing.
        validation: share of the remaining images held out for validation; 0 for none.
        split_seed: seed of the split.
        train_limit: number of training images; 0 for all.
        test_limit: number of test images; 0 for all.

    Returns:
        Training, validation and test images.

    Example:
        >>> import surefooted as sf
        >>> splits = sf.data.digits()
        >>> len(splits.train), len(splits.validation), len(splits.test)
        (1213, 135, 449)

    Reference:
        E. Alpaydin, C. Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    table = ImageTable(bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64))
    source = ImageSource(table, None, None, tuple("0123456789"), scale=16.0)
    options = SplitOptions(validation, split_seed, train_limit, test_limit, test)
    return split_source(source, options, name="digits", title="Digits (scikit-learn, 8×8)")
