"""Training methods. Each name is a function that fills the slots of a ``Method``."""

from surefooted.methods.adp import adp
from surefooted.methods.adversarial import fgsm_at, pat, pat_entm, pat_ls, r_fgsm_at
from surefooted.methods.custom import custom
from surefooted.methods.due import due
from surefooted.methods.ensembles import ar_adals_of_ensemble, ensemble
from surefooted.methods.entropy import entm
from surefooted.methods.mixup import mixup
from surefooted.methods.pat_ar_adals import pat_ar_adals
from surefooted.methods.smoothing import adals, ar_adals, ls, vanilla
from surefooted.methods.trades import trades, trades_entm
from surefooted.methods.uncertainty_targeted import pgd_at, uta

__all__ = [
    "adals",
    "adp",
    "ar_adals",
    "ar_adals_of_ensemble",
    "custom",
    "due",
    "ensemble",
    "entm",
    "fgsm_at",
    "ls",
    "mixup",
    "pat",
    "pat_ar_adals",
    "pat_entm",
    "pat_ls",
    "pgd_at",
    "r_fgsm_at",
    "trades",
    "trades_entm",
    "uta",
    "vanilla",
]
