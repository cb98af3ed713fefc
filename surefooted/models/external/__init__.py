"""Classifiers that are not ours: from a factory, an exported program, an ONNX file, a hub, or in memory."""

from surefooted.models.external.victim import Door, Foreign, Live, is_foreign

__all__ = ["Door", "Foreign", "Live", "is_foreign"]
