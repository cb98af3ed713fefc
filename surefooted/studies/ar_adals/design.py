"""Methods under distribution shift: the tasks."""

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

# The method that trains all members of an ensemble side by side, on labels softened by the ensemble's calibration.
JOINT_AR_ADALS = "AR-AdaLS of Ensemble"


@dataclass(frozen=True, eq=False)
class ShiftDesign:
    """Single networks and ensembles, on clean and on corrupted images.

    Attributes:
        methods: by the name that the page prints, one setting, or several to sweep; the setting with the least
            validation ECE, averaged over all seeds, is taken. The first method is the baseline that ranks the images.
        joint_settings: one or several settings of the method that trains all members side by side.
        net, data, recipe: network, data set and recipe that the methods share.
        seeds: trainings per method, which are also the members of its ensemble.
        types: corruption types.
        boundary_attack: the minimal-norm attack that ranks the test images.
        limit: number of corrupted images, from the start of the test set; 0 for all.
        levels: number of robustness levels.
        release: folder with the official corrupted images, below the data root; empty to corrupt the images here.
    """

    methods: Mapping[str, tuple[Any, ...]]
    joint_settings: tuple[Any, ...]
    net: Any
    data: Any
    recipe: Any
    seeds: int
    types: tuple[str, ...]
    boundary_attack: Any
    limit: int = 0
    levels: int = 10
    release: str = ""

    @cached_property
    def runs(self) -> dict[str, tuple[Source, ...]]:
        """By method the networks that make up its ensemble."""
        runs: dict[str, tuple[Source, ...]] = {}
        for name, settings in self.methods.items():
            grid = tuple(tuple(self._train(setting, seed) for seed in range(self.seeds)) for setting in settings)
            runs[name] = grid[0] if len(grid) == 1 else tuple(BestOfSweep(grid, at) for at in range(self.seeds))
        joint = tuple((self._train(setting, 0),) for setting in self.joint_settings)
        together = joint[0][0] if len(joint) == 1 else BestOfSweep(joint, 0)
        return runs | {JOINT_AR_ADALS: tuple(MemberOf(together, m) for m in range(self.seeds))}

    @property
    def baseline(self) -> tuple[TrainTask, ...]:
        """Trainings of the first method."""
        return tuple(run for run in self.runs[next(iter(self.methods))] if isinstance(run, TrainTask))

    @cached_property
    def data_spec(self) -> ComponentSpec:
        """The complete spec of the data set."""
        return self.baseline[0].data

    @cached_property
    def corrupted(self) -> dict[str, CorruptionTask]:
        """Corrupted test images by type."""
        task = partial(ReleasedCorruptionTask, folder=self.release) if self.release else CorruptionTask
        return {kind: task(self.data_spec, kind, limit=self.limit) for kind in self.types}

    @cached_property
    def clean(self) -> dict[str, list[PredictTask]]:
        """Predictions on clean test images by method, one per network."""
        return {name: [PredictTask(run, data=self.data_spec) for run in runs] for name, runs in self.runs.items()}

    @cached_property
    def validation(self) -> list[PredictTask]:
        """The baseline's predictions on validation images, to which temperatures are fitted."""
        return [PredictTask(run, "validation") for run in self.baseline]

    @cached_property
    def shifted(self) -> dict[str, list[dict[str, CorruptedPredictTask]]]:
        """Predictions on corrupted images by method, for each network by type."""
        return {
            name: [{kind: CorruptedPredictTask(run, images) for kind, images in self.corrupted.items()} for run in runs]
            for name, runs in self.runs.items()
        }

    @cached_property
    def rankings(self) -> list[AttackTask]:
        """For each network of the baseline the attack that ranks the test images."""
        return [attack_task(run, self.boundary_attack, keep_points=False) for run in self.baseline]

    def tasks(self) -> list[Task]:
        """All tasks whose artifacts the page reads."""
        shifted = [task for runs in self.shifted.values() for run in runs for task in run.values()]
        clean = [task for runs in self.clean.values() for task in runs]
        return [*self._swept(), *clean, *self.validation, *self.rankings, *self.corrupted.values(), *shifted]

    @property
    def data_set(self) -> str:
        """Name of the data set."""
        return next(iter(self.data_spec))

    @property
    def matches_paper(self) -> bool:
        """Whether data, network and corruptions are those of the paper's numbers for CIFAR-10-C."""
        return self.data_set == "cifar10" and self.net == "resnet29_v2" and not self.limit

    def caption(self) -> str:
        """Data, corruptions and number of networks as a sentence."""
        splits = load_splits(self.data_spec)
        test = self.limit or len(splits.test)
        return (
            f"{splits.title}: {len(splits.train)} training, {len(splits.validation)} validation, {len(splits.test)} "
            f"test images; under shift a fixed random {test} of them, {len(self.types)} corruption types at 5 "
            f"intensities{self._describe_corruptions()}; {self.seeds} networks per method."
        )

    def _swept(self) -> list[Task]:
        """The trainings of the sweeps, from whose histories the page reads the selected settings."""
        firsts = [runs[0].net if isinstance(runs[0], MemberOf) else runs[0] for runs in self.runs.values()]
        return [net for first in firsts if isinstance(first, BestOfSweep) for net in first.trained]

    def _train(self, method: Any, seed: int) -> TrainTask:
        return train_task(method, self.net, self.data, self.recipe, seed=seed)

    def _describe_corruptions(self) -> str:
        if self.release:
            return f", read from {self.release}"
        frost = " (frost from a generated texture, not from photographs)" if "frost" in self.types else ""
        return f", generated here{frost}"
