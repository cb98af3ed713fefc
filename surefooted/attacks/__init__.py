"""Attacks: searches for a perturbation that changes a victim's answer. Each name is a function that describes one."""

from surefooted.attacks.carlini_wagner import carlini_wagner
from surefooted.attacks.pgd import fgsm, pgd, r_fgsm

__all__ = ["carlini_wagner", "fgsm", "pgd", "r_fgsm"]
