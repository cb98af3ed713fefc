"""The audit of one classifier, as a study."""

from surefooted.studies.audit.cells import Audit
from surefooted.studies.audit.study import audit, audit_of

__all__ = ["Audit", "audit", "audit_of"]
