"""What evaluations of one classifier share: its admission, the run of their tasks, and a result that prints itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from torch import nn

from surefooted.auditing.design import AuditDesign, audit_options
from surefooted.auditing.run import describe_limit, design_audit
from surefooted.evaluation.checks import SANITY_CHECK_IMAGES, check_classifier
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.forecast import forecast
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Source, Task, eval_images, images_to_check, trainings_of
from surefooted.report import Page, write_page
from surefooted.report.display import Printable
from surefooted.report.terminal import escape, print_on_stderr


@dataclass(frozen=True, eq=False, repr=False)
class EvaluationResult(Printable):
    """The result of an evaluation. Printed, it is a summary; ``write`` writes the whole report.

    Attributes:
        numbers: all results as plain data, ready for JSON.
        page: the report.
        summary_lines: the summary from top to bottom.
    """

    numbers: dict[str, Any]
    page: Page
    summary_lines: Sequence[RenderableType]

    def write(self, directory: str | Path) -> Path:
        """Write the report into a directory; returns the path of its page."""
        return write_page(self.page, directory)

    def lines(self) -> list[RenderableType]:
        return list(self.summary_lines)


@dataclass(frozen=True)
class Run:
    """Where and how the tasks of an evaluation run.

    Attributes:
        store: where artifacts are kept.
        runtime: device to run on.
        quiet: print neither the estimated time nor progress on standard error.
        before_run: called once the classifier has been accepted, before anything is computed.
    """

    store: Store
    runtime: Runtime
    quiet: bool = False
    before_run: Callable[[], object] = lambda: None

    def compute(self, title: str, tasks: Sequence[Task]) -> None:
        """Compute what is missing, after saying how long that may take."""
        if not self.quiet and (missing := plan(tasks, self.store)):
            at_most = forecast(missing, self.runtime, at_most=True)
            print_on_stderr(f"[bold]{escape(title)}[/]: {describe_limit(at_most)}")
        self.before_run()
        execute(tasks, self.store, runtime=self.runtime, quiet=self.quiet)


def admit(model: nn.Module | Source | str, data: Any, run: Run, **options: Any) -> AuditDesign:
    """Look up a classifier and its data, and refuse a classifier that cannot be evaluated.

    Args:
        model, data: as for ``surefooted.audit``.
        run: where it will run.
        options: options of ``AuditOptions`` that choose the images and adapt the model: split, limit, order, seed,
            mean, std, outputs, weights.

    Returns:
        A design whose ``model``, ``data``, ``limit`` and ``order`` are those of the tasks.

    Raises:
        InputError: if there is no such classifier or data set, or they do not fit together.
    """
    design = design_audit(model, data, audit_options(budget="full", **options))
    images = eval_images(design.model, design.data, design.options.split, SANITY_CHECK_IMAGES)
    if not trainings_of(design.model):
        device = run.runtime.device()
        points = images.points(slice(0, images_to_check(design.model, images.shape)), device)
        check_classifier(design.model.load(run.store).to(device), points, len(images.classes))
    return design
