"""Findings on EntM's claims about the weight of the entropy and about why EntM works (sections 5.3 and 6)."""

from __future__ import annotations

from dataclasses import replace
from math import hypot

from torch import Tensor

from surefooted.evaluation.analysis import correlation
from surefooted.evaluation.metrics.intervals import Interval, mean_interval
from surefooted.pipeline.store import Store
from surefooted.report import Finding
from surefooted.studies.claims import claim_equal, claim_gain
from surefooted.studies.entm.curves import ONE_NETWORK, Curves
from surefooted.studies.entm.design import Analysis


def geometry_findings(a: Analysis, store: Store) -> list[Finding]:
    """All findings of section 6."""
    return [*_jacobian_findings(a, store), _correlation_finding(a, store)]


def lambda_findings(a: Curves, store: Store) -> list[Finding]:
    """Section 5.3, on the networks of the sweep of λ."""
    if not {"0.1", "2", "5"} <= a.sweep.methods.keys():
        return []
    (attack,) = a.sweep.white_box
    see, sampling = f"lambda{a.name_suffix}", a.sweep.sampling()
    over = replace(sampling, text=f"{sampling}; compared: λ = 0.1, 2, 5")
    findings = []
    for key, accuracy in (("", "Clean accuracy"), (attack, f"Accuracy under {attack}")):
        from_small, from_two = (a.sweep.accuracy_gain(store, ("5", key), (lam, key)) for lam in ("0.1", "2"))
        findings.append(
            claim_gain(
                f"{accuracy} rises with λ from 0.1 to 5{a.title_suffix} (section 5.3).",
                from_small,
                "PAT-EntM, λ = 5 minus λ = 0.1",
                see=see,
                sampling=over,
            )
        )
        findings.append(
            claim_equal(
                f"{accuracy} is equal for λ = 2 and λ = 5, within half a point{a.title_suffix} (section 5.3).",
                from_two,
                "PAT-EntM, λ = 5 minus λ = 2",
                within=0.005,
                see=see,
                sampling=over,
            )
        )
    return findings


def _jacobian_findings(a: Analysis, store: Store) -> list[Finding]:
    """Section 6, image by image.

    Logarithms of ‖J‖₂ and Q are compared because a few images would dominate the means of the raw values.
    """
    eps = a.l2_radii[-1]
    results = {name: a.local_analyses[name, eps].result(store) for name in ("Normal", "EntM", "PAT", "PAT-EntM")}
    norm, q = ({name: r[key].double().log() for name, r in results.items()} for key in ("jacobian_norm", "q"))
    # Finite where the margin is positive: for images that both networks classify correctly.
    margin = {name: r["margin"].double().log() - norm[name] for name, r in results.items()}
    pairs = (("without", "Normal", "EntM"), ("with", "PAT", "PAT-EntM"))

    def log_finding(text: str, values: Tensor, measure: str) -> Finding:
        gain = mean_interval(values[values.isfinite()])
        return claim_gain(text, gain, measure, see="analysis", sampling=ONE_NETWORK, unit="")

    jacobians = [
        log_finding(
            f"EntM shrinks the Jacobian {where} adversarial training (section 6).",
            norm[plain] - norm[entropic],
            f"log ‖J‖₂, {plain} minus {entropic}",
        )
        for where, plain, entropic in pairs
    ]
    margins = [
        log_finding(
            f"EntM widens the normalised margin {where} adversarial training (section 6).",
            margin[entropic] - margin[plain],
            f"log(M / ‖J‖₂), {entropic} minus {plain}, on images that both classify correctly",
        )
        for where, plain, entropic in pairs
    ]
    standard, adversarial = q["EntM"] - q["Normal"], q["PAT-EntM"] - q["PAT"]
    points = f"at the points of PGD20-{eps:g} in L2"
    return [
        *jacobians,
        *margins,
        log_finding(
            "Without adversarial training EntM makes the network less linear (section 6).",
            standard,
            f"log Q, EntM minus Normal, {points}",
        ),
        log_finding(
            "With PAT, EntM reduces linearity less than without (section 6).",
            standard - adversarial,
            f"log Q, (EntM minus Normal) minus (PAT-EntM minus PAT), {points}",
        ),
    ]


def _correlation_finding(a: Analysis, store: Store) -> Finding:
    """Figure 4 and the last line of table 4. The two intervals are combined as independent."""
    adversarial, standard = (correlation(*a.geometry(store, name)[:2]) for name in ("PAT-EntM", "EntM"))
    value = adversarial.value - standard.value
    below = hypot(adversarial.value - adversarial.low, standard.high - standard.value)
    above = hypot(adversarial.high - adversarial.value, standard.value - standard.low)
    return claim_gain(
        "The normalised margin predicts the distortion better for PAT-EntM than for EntM without adversarial training "
        "(section 6).",
        Interval(value, value - below, value + above, min(adversarial.n, standard.n)),
        f"Pearson's correlation, PAT-EntM ({adversarial.value:.2f}) minus EntM ({standard.value:.2f})",
        see="analysis",
        sampling=ONE_NETWORK,
        unit="",
    )
