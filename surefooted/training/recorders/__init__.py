"""Recorders: quantities of the network that are recorded while it trains."""

from surefooted.training.recorders.base import Recorder as Recorder
from surefooted.training.recorders.flips import flips
from surefooted.training.recorders.flips import plane_points as plane_points
from surefooted.training.recorders.robust_accuracy import robust_accuracy
from surefooted.training.recorders.robustness import robustness

__all__ = ["flips", "robust_accuracy", "robustness"]
