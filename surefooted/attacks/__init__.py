"""Attacks: searches for a perturbation that changes the prediction. Every name is a function that makes one."""

from surefooted.attacks.adaptive import adaptive_smoothing
from surefooted.attacks.apgd import apgd, apgd_t
from surefooted.attacks.carlini_wagner import carlini_wagner
from surefooted.attacks.combine import autoattack, worst_of
from surefooted.attacks.fab import fab
from surefooted.attacks.hop_skip_jump import hop_skip_jump
from surefooted.attacks.min_norm import ddn, fmn
from surefooted.attacks.nearest_boundary import nearest_boundary
from surefooted.attacks.pgd import fgsm, pgd, r_fgsm
from surefooted.attacks.random_search import random_search
from surefooted.attacks.square import square

__all__ = [
    "adaptive_smoothing",
    "apgd",
    "apgd_t",
    "autoattack",
    "carlini_wagner",
    "ddn",
    "fab",
    "fgsm",
    "fmn",
    "hop_skip_jump",
    "nearest_boundary",
    "pgd",
    "r_fgsm",
    "random_search",
    "square",
    "worst_of",
]
