"""The claims of EntM's sections 5.3 and 6, judged: how much entropy, and why it works."""

from __future__ import annotations

from math import hypot

from torch import Tensor

from surefooted.evaluation.analysis import correlation
from surefooted.evaluation.metrics.intervals import Interval, mean_interval
from surefooted.pipeline.store import Store
from surefooted.report import Finding
from surefooted.studies.claims import claim_equal, claim_gain
from surefooted.studies.entm.curves import Curves
from surefooted.studies.entm.design import Analysis

ONE = "first network of each method, 95 % interval over test images"


def why(a: Analysis, store: Store) -> list[Finding]:
    """All of them."""
    return [*weights(a, store), *_shapes(a, store), _explains(a, store)]


def weights(a: Curves, store: Store) -> list[Finding]:
    """Section 5.3, on the networks of the sweep."""
    (attack,), found = a.sweep.white_box, []
    over = f"{a.sweep.sampling()}; λ = 0.1, 2, 5"
    if not {"0.1", "2", "5"} <= a.sweep.methods.keys():
        return []
    for which, told in (("", "clean"), (attack, f"under {attack}")):
        rise, rest = (a.sweep.accuracy_gain(store, ("5", which), (less, which)) for less in ("0.1", "2"))
        found.append(
            claim_gain(
                f"Accuracy {told} rises with λ from 0.1 to 5{a.where} (section 5.3).",
                *(rise, "PAT-EntM, λ = 5 less λ = 0.1"),
                see=f"lambda{a.suffix}",
                sampling=over,
            )
        )
        found.append(
            claim_equal(
                f"Accuracy {told} is the same at λ = 2 and 5, within half a point{a.where} (section 5.3).",
                *(rest, "PAT-EntM, λ = 5 less λ = 2"),
                within=0.005,
                see=f"lambda{a.suffix}",
                sampling=over,
            )
        )
    return found


def _shapes(a: Analysis, store: Store) -> list[Finding]:
    """Section 6, image by image: the logarithms of norms and of Q, whose own means a few images would decide."""
    names = ("Normal", "EntM", "PAT", "PAT-EntM")
    found = {name: a.analysed[name, a.bent[-1]].result(store) for name in names}
    norm, q = ({name: f[key].double().log() for name, f in found.items()} for key in ("jacobian_norm", "q"))
    # The margin's logarithm is there where it is above 0: on images that both networks tell right.
    wide = {name: f["margin"].double().log() - norm[name] for name, f in found.items()}
    pairs = (("without", "Normal", "EntM"), ("with", "PAT", "PAT-EntM"))

    def logs(text: str, values: Tensor, measure: str) -> Finding:
        gain = mean_interval(values[values.isfinite()])
        return claim_gain(text, gain, measure, see="analysis", sampling=ONE, unit=" of the logarithm")

    shrinks = [
        logs(
            f"EntM shrinks the Jacobian, {where} adversarial training (section 6).",
            norm[plain] - norm[entropic],
            f"log ‖J‖₂, {plain} less {entropic}",
        )
        for where, plain, entropic in pairs
    ]
    widens = [
        logs(
            f"EntM widens the normalised margin, {where} adversarial training (section 6).",
            wide[entropic] - wide[plain],
            f"log M / ‖J‖₂, {entropic} less {plain}, of images that both tell right",
        )
        for where, plain, entropic in pairs
    ]
    alone, beside = q["EntM"] - q["Normal"], q["PAT-EntM"] - q["PAT"]
    at = f"at the points of PGD20-{a.bent[-1]:g} in L2"
    return [
        *shrinks,
        *widens,
        logs("Alone, EntM costs linearity (section 6).", alone, f"log Q, EntM less Normal, {at}"),
        logs(
            "Beside PAT it costs less of it (section 6).",
            alone - beside,
            f"log Q, EntM less Normal, less the same of PAT-EntM and PAT, {at}",
        ),
    ]


def _explains(a: Analysis, store: Store) -> Finding:
    """Figure 4 and the last line of table 4; the two intervals are put together as independent."""
    beside, alone = (correlation(*a.distances(store, name)[:2]) for name in ("PAT-EntM", "EntM"))
    value = beside.value - alone.value
    below = hypot(beside.value - beside.low, alone.high - alone.value)
    above = hypot(beside.high - beside.value, alone.value - alone.low)
    return claim_gain(
        "The normalised margin tells how far an image must be moved on PAT-EntM, less so on EntM alone (section 6).",
        Interval(value, value - below, value + above, min(beside.n, alone.n)),
        f"Pearson's correlation, PAT-EntM ({beside.value:.2f}) less EntM ({alone.value:.2f})",
        see="analysis",
        sampling=ONE,
        unit="",
    )
