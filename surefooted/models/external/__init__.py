"""Classifiers that are not ours: from a factory, an exported program, an ONNX file, a hub, or in memory."""

from surefooted.models.external.model import ExternalModel, InMemoryModel, IOAdapter, is_external

__all__ = ["ExternalModel", "IOAdapter", "InMemoryModel", "is_external"]
