"""The study of the EntM paper."""

from surefooted.studies.entm.study import entm

__all__ = ["entm"]
