"""The study of the UTA paper."""

from surefooted.studies.uta.study import uta

__all__ = ["uta"]
