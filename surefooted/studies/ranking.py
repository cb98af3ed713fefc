"""Minimal-norm attacks that rank examples: how far each is from another answer than the model's own (AR-AdaLS)."""

from surefooted.pipeline.tasks import ComponentSpec

NEAREST: ComponentSpec = {"nearest_boundary": {"away_from": "prediction"}}
CARLINI_WAGNER: ComponentSpec = {"carlini_wagner": {"away_from": "prediction"}}
# Shows that all runs.
QUICK: ComponentSpec = {"nearest_boundary": {"steps": 3, "away_from": "prediction"}}
