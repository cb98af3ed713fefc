"""The claims of the EntM paper on strong attacks: at larger radii, adaptive, at random; and under AutoAttack."""

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
from surefooted.studies.entm.curves import CURVES, Curves
from surefooted.studies.entm.design import SEARCHED, Analysis
from surefooted.studies.entm.stronger import StrongerAttacks, autoattack

OVER = "first network of each method, 95 % interval over test images"


def strength(s: StrongerAttacks, store: Store) -> list[Finding]:
    a = s.analysis
    return [
        *(everywhere(a, store, other) for other in ("PAT", "TRADES")),
        *adaptive(a, store),
        *(suite(s, store, k) for k in a.pixels),
        alone(s, store),
        *random(a, store),
        down_to_zero(a, store),
    ]


def everywhere(a: Curves, store: Store, other: str) -> Finding:
    """Figure 1: PAT-EntM leads at every radius."""
    gains = {f"at {k}/255": _gain(a.curve["PAT-EntM", k], a.curve[other, k], store) for k in a.radii}
    text = f"At every radius PAT-EntM is more robust than {other}{a.where} (figure 1)."
    return claim_all(text, gains, f"PAT-EntM less {other}", see=f"accuracy-radius{a.suffix}", sampling=OVER)


def adaptive(a: Analysis, store: Store) -> list[Finding]:
    """Figure 2: labels smoothed by the worst γ, most steps, at both radii."""
    found = []
    for k in a.pixels:
        pat = a.adaptive["PAT", k, a.most]
        gain = _gain(a.adaptive["PAT-EntM", k, a.most], pat, store)
        text = f"Under the adaptive attack too, at {k}/255, EntM helps beside PAT{a.where} (section 5.2.2)."
        one = claim_gain(
            text, gain, f"PAT-EntM less PAT, {a.most} steps", see=f"accuracy-steps{a.suffix}", sampling=OVER
        )
        found.append(_beside(one, gain, pat, a.adaptive_again[k], store))
    return found


def suite(s: StrongerAttacks, store: Store, k: int) -> Finding:
    """The same by AutoAttack, which the paper does not have."""
    pat = s.attacked["PAT", autoattack(k)]
    gain = _gain(s.attacked["PAT-EntM", autoattack(k)], pat, store)
    text = f"Under AutoAttack, at {k}/255, EntM helps beside PAT (our question, not the paper's)."
    one = claim_gain(text, gain, "PAT-EntM less PAT", see="stronger", sampling=OVER)
    return _beside(one, gain, pat, s.again[k], store)


def alone(s: StrongerAttacks, store: Store) -> Finding:
    """What a stronger attack than the paper's leaves of EntM alone."""
    a = s.analysis
    left = robust_accuracy(s.attacked["EntM", autoattack(a.pixels[0])].result(store)["found"])
    return claim_at_most(
        f"Under AutoAttack, at {a.pixels[0]}/255, EntM alone is no better than a guess (our question).",
        *(left, a.guess, "EntM under AutoAttack"),
        see="stronger",
        sampling=OVER,
    )


def random(a: Analysis, store: Store) -> list[Finding]:
    """Appendix C.1: of what withstood PGD-10, how much random search breaks."""
    broken = {name: a.searched(store, name) for name in SEARCHED}
    alone = {name: share for name, share in broken.items() if name not in CURVES}
    return [
        *(
            claim_gain(
                f"Random search breaks some of what withstood PGD on {name}: its gradients are masked (appendix C.1).",
                *(share, f"of {share.n} images"),
                see="random-search",
                margin=ZERO_TOLERANCE,
            )
            for name, share in alone.items()
        ),
        *(
            claim_zero(
                f"Random search breaks nothing that withstood PGD on {name} (appendix C.1).",
                *([share], f"{share.percent()} of {share.n} images, {TOLERANCE_NOTE}"),
                see="random-search",
            )
            for name, share in broken.items()
            if name not in alone
        ),
    ]


def down_to_zero(a: Curves, store: Store) -> Finding:
    """Figure 1's far end."""
    far = {name: robust_accuracy(a.curve[name, max(a.radii)].result(store)["found"]) for name in CURVES}
    said = ", ".join(f"{name} {share.percent()}" for name, share in far.items())
    return claim_zero(
        f"Under large enough perturbations accuracy falls to 0{a.where} (figure 1).",
        *(list(far.values()), f"accuracy at {max(a.radii)}/255, {TOLERANCE_NOTE}: {said}"),
        see=f"accuracy-radius{a.suffix}",
    )


def _gain(better: AttackTask, worse: AttackTask, store: Store) -> Interval:
    """How much more accurate one is than the other, over the images that both saw."""
    return mean_interval(_broken(worse, store) - _broken(better, store))


def _beside(found: Finding, gain: Interval, first: AttackTask, second: AttackTask, store: Store) -> Finding:
    """Judged beside how far apart two networks of PAT are under the same attack."""
    apart = abs(float((_broken(first, store) - _broken(second, store)).mean()))
    return discount_by_seed_spread(found, gain.value, apart, "PAT under it")


def _broken(task: AttackTask, store: Store) -> Tensor:
    return task.result(store)["found"].double()
