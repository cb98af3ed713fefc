"""Adapters: Surefooted's attacks, metrics, data and models in the calling conventions of other libraries.

Nothing of Surefooted imports this package. The other library is imported when an adapter is first used.
"""

from surefooted.evaluation.adapters.adversarial_library import adv_lib_attack
from surefooted.evaluation.adapters.attack_bench import attackbench_attack
from surefooted.evaluation.adapters.foolbox_attacks import foolbox_attack
from surefooted.evaluation.adapters.hugging_face import evaluate_metric
from surefooted.evaluation.adapters.maite_data import MaiteAttack, MaiteCorruption, MaiteDataset
from surefooted.evaluation.adapters.maite_models import MaiteMetric, MaiteModel
from surefooted.evaluation.adapters.robust_bench import RobustBenchLoader, robustbench_record
from surefooted.evaluation.adapters.scikit_learn import NetworkClassifier, sklearn_score, sklearn_scorer
from surefooted.evaluation.adapters.torch_metrics import torchmetrics_metric

__all__ = [
    "MaiteAttack",
    "MaiteCorruption",
    "MaiteDataset",
    "MaiteMetric",
    "MaiteModel",
    "NetworkClassifier",
    "RobustBenchLoader",
    "adv_lib_attack",
    "attackbench_attack",
    "evaluate_metric",
    "foolbox_attack",
    "robustbench_record",
    "sklearn_score",
    "sklearn_scorer",
    "torchmetrics_metric",
]
