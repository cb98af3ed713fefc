"""Adapters: Surefooted's attacks, metrics, data and models in the calling conventions of other libraries.

Nothing of Surefooted imports this package. The other library is imported when an adapter is first used.
"""

from surefooted.adapters.adversarial_library import adv_lib_attack
from surefooted.adapters.attack_bench import attackbench_attack
from surefooted.adapters.foolbox_attacks import foolbox_attack
from surefooted.adapters.hugging_face import evaluate_metric
from surefooted.adapters.maite_data import MaiteAttack, MaiteCorruption, MaiteDataset
from surefooted.adapters.maite_models import MaiteMetric, MaiteModel
from surefooted.adapters.robust_bench import RobustBenchLoader, robustbench_record
from surefooted.adapters.scikit_learn import NetworkClassifier, sklearn_score, sklearn_scorer
from surefooted.adapters.torch_metrics import torchmetrics_metric

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
