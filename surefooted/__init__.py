"""Surefooted: train, attack, measure and report on image classifiers, for adversarial robustness and calibration.

Names load on first use, so ``import surefooted`` and ``surefooted --help`` need no torch::

    import surefooted as sf

    data = sf.digits()
    run = sf.train("pat", "mlp", data)
    adversarial = sf.attack("pgd", run.net, data.test, eps=0.1)
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# The same names for editors and type checkers; tests/test_layers.py compares them with the tables below.
# isort: off
if TYPE_CHECKING:
    from surefooted import attacks as attacks, data as data, report as report, studies as studies
    from surefooted.api import (
        TrainingRun as TrainingRun,
        attack as attack,
        classifier as classifier,
        export as export,
        load as load,
        measure as measure,
        network as network,
        predict as predict,
        train as train,
        transfer as transfer,
    )
    from surefooted.attacks import (
        autoattack as autoattack,
        carlini_wagner as carlini_wagner,
        fgsm as fgsm,
        hop_skip_jump as hop_skip_jump,
        nearest_boundary as nearest_boundary,
        pgd as pgd,
        r_fgsm as r_fgsm,
    )
    from surefooted.auditing.local_report import analyse as analyse
    from surefooted.auditing.run import audit as audit
    from surefooted.auditing.shift_report import corrupt as corrupt
    from surefooted.core import scores as scores
    from surefooted.core.interval import Interval as Interval
    from surefooted.core.types import Forward as Forward, Points as Points, Score as Score
    from surefooted.data import (
        arrays as arrays,
        cifar10 as cifar10,
        cifar100 as cifar100,
        corruptions as corruptions,
        digits as digits,
        fashion_mnist as fashion_mnist,
        folder as folder,
        hub as hub,
        mnist as mnist,
        npz as npz,
        parquet as parquet,
        plane as plane,
        svhn as svhn,
    )
    from surefooted.errors import (
        ArgumentError as ArgumentError,
        DataError as DataError,
        DependencyError as DependencyError,
        InputError as InputError,
        ModelError as ModelError,
        StoreError as StoreError,
        SurefootedError as SurefootedError,
        WorkerError as WorkerError,
    )
    from surefooted.evaluation import (
        adapters as adapters,
        analysis as analysis,
        checks as checks,
        metrics as metrics,
        recalibration as recalibration,
    )
    from surefooted.evaluation.calibration_report import calibration as calibration
    from surefooted.evaluation.metrics.intervals import bootstrap as bootstrap
    from surefooted.evaluation.metrics.levels import by_level as by_level, levels_of as levels_of
    from surefooted.models.external.black_box import blackbox as blackbox
    from surefooted.models import ensembles as ensembles, nets as nets, victims as victims
    from surefooted.pipeline.runtime import Runtime as Runtime
    from surefooted.pipeline.store import Store as Store
    from surefooted.training import (
        loggers as loggers,
        methods as methods,
        recipes as recipes,
        recorders as recorders,
    )
    from surefooted.training.recipes import recipe as recipe
# isort: on

_NAMES = {
    "surefooted.api": [
        *(
            "TrainingRun",
            "attack",
            "classifier",
            "export",
            "load",
            "measure",
            "network",
            "predict",
            "train",
            "transfer",
        ),
    ],
    "surefooted.attacks": [
        *("autoattack", "carlini_wagner", "fgsm", "hop_skip_jump", "nearest_boundary", "pgd", "r_fgsm"),
    ],
    "surefooted.auditing.local_report": ["analyse"],
    "surefooted.auditing.run": ["audit"],
    "surefooted.auditing.shift_report": ["corrupt"],
    "surefooted.core.interval": ["Interval"],
    "surefooted.core.types": ["Forward", "Points", "Score"],
    "surefooted.data": [
        *("cifar10", "cifar100", "digits", "fashion_mnist", "mnist", "plane", "svhn"),
        *("arrays", "folder", "hub", "npz", "parquet"),
    ],
    "surefooted.errors": [
        *("SurefootedError", "InputError", "ArgumentError", "DataError", "ModelError", "StoreError"),
        *("DependencyError", "WorkerError"),
    ],
    "surefooted.evaluation.calibration_report": ["calibration"],
    "surefooted.evaluation.metrics.intervals": ["bootstrap"],
    "surefooted.evaluation.metrics.levels": ["by_level", "levels_of"],
    "surefooted.models.external.black_box": ["blackbox"],
    "surefooted.pipeline.runtime": ["Runtime"],
    "surefooted.pipeline.store": ["Store"],
    "surefooted.training.recipes": ["recipe"],
}
# Short names of modules: ``sf.metrics`` is ``surefooted.evaluation.metrics``.
_MODULES = {
    "adapters": "surefooted.evaluation.adapters",
    "analysis": "surefooted.evaluation.analysis",
    "attacks": "surefooted.attacks",
    "checks": "surefooted.evaluation.checks",
    "corruptions": "surefooted.data.corruptions",
    "data": "surefooted.data",
    "ensembles": "surefooted.models.ensembles",
    "loggers": "surefooted.training.loggers",
    "methods": "surefooted.training.methods",
    "metrics": "surefooted.evaluation.metrics",
    "nets": "surefooted.models.nets",
    "recalibration": "surefooted.evaluation.recalibration",
    "recipes": "surefooted.training.recipes",
    "recorders": "surefooted.training.recorders",
    "report": "surefooted.report",
    "scores": "surefooted.core.scores",
    "studies": "surefooted.studies",
    "victims": "surefooted.models.victims",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _MODULE_OF:
        # Python asks for a package as an attribute before it imports it; a suggestion would import torch.
        hint = "" if importlib.util.find_spec(f"{__name__}.{name}") else _suggestion(name)
        raise AttributeError(f"module 'surefooted' has no attribute {name!r}.{hint}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def _suggestion(name: str) -> str:
    """The public name that is meant, such as ``pgd`` for ``PGD`` or ``metrics.ece`` for ``ECE``."""
    from surefooted.components.spelling import VALUES, understand

    if norm := understand(name, VALUES):
        return f" A norm is an argument: norm={norm!r}."
    near = [found] if (found := understand(name, __dir__())) else difflib.get_close_matches(name, __dir__(), 1)
    if not near and not name.startswith("_"):  # with an underscore it is a tool that looks for a hook
        for module in ("attacks", "metrics", "methods", "nets", "scores", "recipes"):
            if found := understand(name, importlib.import_module(_MODULES[module]).__all__):
                near = [f"{module}.{found}"]
    return f" Did you mean {near[0]!r}?" if near else ""


def __dir__() -> list[str]:
    return sorted({"__version__", *__all__, *_MODULES})
