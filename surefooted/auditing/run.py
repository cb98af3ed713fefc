"""Audit any classifier: refuse what cannot be audited, say how long it may take, compute what is missing, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import RenderableType
from torch import nn

from surefooted.auditing.black_box import BlackBoxDesign
from surefooted.auditing.design import AuditDesign, AuditOptions, audit_options
from surefooted.auditing.findings import AuditFindings
from surefooted.auditing.page import audit_page
from surefooted.errors import ArgumentError
from surefooted.evaluation.checks import SANITY_CHECK_IMAGES, Flag, check_classifier, check_probabilities
from surefooted.evaluation.metrics.intervals import Interval
from surefooted.models.external import InMemoryModel, IOAdapter, is_external
from surefooted.models.victims import NetworkVictim, untouched
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.forecast import Forecast, forecast
from surefooted.pipeline.lookup import find_victim
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import (
    Source,
    eval_images,
    external_source,
    images_to_check,
    resolve_data,
    trainings_of,
)
from surefooted.report import Page, write_page
from surefooted.report.display import Printable, finding_line, flag_line
from surefooted.report.terminal import escape, human_duration, make_table, print_on_stderr

# What bootstrap intervals and the drawing of a report take on one core.
REPORT_SECONDS = 8.0


@dataclass(frozen=True, eq=False, repr=False)
class AuditResult(Printable):
    """The result of an audit. Printed, it is a summary; ``write`` writes the whole report.

    Attributes:
        numbers: all results as plain data, ready for JSON.
        flags: signs that the robust accuracies should not be trusted, and notes.
        page: the report.
        additions: lines of the summary on corrupted and out-of-distribution images.
    """

    numbers: dict[str, Any]
    flags: list[Flag]
    page: Page
    additions: Sequence[RenderableType] = ()

    def write(self, directory: str | Path) -> Path:
        """Write the report into a directory; returns the path of its page."""
        return write_page(self.page, directory)

    def lines(self) -> list[RenderableType]:
        n = self.numbers
        heading = f"[bold]audit of {escape(n['classifier'])} on {escape(n['data'])}[/]"
        note = f"[dim]{escape(n['temperature'])}; 95 % intervals over test images[/]"
        headline = f"[bold]{escape(self.page.subtitle)}[/]"
        flags = [flag_line(**vars(flag)) for flag in self.flags]
        findings = [finding_line(finding) for finding in self.page.findings]
        limits = [f"[bold]{escape(n['limits'])}[/]"] if "limits" in n else []
        tables = (self._calibration(), self._attacks())
        return [heading, headline, *limits, *tables, note, *flags, *findings, *self.additions]

    def _calibration(self) -> RenderableType:
        by_row = self.numbers["calibration"]
        heading = f"{self.numbers['split']} split, n = {self.numbers['n']}"
        names = {"temperature": "temperature-scaled", "attacked": f"under {self.numbers['headline']['suite']}"}
        table = make_table(heading, *(names.get(row, row) for row in by_row))
        for metric in by_row["clean"]:
            values = (row[metric] for row in by_row.values())
            table.add_row(metric, *(escape(f"{v['value']:.4f} [{v['low']:.4f}, {v['high']:.4f}]") for v in values))
        return table

    def _attacks(self) -> RenderableType:
        table = make_table("attack", "eps", "robust accuracy")
        for one in self.numbers["attacks"]:
            table.add_row(one["name"], f"{one['eps']:.4g}", escape(Interval(**one["robust_accuracy"]).percent()))
        return table


def audit(
    model: nn.Module | Source | str | Path,
    data: Any = None,
    options: AuditOptions | None = None,
    *,
    store: Store | None = None,
    runtime: Runtime | None = None,
    quiet: bool = False,
    before_run: Callable[[], object] = lambda: None,
    **changes: Any,
) -> AuditResult:
    """Audit a classifier: accuracy, calibration, robustness, robustness levels, and signs of a faulty evaluation.

    Artifacts in the store are not computed again. If an audit is killed, the same call resumes it.

    Args:
        model: any module from pixels in [0, 1] to logits; ``module:function``, a ``.pt2`` or ``.onnx`` file,
            ``timm:NAME`` or ``transformers:NAME``; a black box (``sf.blackbox``); or a network of the store (a task,
            its key, or a weights file).
        data: a data set by name, ``{name: arguments}``, what the functions of ``surefooted.data`` return, ``(x, y)``,
            or other data in memory as ``sf.arrays`` takes them. By default the one that a Surefooted network was
            trained on.
        options: what to compute; see ``AuditOptions``.
        store: where artifacts are kept; the default store if omitted.
        runtime: device to run on; by default a GPU if there is one, and for a module the device that it is on.
        quiet: print neither the estimated time nor progress on standard error.
        before_run: called once the classifier has been accepted, before anything is computed.
        changes: options by name, such as ``eps=8/255``; they replace those of ``options``.

    Returns:
        The numbers, the flags and the report.

    Raises:
        InputError: if the classifier or the data cannot be audited, before any work; see ``checks.check_classifier``.

    Example:
        >>> import surefooted as sf
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        >>> result = sf.audit(net, "digits", eps=0.1, budget="smoke", limit=8, levels=2, quiet=True)
        >>> result.numbers["n"], result.numbers["calibration"]["clean"].keys() >= {"accuracy", "ece"}
        (8, True)
        >>> print(result)
        audit of Sequential on Digits (...)...
    """
    options = audit_options(**{**vars(options or AuditOptions()), **changes})
    store = store or Store()
    if isinstance(model, str | Path) and not is_external(str(model)):
        model = find_victim(str(model), store)
    design = design_audit(model, data, options)
    runtime = runtime or _default_runtime(design.model)
    _check_auditable(design, store, runtime)
    if not quiet and (missing := plan(design.tasks, store)):
        at_most = forecast(missing, runtime, at_most=True)
        at_most = at_most._replace(seconds=at_most.seconds + REPORT_SECONDS)
        print_on_stderr(f"[bold]audit of {escape(str(design.model))}[/]: {describe_limit(at_most)}")
    before_run()
    execute(design.tasks, store, runtime=runtime, quiet=quiet)
    return read_result(design, store)


def design_audit(model: nn.Module | Source | str | Path, data: Any, options: AuditOptions) -> AuditDesign:
    """The tasks of an audit; arguments as in ``audit``. Nothing is computed.

    Raises:
        InputError: if there is no such classifier, or no data set for it.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> design = design_audit(net, "digits", AuditOptions(eps=0.1, budget="smoke"))
        >>> list(design.sweep), design.limit
        ([0.025, 0.05, 0.1, 0.2], 64)
    """
    given = resolve_data(data)
    source = external_source(model, given, options.model)
    if getattr(source, "differentiable", True):
        if options.queries:
            raise ArgumentError("`queries` is for black boxes. Leave it out, or choose a `budget`.")
        return AuditDesign(source, given, options)
    if options.eot > 1:
        raise ArgumentError("`eot` is for attacks with gradients; a black box is asked once per point. Leave it out.")
    return BlackBoxDesign(source, given, options)


def read_result(design: AuditDesign, store: Store) -> AuditResult:
    """Read the result of an audit whose tasks are all in the store."""
    findings = AuditFindings(design, store)
    additions = [line for part in (findings.shift, findings.ood) if part is not None for line in part.lines()]
    return AuditResult(findings.numbers(), findings.flags, audit_page(findings), additions)


def describe_limit(at_most: Forecast) -> str:
    """The longest that an audit may take.

    Example:
        >>> describe_limit(Forecast(passes=12000, seconds=90.0))
        'up to 90 seconds (12,000 image passes); images broken early are skipped, so usually less'
    """
    duration = human_duration(at_most.seconds)
    return f"up to {duration} ({at_most.passes:,} image passes); images broken early are skipped, so usually less"


def _check_auditable(design: AuditDesign, store: Store, runtime: Runtime) -> None:
    """Refuse what cannot be audited, before anything is computed."""
    split, levels = design.options.split, design.options.levels
    if levels > (n := len(eval_images(design.model, design.data, split, design.limit))):
        raise ArgumentError(f"`levels` is {levels}, but there are only {n} images; each level needs at least one.")
    if design.options.eps > (largest := design.huge_eps):
        raise ArgumentError(
            f"`eps` is {design.options.eps:g}, but a ball of radius {largest:.4g} contains every image. Pixels are in "
            f"[0, 1]: did you mean {design.options.eps:g}/255?"
        )
    for part in (design.shift, design.ood):
        if part is not None:
            part.check()
    if trainings_of(design.model) or not plan(design.tasks, store):
        return  # a network of the store may not have been trained yet
    net = design.model.load(store).to(runtime.device())
    images = eval_images(design.model, design.data, split, SANITY_CHECK_IMAGES)
    points = images.points(slice(0, images_to_check(design.model, images.shape)), runtime.device())
    check_classifier(net, points, len(design.splits.test.classes))
    if isinstance(net, IOAdapter) and net.outputs in ("probabilities", "log_probabilities"):
        with untouched(NetworkVictim(net)), torch.no_grad():
            raw = net.raw(points.x)
        p = raw.exp() if net.outputs == "log_probabilities" else raw
        column = p.reshape(-1, 1) if p.ndim == 1 or p.shape[1] == 1 else None
        check_probabilities(p if column is None else torch.cat([1 - column, column], 1))


def _default_runtime(model: Source) -> Runtime:
    """A module stays on its device."""
    if isinstance(model, InMemoryModel):
        return Runtime(next((weight.device.type for weight in model.net.parameters()), "cpu"))
    return Runtime()
