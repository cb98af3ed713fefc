"""Checks of an evaluation: flags that a robust accuracy should not be trusted, each with the evidence and what to do.

``check_classifier`` refuses a classifier that cannot be evaluated at all. ``sanity_check`` runs a few forward and
backward passes once. The other functions read its result, or the predictions and attack results of the evaluation, and
compute nothing new. Tolerances are the differences that occur between attacks on sound classifiers.

Reference: Carlini et al., *On evaluating adversarial robustness*, 2019; Athalye et al., *Obfuscated gradients give a
false sense of security*, ICML 2018.
"""

from surefooted.evaluation.checks.attack_flags import (
    black_box_wins,
    chance,
    huge_eps,
    non_finite,
    not_converged,
    rising_accuracy,
    weak_suite,
)
from surefooted.evaluation.checks.flags import FLAGS, Flag, allowed_difference, flag_names
from surefooted.evaluation.checks.interface import check_classifier, check_probabilities
from surefooted.evaluation.checks.sanity import (
    SANITY_CHECK_IMAGES,
    SanityCheck,
    randomised,
    sanity_check,
    sanity_flags,
    softmax_twice,
    train_mode,
    zero_gradients,
)

__all__ = [
    "FLAGS",
    "SANITY_CHECK_IMAGES",
    "Flag",
    "SanityCheck",
    "allowed_difference",
    "black_box_wins",
    "chance",
    "check_classifier",
    "check_probabilities",
    "flag_names",
    "huge_eps",
    "non_finite",
    "not_converged",
    "randomised",
    "rising_accuracy",
    "sanity_check",
    "sanity_flags",
    "softmax_twice",
    "train_mode",
    "weak_suite",
    "zero_gradients",
]
