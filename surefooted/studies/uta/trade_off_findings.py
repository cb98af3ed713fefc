"""Findings on UTA's claims about the trade-off of accuracy and robustness, judged on a grid."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from surefooted.evaluation.metrics.intervals import Interval
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import load_splits
from surefooted.report import Finding
from surefooted.studies.claims import ZERO_TOLERANCE, claim_all, claim_equal, claim_gain, claim_zero, format_gain, judge
from surefooted.studies.grid import Grid
from surefooted.studies.uta.design import SingleMember
from surefooted.studies.uta.grids import (
    FAST_UTA,
    OVERLAP_RADIUS,
    STANDARD,
    autoattack_key,
    autoattack_radii,
    common_radii,
    pgd_key,
    training_key,
    training_radii,
)


def clean_accuracy_finding(title: str, grid: Grid, store: Store, figure: str, see: str) -> Finding:
    """UTA-AT is more accurate on clean images than PGD-AT at every training radius."""
    gains = {
        f"trained at {eps:g}": grid.accuracy_gain(
            store, (training_key("uta", eps), ""), (training_key("pgd_at", eps), "")
        )
        for eps in training_radii(grid)
    }
    text = f"{title}: UTA-AT is more accurate on clean images than PGD-AT at every training radius ({figure})."
    return claim_all(text, gains, "clean accuracy, UTA-AT minus PGD-AT", see=see, sampling=grid.sampling())


def best_score_finding(title: str, grid: Grid, store: Store, table: str, see: str, *, exceptions: int = 1) -> Finding:
    """UTA-AT has the best score at every test radius, with some exceptions (the yellow cells of the tables)."""
    pgd, uta = ([training_key(method, eps) for eps in training_radii(grid)] for method in ("pgd_at", "uta"))
    radii = autoattack_radii(grid)
    gains = {eps: grid.best_score_gain(store, uta, pgd, autoattack_key(eps)) for eps in radii}
    better, worse = sum(gain.low > 0 for gain in gains.values()), sum(gain.high < 0 for gain in gains.values())
    each = ", ".join(
        f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] at {eps:g}"
        for eps, gain in gains.items()
    )
    selection = "networks" if grid.seeds > 1 else "half of the images"
    return judge(
        f"{title}: UTA-AT has the best score at {'almost ' if exceptions else ''}every test radius ({table}).",
        "holds" if better >= len(radii) - exceptions else "does not hold" if worse > exceptions else "unclear",
        "on the attacked images, best score of UTA-AT minus best score of PGD-AT, points; the best training is "
        f"selected on the other {selection}: {each}",
        grid.sampling(),
        see=see,
    )


def robust_accuracy_finding(title: str, grid: Grid, store: Store, see: str) -> Finding:
    """UTA-AT is at least as robust as PGD-AT at the training radius."""
    gains = {
        f"at {eps:g}": grid.accuracy_gain(
            store, (training_key("uta", eps), autoattack_key(eps)), (training_key("pgd_at", eps), autoattack_key(eps))
        )
        for eps in common_radii(grid)
    }
    # "At least as robust" is judged as non-inferiority: at no radius less robust by a point or more.
    return claim_all(
        f"{title}: UTA-AT is at least as robust as PGD-AT at the training radius, within a point (section 6).",
        gains,
        "robust accuracy, UTA-AT minus PGD-AT",
        see=see,
        sampling=grid.sampling(),
        margin=-ZERO_TOLERANCE,
    )


def larger_radius_finding(title: str, grid: Grid, store: Store, see: str) -> Finding:
    """UTA-AT is more robust at a radius if it is trained at the next larger radius."""
    gains = {
        f"at {eps:g}": grid.accuracy_gain(
            store, (training_key("uta", larger), autoattack_key(eps)), (training_key("uta", eps), autoattack_key(eps))
        )
        for eps, larger in pairwise(training_radii(grid))
        if eps in autoattack_radii(grid)
    }
    text = f"{title}: UTA-AT is more robust at a radius if it is trained at the next larger radius (section 4.3)."
    measure = "robust accuracy, trained at the next larger radius minus trained at the test radius"
    return claim_all(text, gains, measure, see=see, sampling=grid.sampling())


def overlap_radius_finding(title: str, grid: Grid, store: Store, see: str) -> Finding:
    """Accuracy of UTA-AT is close to 0 under PGD at the radius where the balls of any two images overlap."""
    accuracies = {
        eps: grid.accuracy_interval(store, training_key("uta", eps), pgd_key(OVERLAP_RADIUS))
        for eps in training_radii(grid)
    }
    best = max(accuracies, key=lambda eps: accuracies[eps].value)
    return claim_zero(
        f"{title}: under PGD at ε = {OVERLAP_RADIUS:g} the accuracy of UTA-AT is close to 0 (appendix C.3).",
        list(accuracies.values()),
        f"accuracy at most {100 * accuracies[best].value:.1f} %, trained at {best:g}",
        grid.sampling(),
        see=see,
    )


def pgd_reliability_finding(title: str, grid: Grid, store: Store, see: str) -> Finding:
    """Figures drawn under PGD are reliable: AutoAttack breaks few images that withstand PGD."""
    gaps = {
        method: {
            eps: grid.accuracy_gain(
                store, (training_key(method, eps), pgd_key(eps)), (training_key(method, eps), autoattack_key(eps))
            )
            for eps in common_radii(grid)
        }
        for method in ("uta", "pgd_at")
    }
    worst = {method: max(by_radius, key=lambda eps: by_radius[eps].value) for method, by_radius in gaps.items()}
    other = f"PGD-AT's largest gap: {format_gain(gaps['pgd_at'][worst['pgd_at']])} at {worst['pgd_at']:g}"
    return claim_equal(
        f"{title}: at the training radius the accuracy of UTA-AT is equal under PGD and AutoAttack (our question).",
        gaps["uta"][worst["uta"]],
        f"accuracy under PGD-10 minus accuracy under AutoAttack, at the radius of the largest gap ({worst['uta']:g}; "
        f"{other})",
        within=ZERO_TOLERANCE,
        see=see,
        sampling=grid.sampling(),
    )


def latent_findings(title: str, grid: Grid, member: SingleMember, store: Store, name: str) -> list[Finding]:
    """Claims of section 5.2 beside its table, on all networks of UTA-AT and on a single one."""
    return [*_ensemble_findings(title, grid, store, name), *_single_member_findings(title, grid, member, store, name)]


def _ensemble_findings(title: str, grid: Grid, store: Store, name: str) -> list[Finding]:
    see, clean = f"scores-{name}", f"clean-accuracy-{name}"
    radii, small = training_radii(grid), _small_radii(grid)
    large = [eps for eps in autoattack_radii(grid) if eps not in small]
    robust = [
        grid.accuracy_interval(store, training_key("uta", eps), autoattack_key(test)) for eps in radii for test in large
    ]
    y = load_splits(grid.trained[STANDARD][0].data).test.y
    majority = float(y.bincount().max() / len(y))
    pgd_at = max(
        (grid.accuracy_interval(store, training_key("pgd_at", eps)) for eps in radii if eps >= 0.2 or eps == radii[-1]),
        key=lambda accuracy: accuracy.value,
    )
    above_majority = Interval(pgd_at.value - majority, pgd_at.low - majority, pgd_at.high - majority, pgd_at.n)
    costs = [grid.accuracy_gain(store, (training_key("uta", eps), ""), (STANDARD, "")) for eps in radii]
    gains = {
        f"trained at {eps:g}, tested at {test:g}": grid.accuracy_gain(
            store, (training_key("uta", eps), autoattack_key(test)), (STANDARD, autoattack_key(test))
        )
        for eps in radii
        for test in small
    }
    return [
        claim_zero(
            f"{title}: at test radii of 0.2 and more the robust accuracy of UTA-AT is 0 (section 5.2).",
            robust,
            f"robust accuracy at most {100 * max(share.value for share in robust):.1f} %",
            grid.sampling(),
            see=see,
        ),
        claim_gain(
            f"{title}: UTA-AT costs less than one point of clean accuracy at every training radius (figure 13).",
            min(costs, key=lambda gain: gain.value),
            "clean accuracy, UTA-AT at its worst radius minus standard training",
            margin=-ZERO_TOLERANCE,
            see=clean,
            sampling=grid.sampling(),
        ),
        claim_equal(
            f"{title}: trained at 0.2 and more, PGD-AT is no better than the majority class on clean images "
            "(section 5.2).",
            above_majority,
            "clean accuracy of PGD-AT at its best such radius minus the share of the majority class",
            within=ZERO_TOLERANCE,
            see=clean,
            sampling=grid.sampling(),
        ),
        claim_all(
            f"{title}: UTA-AT is more robust than standard training (our question).",
            gains,
            "robust accuracy, UTA-AT minus standard training",
            see=see,
            sampling=grid.sampling(),
        ),
    ]


def _single_member_findings(title: str, grid: Grid, member: SingleMember, store: Store, name: str) -> list[Finding]:
    radii = training_radii(grid)
    clean_gains = {
        f"trained at {eps:g}": member.accuracy_gain(store, training_key("uta", eps), training_key("pgd_at", eps))
        for eps in radii
    }
    robust_gains = {
        f"trained at {eps:g}, tested at {test:g}": member.accuracy_gain(
            store, training_key("uta", eps), STANDARD, autoattack_key(test)
        )
        for eps in radii
        for test in _small_radii(grid)
    }
    return [
        claim_all(
            f"{title}: a single network of UTA-AT is more accurate on clean images than PGD-AT (our question).",
            clean_gains,
            "clean accuracy, a single network of UTA-AT minus PGD-AT",
            see=f"{name}-alone",
            sampling=grid.sampling(),
        ),
        claim_all(
            f"{title}: a single network of UTA-AT is more robust than standard training (our question).",
            robust_gains,
            "robust accuracy, a single network of UTA-AT minus standard training",
            see=f"{name}-alone",
            sampling=grid.sampling(),
        ),
    ]


def _small_radii(grid: Grid) -> list[float]:
    """Test radii below 0.2."""
    return [eps for eps in autoattack_radii(grid) if eps < 0.2]


def fast_training_finding(grids: Mapping[int, Grid], store: Store, see: str) -> Finding:
    """Figure 9c: UTA with one and two steps is more accurate on clean images than PGD-2."""
    gains = {
        f"{method} at {k}/255": grid.accuracy_gain(store, (method, ""), ("PGD-2", ""))
        for k, grid in grids.items()
        for method in FAST_UTA
    }
    return claim_all(
        "CIFAR-10: UTA with one and two steps is more accurate on clean images than PGD-2 at every radius (figure 9c).",
        gains,
        "clean accuracy, UTA minus PGD-2",
        see=see,
        sampling=next(iter(grids.values())).sampling(),
    )
