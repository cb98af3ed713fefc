"""Metrics of predictions: one number for a set of mean predictions and their labels.

A new metric is a function with ``@metric`` in a file of this package, imported and listed here.
"""

from surefooted.evaluation.metrics.calibration import classwise_ece, debiased_ece, ece, max_calibration_error
from surefooted.evaluation.metrics.pointwise import accuracy, brier, confidence, entropy, nll, overconfidence
from surefooted.evaluation.metrics.selective import aurc, error_auroc, excess_aurc
from surefooted.evaluation.metrics.smoothing import smooth_ece

__all__ = [
    "accuracy",
    "aurc",
    "brier",
    "classwise_ece",
    "confidence",
    "debiased_ece",
    "ece",
    "entropy",
    "error_auroc",
    "excess_aurc",
    "max_calibration_error",
    "nll",
    "overconfidence",
    "smooth_ece",
]
