"""Several attacks as one search: each attacks only the rows that withstood those before. AutoAttack is such a list."""

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
from surefooted.errors import ArgumentError, ReducedAttack

# 2: the budget quick begins with APGD-CE; without it, it missed up to 5 % of the images on other people's networks.
VERSION = {"autoattack": lambda arguments: 2 if arguments["budget"] == "quick" else 1}

AutoAttackPart = Literal["apgd_ce", "apgd_dlr", "apgd_t", "fab_t", "square"]
AutoAttackVersion = Literal["standard", "rand", "custom"]
AutoAttackBudget = Literal["full", "lean", "quick"]

_PARTS: dict[str, tuple[AutoAttackPart, ...]] = {
    "standard": ("apgd_ce", "apgd_t", "fab_t", "square"),
    "rand": ("apgd_ce", "apgd_dlr"),
    "quick": ("apgd_ce", "apgd_t", "square"),
}
# The parts that come last and find least, and their ``Tracker.give_up_ratio`` in the budgets lean and quick.
_LATE_PARTS, _GIVE_UP_RATIO = ("fab_t", "square"), 2.0
# Number of classes that the difference-of-logits ratios need.
_MIN_CLASSES: dict[str, int] = {"apgd_dlr": 3, "apgd_t": 4}
# Shares of the passes with and without gradient that our own runs spent; see ``Attack.expected_share``.
_EXPECTED_SHARES = {"full": (0.45, 0.45), "lean": (0.3, 0.1), "quick": (0.45, 0.45)}


@component
def worst_of(*, attacks: tuple[Attack, ...]) -> Attack:
    """The worst of several attacks (union): each attacks the examples that withstood those before it.

    The clean points are evaluated once. An example is dropped as soon as one attack breaks it, whatever the ``keep``
    rules of the attacks. List the cheapest attack first.

    Args:
        attacks: attacks with the same ball, clip and away_from.

    Raises:
        ArgumentError: if ``attacks`` is empty, or if the attacks differ in ball, clip or away_from.

    Example:
        >>> import surefooted as sf
        >>> union = sf.attacks.worst_of(attacks=["fgsm", {"pgd": {"steps": 5}}])
        >>> union.passes
        8
        >>> net, points = sf.nets.mlp((1, 8, 8), 10), sf.digits(test_limit=20).test.points()
        >>> bool((union(net, points).found >= sf.attacks.fgsm()(net, points).found).all())
        True
    """
    if not attacks:
        raise ArgumentError("worst_of: attacks is empty; give at least one attack.")
    first = attacks[0]
    for fact in ("ball", "away_from", "clip"):
        values = [getattr(attack, fact) for attack in attacks]
        if any(value != values[0] for value in values):
            raise ArgumentError(
                f"The attacks of worst_of differ in {fact}: {', '.join(map(str, values))}. Give all the same {fact}."
            )
    # All points, clean ones too, are judged by as many passes as the attack with the highest eot asks for.
    eot = max(attack.eot for attack in attacks)
    passes, gradient_free = _total_passes(attacks, eot)

    def search(oracle: Oracle) -> None:
        for index, attack in enumerate(attacks):
            _run_in_turn(attack, oracle, index)

    return Attack(
        search,
        first.ball,
        first.objective,
        passes,
        away_from=first.away_from,
        clip=first.clip,
        eot=eot,
        gradient_free=gradient_free,
        tries_candidates=True,
        expected_share=(0.6, 0.6),
        parts=lambda classes: attacks,
    )


@component
def autoattack(
    *,
    norm: Norm = "linf",
    eps: NonNegative = 8 / 255,
    version: AutoAttackVersion = "standard",
    attacks: tuple[AutoAttackPart, ...] = (),
    budget: AutoAttackBudget = "full",
    steps: Count = 100,
    targets: Count = 9,
    queries: Count = 5000,
    eot: Count | None = None,
) -> Attack:
    """AutoAttack (AA): APGD-CE, targeted APGD, targeted FAB and Square in turn, each on the examples still robust.

    The targeted difference-of-logits ratio needs at least 4 classes, the plain one 3. With fewer classes, APGD on the
    margin replaces the attack, and a ``ReducedAttack`` warning says so.

    Args:
        norm: norm of the ball, linf or l2.
        eps: radius of the ball, for pixels in [0, 1]: 8/255, not 8.
        version: standard; rand for stochastic victims (APGD-CE and APGD-DLR); custom runs ``attacks``.
        attacks: the parts of version custom, by name.
        budget: for version standard. full is as published. In lean, FAB and Square give up on examples that, at their
            pace, they would not break in twice the time. quick is for monitoring: APGD-CE; APGD-T with 2 targets,
            then with all targets and a fifth of the steps; Square with 2/5 of the queries, smaller squares from the
            start, and giving up as in lean.
        steps: steps of APGD and FAB.
        targets: wrong classes that targeted attacks try, the likeliest first; at most all of them.
        queries: queries of Square.
        eot: forward passes averaged per prediction; by default 20 in version rand and 1 in custom. standard takes 1.

    Raises:
        ArgumentError: if ``attacks``, ``budget`` or ``eot`` does not go with ``version``.

    Reference: Croce and Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks*, ICML 2020.

    Example:
        >>> import surefooted as sf
        >>> net = sf.nets.mlp((1, 8, 8), 10)
        >>> points = sf.digits(test_limit=20).test.points()
        >>> attack = sf.attacks.autoattack(eps=0.1, budget="quick", steps=5, queries=20)
        >>> robust_accuracy = 1 - attack(net, points).found.float().mean()
    """
    if (version == "custom") != bool(attacks):
        raise ArgumentError(
            f"autoattack: attacks goes with version='custom' and only with it; got version={version!r} and "
            f"attacks={attacks}."
        )
    if version != "standard" and budget != "full":
        raise ArgumentError(f"autoattack: budget={budget!r} needs version='standard'; got version={version!r}.")
    if version == "standard" and eot not in (None, 1):
        raise ArgumentError(
            f"autoattack: eot={eot} needs version='rand' or 'custom'; version='standard' is for deterministic victims."
        )
    eot = eot or (20 if version == "rand" else 1)
    given: Sequence[AutoAttackPart] = attacks or _PARTS["quick" if budget == "quick" else version]
    margin_apgd = apgd(norm=norm, eps=eps, steps=steps, objective=cw_margin(), eot=eot)

    def runs(classes: int) -> list[tuple[AutoAttackPart, tuple[Attack, ...]]]:
        """The parts in turn, each with the attacks that it consists of, on a model with ``classes`` classes."""
        wrong = max(1, min(targets, classes - 1))
        made: dict[AutoAttackPart, tuple[Attack, ...]] = {
            "apgd_ce": (apgd(norm=norm, eps=eps, steps=steps, eot=eot),),
            "apgd_dlr": (apgd(norm=norm, eps=eps, steps=steps, objective=dlr(), eot=eot),),
            "apgd_t": (apgd_t(norm=norm, eps=eps, steps=steps, targets=wrong),),
            "fab_t": (fab(norm=norm, eps=eps, steps=steps, targets=wrong),),
            "square": (square(norm=norm, eps=eps, queries=queries),),
        }
        if budget == "quick":
            made["apgd_t"] = (
                apgd_t(norm=norm, eps=eps, steps=steps, targets=min(wrong, 2)),
                apgd_t(norm=norm, eps=eps, steps=max(steps // 5, 1), targets=wrong),
            )
            made["square"] = (square(norm=norm, eps=eps, queries=max(queries * 2 // 5, 1), p_init=0.1),)
        return [(part, (margin_apgd,) if classes < _MIN_CLASSES.get(part, 0) else made[part]) for part in given]

    def parts(classes: int) -> tuple[Attack, ...]:
        return tuple(attack for _, several in runs(classes) for attack in several)

    def search(oracle: Oracle) -> None:
        undefined = [part for part in given if oracle.classes < _MIN_CLASSES.get(part, 0)]
        if undefined:
            needs = " and ".join(f"{part} needs at least {_MIN_CLASSES[part]} classes" for part in undefined)
            warnings.warn(
                f"autoattack: {needs}, and the model has {oracle.classes}; APGD on the margin is used instead.",
                ReducedAttack,
                stacklevel=2,
            )
        for k, (part, several) in enumerate(runs(oracle.classes)):
            oracle.tracker.give_up_ratio = inf if budget == "full" or part not in _LATE_PARTS else _GIVE_UP_RATIO
            for again, attack in enumerate(several):
                _run_in_turn(attack, oracle, len(given) * again + k)
        oracle.tracker.give_up_ratio = inf

    passes, gradient_free = _total_passes(parts(max(targets + 1, *_MIN_CLASSES.values())), eot)
    return Attack(
        search,
        margin_apgd.ball,
        margin_apgd.objective,
        passes,
        eot=eot,
        gradient_free=gradient_free,
        tries_candidates=True,
        expected_share=_EXPECTED_SHARES[budget],
        parts=parts,
    )


def _run_in_turn(attack: Attack, oracle: Oracle, index: int) -> None:
    """Run one attack on the rows that are still active."""
    with oracle.sub_attack(index):
        oracle.set_objective(attack.objective)
        for _ in range(attack.restarts):
            if oracle.active_count:
                attack.search(oracle)


def _total_passes(attacks: Sequence[Attack], eot: int) -> tuple[int, int]:
    """Passes of all attacks together with ``eot`` passes per prediction: all, and those without gradient."""
    each = [(a.restarts * eot * a.passes // a.eot, a.restarts * eot * a.gradient_free // a.eot) for a in attacks]
    return sum(passes for passes, _ in each), sum(gradient_free for _, gradient_free in each)
