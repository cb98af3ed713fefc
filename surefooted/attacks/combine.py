"""Several attacks as one search: each sees only the rows that withstood those before. AutoAttack is such a list."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import inf
from typing import Literal

from surefooted.attacks.apgd import apgd, apgd_t
from surefooted.attacks.base import Attack
from surefooted.attacks.fab import fab
from surefooted.attacks.oracle import Oracle
from surefooted.attacks.square import square
from surefooted.components.component import Count, NonNegative, component
from surefooted.core.norms import Norm
from surefooted.core.scores import cw_margin, dlr
from surefooted.errors import InputError, ReducedAttack

InSuite = Literal["apgd_ce", "apgd_dlr", "apgd_t", "fab_t", "square"]
AutoAttackVersion = Literal["standard", "rand", "custom"]

AutoAttackBudget = Literal["full", "lean", "quick"]

VERSIONS: dict[str, tuple[InSuite, ...]] = {
    "standard": ("apgd_ce", "apgd_t", "fab_t", "square"),
    "rand": ("apgd_ce", "apgd_dlr"),
}
# The parts that come last and find least, and when they set rows aside: see ``Records.outlook``.
LAST, OUTLOOK = ("fab_t", "square"), 2.0
# Classes that the difference-of-logits ratios need.
LEAST: dict[str, int] = {"apgd_dlr": 3, "apgd_t": 4}


@component
def worst_of(*, attacks: tuple[Attack, ...]) -> Attack:
    """The worst of several attacks (union): each runs on the rows that withstood those before, the cheapest first best.

    The clean pass is run once, and a row retires as soon as one attack breaks it, whatever the attacks' own ``keep``.

    Raises:
        InputError: for no attacks, or for such that differ in ball, clip or the class that a row should leave.
    """
    if not attacks:
        raise InputError("worst_of has no attacks; give at least one.")
    first = attacks[0]
    for what in ("ball", "away_from", "clip"):
        seen = [getattr(attack, what) for attack in attacks]
        if any(one != seen[0] for one in seen):
            raise InputError(f"the attacks of worst_of differ in {what}: {', '.join(map(str, seen))}. Make them agree.")
    # The clean points, and what one of them finds, are judged as by the most careful of them.
    eot = max(attack.eot for attack in attacks)
    passes, gradient_free = _passes(attacks, eot)

    def search(oracle: Oracle) -> None:
        for turn, attack in enumerate(attacks):
            run(attack, oracle, turn)

    return Attack(
        search,
        first.ball,
        first.objective,
        passes,
        away_from=first.away_from,
        clip=first.clip,
        eot=eot,
        gradient_free=gradient_free,
        proposes=True,
    )


@component
def autoattack(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    version: AutoAttackVersion = "standard",
    attacks: tuple[InSuite, ...] = (),
    budget: AutoAttackBudget = "full",
    steps: Count = 100,
    targets: Count = 9,
    queries: Count = 5000,
    eot: Count | None = None,
) -> Attack:
    """AutoAttack (AA): APGD-CE, targeted APGD, targeted FAB and Square in turn, each on the rows still robust.

    On fewer than 4 classes the targeted difference-of-logits ratio is not defined (nor on 2 the plain one): APGD on
    the margin stands in, and a ``ReducedAttack`` warning says so. Of ``targets`` there are no more than wrong classes.

    Args:
        norm: of the ball, linf or l2.
        eps: its radius, in pixels' [0, 1]: 8/255, not 8.
        version: standard; rand for victims that draw at random (APGD-CE and APGD-DLR); custom runs ``attacks``.
        attacks: the parts of version custom, by name.
        budget: of version standard. full is as published; in lean FAB and Square set rows aside that at their pace
            would not break in twice as long; quick, for monitoring, has APGD-T to 2 targets, then to all in a fifth of
            the steps, and Square with 2/5 of the queries, smaller squares from the start, and rows set aside.
        steps: of APGD and FAB.
        targets: wrong classes that targeted attacks try, the likeliest first.
        queries: of Square.
        eot: passes that each answer is the mean of; by default 20 in version rand and 1 in custom. standard has one.

    Source: Croce and Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks*, ICML 2020.
    """
    if (version == "custom") != bool(attacks):
        raise InputError(f"autoattack takes attacks with version='custom' and only then; got {version!r}, {attacks}.")
    if version != "standard" and budget != "full":
        raise InputError(f"autoattack has budget {budget!r} for version 'standard' only; got {version!r}.")
    if version == "standard" and eot not in (None, 1):
        raise InputError("autoattack takes eot in the versions rand and custom; standard is for victims without draws.")
    mean_of = eot or (20 if version == "rand" else 1)
    made: dict[InSuite, tuple[Attack, ...]] = {
        "apgd_ce": (apgd(norm=norm, eps=eps, steps=steps, eot=mean_of),),
        "apgd_dlr": (apgd(norm=norm, eps=eps, steps=steps, objective=dlr(), eot=mean_of),),
        "apgd_t": (apgd_t(norm=norm, eps=eps, steps=steps, targets=targets),),
        "fab_t": (fab(norm=norm, eps=eps, steps=steps, targets=targets),),
        "square": (square(norm=norm, eps=eps, queries=queries),),
    }
    parts: Sequence[InSuite] = attacks or VERSIONS[version]
    if budget == "quick":
        parts = ("apgd_t", "square")
        made["apgd_t"] = (
            apgd_t(norm=norm, eps=eps, steps=steps, targets=min(targets, 2)),
            apgd_t(norm=norm, eps=eps, steps=max(steps // 5, 1), targets=targets),
        )
        made["square"] = (square(norm=norm, eps=eps, queries=max(queries * 2 // 5, 1), p_init=0.1),)
    stand_in = apgd(norm=norm, eps=eps, steps=steps, objective=cw_margin(), eot=mean_of)

    def search(oracle: Oracle) -> None:
        missing = [part for part in parts if oracle.classes < LEAST.get(part, 0)]
        if missing:
            warnings.warn(
                f"autoattack on {oracle.classes} classes: {', '.join(missing)} cannot be; APGD on the margin does.",
                ReducedAttack,
                stacklevel=2,
            )
        for k, part in enumerate(parts):
            oracle.records.outlook = inf if budget == "full" or part not in LAST else OUTLOOK
            for again, attack in enumerate((stand_in,) if part in missing else made[part]):
                run(attack, oracle, len(parts) * again + k)
        oracle.records.outlook = inf

    passes, gradient_free = _passes([attack for part in parts for attack in made[part]], mean_of)
    return Attack(
        search, stand_in.ball, stand_in.objective, passes, eot=mean_of, gradient_free=gradient_free, proposes=True
    )


def run(attack: Attack, oracle: Oracle, turn: int) -> None:
    """One attack on what is still active."""
    with oracle.turn(turn):
        oracle.pursue(attack.objective)
        for _ in range(attack.restarts):
            if oracle.active:
                attack.search(oracle)


def _passes(attacks: Sequence[Attack], eot: int) -> tuple[int, int]:
    """Of all attacks together, if each answer is the mean of ``eot`` passes: all, and those without gradient."""
    each = [(a.restarts * eot * a.passes // a.eot, a.restarts * eot * a.gradient_free // a.eot) for a in attacks]
    return sum(passes for passes, _ in each), sum(gradient_free for _, gradient_free in each)
