"""External classifiers: from a Python factory, an exported program, an ONNX file, a hub, or memory."""

from surefooted.models.external.io_adapter import IOAdapter
from surefooted.models.external.model import ExternalModel, InMemoryModel, is_external

__all__ = ["ExternalModel", "IOAdapter", "InMemoryModel", "is_external"]
