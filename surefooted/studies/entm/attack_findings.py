"""Findings on EntM's claims about strong attacks: large radii, adaptive attacks, random search, and AutoAttack."""

from __future__ import annotations

from torch import Tensor

from surefooted.evaluation.metrics.intervals import Interval, mean_interval
from surefooted.evaluation.metrics.robustness import robust_accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask
from surefooted.report import Finding
from surefooted.studies.claims import (
    TOLERANCE_NOTE,
    ZERO_TOLERANCE,
    claim_all,
    claim_at_most,
    claim_gain,
    claim_zero,
    discount_by_seed_spread,
)
from surefooted.studies.entm.curves import CURVE_METHODS, ONE_NETWORK, Curves
from surefooted.studies.entm.design import RANDOM_SEARCH_METHODS, Analysis
from surefooted.studies.entm.grids import chance_accuracy
from surefooted.studies.entm.stronger_attacks import StrongerAttacks, autoattack_name


def strong_attack_findings(s: StrongerAttacks, store: Store) -> list[Finding]:
    """Findings on AutoAttack and on random search."""
    return [
        *(_autoattack_finding(s, store, k) for k in s.analysis.step_radii),
        _chance_finding(s, store),
        *_random_search_findings(s.analysis, store),
    ]


def masking_finding(a: Analysis, store: Store, name: str) -> Finding:
    """A method's own gradients are less effective than those of another network."""
    white, black = a.masking_attacks
    return claim_gain(
        f"{name} masks its gradients under a weak attack (section 5.2.1).",
        a.grid.accuracy_gain(store, (name, white), (name, black)),
        f"accuracy of {name} under {white}, with its own gradients minus with those of a proxy",
        see="obfuscation",
        sampling=a.grid.sampling(),
    )


def radius_finding(a: Curves, store: Store, other: str) -> Finding:
    """Figure 1: PAT-EntM is more robust than another method at every radius."""
    gains = {f"at {k}/255": _gain(a.radius_attacks["PAT-EntM", k], a.radius_attacks[other, k], store) for k in a.radii}
    text = f"PAT-EntM is more robust than {other} at every radius{a.title_suffix} (figure 1)."
    measure = f"robust accuracy, PAT-EntM minus {other}"
    return claim_all(text, gains, measure, see=f"accuracy-radius{a.name_suffix}", sampling=ONE_NETWORK)


def zero_accuracy_finding(a: Curves, store: Store) -> Finding:
    """Figure 1: accuracy at the largest radius is 0."""
    k = max(a.radii)
    shares = {name: robust_accuracy(a.radius_attacks[name, k].result(store)["found"]) for name in CURVE_METHODS}
    each = ", ".join(f"{name} {share.percent()}" for name, share in shares.items())
    return claim_zero(
        f"Accuracy falls to 0 under large perturbations{a.title_suffix} (figure 1).",
        list(shares.values()),
        f"accuracy at {k}/255, {TOLERANCE_NOTE}: {each}",
        ONE_NETWORK,
        see=f"accuracy-radius{a.name_suffix}",
    )


def adaptive_findings(a: Curves, store: Store) -> list[Finding]:
    """Figure 2: the longest attack with labels smoothed by the worst γ, at both radii."""
    findings = []
    for k in a.step_radii:
        pat = a.adaptive_attacks["PAT", k, a.max_steps]
        gain = _gain(a.adaptive_attacks["PAT-EntM", k, a.max_steps], pat, store)
        finding = claim_gain(
            f"EntM improves PAT under the adaptive attack at {k}/255{a.title_suffix} (section 5.2.2).",
            gain,
            f"robust accuracy, PAT-EntM minus PAT, {a.max_steps} steps",
            see=f"accuracy-steps{a.name_suffix}",
            sampling=ONE_NETWORK,
        )
        findings.append(_discount(finding, gain, (pat, a.adaptive_second_training[k]), "the adaptive attack", store))
    return findings


def _autoattack_finding(s: StrongerAttacks, store: Store, k: int) -> Finding:
    """The same under AutoAttack, which the paper does not use."""
    attack = autoattack_name(k)
    pat = s.attacks["PAT", attack]
    gain = _gain(s.attacks["PAT-EntM", attack], pat, store)
    finding = claim_gain(
        f"EntM improves PAT under AutoAttack at {k}/255 (our question, not the paper's).",
        gain,
        "robust accuracy, PAT-EntM minus PAT",
        see="stronger",
        sampling=ONE_NETWORK,
    )
    return _discount(finding, gain, (pat, s.second_training[k]), attack, store)


def _chance_finding(s: StrongerAttacks, store: Store) -> Finding:
    """EntM without adversarial training under AutoAttack."""
    a = s.analysis
    k = a.step_radii[0]
    left = robust_accuracy(s.attacks["EntM", autoattack_name(k)].result(store)["found"])
    return claim_at_most(
        f"EntM without adversarial training is no better than chance under AutoAttack at {k}/255 (our question).",
        left,
        chance_accuracy(a.grid),
        "accuracy of EntM",
        see="stronger",
        sampling=ONE_NETWORK,
    )


def _random_search_findings(a: Analysis, store: Store) -> list[Finding]:
    """Appendix C.1: the share of images robust to PGD-10 that random search breaks."""
    broken = {name: a.random_search_success(store, name) for name in RANDOM_SEARCH_METHODS}
    standard = {name: share for name, share in broken.items() if name not in CURVE_METHODS}
    return [
        *(
            claim_gain(
                f"Random search breaks images that PGD does not break on {name}: its gradients are masked "
                "(appendix C.1).",
                share,
                f"share of the {share.n} images robust to PGD-10",
                ONE_NETWORK,
                see="random-search",
                margin=ZERO_TOLERANCE,
            )
            for name, share in standard.items()
        ),
        *(
            claim_zero(
                f"Random search breaks no image that PGD does not break on {name} (appendix C.1).",
                [share],
                f"{share.percent()} of the {share.n} images robust to PGD-10, {TOLERANCE_NOTE}",
                ONE_NETWORK,
                see="random-search",
            )
            for name, share in broken.items()
            if name not in standard
        ),
    ]


def _gain(better: AttackTask, worse: AttackTask, store: Store) -> Interval:
    """Difference in robust accuracy over the images that both attacks ran on."""
    return mean_interval(_attack_success(worse, store) - _attack_success(better, store))


def _discount(
    finding: Finding, gain: Interval, seeds: tuple[AttackTask, AttackTask], attack: str, store: Store
) -> Finding:
    """Compare a gain over PAT with the difference between two PAT networks under the same attack."""
    first, second = (_attack_success(task, store) for task in seeds)
    apart = abs(float((first - second).mean()))
    return discount_by_seed_spread(finding, gain.value, apart, f"PAT under {attack}")


def _attack_success(task: AttackTask, store: Store) -> Tensor:
    return task.result(store)["found"].double()
