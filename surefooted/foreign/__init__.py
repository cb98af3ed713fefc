"""Classifiers that are not ours: from a factory, an exported program, an ONNX file, a hub, or in memory."""

from surefooted.foreign.victim import Foreign, Live, is_foreign

__all__ = ["Foreign", "Live", "is_foreign"]
