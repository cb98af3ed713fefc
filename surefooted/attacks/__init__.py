"""Attacks: searches for a perturbation that changes a victim's answer. Each name is a function that describes one."""

from surefooted.attacks.apgd import apgd, apgd_t
from surefooted.attacks.carlini_wagner import carlini_wagner
from surefooted.attacks.combine import autoattack, worst_of
from surefooted.attacks.pgd import fgsm, pgd, r_fgsm

__all__ = [
    "apgd",
    "apgd_t",
    "autoattack",
    "carlini_wagner",
    "fgsm",
    "pgd",
    "r_fgsm",
    "worst_of",
]
