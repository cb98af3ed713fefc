"""A part of a study: fewer or more seeds, epochs or images than its size has."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from surefooted.components.spec import parse_spec

Runs = TypeVar("Runs")


@dataclass(frozen=True)
class Scope:
    """What the user asked for instead of the size's own numbers.

    Attributes:
        seeds: trainings per method; 0 for as many as the size has.
        epochs: epochs of every training; 0 for as many as the size has.
        limit: number of attacked images, 0 for all; None for as many as the size has.

    Example:
        >>> from surefooted.studies.grid import Grid
        >>> grid = Grid({"Vanilla": "vanilla"}, "mlp", "digits", "recipe", seeds=1, white_box={})
        >>> narrowed = Scope(seeds=3, epochs=5).narrow(grid)
        >>> narrowed.seeds, narrowed.recipe
        (3, {'recipe': {'epochs': 5}})
    """

    seeds: int = 0
    epochs: int = 0
    limit: int | None = None

    def narrow(self, runs: Runs) -> Runs:
        """The same trainings and attacks in this scope.

        Args:
            runs: a dataclass of trainings, such as a ``Grid``. What it does not have (a limit) stays out of it.
        """
        names = {field.name for field in fields(runs)}  # type: ignore[arg-type]  # any dataclass
        changes: dict[str, Any] = {}
        if self.seeds:
            changes["seeds"] = self.seeds
        if self.epochs:
            changes["recipe"] = _with_epochs(getattr(runs, "recipe"), self.epochs)  # noqa: B009
            if "recipes" in names:
                recipes = getattr(runs, "recipes").items()  # noqa: B009
                changes["recipes"] = {name: _with_epochs(recipe, self.epochs) for name, recipe in recipes}
        if self.limit is not None and "limit" in names:
            changes["limit"] = self.limit
        return replace(runs, **changes)  # type: ignore[type-var]  # any dataclass

    def describe(self) -> str:
        """What differs from the size, as a sentence to follow another; empty if nothing does."""
        images = "all test images" if self.limit == 0 else f"{self.limit} attacked images"
        parts = [
            *([f"{self.seeds} training{'s' * (self.seeds > 1)} per method"] if self.seeds else []),
            *([f"{self.epochs} epochs"] if self.epochs else []),
            *([images] if self.limit is not None else []),
        ]
        return f" Asked for: {', '.join(parts)}." if parts else ""


def _with_epochs(recipe: Any, epochs: int) -> dict[str, Any]:
    name, arguments = parse_spec(recipe)
    return {name: arguments | {"epochs": epochs}}
