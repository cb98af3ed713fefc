"""Analysis of a classifier itself, not of its predictions: margins, Jacobians, linearity, loss surfaces."""

from surefooted.evaluation.analysis.correlation import correlation
from surefooted.evaluation.analysis.jacobian import certified_radius, jacobian_norm, normalised_margin, sensitivity
from surefooted.evaluation.analysis.linearity import nonlinearity
from surefooted.evaluation.analysis.margins import decision_margin
from surefooted.evaluation.analysis.surfaces import loss_surface

__all__ = [
    "certified_radius",
    "correlation",
    "decision_margin",
    "jacobian_norm",
    "loss_surface",
    "nonlinearity",
    "normalised_margin",
    "sensitivity",
]
