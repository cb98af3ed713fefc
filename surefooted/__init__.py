"""Surefooted: classifiers that keep their footing under perturbation and are as sure as they should be.

The names below are loaded when they are first used, so that ``import surefooted`` and ``--help`` need no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "surefooted.api": ["attack", "measure", "predict", "train"],
    "surefooted.attacks": ["autoattack", "carlini_wagner", "fgsm", "nearest_boundary", "pgd", "r_fgsm"],
    "surefooted.auditing.run": ["audit"],
    "surefooted.core.types": ["Forward", "Points", "Score"],
    "surefooted.data": [
        *("cifar10", "cifar100", "digits", "fashion_mnist", "mnist", "plane", "svhn"),
        *("folder", "hub", "npz", "parquet"),
    ],
    "surefooted.errors": ["InputError"],
    "surefooted.pipeline.runtime": ["Runtime"],
    "surefooted.evaluation.metrics.intervals": ["bootstrap", "Interval"],
    "surefooted.evaluation.metrics.levels": ["by_level", "levels_of"],
    "surefooted.training.recipes": ["recipe"],
    "surefooted.pipeline.store": ["Store"],
    "surefooted.attacks.transfer": ["transfer"],
}
_PACKAGES = {
    "analysis": "evaluation.analysis",
    "attacks": "attacks",
    "checks": "evaluation.checks",
    "corruptions": "data.corruptions",
    "data": "data",
    "ensembles": "models.ensembles",
    "methods": "training.methods",
    "metrics": "evaluation.metrics",
    "nets": "models.nets",
    "posthoc": "evaluation.recalibration",
    "recipes": "training.recipes",
    "recorders": "training.recorders",
    "scores": "core.scores",
    "studies": "studies",
    "views": "models.victims",
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"surefooted.{_PACKAGES[name]}")
    if name not in _HOME:
        raise AttributeError(f"module 'surefooted' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})
