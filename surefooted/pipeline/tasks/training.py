"""The cell of a training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from surefooted.components.component import component
from surefooted.components.spec import base_name, build, complete
from surefooted.core.files import read_json, write_json, write_tensors
from surefooted.core.types import Forward
from surefooted.data.column import column_at, read_column
from surefooted.data.images import Splits
from surefooted.errors import InputError
from surefooted.models.ensembles import Ensemble
from surefooted.models.weights import build_on_meta, load_model, network_spec, seeded_network
from surefooted.pipeline.runtime import OnProgress, Precision, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.attack import AttackTask
from surefooted.pipeline.tasks.base import ComponentSpec, SplitName, Task, TrainTaskBase, keep_in_memory, load_splits
from surefooted.pipeline.tasks.prediction import PredictTask
from surefooted.training.batches import Seed, steps_of
from surefooted.training.loop import fit
from surefooted.training.methods.base import Method
from surefooted.training.methods.due import check_bound
from surefooted.training.methods.targets import LabelState, Levels, Target

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, eq=False)
class TrainTask(TrainTaskBase):
    """A network trained by a method. Make it with ``training``."""

    method: ComponentSpec
    net: ComponentSpec
    data: ComponentSpec
    recipe: ComponentSpec
    seed: int
    precision: Precision = "fp32"
    record: ComponentSpec | None = None

    kind = "train"
    # 2: every epoch has an order of its own, every step its dropout masks, every member its first weights.
    version = 2

    def arguments(self) -> dict[str, Any]:
        method = self._component
        return {
            "method": self.method,
            "net": self.net,
            "data": self.data,
            "recipe": self.recipe,
            "seed": self.seed,
            "precision": self.precision,
            "checksum": load_splits(self.data).checksum,
            **({"column": read_column(column).checksum} if (column := method.target.column) else {}),
            "needs": [task.key for task in self.requires],
            **({"record": self.record} if self.record else {}),
            # 2: an attack that proposes hands on its best, no longer its last point.
            **({"perturb": 2} if method.perturb is not None and method.perturb.tries_candidates else {}),
        }

    @property
    def _component(self) -> Method:
        """Built anew each time: a method holds functions, which do not travel to other processes."""
        return build("method", self.method)

    @property
    def _target(self) -> Target:
        return self._component.target

    @cached_property
    def requires(self) -> tuple[Task, ...]:  # type: ignore[override]
        """The robustness of every example, where the method's labels ask for it: a vanilla model, attacked."""
        target = self._target
        if target.robustness is None or target.every or target.column:
            return ()
        vanilla = TrainTask(complete("method", "vanilla"), self.net, self.data, self.recipe, self.seed, self.precision)
        parts: tuple[SplitName, ...] = ("train", "validation")
        if target.by:
            return tuple(PredictTask(vanilla, part) for part in parts)
        attack = complete("attack", target.robustness)
        return tuple(AttackTask(vanilla, attack, part, keep_points=False) for part in parts)

    @property
    def label(self) -> str:
        return f"train {self}"

    def __str__(self) -> str:
        return f"{base_name(self.method)}, seed {self.seed}"

    def total_ticks(self) -> int:
        return steps_of(build("recipe", self.recipe), len(load_splits(self.data).train))

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        runtime.launch(self.precision, _train, self, store.root, into, work, tick=tick)

    def network(self) -> nn.Module:
        """The network before the first step."""
        data, members = load_splits(self.data), build("method", self.method).members
        return seeded_network(self.net, data.train.shape, len(data.train.classes), self.seed, members)

    def load(self, store: Store) -> nn.Module:
        with store.reading(self.kind, self.key) as place:
            return load_model(place / "weights.safetensors")

    def history(self, store: Store) -> list[dict[str, Any]]:
        with store.reading(self.kind, self.key) as place:
            return read_json(place / "history.json")

    def recorded(self, store: Store) -> LabelState:
        """What the recorder saw, by name."""
        return self.tensors(store, "recorded.safetensors")

    def levels(self, store: Store) -> Levels | None:
        """The robustness level of every example, where the method asks for it."""
        target, data = self._target, load_splits(self.data)
        ranked: list[Tensor] = []
        if target.column:
            values = read_column(target.column)
            for rows in (data.train.rows, data.validation.rows):
                ranked += [rows, column_at(values, rows, target.column)]
        for task in self.requires:
            if isinstance(task, AttackTask):
                ranked += [task.result(store)["rows"], task.distances(store)]
            elif isinstance(task, PredictTask) and target.by:
                p = task.result(store)
                ranked += [p.rows, -target.by(Forward(p.log_p[None], p.y))]
        return Levels.from_ranking(*ranked, levels=target.levels) if ranked else None


@component
def train_task(
    method: Any,
    net: Any,
    data: Any,
    recipe: Any = "recipe",
    *,
    seed: Seed = 0,
    precision: Precision = "fp32",
    record: Any = None,
) -> TrainTask:
    """A training cell from names, ``{name: arguments}`` or components; all arguments checked and completed here.

    A method is compared with others under one recipe, so the recipe is an argument of its own.
    """
    faults = []

    def each(package: str, given: Any) -> ComponentSpec:
        try:
            return complete(package, given)
        except InputError as error:
            faults.append(str(error))
            return {}

    chosen, schedule = each("method", method), each("recipe", recipe)
    table = each("data", data)
    watched = None if record is None else each("recorder", record)
    if table:
        if isinstance(data, Splits):
            keep_in_memory(table, data)
        splits = load_splits(table)
        try:
            network = network_spec(net, splits.train.shape, len(splits.train.classes))
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))
    how = build("method", chosen)
    # What would else be found out when the training begins, in a study perhaps after hours.
    rough = build_on_meta(network, splits.train.shape, len(splits.train.classes), how.members)
    how.view.victim(rough)
    check_bound(how, rough)
    if watched:
        build("recorder", watched).init(splits)
    target = how.target
    if target.learns and len(splits.validation) < target.levels:
        raise InputError(
            f"{base_name(chosen)} learns its labels from {target.levels} validation subset(s), and the validation set "
            f"has {len(splits.validation)} images; hold out more (--data.validation 0.1) or lower levels."
        )
    return TrainTask(chosen, network, table, schedule, seed, precision, watched)


def _train(fabric: Fabric, task: TrainTask, root: Path, into: Path, work: Path, tick: OnProgress | None) -> None:
    """What each process of a data-parallel training runs; the first one writes."""
    data, net, store = load_splits(task.data), task.network(), Store(root)
    at = fit(
        build("method", task.method),
        net,
        data,
        build("recipe", task.recipe),
        seed=task.seed,
        levels=task.levels(store),
        recorder=build("recorder", task.record) if task.record else None,
        fabric=fabric,
        checkpoint=work / "checkpoint.safetensors",
        tick=tick,
    )
    if fabric.global_rank == 0:
        about = task.arguments() | {"shape": data.train.shape, "classes": data.train.classes}
        about["members"] = len(net.members) if isinstance(net, Ensemble) else 1
        write_tensors(into / "weights.safetensors", net.state_dict(), about)
        write_json(into / "history.json", at.history)
        if at.recorded:
            write_tensors(into / "recorded.safetensors", at.recorded, {})
