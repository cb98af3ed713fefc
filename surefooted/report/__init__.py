"""Reports: one self-contained page of tables and figures. It renders given values and computes no metric."""

from __future__ import annotations

from surefooted.core.interval import Interval
from surefooted.report.cells import Column, Spread
from surefooted.report.page import Figure, Finding, Page, Section, Table
from surefooted.report.panel import Panel
from surefooted.report.write import write_page

__all__ = ["Column", "Figure", "Finding", "Interval", "Page", "Panel", "Section", "Spread", "Table", "write_page"]
