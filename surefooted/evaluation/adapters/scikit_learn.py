"""Metrics as scorers of scikit-learn, and networks as its classifiers: tried with scikit-learn 1.9."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import nn

from surefooted.core.arrays import ArrayLike
from surefooted.core.types import as_points, log_mean_softmax
from surefooted.errors import ArgumentError
from surefooted.evaluation.adapters.shared import choose_metric, predictions_from_outputs
from surefooted.evaluation.metrics.functional import split_partial
from surefooted.models.prediction import map_logits
from surefooted.models.victims import Victim


def sklearn_score(y_true: ArrayLike, y_prob: ArrayLike, *, metric: Any = "ece", **options: Any) -> float:
    """A metric as a score function, for ``sklearn.metrics.make_scorer`` with ``response_method="predict_proba"``.

    Args:
        y_true: (N,) labels; if they are not 0 to K − 1, the sorted labels are numbered.
        y_prob: (N, K) probabilities, or (N,) those of the second of two classes.
        metric: a name, such as ``ece``, or a function of ``Predictions``.
        options: of the metric, such as ``bins``.

    Raises:
        ArgumentError: for an unknown metric, or labels that do not fit the probabilities.

    Example:
        >>> from sklearn.metrics import make_scorer
        >>> scorer = make_scorer(sklearn_score, response_method="predict_proba", greater_is_better=False, metric="ece")
        >>> round(sklearn_score([0, 1], [[0.8, 0.2], [0.7, 0.3]], metric="ece", bins=10), 2)
        0.45
    """
    probabilities, labels = np.asarray(y_prob), np.asarray(y_true)
    classes = probabilities.shape[1] if probabilities.ndim == 2 else 2
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        known, labels = np.unique(labels, return_inverse=True)
        if len(known) != classes:
            raise ArgumentError(
                f"`y_true` has {len(known)} different labels and `y_prob` {classes} classes, so it is unclear which "
                "label is which. Pass class indices, or use sklearn_scorer, which knows the estimator's classes."
            )
    return choose_metric(metric, options)[1](predictions_from_outputs(probabilities, labels))


def sklearn_scorer(metric: Any = "ece", **options: Any) -> Any:
    """A metric as a scorer ``(estimator, X, y) -> float``, for ``cross_validate`` and ``GridSearchCV``.

    As scikit-learn demands, higher is better: metrics of which lower is better are negated.

    Args:
        metric: a name, such as ``ece``; it must say whether high or low is better.
        options: of the metric, such as ``bins``.

    Raises:
        ArgumentError: for an unknown metric, or one of which neither high nor low values are better. The scorer
            raises it for labels that are no classes of the estimator.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.naive_bayes import GaussianNB
        >>> x, y = load_iris(return_X_y=True)
        >>> round(sklearn_scorer("brier")(GaussianNB().fit(x, y), x, y), 2)
        -0.07
    """
    name, chosen = choose_metric(metric, options)
    better = getattr(split_partial(chosen)[0], "better", None)
    if better not in ("high", "low"):
        raise ArgumentError(f"Of {name!r} neither high nor low values are better, so it cannot rank estimators.")
    sign = 1 if better == "high" else -1

    def score(estimator: Any, x: Any, y: Any) -> float:
        place = {label: k for k, label in enumerate(np.asarray(estimator.classes_).tolist())}
        labels = np.asarray(y).reshape(-1).tolist()
        if unknown := [label for label in labels if label not in place]:
            raise ArgumentError(f"`y` has the label {unknown[0]!r}, which is no class of the estimator.")
        return sign * sklearn_score([place[label] for label in labels], estimator.predict_proba(x), metric=chosen)

    score.__name__ = name
    return score


class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A trained network as a classifier of scikit-learn, which has ``predict_proba`` and ``predict``.

    Args:
        model: a module from pixels in [0, 1] to logits, or a victim such as an ensemble.
        classes: the labels in the order of the outputs, or their number.
        shape: (C, H, W) of the images, if they come as rows of a table; None if they come as images.

    Example:
        >>> import surefooted as sf
        >>> data = sf.digits(test_limit=20).test.points()
        >>> classifier = NetworkClassifier(sf.nets.mlp((1, 8, 8), 10), 10, shape=(1, 8, 8))
        >>> classifier.predict_proba(data.x.flatten(1).numpy()).shape
        (20, 10)
    """

    def __init__(self, model: nn.Module | Victim, classes: Any, shape: tuple[int, ...] | None = None) -> None:
        self.model, self.classes, self.shape = model, classes, shape

    def fit(self, X: Any, y: Any = None) -> NetworkClassifier:
        """Do nothing: the network is trained already."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> Any:
        """The labels in the order of the outputs."""
        return np.arange(self.classes) if isinstance(self.classes, int) else np.asarray(self.classes)

    def predict_proba(self, X: Any) -> Any:
        """(N, K) probabilities of the classes."""
        x = np.asarray(X, dtype=np.float32)
        points = as_points(x if self.shape is None else x.reshape(-1, *self.shape), np.zeros(len(x), dtype=int))
        return torch.cat(map_logits(self.model, points, log_mean_softmax)).exp().cpu().numpy()

    def predict(self, X: Any) -> Any:
        """(N,) the most likely label."""
        return self.classes_[self.predict_proba(X).argmax(1)]
