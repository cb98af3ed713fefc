"""Studies: many cells, and the page that says what came of them."""

from surefooted.studies.audit import audit
from surefooted.studies.demo import demo

__all__ = ["audit", "demo"]
