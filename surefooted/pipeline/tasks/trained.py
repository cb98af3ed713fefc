"""The cell of a training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from surefooted.components.component import checked
from surefooted.components.spec import build, called, complete
from surefooted.core.files import read_json, write_json, write_tensors
from surefooted.core.types import Forward
from surefooted.data.column import column_at, read_column
from surefooted.data.images import Splits
from surefooted.errors import InputError
from surefooted.models.ensembles import Ensemble
from surefooted.models.weights import described, load_model, outline, seeded_network
from surefooted.pipeline.runtime import Machine, Precision, Tick
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.attacked import Attacked
from surefooted.pipeline.tasks.base import Cell, Named, Part, Trained, data_of, remember
from surefooted.pipeline.tasks.predicted import Predicted
from surefooted.training.batches import Seed, steps_of
from surefooted.training.loop import fit
from surefooted.training.methods.base import Method
from surefooted.training.methods.due import check_bound
from surefooted.training.methods.targets import Levels, State, Target

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, eq=False)
class Train(Trained):
    """A network trained by a method. Make it with ``training``."""

    method: Named
    net: Named
    data: Named
    recipe: Named
    seed: int
    precision: Precision = "fp32"
    record: Named | None = None

    kind = "train"
    # 2: every epoch has an order of its own, every step its dropout masks, every member its first weights.
    version = 2

    def about(self) -> dict[str, Any]:
        method = self._built
        return {
            "method": self.method,
            "net": self.net,
            "data": self.data,
            "recipe": self.recipe,
            "seed": self.seed,
            "precision": self.precision,
            "checksum": data_of(self.data).checksum,
            **({"column": read_column(column).checksum} if (column := method.target.column) else {}),
            "needs": [cell.key for cell in self.needs],
            **({"record": self.record} if self.record else {}),
            # 2: an attack that proposes hands on its best, no longer its last point.
            **({"perturb": 2} if method.perturb is not None and method.perturb.proposes else {}),
        }

    @property
    def _built(self) -> Method:
        """Built anew each time: a method holds functions, which do not travel to other processes."""
        return build("method", self.method)

    @property
    def _target(self) -> Target:
        return self._built.target

    @cached_property
    def needs(self) -> tuple[Cell, ...]:  # type: ignore[override]
        """The robustness of every example, where the method's labels ask for it: a vanilla model, attacked."""
        target = self._target
        if target.robustness is None or target.every or target.column:
            return ()
        vanilla = Train(complete("method", "vanilla"), self.net, self.data, self.recipe, self.seed, self.precision)
        parts: tuple[Part, ...] = ("train", "validation")
        if target.by:
            return tuple(Predicted(vanilla, part) for part in parts)
        attack = complete("attack", target.robustness)
        return tuple(Attacked(vanilla, attack, part, keep_points=False) for part in parts)

    @property
    def label(self) -> str:
        return f"train {self}"

    def __str__(self) -> str:
        return f"{called(self.method)}, seed {self.seed}"

    def work(self) -> int:
        return steps_of(build("recipe", self.recipe), len(data_of(self.data).train))

    def make(self, store: Store, machine: Machine, into: Path, work: Path, tick: Tick) -> None:
        machine.launch(self.precision, _train, self, store.root, into, work, tick=tick)

    def network(self) -> nn.Module:
        """The network before the first step."""
        data, members = data_of(self.data), build("method", self.method).members
        return seeded_network(self.net, data.train.shape, len(data.train.classes), self.seed, members)

    def load(self, store: Store) -> nn.Module:
        with store.reading(self.kind, self.key) as place:
            return load_model(place / "weights.safetensors")

    def history(self, store: Store) -> list[dict[str, Any]]:
        with store.reading(self.kind, self.key) as place:
            return read_json(place / "history.json")

    def recorded(self, store: Store) -> State:
        """What the recorder saw, by name."""
        return self.tensors(store, "recorded.safetensors")

    def levels(self, store: Store) -> Levels | None:
        """The robustness level of every example, where the method asks for it."""
        target, data = self._target, data_of(self.data)
        ranked: list[Tensor] = []
        if target.column:
            values = read_column(target.column)
            for rows in (data.train.rows, data.validation.rows):
                ranked += [rows, column_at(values, rows, target.column)]
        for cell in self.needs:
            if isinstance(cell, Attacked):
                ranked += [cell.result(store)["rows"], cell.sizes(store)]
            elif isinstance(cell, Predicted) and target.by:
                p = cell.result(store)
                ranked += [p.i, -target.by(Forward(p.log_p[None], p.y))]
        return Levels.of(*ranked, levels=target.levels) if ranked else None


@checked
def training(
    method: Any,
    net: Any,
    data: Any,
    recipe: Any = "recipe",
    *,
    seed: Seed = 0,
    precision: Precision = "fp32",
    record: Any = None,
) -> Train:
    """A training cell from names, ``{name: arguments}`` or components; all arguments checked and completed here.

    A method is compared with others under one recipe, so the recipe is an argument of its own.
    """
    faults = []

    def each(package: str, given: Any) -> Named:
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
            remember(table, data)
        splits = data_of(table)
        try:
            network = described(net, splits.train.shape, len(splits.train.classes))
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))
    how = build("method", chosen)
    # What would else be found out when the training begins, in a study perhaps after hours.
    rough = outline(network, splits.train.shape, len(splits.train.classes), how.members)
    how.view.of(rough)
    check_bound(how, rough)
    if watched:
        build("recorder", watched).init(splits)
    target = how.target
    if target.learns and len(splits.validation) < target.levels:
        raise InputError(
            f"{called(chosen)} learns its labels from {target.levels} validation subset(s), and the validation set "
            f"has {len(splits.validation)} images; hold out more (--data.validation 0.1) or lower levels."
        )
    return Train(chosen, network, table, schedule, seed, precision, watched)


def _train(fabric: Fabric, cell: Train, root: Path, into: Path, work: Path, tick: Tick | None) -> None:
    """What each process of a data-parallel training runs; the first one writes."""
    data, net, store = data_of(cell.data), cell.network(), Store(root)
    at = fit(
        build("method", cell.method),
        net,
        data,
        build("recipe", cell.recipe),
        seed=cell.seed,
        levels=cell.levels(store),
        recorder=build("recorder", cell.record) if cell.record else None,
        fabric=fabric,
        checkpoint=work / "checkpoint.safetensors",
        tick=tick,
    )
    if fabric.global_rank == 0:
        about = cell.about() | {"shape": data.train.shape, "classes": data.train.classes}
        about["members"] = len(net.members) if isinstance(net, Ensemble) else 1
        write_tensors(into / "weights.safetensors", net.state_dict(), about)
        write_json(into / "history.json", at.history)
        if at.recorded:
            write_tensors(into / "recorded.safetensors", at.recorded, {})
