"""Metrics of predictions: one number for a set of mean predictions and their labels."""

from surefooted.metrics.calibration import classwise_ece, ece, max_calibration_error
from surefooted.metrics.pointwise import accuracy, brier, confidence, entropy, nll, overconfidence

__all__ = [
    "accuracy",
    "brier",
    "classwise_ece",
    "confidence",
    "ece",
    "entropy",
    "max_calibration_error",
    "nll",
    "overconfidence",
]
