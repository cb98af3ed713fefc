"""The study of the AR-AdaLS paper."""

from surefooted.studies.ar_adals.study import ar_adals

__all__ = ["ar_adals"]
