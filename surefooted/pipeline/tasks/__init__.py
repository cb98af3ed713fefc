"""Cells: train → attack, shift → predict. Each is plain data that names an artefact, and knows how to make it.

A cell's key is the hash of its complete arguments, of the data's checksum and of the keys of the cells it needs: what
was made once, by whatever study, is found by every other.
"""

from surefooted.pipeline.tasks.analysed import Analysed, Surface
from surefooted.pipeline.tasks.attacked import Attacked, attacking
from surefooted.pipeline.tasks.base import Cell, Named, Part, Source, before, data_of, known_data
from surefooted.pipeline.tasks.origin import made_by
from surefooted.pipeline.tasks.predicted import Predicted
from surefooted.pipeline.tasks.probed import Probed
from surefooted.pipeline.tasks.released import Released
from surefooted.pipeline.tasks.shifted import Corrupted, Shifted
from surefooted.pipeline.tasks.sources import Best, Dropped, Ensembled, Member, Weights
from surefooted.pipeline.tasks.tested import check_same_data, check_same_set, images_of, own_data
from surefooted.pipeline.tasks.trained import Train, training
from surefooted.pipeline.tasks.transferred import Transferred
from surefooted.pipeline.tasks.unsure import Unsure

__all__ = [
    "Analysed",
    "Attacked",
    "Best",
    "Cell",
    "Corrupted",
    "Dropped",
    "Ensembled",
    "Member",
    "Named",
    "Part",
    "Predicted",
    "Probed",
    "Released",
    "Shifted",
    "Source",
    "Surface",
    "Train",
    "Transferred",
    "Unsure",
    "Weights",
    "attacking",
    "before",
    "check_same_data",
    "check_same_set",
    "data_of",
    "images_of",
    "known_data",
    "made_by",
    "own_data",
    "training",
]
