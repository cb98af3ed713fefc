"""Audits: accuracy, calibration, robustness and sanity checks of one classifier, whoever trained it."""

from surefooted.auditing.design import AuditDesign, AuditOptions, audit_options
from surefooted.auditing.run import AuditResult, audit

__all__ = ["AuditDesign", "AuditOptions", "AuditResult", "audit", "audit_options"]
