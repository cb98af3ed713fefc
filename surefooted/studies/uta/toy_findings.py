"""Findings on UTA's claims about the plane, judged over networks."""

from __future__ import annotations

from collections.abc import Sequence

from surefooted.evaluation.metrics.intervals import seed_interval
from surefooted.report import Finding
from surefooted.studies.claims import ZERO_TOLERANCE, claim_equal, claim_gain_over_seeds, over_seeds
from surefooted.studies.uta.toy import CLEAN, TRADES
from surefooted.studies.uta.toy_results import ToyResults


def toy_findings(r: ToyResults) -> list[Finding]:
    """All findings; those on the Gaussian process need two of its seeds."""
    return [*_mlp_findings(r), *(_due_findings(r) if r.problem.due_seeds > 1 else ())]


def _mlp_findings(r: ToyResults) -> list[Finding]:
    steps = sorted(r.problem.attack_steps)[1]
    return [
        claim_gain_over_seeds(
            f"In the plane, {steps} steps of PGD move more points far beyond the network's boundary than {steps} steps "
            "of UTA (figure 1, a and b).",
            _crossing_gains(r, "far", CLEAN, steps),
            "share far across the boundary, PGD minus UTA",
            see="toy-attacks",
        ),
        claim_gain_over_seeds(
            "More points end in the other class after PGD than after UTA (figure 1, a and b).",
            _crossing_gains(r, "beyond", CLEAN, steps),
            "share beyond the true boundary, PGD minus UTA",
            see="toy-attacks",
        ),
        claim_equal(
            "If ε is too large for a part of the plane, UTA-AT changes clean accuracy by less than one point "
            "(section 4.3).",
            seed_interval(_accuracy_gains(r, "UTA-AT", CLEAN)),
            "accuracy, UTA-AT minus standard training",
            within=ZERO_TOLERANCE,
            see="toy-trained",
            sampling=over_seeds(r.problem.seeds),
        ),
        claim_gain_over_seeds(
            "If ε is too large for a part of the plane, UTA-AT is more accurate on test points than PGD-AT "
            "(figure 1, c).",
            _accuracy_gains(r, "UTA-AT", "PGD-AT"),
            "accuracy, UTA-AT minus PGD-AT",
            see="toy-trained",
        ),
        claim_gain_over_seeds(
            "The boundary of UTA-AT is closer to the true boundary than that of PGD-AT (figure 1, c).",
            _differences(r.boundary_distances("PGD-AT"), r.boundary_distances("UTA-AT")),
            "distance, PGD-AT minus UTA-AT",
            see="toy-trained",
            unit=" units",
        ),
        claim_gain_over_seeds(
            "The boundary oscillates more under PGD-AT than under UTA-AT (figure 1, d).",
            _differences(r.flips("PGD-AT"), r.flips("UTA-AT")),
            "changes of a point's prediction, PGD-AT minus UTA-AT",
            see="toy-trained",
            unit="",
        ),
        claim_gain_over_seeds(
            "UTA-AT is more accurate in the plane than TRADES with λ = 1 (figure 7).",
            _accuracy_gains(r, "UTA-AT", TRADES),
            "accuracy, UTA-AT minus TRADES",
            see="toy-trained",
        ),
    ]


def _due_findings(r: ToyResults) -> list[Finding]:
    victim, steps = f"DUE, {CLEAN}", r.problem.due_steps
    return [
        claim_gain_over_seeds(
            "Gaussian process: PGD moves more points far beyond its boundary than UTA (figure 5).",
            _crossing_gains(r, "far", victim, steps),
            "share far across the boundary, PGD minus UTA",
            see="toy-attacks",
        ),
        claim_gain_over_seeds(
            "Gaussian process: more points end in the other class after PGD than after UTA (figure 5).",
            _crossing_gains(r, "beyond", victim, steps),
            "share beyond the true boundary, PGD minus UTA",
            see="toy-attacks",
        ),
        claim_gain_over_seeds(
            "Gaussian process: adversarial training with UTA is more accurate than with PGD (figure 6).",
            _accuracy_gains(r, "DUE, UTA-AT", "DUE, PGD-AT"),
            "accuracy, UTA-AT minus PGD-AT",
            see="toy-trained",
        ),
        claim_gain_over_seeds(
            "Gaussian process: its boundary is closer to the true boundary with UTA-AT than with PGD-AT (figure 6).",
            _differences(r.boundary_distances("DUE, PGD-AT"), r.boundary_distances("DUE, UTA-AT")),
            "distance, PGD-AT minus UTA-AT",
            see="toy-trained",
            unit=" units",
        ),
    ]


def _crossing_gains(r: ToyResults, quantity: str, victim: str, steps: int) -> list[float]:
    """Difference of a quantity between PGD and UTA, for each network."""
    return _differences(*(r.crossing(quantity, attack, victim, steps) for attack in ("PGD", "UTA")))


def _accuracy_gains(r: ToyResults, better: str, worse: str) -> list[float]:
    """Difference in test accuracy, for each seed."""
    return _differences(r.test_accuracy(better), r.test_accuracy(worse))


def _differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(first, second, strict=True)]
