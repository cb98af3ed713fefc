"""Studies: many tasks, and the page that reports their results.

A study and its package have the same name. All studies are imported here, so that the name is the study whatever is
imported first.
"""

from surefooted.studies.ar_adals import ar_adals
from surefooted.studies.demo import demo
from surefooted.studies.entm import entm
from surefooted.studies.uta import uta

__all__ = ["ar_adals", "demo", "entm", "uta"]
