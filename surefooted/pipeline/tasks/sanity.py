"""What the checks ask a victim."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefooted.core.files import read_json, write_json
from surefooted.evaluation.checks import SANITY_CHECK_IMAGES, Flag, SanityCheck, sanity_check, sanity_flags
from surefooted.pipeline.runtime import OnProgress, Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks.base import ComponentSpec, Source, SplitName, Task, data_fields, trainings_of
from surefooted.pipeline.tasks.evaluation_data import eval_images


@dataclass(frozen=True, eq=False)
class SanityCheckTask(Task):
    """What the checks ask a victim about a few clean points: the flags that go with every robust accuracy."""

    victim: Source
    part: SplitName = "test"
    data: ComponentSpec | None = None

    kind = "probed"

    def arguments(self) -> dict[str, Any]:
        return {"victim": self.victim.key, "part": self.part, **data_fields(self.data)}

    @property
    def requires(self) -> tuple[Task, ...]:
        return trainings_of(self.victim)

    def total_ticks(self) -> int:
        return 1

    def make(self, store: Store, runtime: Runtime, into: Path, work: Path, tick: OnProgress) -> None:
        net = self.victim.load(store).to(runtime.device())
        points = eval_images(self.victim, self.data, self.part, SANITY_CHECK_IMAGES).points(device=runtime.device())
        write_json(into / "probe.json", sanity_check(net, points).json())
        tick(1)

    def result(self, store: Store) -> SanityCheck:
        with store.reading(self.kind, self.key) as place:
            return SanityCheck(**read_json(place / "probe.json"))

    def flags(self, store: Store, *, eot: int = 1) -> list[Flag]:
        """All that the probe raises; ``eot`` as the attack has it."""
        return sanity_flags(self.result(store), eot=eot)
