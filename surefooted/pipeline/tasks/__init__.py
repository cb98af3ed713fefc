"""Tasks: train → attack or corrupt → predict. Each is plain data that identifies an artifact, and how it is made.

A task's key is the hash of its complete arguments, of the data's checksum and of the keys of the tasks it requires:
what one study has made is found by every other.
"""

from surefooted.pipeline.tasks.analysis import LocalAnalysisTask, LossSurfaceTask
from surefooted.pipeline.tasks.attack import AttackTask, SanityCheckTask, attack_task
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, trainings_of
from surefooted.pipeline.tasks.corruption import CorruptedPredictTask, CorruptionTask, StreamedShiftTask
from surefooted.pipeline.tasks.datasets import load_splits, resolve_data, training_data
from surefooted.pipeline.tasks.evaluation import choose_order, eval_images, images_to_check
from surefooted.pipeline.tasks.leakage import check_same_data, check_same_set
from surefooted.pipeline.tasks.prediction import PredictTask
from surefooted.pipeline.tasks.provenance import collect_provenance, recorded_seconds
from surefooted.pipeline.tasks.released import ReleasedCorruptionTask
from surefooted.pipeline.tasks.sources import (
    BestOfSweep,
    DeepEnsemble,
    MCDropout,
    MemberOf,
    WeightsFile,
    external_source,
)
from surefooted.pipeline.tasks.training import TrainTask, train_task
from surefooted.pipeline.tasks.transfer import TransferTask
from surefooted.pipeline.tasks.uncertainty import UncertaintyTask

__all__ = [
    "AttackTask",
    "BestOfSweep",
    "ComponentSpec",
    "CorruptedPredictTask",
    "CorruptionTask",
    "DeepEnsemble",
    "LocalAnalysisTask",
    "LossSurfaceTask",
    "MCDropout",
    "MemberOf",
    "PredictTask",
    "ReleasedCorruptionTask",
    "SanityCheckTask",
    "Source",
    "SplitName",
    "StreamedShiftTask",
    "Task",
    "TrainTask",
    "TransferTask",
    "UncertaintyTask",
    "WeightsFile",
    "attack_task",
    "check_same_data",
    "check_same_set",
    "choose_order",
    "collect_provenance",
    "eval_images",
    "external_source",
    "images_to_check",
    "load_splits",
    "recorded_seconds",
    "resolve_data",
    "train_task",
    "training_data",
    "trainings_of",
]
