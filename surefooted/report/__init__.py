"""The report: one self-contained page of tables and figures. It renders what it is given and computes no metric."""

from __future__ import annotations

from surefooted.report.page import Column, Figure, Finding, Interval, Page, Panel, Section, Spread, Table
from surefooted.report.write import write_page

__all__ = ["Column", "Figure", "Finding", "Interval", "Page", "Panel", "Section", "Spread", "Table", "write_page"]
