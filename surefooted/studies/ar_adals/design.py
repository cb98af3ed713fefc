"""Methods under distribution shift: what is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from surefooted.pipeline.tasks import (
    AttackTask,
    BestOfSweep,
    ComponentSpec,
    CorruptedPredictTask,
    CorruptionTask,
    MemberOf,
    PredictTask,
    ReleasedCorruptionTask,
    Source,
    Task,
    TrainTask,
    attack_task,
    load_splits,
    train_task,
)

OF_ENSEMBLE = "AR-AdaLS of Ensemble"


@dataclass(frozen=True, eq=False)
class ShiftDesign:
    """Single networks and ensembles, on clean and on corrupted images.

    Attributes:
        methods: by the name that the page prints, the settings to sweep (one, or several of which that with the least
            validation ECE over all seeds is taken); the first method is the baseline that ranks the examples.
        of_ensemble: settings, in the same way, of the method that trains all members side by side.
        types: of corruption.
        limit: corrupted images, the first so many of the test set; 0 for all.
        nearest: the minimal-norm attack that ranks the test images.
        release: folder of the official corrupted images below the data root; corrupted here where there is none.
    """

    methods: Mapping[str, tuple[Any, ...]]
    of_ensemble: tuple[Any, ...]
    net: Any
    data: Any
    recipe: Any
    seeds: int
    types: tuple[str, ...]
    nearest: Any
    limit: int = 0
    levels: int = 10
    release: str = ""

    @cached_property
    def runs(self) -> dict[str, tuple[Source, ...]]:
        """For every method the networks that make up its ensemble."""
        made: dict[str, tuple[Source, ...]] = {}
        for name, settings in self.methods.items():
            grid = tuple(tuple(self._train(setting, seed) for seed in range(self.seeds)) for setting in settings)
            made[name] = grid[0] if len(grid) == 1 else tuple(BestOfSweep(grid, at) for at in range(self.seeds))
        settings = tuple((self._train(setting, 0),) for setting in self.of_ensemble)
        together = settings[0][0] if len(settings) == 1 else BestOfSweep(settings, 0)
        return made | {OF_ENSEMBLE: tuple(MemberOf(together, m) for m in range(self.seeds))}

    @property
    def baseline(self) -> tuple[TrainTask, ...]:
        return tuple(run for run in self.runs[next(iter(self.methods))] if isinstance(run, TrainTask))

    @cached_property
    def data_spec(self) -> ComponentSpec:
        return self.baseline[0].data

    @cached_property
    def corrupted(self) -> dict[str, CorruptionTask]:
        made = partial(ReleasedCorruptionTask, folder=self.release) if self.release else CorruptionTask
        return {kind: made(self.data_spec, kind, limit=self.limit) for kind in self.types}

    @cached_property
    def clean(self) -> dict[str, list[PredictTask]]:
        return {name: [PredictTask(run, data=self.data_spec) for run in runs] for name, runs in self.runs.items()}

    @cached_property
    def held_out(self) -> list[PredictTask]:
        return [PredictTask(run, "validation") for run in self.baseline]

    @cached_property
    def shifted(self) -> dict[str, list[dict[str, CorruptedPredictTask]]]:
        return {
            name: [{kind: CorruptedPredictTask(run, images) for kind, images in self.corrupted.items()} for run in runs]
            for name, runs in self.runs.items()
        }

    @cached_property
    def ranked(self) -> list[AttackTask]:
        return [attack_task(run, self.nearest, keep_points=False) for run in self.baseline]

    def tasks(self) -> list[Task]:
        shifted = [task for runs in self.shifted.values() for run in runs for task in run.values()]
        clean = [task for runs in self.clean.values() for task in runs]
        return [*self._swept(), *clean, *self.held_out, *self.ranked, *self.corrupted.values(), *shifted]

    def _swept(self) -> list[Task]:
        """The trainings of the sweeps: the page says what they chose."""
        firsts = [runs[0].net if isinstance(runs[0], MemberOf) else runs[0] for runs in self.runs.values()]
        return [one for first in firsts if isinstance(first, BestOfSweep) for one in first.trained]

    def _train(self, method: Any, seed: int) -> TrainTask:
        return train_task(method, self.net, self.data, self.recipe, seed=seed)

    @property
    def data_set(self) -> str:
        return next(iter(self.data_spec))

    @property
    def as_printed(self) -> bool:
        """Whether data, network and corruptions are those of the paper's numbers for CIFAR-10-C."""
        return self.data_set == "cifar10" and self.net == "resnet29_v2" and not self.limit

    def caption(self) -> str:
        splits = load_splits(self.data_spec)
        test = self.limit or len(splits.test)
        return (
            f"{splits.title}: {len(splits.train)} training, {len(splits.validation)} validation, {len(splits.test)} "
            f"test images; under shift the first {test} of them, {len(self.types)} types of corruption at 5 "
            f"intensities{self._made()}; {self.seeds} networks a method."
        )

    def _made(self) -> str:
        """Where the corrupted images are from."""
        if self.release:
            return f", read from {self.release}"
        frost = " (frost from a drawn texture, not from photographs)" if "frost" in self.types else ""
        return f", made here{frost}"
