"""RobustBench: its model zoo as victims, and results in the format of its ``model_info``; for robustbench 1.1."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import nn

from surefooted.core.packages import import_package
from surefooted.errors import ArgumentError, ModelError

# The entries of a file of model_info that a paper's authors state, not an evaluation.
DESCRIPTION = (
    "link",
    "name",
    "authors",
    "additional_data",
    "number_forward_passes",
    "venue",
    "architecture",
    "reported",
)


@dataclass(frozen=True)
class RobustBenchLoader:
    """Loads classifiers of RobustBench's model zoo by name; they read pixels in [0, 1].

    RobustBench downloads the weights, and unpickles them with torch's restricted reader (torch 2.6 and later).

    Attributes:
        dataset: ``cifar10``, ``cifar100`` or ``imagenet``.
        threat_model: ``Linf``, ``L2``, ``corruptions`` or ``corruptions_3d``.
        model_dir: folder for downloaded weights.

    Raises:
        DependencyError: when a model is loaded, if robustbench is missing or broken.
        ModelError: when a model is loaded, if the zoo has no such model or cannot be reached.

    Example:
        >>> import surefooted as sf
        >>> load = RobustBenchLoader("cifar10", "Linf")
        >>> net = load("Carmon2019Unlabeled")  # doctest: +SKIP
        >>> sf.audit(net, "cifar10", eps=8 / 255)  # doctest: +SKIP
    """

    dataset: str = "cifar10"
    threat_model: str = "Linf"
    model_dir: Path = Path("models")

    def __call__(self, name: str) -> nn.Module:
        """The classifier, in evaluation mode."""
        zoo = import_package("robustbench.utils", "A model of RobustBench", "robustbench")
        try:
            net: nn.Module = zoo.load_model(name, str(self.model_dir), self.dataset, self.threat_model)
        except Exception as error:  # whatever its code and its downloads raise
            raise ModelError(
                f"RobustBench cannot load {name!r} for {self.dataset}, {self.threat_model} "
                f"({type(error).__name__}: {error}). Its models: https://github.com/RobustBench/robustbench#model-zoo."
            ) from None
        return net.eval()


def robustbench_record(numbers: dict[str, Any], dataset: str, **description: Any) -> dict[str, Any]:
    """The result of an audit as an entry of RobustBench's ``model_info/<dataset>/<threat model>/<name>.json``.

    The robust accuracy is ``autoattack_acc`` only if the audit ran AutoAttack as published (``budget="full"``). Of
    other audits, and of any black box, the worst case over the attacks is ``external``, RobustBench's name for other
    evaluations. Write the entry with ``json.dump``.

    Args:
        numbers: ``AuditResult.numbers``.
        dataset: RobustBench's name of the data set, such as ``cifar10``.
        description: what the authors state: ``link``, ``name``, ``authors``, ``additional_data``,
            ``number_forward_passes``, ``venue``, ``architecture`` and ``reported``. What is left out is null.

    Returns:
        Plain data. Accuracies are text in per cent, the radius is a fraction of 255 as text for L∞.

    Raises:
        ArgumentError: for an unknown entry.

    Example:
        >>> share = {"value": 0.5342, "low": 0.52, "high": 0.55, "n": 10000}
        >>> calibration = {"clean": {"accuracy": share | {"value": 0.8534}}}
        >>> numbers = {"norm": "linf", "eps": 8 / 255, "budget": "full", "calibration": calibration}
        >>> suite = {"suite": "AutoAttack (full)", "suite_robust_accuracy": share}
        >>> numbers["headline"] = suite | {"robust_accuracy": share}
        >>> entry = robustbench_record(numbers, "cifar10", architecture="WideResNet-34-20")
        >>> entry["eps"], entry["clean_acc"], entry["autoattack_acc"]
        ('8/255', '85.34', '53.42')
    """
    if unknown := description.keys() - set(DESCRIPTION):
        raise ArgumentError(f"`{min(unknown)}` is no entry of RobustBench's; expected {', '.join(DESCRIPTION)}.")
    levels = Fraction(numbers["eps"] * 255).limit_denominator(100)
    exact = numbers["norm"] == "linf" and abs(levels / 255 - numbers["eps"]) < 1e-9
    headline = numbers["headline"]
    full = numbers["budget"] == "full" and headline["suite"].startswith("AutoAttack")
    robust = headline["suite_robust_accuracy" if full else "robust_accuracy"]
    return {
        **{name: description.get(name) for name in DESCRIPTION},
        "dataset": dataset,
        "eps": f"{levels}/255" if exact and levels.denominator == 1 else f"{numbers['eps']:.6g}",
        "clean_acc": f"{100 * numbers['calibration']['clean']['accuracy']['value']:.2f}",
        "autoattack_acc" if full else "external": f"{100 * robust['value']:.2f}",
    }
