"""The task of a training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from surefooted.components.code import code_without_source, keep_object
from surefooted.components.component import Component, component, in_slot
from surefooted.components.spec import base_name, canonical, complete, names_code
from surefooted.core.files import read_json, write_file, write_json, write_tensors
from surefooted.core.types import Forward
from surefooted.data.column import column_at, read_column
from surefooted.errors import ArgumentError, DataError, InputError, StoreError
from surefooted.models.ensembles import Ensemble
from surefooted.models.weights import build_on_meta, load_model, network_spec, seeded_network
from surefooted.pipeline.runtime import Precision, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.attack import AttackTask
from surefooted.pipeline.tasks.base import ComponentSpec, SplitName, Task, TrainTaskBase, component_of
from surefooted.pipeline.tasks.datasets import load_splits, resolve_data
from surefooted.pipeline.tasks.prediction import PredictTask
from surefooted.pipeline.workers import OnProgress
from surefooted.training.averaging import check_averages
from surefooted.training.batches import Seed, total_steps
from surefooted.training.checkpoint import HistoryEntry
from surefooted.training.loggers.files import csv_text, jsonl_text
from surefooted.training.loop import fit
from surefooted.training.methods.base import Method
from surefooted.training.methods.due import check_gaussian_process
from surefooted.training.methods.targets import LabelState, RobustnessLevels
from surefooted.training.setup import check_smallest_batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, eq=False)
class TrainTask(TrainTaskBase):
    """A network trained by a method. Made by ``train_task``.

    Attributes:
        stored_key: key of a training that the store already holds; its weights are used even if the code of a component
            has changed since.
        watch: called with the history entry of every epoch while the training runs, and the number of steps since the
            last one (0 if a checkpoint holds the entry). It is no part of the task's identity.
    """

    method: ComponentSpec
    net: ComponentSpec
    data: ComponentSpec
    recipe: ComponentSpec
    seed: int
    precision: Precision = "fp32"
    record: ComponentSpec | None = None
    stored_key: str = ""
    watch: Callable[[HistoryEntry, int], None] | None = field(default=None, repr=False)

    kind = "train"
    # 2: every epoch has its own order, every step its own dropout masks, every member its own initial weights.
    version = 2

    def arguments(self) -> dict[str, Any]:
        method = self.method_component
        column = method.target.ranking.column if method.target.ranking else ""
        return {
            "method": self.method,
            "net": self.net,
            "data": self.data,
            "recipe": self.recipe,
            "seed": self.seed,
            "precision": self.precision,
            "checksum": load_splits(self.data).checksum,
            **({"column": read_column(column).checksum} if column else {}),
            "needs": [task.key for task in self.requires],
            **({"record": self.record} if self.record else {}),
            # 2: an attack that tries candidates returns its best point, no longer its last.
            **({"perturb": 2} if method.perturb is not None and method.perturb.tries_candidates else {}),
        }

    @cached_property
    def key(self) -> str:
        return self.stored_key or super().key

    @cached_property
    def method_component(self) -> Method:
        """The method itself."""
        method: Method = component_of("method", self.method)
        return method

    @cached_property
    def requires(self) -> tuple[Task, ...]:
        """The robustness of every example, if the method's labels depend on it: a vanilla network, attacked."""
        ranking = self.method_component.target.ranking
        if ranking is None or ranking.every or ranking.column:
            return ()
        vanilla = replace(self, method=complete("method", "vanilla"), record=None, stored_key="", watch=None)
        parts: tuple[SplitName, ...] = ("train", "validation")
        if ranking.score:
            return tuple(PredictTask(vanilla, part) for part in parts)
        attack = complete("attack", ranking.attack)
        return tuple(AttackTask(vanilla, attack, part, keep_points=False) for part in parts)

    @property
    def label(self) -> str:
        return f"train {self}"

    def __str__(self) -> str:
        return f"{base_name(self.method)}, seed {self.seed}"

    def total_ticks(self) -> int:
        return total_steps(component_of("recipe", self.recipe), len(load_splits(self.data).train))

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        if self.stored_key and self.stored_key != replace(self, stored_key="").key:
            raise StoreError(
                f"The training {self.stored_key[:12]} cannot be repeated: the code of a component has changed since. "
                "Train anew."
            )
        steps, faults = 0, list[Exception]()

        def progress(news: Any) -> None:
            """Steps go to the progress bar, and history entries to whoever watches."""
            nonlocal steps
            if not isinstance(news, dict):
                steps += news
                return tick(news)
            try:
                if self.watch and not faults:
                    self.watch(news, steps)
            except Exception as error:
                if runtime.devices == 1:
                    raise
                faults.append(error)  # raised in a thread, nobody would hear of it
            steps = 0

        runtime.launch(self.precision, _train, self, store.root, into, work, tick=progress)
        if faults:
            raise faults[0]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"watch": None}  # who watches stays in this process

    def network(self) -> nn.Module:
        """The network before the first step."""
        data = load_splits(self.data)
        members = self.method_component.members
        return seeded_network(self.net, data.train.shape, len(data.train.classes), self.seed, members)

    def load(self, store: Store) -> nn.Module:
        with store.reading(self.kind, self.key) as place:
            return load_model(place / "weights.safetensors", trusted=True)

    def history(self, store: Store) -> list[dict[str, Any]]:
        with store.reading(self.kind, self.key) as place:
            history: list[dict[str, Any]] = read_json(place / "history.json")
            return history

    def recorded(self, store: Store) -> LabelState:
        """The recorder's tensors, by name."""
        return self.tensors(store, "recorded.safetensors")

    def levels(self, store: Store) -> RobustnessLevels | None:
        """The robustness level of every example, if the method's labels depend on it."""
        target, data = self.method_component.target, load_splits(self.data)
        ranking, ranked = target.ranking, list[Tensor]()
        if ranking and ranking.column:
            values = read_column(ranking.column)
            for rows in (data.train.rows, data.validation.rows):
                ranked += [rows, column_at(values, rows, ranking.column)]
        for task in self.requires:
            if isinstance(task, AttackTask):
                ranked += [task.result(store)["rows"], task.distances(store)]
            elif isinstance(task, PredictTask) and ranking and ranking.score:
                p = task.result(store)
                ranked += [p.rows, -ranking.score(Forward(p.log_p[None], p.y))]
        return RobustnessLevels.from_ranking(*ranked, levels=target.levels) if ranked else None


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
    unstored: bool = False,
) -> TrainTask:
    """The task of a training, with all arguments checked and completed.

    Methods are compared under one recipe, so the recipe is an argument beside the method.

    Args:
        method, net, data, recipe, record: names, ``{name: arguments}`` or components.
        unstored: also take components that no registered function made. The task then has a key that means nothing
            outside this process.

    Raises:
        InputError: for everything that would fail when the training begins, in a study perhaps after hours.
    """
    faults: list[InputError] = []

    def spec_of(kind: str, given: Any, slot: str) -> ComponentSpec:
        try:
            with in_slot(slot), code_without_source() if unstored else nullcontext():
                if unstored and isinstance(given, Component) and kind != "data":
                    return _spec_or_object(kind, given)
                return (resolve_data(given) if kind == "data" else None) or complete(kind, given)
        except InputError as error:
            faults.append(error)
            return {}

    method_spec, recipe_spec = spec_of("method", method, "method"), spec_of("recipe", recipe, "recipe")
    data_spec = spec_of("data", data, "data")
    record_spec = None if record is None else spec_of("recorder", record, "record")
    if data_spec:
        splits = load_splits(data_spec)
        if not len(splits.train):
            raise DataError(f"{splits.title} has no images to train on. Pass them: `sf.arrays(x, y, train=(x, y))`.")
        shape, classes = splits.train.shape, len(splits.train.classes)
        try:
            with in_slot("net"):
                net_spec = _network_spec(net, shape, classes, unstored)
        except InputError as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ArgumentError("\n".join(map(str, faults)))
    task = TrainTask(method_spec, net_spec, data_spec, recipe_spec, seed, precision, record_spec)
    chosen = task.method_component
    empty = _empty_network(canonical(net_spec), shape, classes, chosen.members)
    chosen.view.make_victim(empty)
    check_gaussian_process(chosen, empty)
    check_averages(empty, component_of("recipe", recipe_spec).averaging)
    if chosen.members > 1 and base_name(net_spec).startswith("memory:") and isinstance(net, nn.Module):
        raise ArgumentError(
            f"{base_name(method_spec)} trains {chosen.members} networks, which would all start at the weights of this "
            "module. Pass its class or a function that builds it."
        )
    check_smallest_batch(empty, len(splits.train), component_of("recipe", recipe_spec).batch, shape)
    if record_spec:
        component_of("recorder", record_spec).init(splits)
    target = chosen.target
    if target.is_adaptive and len(splits.validation) < target.levels:
        raise DataError(
            f"{base_name(method_spec)} learns its labels from {target.levels} subset(s) of the validation split, which "
            f"has {len(splits.validation)} images. Hold out more (`data.validation=0.1`) or lower `method.levels`."
        )
    return task


def _spec_or_object(kind: str, given: Component) -> ComponentSpec:
    """The spec of a component, or a name under which this process keeps the component itself."""
    try:
        return complete(kind, given)
    except ArgumentError:
        return {keep_object(given).reference: {}}


def _network_spec(net: Any, shape: tuple[int, ...], classes: int, unstored: bool = False) -> ComponentSpec:
    """The complete spec of a network; one that is given as plain data is built once per process to check it."""
    try:
        spelled = canonical(net)
    except TypeError:  # a module, a class or a function
        try:
            return network_spec(net, shape, classes)
        except ArgumentError:
            if not unstored or not callable(net):
                raise
        return network_spec(keep_object(net).reference, shape, classes)
    if names_code(spelled):
        return network_spec(net, shape, classes)
    spec: ComponentSpec = loads(_checked_network_spec(spelled, shape, classes))
    return spec


@lru_cache(maxsize=256)
def _checked_network_spec(net: str, shape: tuple[int, ...], classes: int) -> str:
    return dumps(network_spec(loads(net), shape, classes))


@lru_cache(maxsize=32)
def _empty_network(net: str, shape: tuple[int, ...], classes: int, members: int) -> nn.Module:
    """A network without memory for its weights, to check a method against."""
    return build_on_meta(loads(net), shape, classes, members)


def _train(
    fabric: Fabric, task: TrainTask, root: Path, into: Path, work: Path, tick: Callable[[Any], None] | None
) -> None:
    """Train in each process of a data-parallel training; the first one writes the files."""
    data, net, store = load_splits(task.data), task.network(), Store(root)
    state = fit(
        task.method_component,
        net,
        data,
        component_of("recipe", task.recipe),
        seed=task.seed,
        levels=task.levels(store),
        recorder=component_of("recorder", task.record) if task.record else None,
        fabric=fabric,
        checkpoint=work / "checkpoint.safetensors",
        tick=tick,
        on_epoch=tick,  # the same channel: from a worker process it is a pipe
    )
    if fabric.global_rank == 0:
        about = task.arguments() | {"shape": data.train.shape, "classes": data.train.classes}
        about["members"] = len(net.members) if isinstance(net, Ensemble) else 1
        write_tensors(into / "weights.safetensors", net.state_dict(), about)
        write_json(into / "history.json", state.history)
        write_file(into / "history.csv", csv_text(state.history))
        write_file(into / "history.jsonl", jsonl_text(state.history))
        if state.recorded:
            write_tensors(into / "recorded.safetensors", state.recorded, {})
