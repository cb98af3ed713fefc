"""External classifiers: from a Python factory, an exported program, an ONNX file, a hub, or memory."""

from surefooted.models.external.black_box import BlackBox, blackbox
from surefooted.models.external.io_adapter import IOAdapter
from surefooted.models.external.model import ExternalModel, InMemoryModel, ModelOptions, is_external

__all__ = ["BlackBox", "ExternalModel", "IOAdapter", "InMemoryModel", "ModelOptions", "blackbox", "is_external"]
