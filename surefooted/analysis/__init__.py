"""Analysis of a victim, not of its predictions: margins, Jacobians, linearity, surfaces (EntM, section 6)."""

from surefooted.analysis.correlation import correlation
from surefooted.analysis.jacobian import certified_radius, jacobian_norm, normalised_margin, sensitivity
from surefooted.analysis.linearity import nonlinearity
from surefooted.analysis.margins import decision_margin
from surefooted.analysis.surfaces import surface

__all__ = [
    "certified_radius",
    "correlation",
    "decision_margin",
    "jacobian_norm",
    "nonlinearity",
    "normalised_margin",
    "sensitivity",
    "surface",
]
