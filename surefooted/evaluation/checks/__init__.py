"""Flags: signs that a robust accuracy should not be trusted, each with what was seen and what to do.

``admit`` refuses a classifier that cannot be evaluated at all. ``probe`` asks it a few questions once; the others read
the probe, or predictions and results of attacks that were made anyway, and compute nothing anew. What each looks for is
in its docstring; allowances are what attacks on honest classifiers differ by.

Source of the symptoms: Carlini et al., *On evaluating adversarial robustness*, 2019; Athalye et al., *Obfuscated
gradients give a false sense of security*, ICML 2018.
"""

from surefooted.evaluation.checks.interface import check_classifier, check_probabilities
from surefooted.evaluation.checks.attack_flags import black_box_wins, chance, huge_eps, not_converged, rising_accuracy
from surefooted.evaluation.checks.flags import FLAGS, Flag, allowed_difference, flag_names
from surefooted.evaluation.checks.sanity import (
    SANITY_CHECK_IMAGES,
    SanityCheck,
    sanity_check,
    sanity_flags,
    randomised,
    softmax_twice,
    train_mode,
    zero_gradients,
)

__all__ = [
    "FLAGS",
    "SANITY_CHECK_IMAGES",
    "Flag",
    "SanityCheck",
    "check_classifier",
    "check_probabilities",
    "allowed_difference",
    "black_box_wins",
    "chance",
    "flag_names",
    "huge_eps",
    "not_converged",
    "sanity_check",
    "sanity_flags",
    "randomised",
    "rising_accuracy",
    "softmax_twice",
    "train_mode",
    "zero_gradients",
]
