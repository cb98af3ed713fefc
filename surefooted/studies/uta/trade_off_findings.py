"""UTA's claims about accuracy traded for robustness, judged on a grid."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from surefooted.evaluation.metrics.intervals import Interval
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import load_splits
from surefooted.report import Finding
from surefooted.studies.claims import ZERO_TOLERANCE, claim_all, claim_equal, claim_gain, claim_zero, format_gain
from surefooted.studies.grid import Grid
from surefooted.studies.uta.design import SingleMember
from surefooted.studies.uta.grids import (
    LATENT,
    QUICK,
    STANDARD,
    WIDE,
    attack,
    both_at,
    curve,
    name,
    tested_at,
    trained_at,
)


def more_accurate(told: str, grid: Grid, store: Store, of: str, see: str) -> Finding:
    """Clean accuracy, at every radius of training."""
    gains = {
        f"trained at {eps:g}": grid.accuracy_gain(store, (name("uta", eps), ""), (name("pgd_at", eps), ""))
        for eps in trained_at(grid)
    }
    text = f"{told}: UTA-AT is more accurate on clean images at every radius of training ({of})."
    return claim_all(text, gains, "clean accuracy, UTA-AT less PGD-AT", see=see, sampling=grid.sampling())


def best_score(told: str, grid: Grid, store: Store, of: str, see: str, *, spared: int = 1) -> Finding:
    """The tables' yellow cells: at every test radius, but so many, the best score is UTA-AT's."""
    pgd, uta = ([name(method, eps) for eps in trained_at(grid)] for method in ("pgd_at", "uta"))
    tested = tested_at(grid)
    won = [grid.best_score_gain(store, uta, pgd, attack(test)) for test in tested]
    sure, lost = (sum(gain.low > 0 for gain in won), sum(gain.high < 0 for gain in won))
    gains = [f"{100 * w.value:+.1f} [{100 * w.low:+.1f}, {100 * w.high:+.1f}] at {t:g}" for w, t in zip(won, tested)]
    return Finding(
        f"{told}: at {'almost ' if spared else ''}every test radius the best score is UTA-AT's ({of}).",
        "holds" if sure >= len(tested) - spared else "does not hold" if lost > spared else "unclear",
        "on the attacked images, best score of UTA-AT less that of PGD-AT, points, which is best chosen by "
        f"{'the other networks' if grid.seeds > 1 else 'the other half of the images'}: {', '.join(gains)}; "
        f"{grid.sampling()}",
        see,
    )


def as_robust(told: str, grid: Grid, store: Store, see: str) -> Finding:
    """Robust accuracy where the test's radius is the training's."""
    gains = {
        f"at {eps:g}": grid.accuracy_gain(store, (name("uta", eps), attack(eps)), (name("pgd_at", eps), attack(eps)))
        for eps in both_at(grid)
    }
    # "As robust, or more" is judged as non-inferiority: nowhere less robust by a point.
    return claim_all(
        f"{told}: at the radius of its training UTA-AT is as robust as PGD-AT, or more, within a point (section 6).",
        gains,
        "robust accuracy, UTA-AT minus PGD-AT",
        see=see,
        sampling=grid.sampling(),
        margin=-ZERO_TOLERANCE,
    )


def larger(told: str, grid: Grid, store: Store, see: str) -> Finding:
    """Robust accuracy at a radius, of a training at the next larger one."""
    gains = {
        f"at {eps:g}": grid.accuracy_gain(store, (name("uta", more), attack(eps)), (name("uta", eps), attack(eps)))
        for eps, more in pairwise(trained_at(grid))
        if eps in tested_at(grid)
    }
    text = f"{told}: UTA-AT is more robust at a radius if it is trained at the next larger one (section 4.3)."
    measure = "robust accuracy, trained at the next larger radius less trained at that of the test"
    return claim_all(text, gains, measure, see=see, sampling=grid.sampling())


def nothing_left(told: str, grid: Grid, store: Store, see: str) -> Finding:
    """What PGD leaves at a radius where the balls around any two images meet."""
    left = {eps: grid.accuracy_interval(store, name("uta", eps), curve(WIDE)) for eps in trained_at(grid)}
    most = max(left, key=lambda eps: left[eps].value)
    return claim_zero(
        f"{told}: PGD at ε = {WIDE:g} leaves close to nothing of UTA-AT (appendix C.3).",
        list(left.values()),
        f"at most {100 * left[most].value:.1f} % withstand, trained at {most:g}",
        see=see,
    )


def seen_through(told: str, grid: Grid, store: Store, see: str) -> Finding:
    """Whether figures drawn under PGD can be trusted: what AutoAttack breaks of what withstood it."""
    gaps = {
        method: {
            eps: grid.accuracy_gain(store, (name(method, eps), curve(eps)), (name(method, eps), attack(eps)))
            for eps in both_at(grid)
        }
        for method in ("uta", "pgd_at")
    }
    worst = {method: max(found, key=lambda eps: found[eps].value) for method, found in gaps.items()}
    said = f"PGD-AT's worst {format_gain(gaps['pgd_at'][worst['pgd_at']])} at {worst['pgd_at']:g}"
    return claim_equal(
        f"{told}: at the radius of its training PGD says of UTA-AT what AutoAttack says (our question).",
        gaps["uta"][worst["uta"]],
        f"accuracy under PGD-10 less that under AutoAttack, at its worst radius ({worst['uta']:g}; {said})",
        within=ZERO_TOLERANCE,
        see=see,
        sampling=grid.sampling(),
    )


def latent(grid: Grid, one: SingleMember, store: Store, see: str, clean: str) -> list[Finding]:
    """What section 5.2 says beside its table."""
    trained, far = trained_at(grid), [eps for eps in tested_at(grid) if eps >= 0.2]
    left = [grid.accuracy_interval(store, name("uta", eps), attack(test)) for eps in trained for test in far]
    y = load_splits(grid.trained[STANDARD][0].data).test.y
    commonest = float(y.bincount().max() / len(y))
    learnt = max(
        (grid.accuracy_interval(store, name("pgd_at", eps)) for eps in trained if eps >= 0.2 or eps == trained[-1]),
        key=lambda accuracy: accuracy.value,
    )
    above = Interval(learnt.value - commonest, learnt.low - commonest, learnt.high - commonest, learnt.n)
    costs = [grid.accuracy_gain(store, (name("uta", eps), ""), (STANDARD, "")) for eps in trained]
    near = [eps for eps in tested_at(grid) if eps not in far]
    gained = {
        f"trained at {eps:g}, tested at {test:g}": grid.accuracy_gain(
            store, (name("uta", eps), attack(test)), (STANDARD, attack(test))
        )
        for eps in trained
        for test in near
    }
    alone = {f"trained at {eps:g}": one.accuracy_gain(store, name("uta", eps), name("pgd_at", eps)) for eps in trained}
    gained_alone = {
        f"trained at {eps:g}, tested at {test:g}": one.accuracy_gain(store, name("uta", eps), STANDARD, attack(test))
        for eps in trained
        for test in near
    }
    return [
        claim_zero(
            f"{LATENT}: at test radii of 0.2 and more nothing of UTA-AT withstands (section 5.2).",
            left,
            f"at most {100 * max(share.value for share in left):.1f} % withstand",
            see=see,
        ),
        claim_gain(
            f"{LATENT}: UTA-AT costs no clean accuracy, not a point at any radius (figure 13).",
            min(costs, key=lambda gain: gain.value),
            "clean accuracy, UTA-AT at its worst radius less a network trained on clean images",
            margin=-ZERO_TOLERANCE,
            see=clean,
            sampling=grid.sampling(),
        ),
        claim_equal(
            f"{LATENT}: trained at 0.2 and more, PGD-AT's clean accuracy falls to that of a guess (section 5.2).",
            above,
            "clean accuracy of PGD-AT at its best such radius less the share of the commonest class",
            within=ZERO_TOLERANCE,
            see=clean,
            sampling=grid.sampling(),
        ),
        claim_all(
            f"{LATENT}: UTA-AT is more robust than a network trained on clean images (our question).",
            gained,
            "robust accuracy, UTA-AT less trained on clean images",
            see=see,
            sampling=grid.sampling(),
        ),
        claim_all(
            f"{LATENT}: alone, one of UTA-AT's networks is more accurate on clean images than PGD-AT's (our question).",
            alone,
            "clean accuracy, one network of UTA-AT's less PGD-AT's",
            see="latent-alone",
            sampling=grid.sampling(),
        ),
        claim_all(
            f"{LATENT}: alone, one of UTA-AT's networks is more robust than a network trained on clean images "
            "(our question).",
            gained_alone,
            "robust accuracy, one network of UTA-AT's less trained on clean images",
            see="latent-alone",
            sampling=grid.sampling(),
        ),
    ]


def quick(grids: Mapping[int, Grid], store: Store, see: str) -> Finding:
    """Figure 9c."""
    gains = {
        f"{method} at {k}/255": grid.accuracy_gain(store, (method, ""), ("PGD-2", ""))
        for k, grid in grids.items()
        for method in QUICK
    }
    some = next(iter(grids.values()))
    return claim_all(
        "CIFAR-10: UTA of one and two steps is more accurate on clean images than PGD-2 at every radius (figure 9c).",
        gains,
        "clean accuracy, UTA less PGD-2",
        see=see,
        sampling=some.sampling(),
    )
