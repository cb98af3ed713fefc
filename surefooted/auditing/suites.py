"""AutoAttack's suites: the name that goes wherever their numbers go, and the attacks that really run."""

from __future__ import annotations

from typing import Any

from surefooted.components.describe import non_default
from surefooted.components.spec import parse_spec
from surefooted.pipeline.tasks import AttackTask, ComponentSpec

# What each suite of AutoAttack is, for help and captions.
SUITES = {
    "quick": "APGD-CE, APGD-T and Square, with fewer targets, steps and queries than published",
    "lean": "the four published attacks; FAB and Square give up on images that they would not break in twice the time",
    "full": "the four attacks as published",
    "rand": "APGD-CE and APGD-DLR, for stochastic models, as published",
}
_SIZES = ("steps", "targets", "queries")


def suite_name(attack: ComponentSpec) -> str:
    """AutoAttack with the suite that it ran.

    Args:
        attack: complete spec of AutoAttack.

    Example:
        >>> from surefooted.components.spec import complete
        >>> suite_name(complete("attack", {"autoattack": {"budget": "lean"}}))
        'AutoAttack (lean)'
        >>> suite_name(complete("attack", {"autoattack": {"steps": 5, "targets": 2}}))
        'AutoAttack (reduced: steps=5, targets=2)'
        >>> suite_name(complete("attack", {"autoattack": {"version": "rand", "eot": 4}}))
        'AutoAttack (rand, eot=4)'
    """
    arguments = parse_spec(attack)[1]
    changed = parse_spec(non_default("attack", attack))[1]
    sizes = [f"{name}={changed[name]}" for name in _SIZES if name in changed]
    if arguments["version"] == "rand":
        sizes.insert(0, f"eot={arguments['eot']}")
        return f"AutoAttack (rand, {', '.join(sizes)})"
    suite = arguments["budget"]
    if not sizes:
        return f"AutoAttack ({suite})"
    return f"AutoAttack ({'reduced' if suite == 'full' else f'{suite}, reduced'}: {', '.join(sizes)})"


def suite_description(attack: ComponentSpec) -> str:
    """What the suite of AutoAttack consists of.

    Example:
        >>> from surefooted.components.spec import complete
        >>> suite_description(complete("attack", "autoattack"))
        'the four attacks as published'
        >>> suite_description(complete("attack", {"autoattack": {"steps": 5}}))
        'the four published attacks, each cut short: the number means little'
    """
    arguments, changed = parse_spec(attack)[1], parse_spec(non_default("attack", attack))[1]
    if arguments["version"] == "rand":
        return SUITES["rand"]
    if changed.keys() & set(_SIZES):
        return "the four published attacks, each cut short: the number means little"
    return SUITES[arguments["budget"]]


def attacks_run(task: AttackTask, classes: int) -> list[dict[str, Any]]:
    """The attacks that a task runs in turn on a model with ``classes`` classes, as they really run.

    Example:
        >>> import surefooted as sf
        >>> from surefooted.pipeline.tasks import attack_task, train_task
        >>> task = attack_task(train_task("vanilla", "mlp", "digits", "recipe"), {"autoattack": {"budget": "quick"}})
        >>> [next(iter(attack)) for attack in attacks_run(task, classes=10)]
        ['apgd', 'apgd_t@2', 'apgd_t@2', 'square']
    """
    parts = task.component.parts(classes)
    return [part.spec.json() for part in parts if part.spec] or [task.attack]
