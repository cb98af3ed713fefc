"""Names as other libraries write them: which are understood, and which are answered with the name that is used here.

A name that differs from a known one in case and punctuation only is understood: ``PGD``, ``CIFAR-10``, ``L_inf``. So
are the usual names of norms (``inf``, ``2``). Any other name, such as foolbox's ``epsilon``, is refused with a
suggestion: everything has one name here, so that all code and all stored results read alike. The tables below are the
only ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from surefooted.errors import did_you_mean

Words = Mapping[str, str]
"""The name that is used here, and the words for it elsewhere, separated by spaces."""

# A suggestion is made only where the function has that argument; the first that it has is the one.
ARGUMENTS: Words = {
    "eps": "epsilon epsilons max_eps eps_max radius",
    "step_size": "alpha eps_step eps_iter abs_stepsize rel_stepsize stepsize lr learning_rate",
    "lr": "learning_rate eta step_size",
    "steps": "num_steps n_steps nb_steps nb_iter n_iter num_iter niter max_iter iterations iters",
    "queries": "n_queries num_queries max_queries query_budget n_iter max_iter",
    "draws": "n_draws n_resamples n_bootstraps n_queries nb_iter",
    "restarts": "n_restarts num_restarts nb_restarts num_random_init repeat times",
    "start": "random_start rand_init rand_start random_init",
    "objective": "loss loss_fn loss_function criterion",
    "norm": "ord p lp linf l2 distance threat_model",
    "bins": "n_bins num_bins",
    "batch": "batch_size bs",
    "y": "labels label targets target",
    "epochs": "num_epochs n_epochs max_epochs",
    "weight_decay": "wd",
    "optimiser": "optimizer opt",
    "normalise": "normalize normalization",
    "search_steps": "binary_search_steps",
    "constant": "initial_const c",
    "targets": "n_target_classes n_targets num_targets",
    "eot": "eot_iter n_samples",
    "schedule": "scheduler lr_scheduler",
    "lam": "lambda lambda_ lambd",
    "members": "ensemble_size n_models num_models",
    "seed": "random_state rng",
    "level": "confidence_level",
    "limit": "n_examples max_examples n_ex",
    "dropout": "dropout_rate drop_rate",
    "widen": "widen_factor width",
}

# By kind of component.
COMPONENTS: Mapping[str, Words] = {
    "attack": {
        "pgd": "bim ifgsm mifgsm mim linf_pgd l2_pgd pgd_linf pgd_l2 basic_iterative_method",
        "autoattack": "aa",
        "carlini_wagner": "cw cw_l2 carlini carlini_wagner_l2",
        "apgd": "apgd_ce apgd_dlr auto_pgd",
        "apgd_t": "apgd_targeted",
        "r_fgsm": "ffgsm fast_fgsm",
        "square": "square_attack",
        "fab": "fab_t fast_adaptive_boundary",
        "nearest_boundary": "deepfool superdeepfool",
        "ddn": "decoupled_direction_norm",
        "fmn": "fast_minimum_norm",
    },
    "metric": {
        "accuracy": "acc top1 multiclass_accuracy",
        "ece": "calibration_error expected_calibration_error multiclass_calibration_error",
        "max_calibration_error": "mce maximum_calibration_error",
        "classwise_ece": "sce cece static_calibration_error classwise_calibration_error",
        "nll": "negative_log_likelihood cross_entropy log_loss ce",
        "brier": "brier_score brier_loss",
        "excess_aurc": "eaurc",
        "error_auroc": "auroc",
    },
    "network": {
        "wide_resnet28_10": "wrn28_10",
        "wide_resnet34_10": "wrn34_10",
        "wide_resnet": "wrn",
        "resnet18": "preact_resnet18 rn18",
    },
    "method": {
        "vanilla": "standard natural erm",
        "pgd_at": "at pgd madry adversarial_training",
        "ls": "label_smoothing",
        "ensemble": "deep_ensemble",
    },
    "score": {
        "cross_entropy": "ce xent nll",
        "cw_margin": "cw margin",
        "dlr": "dlr_loss",
        "kl_from_clean": "kl kl_div",
    },
}

# Values that mean one of an argument's choices, whatever the argument.
VALUES: Words = {"linf": "inf infinity linfinity linfty ∞ l∞", "l2": "2 2.0 euclidean"}


def understand(name: str, names: Iterable[str], words: Words = {}) -> str | None:  # noqa: B006 - never written to
    """The known name that is meant without doubt; None if there is none, or if there are several.

    Args:
        name: as the user wrote it.
        names: the known names.
        words: other words for them.

    Example:
        >>> understand("CIFAR-10", ["cifar10", "cifar100"]), understand("inf", ["linf", "l2"], VALUES)
        ('cifar10', 'linf')
    """
    known = list(names)
    if name in known:
        return name
    meant = [one for one in known if _plain(one) == _plain(name)] or _mean(name, known, words)
    return meant[0] if len(meant) == 1 else None


def suggest(name: str, names: Iterable[str], words: Words = ARGUMENTS) -> str:
    """A suggestion to append to a message: what other libraries call so, else the nearest name, else all names.

    Args:
        name, names, words: as for ``understand``; by default the words for arguments.

    Example:
        >>> suggest("num_steps", ["eps", "steps"])
        " Did you mean 'steps'?"
        >>> suggest("deepfool", ["fab", "nearest_boundary"], COMPONENTS["attack"])
        " Did you mean 'nearest_boundary'?"
    """
    known = sorted(names)
    meant = _mean(name, known, words) or [one for one in known if _plain(one) == _plain(name)]
    return f" Did you mean {meant[0]!r}?" if meant else did_you_mean(name, known)


def _mean(name: str, names: Iterable[str], words: Words) -> list[str]:
    """The names that are called so elsewhere, in the order of the table."""
    known = set(names)
    return [one for one, others in words.items() if one in known and _plain(name) in map(_plain, others.split())]


def _plain(name: str) -> str:
    """Small letters, without what joins words."""
    return re.sub(r"[-_. ]", "", name.casefold())
