"""Training methods. Each name is a function that fills the slots of a ``Method``."""

from surefooted.training.methods.adp import adp
from surefooted.training.methods.adversarial import fgsm_at, pat, pat_entm, pat_ls, r_fgsm_at
from surefooted.training.methods.custom import custom
from surefooted.training.methods.due import due
from surefooted.training.methods.ensembles import ar_adals_of_ensemble, ensemble
from surefooted.training.methods.entropy import entm
from surefooted.training.methods.mixup import mixup
from surefooted.training.methods.pat_ar_adals import pat_ar_adals
from surefooted.training.methods.smoothing import adals, ar_adals, ls, vanilla
from surefooted.training.methods.trades import trades, trades_entm
from surefooted.training.methods.uncertainty_targeted import pgd_at, uta

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
