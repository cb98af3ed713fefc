"""The claims of the AR-AdaLS paper, judged."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics import debiased_ece, ece
from surefooted.evaluation.metrics.intervals import mean_interval, seed_interval
from surefooted.evaluation.metrics.levels import by_level
from surefooted.evaluation.metrics.paired import paired_bootstrap
from surefooted.evaluation.metrics.stability import level_variance_gap
from surefooted.report import Finding
from surefooted.studies.ar_adals.design import JOINT_AR_ADALS
from surefooted.studies.ar_adals.results import ShiftResults
from surefooted.studies.claims import HUNDREDTHS, Sampling, claim_gain, claim_gain_over_seeds, format_gain, over_seeds
from surefooted.studies.intervals import Jackknife, jackknife_interval

_SINGLE_METHODS = ("Vanilla", "LS", "AdaLS", "AR-AdaLS")
# Of what is measured once per method.
_ONE_ENSEMBLE = Sampling("one ensemble per method, 95 % interval over test images", 1)


def findings(n: ShiftResults) -> list[Finding]:
    """The paper's claims, judged on these runs."""
    return [*_level_findings(n), *_calibration_findings(n), *_ensemble_findings(n), *_stability_findings(n)]


def _level_findings(n: ShiftResults) -> list[Finding]:
    """Calibration and stability by robustness level (figure 1)."""
    half, last = n.design.levels // 2, n.design.levels
    # A binned error is biased upwards, more so where accuracy is low; the debiased one is not.
    errors = [by_level(partial(debiased_ece, norm="l2"), p, level) for p, level in zip(n.clean["Vanilla"], n.levels)]
    error = "debiased calibration error (root mean square)"
    networks = [p.log_p for p in n.clean["Vanilla"]]
    return [
        claim_gain_over_seeds(
            "The less robust half of the images is worse calibrated than the other half (figure 1).",
            [float(e[:half].nanmean() - e[half:].nanmean()) for e in errors],
            f"{error}, mean of levels 1–{half} minus mean of levels {half + 1}–{last}",
            see="levels",
        ),
        claim_gain_over_seeds(
            "The least robust tenth is worse calibrated than the more robust half (figure 1).",
            [float(e[0] - e[half:].nanmean()) for e in errors],
            f"{error}, level 1 minus mean of levels {half + 1}–{last}",
            see="levels",
        ),
        claim_gain(
            "Predictions of less robust images are less stable (figure 1).",
            jackknife_interval(Jackknife.of(lambda part: level_variance_gap(part, n.levels[0], half), networks)),
            f"variance, level 1 minus levels {half + 1}–{last}",
            see="level-variance",
            sampling=over_seeds(n.design.seeds),
            unit=HUNDREDTHS,
        ),
    ]


def _calibration_findings(n: ShiftResults) -> list[Finding]:
    """Calibration of single networks under shift (figure 3, table 3)."""
    error = {name: n.network_metric(ece, name)[:, 1:].mean(1) for name in _SINGLE_METHODS}
    return [
        *(
            claim_gain_over_seeds(
                f"AR-AdaLS is better calibrated under shift than {other} (figure 3, table 3).",
                (error[other] - error["AR-AdaLS"]).tolist(),
                f"ECE, mean over types and intensities, {other} minus AR-AdaLS",
                see="ece-single",
            )
            for other in _SINGLE_METHODS[:-1]
        ),
        claim_gain_over_seeds(
            "A single AR-AdaLS network is as well calibrated under shift as a Vanilla ensemble, within half a point "
            "(section 6.2).",
            (float(n.ensemble_metric_by_type(ece, "Vanilla").mean()) - error["AR-AdaLS"]).tolist(),
            "ECE, mean over types and intensities, Ensemble of Vanilla minus AR-AdaLS",
            see="box-ece-single",
            margin=-0.005,
        ),
    ]


def _ensemble_findings(n: ShiftResults) -> list[Finding]:
    """Calibration of ensembles. There is one per method, so intervals are over images, or over corruption types."""
    ensemble = _overconfidence(n.ensemble_predictions("AR-AdaLS"))
    single = torch.stack([_overconfidence(p) for p in n.clean["AR-AdaLS"]]).mean(0)
    error = {name: n.ensemble_metric_by_type(ece, name).mean(1) for name in (*_SINGLE_METHODS, JOINT_AR_ADALS)}
    gain = paired_bootstrap(ece, n.ensemble_predictions("AR-AdaLS"), n.ensemble_predictions(JOINT_AR_ADALS))
    return [
        claim_gain(
            "Ensembling AR-AdaLS networks lowers overconfidence (figures 5, 6).",
            mean_interval(single - ensemble),
            f"overconfidence (confidence − accuracy), single networks ({format_gain(mean_interval(single))}) minus "
            f"ensemble ({format_gain(mean_interval(ensemble))})",
            see="confidence",
            sampling=_ONE_ENSEMBLE,
        ),
        claim_gain(
            "The ensemble of AR-AdaLS networks is under-confident (figures 5, 6).",
            mean_interval(-ensemble),
            "accuracy − confidence",
            see="confidence",
            sampling=_ONE_ENSEMBLE,
        ),
        claim_gain(
            "AR-AdaLS of Ensemble is not under-confident by half a point (figure 5).",
            mean_interval(_overconfidence(n.ensemble_predictions(JOINT_AR_ADALS))),
            "overconfidence (confidence − accuracy)",
            see="confidence",
            sampling=_ONE_ENSEMBLE,
            margin=-0.005,
        ),
        claim_gain(
            "AR-AdaLS of Ensemble is better calibrated on clean images than the ensemble of AR-AdaLS (table 3).",
            gain,
            "ECE, Ensemble of AR-AdaLS minus AR-AdaLS of Ensemble",
            see="ece-ensembles",
            sampling=_ONE_ENSEMBLE,
        ),
        *(
            claim_gain(
                f"AR-AdaLS of Ensemble is better calibrated under shift than the ensemble of {other} (table 3).",
                seed_interval((error[other] - error[JOINT_AR_ADALS]).tolist()),
                f"ECE, mean over intensities, Ensemble of {other} minus AR-AdaLS of Ensemble",
                see="ece-ensembles",
                sampling=Sampling(
                    f"one ensemble per method, 95 % interval over {len(n.design.types)} corruption types", 1
                ),
            )
            for other in _SINGLE_METHODS
        ),
    ]


def _stability_findings(n: ShiftResults) -> list[Finding]:
    """Variance over networks under shift (figure 3, table 2)."""
    variance = {name: n.variance_jackknife(name) for name in _SINGLE_METHODS}
    return [
        claim_gain(
            f"AR-AdaLS is more stable under shift than {other} (figure 3, table 2).",
            jackknife_interval(variance[other], variance["AR-AdaLS"]),
            f"variance, mean over types and intensities, {other} minus AR-AdaLS",
            see="variances",
            sampling=over_seeds(n.design.seeds),
            unit=HUNDREDTHS,
        )
        for other in _SINGLE_METHODS[:-1]
    ]


def _overconfidence(p: Predictions) -> Float[Tensor, " n"]:
    """Confidence minus correctness of each image."""
    confidence, correct = p.top()
    return confidence.double() - correct.double()
