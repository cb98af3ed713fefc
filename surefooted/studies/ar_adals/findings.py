"""The claims of the AR-AdaLS paper, judged."""

from __future__ import annotations

import torch
from torch import Tensor

from surefooted.core.predictions import Predictions
from surefooted.evaluation.metrics import debiased_ece, ece
from surefooted.evaluation.metrics.intervals import mean_interval, seed_interval
from surefooted.evaluation.metrics.levels import by_level
from surefooted.evaluation.metrics.paired import paired_bootstrap
from surefooted.evaluation.metrics.stability import variance_of_each
from surefooted.report import Finding
from surefooted.studies.ar_adals.design import OF_ENSEMBLE
from surefooted.studies.ar_adals.results import ShiftResults
from surefooted.studies.claims import HUNDREDTHS, apart, claim_gain, over_seeds, spelled

ERROR = "debiased calibration error (root mean square)"


def findings(n: ShiftResults) -> list[Finding]:
    """The paper's claims, judged on these runs."""
    half, compared = n.made.levels // 2, ("Vanilla", "LS", "AdaLS")
    # Without the bias of a binned error, which alone would make levels of low accuracy look worse.
    errors = [by_level(debiased_ece, p, level) for p, level in zip(n.clean["Vanilla"], n.level)]
    unstable = variance_of_each([p.log_p for p in n.clean["Vanilla"]])
    least, most = unstable[n.level[0] == 0], unstable[n.level[0] >= half]
    shift = {name: n.single(ece, name)[:, 1:].mean(1) for name in (*compared, "AR-AdaLS")}
    spread = {name: n.unstable(name) for name in (*compared, "AR-AdaLS")}
    by_image = f"{n.made.seeds} networks a method, 95 % interval over images"
    return [
        over_seeds(
            "The less robust half of the examples is worse calibrated than the other (figure 1).",
            [float(e[:half].nanmean() - e[half:].nanmean()) for e in errors],
            f"{ERROR}, mean of levels 1 to {half} less that of levels {half + 1} to {n.made.levels}",
            see="levels",
        ),
        over_seeds(
            "The least robust tenth is worse calibrated than the more robust half (figure 1).",
            [float(e[0] - e[half:].nanmean()) for e in errors],
            f"{ERROR}, level 1 less the mean of levels {half + 1} to {n.made.levels}",
            see="levels",
        ),
        claim_gain(
            "Less robust examples have less stable predictions (figure 1).",
            apart(least, most),
            f"variance, level 1 less levels {half + 1} to {n.made.levels}",
            see="level-variance",
            over=by_image,
            unit=HUNDREDTHS,
        ),
        *(
            over_seeds(
                f"AR-AdaLS is better calibrated under shift than {other} (figure 3, table 3).",
                (shift[other] - shift["AR-AdaLS"]).tolist(),
                f"ECE, mean over types and intensities, {other} less AR-AdaLS",
                see="ece-single",
            )
            for other in compared
        ),
        over_seeds(
            "A single network of AR-AdaLS is as well calibrated under shift as an ensemble of Vanilla, to half a point "
            "(section 6.2).",
            (float(n.ensemble_by_type(ece, "Vanilla").mean()) - shift["AR-AdaLS"]).tolist(),
            "ECE, mean over types and intensities, Ensemble of Vanilla less AR-AdaLS",
            see="box-ece-single",
            margin=-0.005,
        ),
        *ensembled(n),
        *(
            claim_gain(
                f"AR-AdaLS is more stable under shift than {other} (figure 3, table 2).",
                mean_interval(spread[other] - spread["AR-AdaLS"]),
                f"variance, mean over types and intensities, {other} less AR-AdaLS",
                see="variances",
                over=by_image,
                unit=HUNDREDTHS,
            )
            for other in compared
        ),
    ]


def ensembled(n: ShiftResults) -> list[Finding]:
    """What becomes of calibration in an ensemble, one a side: clean, over images, and under shift, over its types."""
    over = "one ensemble, 95 % interval over images"
    whole, singles = (_too_sure(n.ensemble_clean("AR-AdaLS")), [_too_sure(p) for p in n.clean["AR-AdaLS"]])
    single = torch.stack(singles).mean(0)
    others = ("Vanilla", "LS", "AdaLS", "AR-AdaLS")
    shift = {name: n.ensemble_by_type(ece, name).mean(1) for name in (*others, OF_ENSEMBLE)}
    gain = paired_bootstrap(ece, n.ensemble_clean("AR-AdaLS"), n.ensemble_clean(OF_ENSEMBLE))
    return [
        claim_gain(
            "Ensembling AR-AdaLS networks lowers confidence against accuracy (figures 5, 6).",
            mean_interval(single - whole),
            f"confidence less accuracy, single networks ({spelled(mean_interval(single))}) less "
            f"ensemble ({spelled(mean_interval(whole))})",
            see="confidence",
            over=over,
        ),
        claim_gain(
            "The ensemble of AR-AdaLS networks is under-confident (figures 5, 6).",
            mean_interval(-whole),
            "accuracy less confidence",
            see="confidence",
            over=over,
        ),
        claim_gain(
            "AR-AdaLS of Ensemble is not under-confident by half a point (figure 5).",
            mean_interval(_too_sure(n.ensemble_clean(OF_ENSEMBLE))),
            "confidence less accuracy",
            see="confidence",
            over=over,
            margin=-0.005,
        ),
        claim_gain(
            "AR-AdaLS of Ensemble is better calibrated on clean images than the ensemble of AR-AdaLS (table 3).",
            gain,
            "ECE, Ensemble of AR-AdaLS less AR-AdaLS of Ensemble",
            see="ece-ensembles",
            over="one ensemble a side, 95 % interval over images",
        ),
        *(
            claim_gain(
                f"AR-AdaLS of Ensemble is better calibrated under shift than the ensemble of {other} (table 3).",
                seed_interval((shift[other] - shift[OF_ENSEMBLE]).tolist()),
                f"ECE, mean over intensities, Ensemble of {other} less AR-AdaLS of Ensemble",
                see="ece-ensembles",
                over=f"one ensemble a side, 95 % interval over {len(n.made.types)} types of corruption",
            )
            for other in others
        ),
    ]


def _too_sure(p: Predictions) -> Tensor:
    """Confidence less correctness of each image."""
    confidence, correct = p.top()
    return confidence.double() - correct.double()
