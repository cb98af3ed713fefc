"""Audits: accuracy, calibration, robustness and sanity checks of one classifier, whoever trained it."""

from surefooted.auditing.design import AuditDesign, AuditOptions, audit_options
from surefooted.auditing.local_report import analyse
from surefooted.auditing.run import AuditResult, audit
from surefooted.auditing.shift_report import corrupt

__all__ = ["AuditDesign", "AuditOptions", "AuditResult", "analyse", "audit", "audit_options", "corrupt"]
