"""The audit of one classifier, as a study."""

from surefooted.auditing.design import Audit
from surefooted.auditing.study import audit, audit_of

__all__ = ["Audit", "audit", "audit_of"]
