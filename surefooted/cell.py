"""Cells: train → attack → predict. Each is plain data that names an artefact, and knows how to make it.

A cell's key is the hash of its complete arguments, of the data's checksum and of the keys of the cells it needs: what
was made once, by whatever study, is found by every other.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from surefooted.attacks.base import Attack
from surefooted.checked import Whole, checked
from surefooted.checks import PROBED, Flag, Probe, of_probe, probe
from surefooted.core import Forward, Points
from surefooted.data.column import column_at, read_column
from surefooted.data.images import Images, Splits
from surefooted.ensembles import Ensemble, MonteCarloDropout
from surefooted.errors import InputError
from surefooted.files import read_json, read_tensors, write_json, write_tensors
from surefooted.folded import folded
from surefooted.foreign import Foreign, Live
from surefooted.machine import Machine, Precision, Tick, provenance
from surefooted.methods.targets import Levels, Target
from surefooted.metrics.predictions import Predictions
from surefooted.prediction import predict
from surefooted.spec import build, canonical, complete, digest, split
from surefooted.store import Store
from surefooted.training import Seed, fit, steps_of
from surefooted.weights import described, load_model, seeded_network

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Named = dict[str, Any]
Part = Literal["train", "validation", "test"]
# Row-passes between two writings of an attack's results, and the least rows that keep a device busy.
BLOCK_WORK, BLOCK_LEAST = 2**18, {"cpu": 256, "cuda": 2048}
_LOADED: dict[str, Splits] = {}


class Cell(ABC):
    """One artefact of the store."""

    kind: ClassVar[str]

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Everything that the artefact depends on, as plain data."""

    @abstractmethod
    def make(self, store: Store, machine: Machine, into: Path, work: Path, tick: Tick) -> None:
        """Write the artefact's files; what it needs is in the store by then."""

    @abstractmethod
    def work(self) -> int:
        """How often ``tick`` is told of one more: steps, or row-passes."""

    @property
    def needs(self) -> tuple[Cell, ...]:
        return ()

    @property
    def label(self) -> str:
        """A few words for progress bars."""
        return self.kind

    @cached_property
    def key(self) -> str:
        about = self.about()
        if about.get("data"):  # where a data set lies is not what it holds; the checksum says that
            ((name, arguments),) = about["data"].items()
            about["data"] = {name: {k: v for k, v in arguments.items() if k not in ("path", "name")}}
        return digest({"kind": self.kind, **about})

    def path(self, store: Store) -> Path:
        return store.path(self.kind, self.key)

    def done(self, store: Store) -> bool:
        return store.has(self.kind, self.key)

    def run(self, store: Store, machine: Machine, tick: Tick = lambda n: None) -> None:
        """Make the artefact, unless it is there."""
        if self.done(store):
            return
        with store.making(self.kind, self.key, {"kind": self.kind, **self.about()}) as place:
            if place is not None:
                into, work = place
                began = time.monotonic()
                self.make(store, machine, into, work, tick)
                took = {"devices": machine.devices, "seconds": round(time.monotonic() - began, 2)}
                write_json(into / "provenance.json", provenance() | took)


@dataclass(frozen=True, eq=False)
class Train(Cell):
    """A network trained by a method. Make it with ``training``."""

    method: Named
    net: Named
    data: Named
    recipe: Named
    seed: int
    precision: Precision = "fp32"

    kind = "train"

    def about(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "net": self.net,
            "data": self.data,
            "recipe": self.recipe,
            "seed": self.seed,
            "precision": self.precision,
            "checksum": data_of(self.data).checksum,
            **({"column": read_column(column).checksum} if (column := self._target.column) else {}),
            "needs": [cell.key for cell in self.needs],
        }

    @cached_property
    def _target(self) -> Target:
        return build("surefooted.methods", self.method).target

    @cached_property
    def needs(self) -> tuple[Cell, ...]:  # type: ignore[override]
        """The robustness of every example, where the method's labels ask for it: a vanilla model, attacked."""
        target = self._target
        if target.robustness is None or target.every or target.column:
            return ()
        vanilla = Train(
            complete("surefooted.methods", "vanilla"), self.net, self.data, self.recipe, self.seed, self.precision
        )
        parts: tuple[Part, ...] = ("train", "validation")
        if target.by:
            return tuple(Predicted(vanilla, part) for part in parts)
        attack = complete("surefooted.attacks", target.robustness)
        return tuple(Attacked(vanilla, attack, part, keep_points=False) for part in parts)

    @property
    def label(self) -> str:
        return f"train {split(self.method)[0]}, seed {self.seed}"

    def work(self) -> int:
        return steps_of(build("surefooted.recipes", self.recipe), len(data_of(self.data).train))

    def make(self, store: Store, machine: Machine, into: Path, work: Path, tick: Tick) -> None:
        machine.launch(self.precision, _train, self, store.root, into, work, tick=tick)

    def network(self) -> nn.Module:
        """The network before the first step."""
        data, members = data_of(self.data), build("surefooted.methods", self.method).members
        return seeded_network(self.net, data.train.shape, len(data.train.classes), self.seed, members)

    def load(self, store: Store) -> nn.Module:
        return load_model(self.path(store) / "weights.safetensors")

    def history(self, store: Store) -> list[dict[str, Any]]:
        return read_json(self.path(store) / "history.json")

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


@dataclass(frozen=True, eq=False)
class Weights:
    """A network from a file that some ``train`` wrote: a victim that needs no training."""

    file: Path

    @cached_property
    def key(self) -> str:
        if not self.file.is_file():
            raise InputError(f"{self.file} is not there; expected a weights.safetensors that surefooted wrote.")
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def load(self, store: Store) -> nn.Module:
        return load_model(self.file)

    def __str__(self) -> str:
        return self.file.name


@dataclass(frozen=True, eq=False)
class Ensembled:
    """Networks that were trained independently, read as one victim (a deep ensemble)."""

    members: tuple[Train, ...]

    @cached_property
    def key(self) -> str:
        return digest(["ensembled", *(member.key for member in self.members)])

    @property
    def data(self) -> Named:
        return self.members[0].data

    def load(self, store: Store) -> nn.Module:
        return Ensemble([member.load(store) for member in self.members]).eval()

    def __str__(self) -> str:
        return f"{len(self.members)} × {split(self.members[0].method)[0]}"


@dataclass(frozen=True, eq=False)
class Dropped:
    """A network with its dropout left on (MC dropout)."""

    net: Train
    samples: int

    @cached_property
    def key(self) -> str:
        return digest(["dropped", self.net.key, self.samples])

    @property
    def data(self) -> Named:
        return self.net.data

    def load(self, store: Store) -> nn.Module:
        return MonteCarloDropout(self.net.load(store), samples=self.samples).eval()

    def __str__(self) -> str:
        return f"{split(self.net.method)[0]}, {self.samples} dropout masks"


@dataclass(frozen=True, eq=False)
class Attacked(Cell):
    """Points of a split, moved by an attack on a victim. Make it with ``attacking``."""

    victim: Source
    attack: Named
    part: Part
    data: Named | None = None
    limit: int = 0
    seed: int = 0
    keep_points: bool = True

    kind = "attacked"

    def about(self) -> dict[str, Any]:
        return {
            "victim": self.victim.key,
            "attack": self.attack,
            "part": self.part,
            "limit": self.limit,
            "seed": self.seed,
            "keep_points": self.keep_points,
            **_data_about(self.victim, self.data),
        }

    @property
    def needs(self) -> tuple[Cell, ...]:
        return before(self.victim)

    @property
    def label(self) -> str:
        trained = f" {split(self.victim.method)[0]}, seed {self.victim.seed}" if isinstance(self.victim, Train) else ""
        return f"{split(self.attack)[0]} on{trained or f' {self.victim}'} ({self.part})"

    def images(self) -> Images:
        return images_of(self.victim, self.data, self.part, self.limit)

    def work(self) -> int:
        attack = build("surefooted.attacks", self.attack)
        return len(self.images()) * attack.restarts * attack.passes

    def make(self, store: Store, machine: Machine, into: Path, work: Path, tick: Tick) -> None:
        device = machine.device()
        net, images = self.victim.load(store).to(device), self.images()
        if not isinstance(self.victim, Foreign | Live):
            net = folded(net)
        attack = build("surefooted.attacks", self.attack)
        step = _block(attack, device)
        files = [work / f"rows_{a}_{step}.safetensors" for a in range(0, len(images), step)]
        for k, file in enumerate(files):
            rows = slice(k * step, (k + 1) * step)
            if file.exists():  # made before a kill: a row's result does not depend on its neighbours
                tick(len(images.y[rows]) * attack.restarts * attack.passes)
                continue
            points = images.points(rows, device)
            found = attack(net, points, seed=self.seed, progress=tick)
            tensors = {
                "rows": points.i,
                "y": points.y,
                "found": found.found,
                "size": found.size,
                "queries": found.queries,
            }
            write_tensors(file, tensors | ({"x": found.x} if self.keep_points else {}), {})
        parts = [read_tensors(file)[0] for file in files]
        write_tensors(
            into / "attacked.safetensors", {name: torch.cat([p[name] for p in parts]) for name in parts[0]}, {}
        )

    def result(self, store: Store) -> dict[str, Tensor]:
        """Tensors by name: rows, y, found, size, queries, and x where points are kept."""
        return read_tensors(self.path(store) / "attacked.safetensors")[0]

    @property
    def probed(self) -> Probed:
        """The checks of the same victim on the same data, whose flags go with the robust accuracy."""
        return Probed(self.victim, self.part, self.data)

    @property
    def eot(self) -> int:
        """Forward passes that each answer is the mean of."""
        return build("surefooted.attacks", self.attack).eot

    def sizes(self, store: Store) -> Tensor:
        """How far each answer is from another: the size of what changed it, infinite where nothing did."""
        found = self.result(store)
        return torch.where(found["found"], found["size"], torch.inf)


@dataclass(frozen=True, eq=False)
class Predicted(Cell):
    """What a victim predicts on a split, or on points that an attack moved (perhaps away from another victim)."""

    victim: Source
    part: Part = "test"
    moved: Attacked | None = None
    data: Named | None = None
    limit: int = 0

    kind = "predicted"

    def about(self) -> dict[str, Any]:
        return {
            "victim": self.victim.key,
            "part": self.part,
            "moved": self.moved.key if self.moved else None,
            "limit": self.limit,
            **_data_about(self.victim, self.data),
        }

    @property
    def needs(self) -> tuple[Cell, ...]:
        return (*before(self.victim), *((self.moved,) if self.moved else ()))

    @property
    def label(self) -> str:
        return f"predict {'attacked' if self.moved else 'clean'} {self.part}"

    def work(self) -> int:
        return 1

    def make(self, store: Store, machine: Machine, into: Path, work: Path, tick: Tick) -> None:
        net = self.victim.load(store).to(machine.device())
        if self.moved is None:
            p = predict(net, images_of(self.victim, self.data, self.part, self.limit))
        else:
            found = self.moved.result(store)
            p = predict(net, Points(found["x"], found["y"], found["rows"]))
        tick(1)
        write_tensors(into / "predictions.safetensors", p._asdict(), {})

    def result(self, store: Store) -> Predictions:
        return Predictions(**read_tensors(self.path(store) / "predictions.safetensors")[0])


@dataclass(frozen=True, eq=False)
class Probed(Cell):
    """What the checks ask a victim about a few clean points: the flags that go with every robust accuracy."""

    victim: Source
    part: Part = "test"
    data: Named | None = None

    kind = "probed"

    def about(self) -> dict[str, Any]:
        return {"victim": self.victim.key, "part": self.part, **_data_about(self.victim, self.data)}

    @property
    def needs(self) -> tuple[Cell, ...]:
        return before(self.victim)

    def work(self) -> int:
        return 1

    def make(self, store: Store, machine: Machine, into: Path, work: Path, tick: Tick) -> None:
        net = self.victim.load(store).to(machine.device())
        points = images_of(self.victim, self.data, self.part, PROBED).points(device=machine.device())
        write_json(into / "probe.json", probe(net, points).json())
        tick(1)

    def result(self, store: Store) -> Probe:
        return Probe(**read_json(self.path(store) / "probe.json"))

    def flags(self, store: Store, *, eot: int = 1) -> list[Flag]:
        """All that the probe raises; ``eot`` as the attack has it."""
        return of_probe(self.result(store), eot=eot)


Source = Train | Weights | Ensembled | Dropped | Foreign | Live
"""What a victim is loaded from."""


def before(victim: Source) -> tuple[Train, ...]:
    """The trainings that a victim is made of."""
    match victim:
        case Train():
            return (victim,)
        case Ensembled():
            return victim.members
        case Dropped():
            return (victim.net,)
    return ()


def own_data(victim: Source) -> Named | None:
    """What a victim was trained on, where that is known."""
    return getattr(victim, "data", None)


@checked
def training(
    method: Any, net: Any, data: Any, recipe: Any = "recipe", *, seed: Seed = 0, precision: Precision = "fp32"
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

    chosen, schedule = each("surefooted.methods", method), each("surefooted.recipes", recipe)
    table = each("surefooted.data", data)
    if table:
        if isinstance(data, Splits):
            _LOADED[canonical(table)] = data
        splits = data_of(table)
        try:
            network = described(net, splits.train.shape, len(splits.train.classes))
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))
    target = build("surefooted.methods", chosen).target
    if target.learns and len(splits.validation) < target.levels:
        raise InputError(
            f"{split(chosen)[0]} learns its labels from {target.levels} validation subset(s), and the validation set "
            f"has {len(splits.validation)} images; hold out more (--data.validation 0.1) or lower levels."
        )
    return Train(chosen, network, table, schedule, seed, precision)


@checked
def attacking(
    victim: Any,
    attack: Any,
    part: Part = "test",
    *,
    data: Named | None = None,
    limit: Whole = 0,
    seed: Whole = 0,
    keep_points: bool = True,
) -> Attacked:
    """An attack cell; its options as in ``Attacked``."""
    named = complete("surefooted.attacks", attack)
    return Attacked(victim, named, part, data, limit, seed, keep_points)


def data_of(given: Named) -> Splits:
    """The data set, loaded once in a process."""
    key = canonical(given)
    if key not in _LOADED:
        _LOADED[key] = build("surefooted.data", given)
    return _LOADED[key]


def known_data(data: Any) -> Named | None:
    """The complete spec of a data set; one that is in memory already is not read again."""
    if data is None:
        return None
    given = complete("surefooted.data", data)
    if isinstance(data, Splits):
        _LOADED[canonical(given)] = data
    return given


def images_of(victim: Source, data: Named | None, part: Part, limit: int) -> Images:
    given = data or own_data(victim)
    if given is None:
        raise InputError("weights from a file do not say which data to use; name it (--data).")
    images: Images = getattr(data_of(given), part)
    if not len(images):
        raise InputError(
            f"the {part} split is empty; hold some images out (--data.validation 0.1), or use another split."
        )
    return images.take(slice(0, limit)) if limit else images


def _train(fabric: Fabric, cell: Train, root: Path, into: Path, work: Path, tick: Tick | None) -> None:
    """What each process of a data-parallel training runs; the first one writes."""
    data, net, store = data_of(cell.data), cell.network(), Store(root)
    history = fit(
        build("surefooted.methods", cell.method),
        net,
        data,
        build("surefooted.recipes", cell.recipe),
        seed=cell.seed,
        levels=cell.levels(store),
        fabric=fabric,
        checkpoint=work / "checkpoint.safetensors",
        tick=tick,
    )
    if fabric.global_rank == 0:
        about = cell.about() | {"shape": data.train.shape, "classes": data.train.classes}
        about["members"] = len(net.members) if isinstance(net, Ensemble) else 1
        write_tensors(into / "weights.safetensors", net.state_dict(), about)
        write_json(into / "history.json", history)


def _block(attack: Attack, device: torch.device) -> int:
    """Rows that are attacked between two writings."""
    least = BLOCK_LEAST.get(device.type, BLOCK_LEAST["cuda"])
    return max(least, BLOCK_WORK // (attack.passes * attack.restarts))


def _data_about(victim: Source, data: Named | None) -> dict[str, Any]:
    """Nothing where the data are the victim's own: its key covers them."""
    return {"data": data, "checksum": data_of(data).checksum} if data else {}
