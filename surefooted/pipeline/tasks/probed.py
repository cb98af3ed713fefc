"""What the checks ask a victim."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefooted.core.files import read_json, write_json
from surefooted.evaluation.checks import PROBED, Flag, Probe, of_probe, probe
from surefooted.pipeline.runtime import Machine, Tick
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import Cell, Named, Part, Source, about_data, before
from surefooted.pipeline.tasks.tested import images_of


@dataclass(frozen=True, eq=False)
class Probed(Cell):
    """What the checks ask a victim about a few clean points: the flags that go with every robust accuracy."""

    victim: Source
    part: Part = "test"
    data: Named | None = None

    kind = "probed"

    def about(self) -> dict[str, Any]:
        return {"victim": self.victim.key, "part": self.part, **about_data(self.data)}

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
        with store.reading(self.kind, self.key) as place:
            return Probe(**read_json(place / "probe.json"))

    def flags(self, store: Store, *, eot: int = 1) -> list[Flag]:
        """All that the probe raises; ``eot`` as the attack has it."""
        return of_probe(self.result(store), eot=eot)
