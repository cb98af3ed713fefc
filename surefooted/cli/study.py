"""``surefooted study run`` and ``surefooted report``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefooted.cli.app import ALLOW_COMPONENT_OPTIONS, Command, app, report_errors, study_app, with_flags
from surefooted.cli.flags import Accelerator, AsJson, DataRoot, Quiet, StorePath
from surefooted.cli.options import parse_arguments
from surefooted.cli.session import Session, open_session
from surefooted.components.component import CallError
from surefooted.errors import ArgumentError, StoreError, did_you_mean

if TYPE_CHECKING:
    from surefooted.studies.base import Study

StudyOptions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="--OPTION VALUE", help="Other arguments of the study, such as --seeds 2; see: surefooted list studies."
    ),
]
Size = Annotated[str | None, typer.Option(help="Such as smoke, cpu or paper; see: surefooted list studies.")]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Run only this chapter, such as latent of uta. Repeat for several. Some studies have none."),
]
ReportFolder = "Directory for the report; reports/NAME_SIZE(_CHAPTERS) by default."


@study_app.command("run", cls=Command, context_settings=ALLOW_COMPONENT_OPTIONS)
@report_errors
def study_run(
    *,
    name: Annotated[str, typer.Argument(help="A study; see: surefooted list studies.")],
    words: StudyOptions = None,
    size: Size = None,
    only: Only = None,
    report: Annotated[Path | None, typer.Option(help=ReportFolder)] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for one per core.")] = 0,
    accelerator: Accelerator = "auto",
    store: StorePath = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run the tasks of a study that are not in the store, then write its report; if killed, it resumes."""
    session = open_session(store, data_root, accelerator, as_json=as_json, quiet=quiet)
    request = request_study(name, words or [], size=size, only=only or [])
    run_study(request, session, workers or os.cpu_count() or 1, report)


@app.command(cls=Command, context_settings=ALLOW_COMPONENT_OPTIONS)
@report_errors
def report(
    *,
    name: Annotated[str, typer.Argument(help="A study that was run.")],
    words: StudyOptions = None,
    size: Size = None,
    only: Only = None,
    out: Annotated[Path | None, typer.Option(help=ReportFolder)] = None,
    store: StorePath = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a study from the store, without computing anything."""
    session = open_session(store, data_root, as_json=as_json)
    write_report(request_study(name, words or [], size=size, only=only or []), session, out)


@dataclass(frozen=True)
class StudyRequest:
    """A study by name, with the arguments that the user gave.

    Example:
        >>> request = StudyRequest("demo", {"size": "smoke", "seeds": 2})
        >>> request.command(), str(request.folder())
        ('surefooted study run demo --size smoke --seeds 2', 'reports/demo_smoke_seeds-2')
    """

    name: str
    arguments: Mapping[str, Any]

    def build(self) -> Study:
        """Make the study; it checks its arguments."""
        from surefooted.components.spec import build

        try:
            study: Study = build("study", {self.name: self.arguments})
        except CallError as error:
            raise ArgumentError(with_flags(error.within(""), self.arguments)) from None
        return study

    def command(self) -> str:
        """The command that runs it."""
        words = [f"--{flag} {value}" for flag, value in self._flags()]
        return " ".join(["surefooted study run", self.name, *words])

    def folder(self) -> Path:
        """Default directory of the report: different arguments never share one."""
        parts = [value if flag in ("size", "only") else f"{flag}-{value}" for flag, value in self._flags()]
        return Path("reports") / "_".join([self.name, *parts])

    def _flags(self) -> list[tuple[str, str]]:
        several = {flag: value if isinstance(value, list) else [value] for flag, value in self.arguments.items()}
        return [(flag, str(one)) for flag, values in several.items() for one in values]


def request_study(name: str, words: list[str], *, size: str | None, only: list[str]) -> StudyRequest:
    """Read the arguments of a study.

    Raises:
        ArgumentError: if there is no such study, or it has no such argument.
    """
    from surefooted.components.describe import describe

    known = [argument["name"] for argument in describe("study", name)["arguments"]]
    if only and "only" not in known:
        raise ArgumentError(f"{name} has no chapters to choose from: it runs as a whole. Leave --only out.")
    given: dict[str, Any] = {**({"size": size} if size else {}), **({"only": only} if only else {})}
    for argument, value in parse_arguments(words).items():
        if argument not in known:
            raise ArgumentError(f"There is no option --{argument} of {name}.{did_you_mean(argument, known)}")
        given[argument] = value
    return StudyRequest(name, given)


def run_study(request: StudyRequest, session: Session, workers: int, out: Path | None) -> None:
    """Say what is missing and how long it will take, run it, write the report."""
    from surefooted.pipeline.execute import execute, plan
    from surefooted.pipeline.forecast import forecast
    from surefooted.report.terminal import check_writable, human_duration, print_on_stderr

    study = request.build()
    check_writable((out or request.folder()) / "index.html")
    tasks = list(study.tasks())
    missing = plan(tasks, session.store)
    if not session.as_json:
        counts = [f"{sum(task.kind == kind for task in missing)} {kind}" for kind in {t.kind: 0 for t in missing}]
        outlook = f"to compute: {', '.join(counts)}" if missing else "everything is in the store"
        print_on_stderr(f"[bold]{request.name}[/]: {outlook}")
        if missing and not session.quiet:
            ahead = forecast(missing, session.runtime, workers=workers)
            duration = human_duration(ahead.seconds)
            print_on_stderr(f"about {ahead.passes:,.0f} forward passes × images, about {duration} on this device")
    made = execute(tasks, session.store, runtime=session.runtime, workers=workers, quiet=session.quiet)
    write_report(request, session, out, made=made)


def write_report(request: StudyRequest, session: Session, out: Path | None, *, made: int = 0) -> None:
    """Write the report of a study whose artifacts are all in the store.

    Args:
        made: number of tasks that were run for it.
    """
    from surefooted.core.files import as_input_error
    from surefooted.pipeline.execute import plan
    from surefooted.report import write_page
    from surefooted.report.display import finding_line
    from surefooted.report.terminal import escape, print_json, print_lines

    study, folder = request.build(), out or request.folder()
    if missing := plan(study.tasks(), session.store):
        raise StoreError(
            f"{len(missing)} results of {request.name} are not in {session.store.root}; run: {request.command()}"
        )
    page = study.page(session.store)
    with as_input_error(folder):
        index = str(write_page(page, folder))
    if session.as_json:
        findings = [vars(finding) for finding in page.findings]
        return print_json({"study": request.name, "made": made, "report": index, "findings": findings})
    print_lines(*map(finding_line, page.findings), f"report: {escape(index)}")
