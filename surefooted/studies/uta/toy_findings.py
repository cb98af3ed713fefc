"""The UTA paper's claims about the plane, judged over networks."""

from __future__ import annotations

from collections.abc import Sequence

from surefooted.evaluation.metrics.intervals import seed_interval
from surefooted.report import Finding
from surefooted.studies.claims import ZERO_TOLERANCE, claim_equal, claim_gain_over_seeds
from surefooted.studies.uta.plane import PlaneResults
from surefooted.studies.uta.toy import CLEAN, TRADES


def findings(n: PlaneResults) -> list[Finding]:
    """All of them."""
    steps = sorted(n.made.attacked)[1]

    def crossing(what: str, victim: str, steps: int) -> list[float]:
        """By how much more of PGD's points than of UTA's."""
        return _less(n.crossing(what, "PGD", victim, steps), n.crossing(what, "UTA", victim, steps))

    def accuracy(more: str, fewer: str) -> list[float]:
        return _less(n.on_test(more), n.on_test(fewer))

    made = [
        claim_gain_over_seeds(
            f"In the plane, more points end far beyond a network's boundary after {steps} steps up its loss than after "
            f"{steps} up its entropy (figure 1, a and b).",
            *(crossing("far", CLEAN, steps), "share far across, PGD less UTA"),
            see="toy-attacks",
        ),
        claim_gain_over_seeds(
            "So more of PGD's points than of UTA's end among the other class (figure 1, a and b).",
            *(crossing("beyond", CLEAN, steps), "share beyond the true boundary, PGD less UTA"),
            see="toy-attacks",
        ),
        claim_equal(
            "With an ε too large for a part of the plane, UTA-AT costs no clean accuracy, not a point (section 4.3).",
            seed_interval(accuracy("UTA-AT", CLEAN)),
            "accuracy, UTA-AT less a network trained on clean points",
            within=ZERO_TOLERANCE,
            see="toy-trained",
            sampling=f"over {n.made.seeds} seeds",
        ),
        claim_gain_over_seeds(
            "Trained with an ε too large for a part of the plane, PGD-AT gives up test points that UTA-AT keeps "
            "(figure 1, c).",
            *(accuracy("UTA-AT", "PGD-AT"), "accuracy, UTA-AT less PGD-AT"),
            see="toy-trained",
        ),
        claim_gain_over_seeds(
            "UTA-AT's boundary stays closer to the true one (figure 1, c).",
            *(_less(n.off("PGD-AT"), n.off("UTA-AT")), "distance, PGD-AT less UTA-AT"),
            see="toy-trained",
            unit=" units",
        ),
        claim_gain_over_seeds(
            "The boundary oscillates more under PGD-AT (figure 1, d).",
            *(_less(n.flips("PGD-AT"), n.flips("UTA-AT")), "changes of a point's prediction, PGD-AT less UTA-AT"),
            see="toy-trained",
            unit="",
        ),
        claim_gain_over_seeds(
            "TRADES, with λ = 1, misclassifies points of the plane that UTA-AT does not (figure 7).",
            *(accuracy("UTA-AT", TRADES), "accuracy, UTA-AT less TRADES"),
            see="toy-trained",
        ),
    ]
    if n.made.due_seeds > 1:
        made += [
            claim_gain_over_seeds(
                "With a Gaussian process too, PGD takes more points far beyond its boundary than UTA (figure 5).",
                *(crossing("far", f"DUE, {CLEAN}", n.made.due_steps), "share far across, PGD less UTA"),
                see="toy-attacks",
            ),
            claim_gain_over_seeds(
                "With the process too, more of PGD's points than of UTA's end among the other class (figure 5).",
                *(crossing("beyond", f"DUE, {CLEAN}", n.made.due_steps), "share beyond it, PGD less UTA"),
                see="toy-attacks",
            ),
            claim_gain_over_seeds(
                "Trained adversarially, the process tells the classes apart better with UTA than with PGD (figure 6).",
                *(accuracy("DUE, UTA-AT", "DUE, PGD-AT"), "accuracy, UTA-AT less PGD-AT"),
                see="toy-trained",
            ),
            claim_gain_over_seeds(
                "Trained with UTA, the process's boundary stays closer to the true one (figure 6).",
                *(_less(n.off("DUE, PGD-AT"), n.off("DUE, UTA-AT")), "distance, PGD-AT less UTA-AT"),
                see="toy-trained",
                unit=" units",
            ),
        ]
    return made


def _less(more: Sequence[float], fewer: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(more, fewer)]
