"""Minimal-norm attacks that rank images by their distance to the decision boundary (AR-AdaLS).

They start from the network's own prediction, so that an image has a distance even if it is misclassified.
"""

from surefooted.pipeline.tasks import ComponentSpec

NEAREST_BOUNDARY: ComponentSpec = {"nearest_boundary": {"away_from": "prediction"}}
CARLINI_WAGNER: ComponentSpec = {"carlini_wagner": {"away_from": "prediction"}}
# For sizes that only test that everything runs.
NEAREST_BOUNDARY_QUICK: ComponentSpec = {"nearest_boundary": {"steps": 3, "away_from": "prediction"}}
