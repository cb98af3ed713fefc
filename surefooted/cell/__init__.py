"""Cells: train → attack, shift → predict. Each is plain data that names an artefact, and knows how to make it.

A cell's key is the hash of its complete arguments, of the data's checksum and of the keys of the cells it needs: what
was made once, by whatever study, is found by every other.
"""

from surefooted.cell.analysed import Analysed, Surface
from surefooted.cell.attacked import Attacked, attacking
from surefooted.cell.base import Cell, Named, Part, Source, before, data_of, known_data
from surefooted.cell.origin import made_by
from surefooted.cell.predicted import Predicted
from surefooted.cell.probed import Probed
from surefooted.cell.released import Released
from surefooted.cell.shifted import Corrupted, Shifted
from surefooted.cell.sources import Best, Dropped, Ensembled, Member, Weights
from surefooted.cell.tested import check_same_data, check_same_set, images_of, own_data
from surefooted.cell.trained import Train, training
from surefooted.cell.transferred import Transferred, transfer
from surefooted.cell.unsure import Unsure

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
    "transfer",
]
