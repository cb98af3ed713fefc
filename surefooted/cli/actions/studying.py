"""``surefooted study run`` and ``surefooted report``."""

from __future__ import annotations

from pathlib import Path

from surefooted.components.describe import describe
from surefooted.components.spec import resolve
from surefooted.core.files import as_input_error
from surefooted.errors import InputError
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.forecast import forecast
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.report.terminal import check_writable, escape, human_duration, print_json, say, say_on_stderr
from surefooted.studies.base import Study


def run_study(
    name: str,
    size: str | None,
    only: list[str],
    store: Store,
    runtime: Runtime,
    workers: int,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    study = _study(name, size, only)
    check_writable(_place(name, size, only, out) / "index.html")
    tasks = list(study.tasks())
    todo = plan(tasks, store)
    if not as_json:
        kinds = ", ".join(f"{sum(c.kind == k for c in todo)} {k}" for k in dict.fromkeys(c.kind for c in todo))
        say_on_stderr(f"[bold]{name}[/]: {f'to make: {kinds}' if todo else 'everything is in the store'}")
        if todo and not quiet:
            ahead = forecast(todo, runtime, workers=workers)
            say_on_stderr(
                f"some {ahead.passes:.2g} passes through networks, about {human_duration(ahead.seconds)} on this device"
            )
    made = execute(tasks, store, runtime=runtime, workers=workers, quiet=quiet)
    write_report(name, size, only, store, out, as_json, made=made)


def write_report(
    name: str, size: str | None, only: list[str], store: Store, out: Path | None, as_json: bool, *, made: int = 0
) -> None:
    from surefooted.report import write_page

    study, place = _study(name, size, only), _place(name, size, only, out)
    missing = plan(study.tasks(), store)
    if missing:
        run = " ".join(
            ["surefooted study run", name, *([f"--size {size}"] if size else []), *(f"--only {one}" for one in only)]
        )
        raise InputError(f"{len(missing)} results of {name} are not in {store.root}; run: {run}")
    page = study.page(store)
    with as_input_error(place):
        index = write_page(page, place)
    if as_json:
        return print_json(
            {"study": name, "made": made, "report": str(index), "findings": [vars(f) for f in page.findings]}
        )
    for finding in page.findings:
        say(f"[bold]{finding.verdict}[/]: {escape(finding.text)} [dim]({escape(finding.evidence)})[/]")
    say(f"report: {escape(str(index))}")


def _study(name: str, size: str | None, only: list[str]) -> Study:
    made, arguments = resolve("study", name), describe("study", name)["arguments"]
    if only and not any(argument["name"] == "only" for argument in arguments):
        raise InputError(f"{name} has no chapters to choose from: it runs as a whole. Leave --only out.")
    for argument in arguments:
        if argument["required"]:
            raise InputError(
                f"{name} needs the argument {argument['name']!r}, and so has a command of its own: surefooted {name} "
                "--help"
            )
    return made(**({"size": size} if size else {}), **({"only": only} if only else {}))


def _place(name: str, size: str | None, only: list[str], out: Path | None) -> Path:
    """Where the report goes: neither sizes nor chapters share a folder."""
    return out or Path("reports") / "_".join([name, *([size] if size else []), *only])
