"""``surefooted study run`` and ``surefooted report``."""

from __future__ import annotations

from pathlib import Path

from surefooted.console import escape, print_json, say, spoken, tell
from surefooted.errors import InputError
from surefooted.execute import execute, plan
from surefooted.files import explained
from surefooted.forecast import forecast
from surefooted.machine import Machine
from surefooted.spec import resolve
from surefooted.store import Store


def run_study(
    name: str,
    size: str | None,
    store: Store,
    machine: Machine,
    workers: int,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    study = resolve("surefooted.studies", name)(**_size(size))
    cells = list(study.cells())
    todo = plan(cells, store)
    if not as_json:
        kinds = ", ".join(f"{sum(c.kind == k for c in todo)} {k}" for k in dict.fromkeys(c.kind for c in todo))
        tell(f"[bold]{name}[/]: {f'to make: {kinds}' if todo else 'everything is in the store'}")
        if todo and not quiet:
            ahead = forecast(todo, machine, workers=workers)
            tell(f"some {ahead.passes:.2g} passes through networks, about {spoken(ahead.seconds)} on this device")
    made = execute(cells, store, machine=machine, workers=workers, quiet=quiet)
    write_report(name, size, store, out, as_json, made=made)


def write_report(name: str, size: str | None, store: Store, out: Path | None, as_json: bool, *, made: int = 0) -> None:
    from surefooted.report import write

    study = resolve("surefooted.studies", name)(**_size(size))
    missing = plan(study.cells(), store)
    if missing:
        raise InputError(f"{len(missing)} results of {name} are not in {store.root}; run: surefooted study run {name}")
    page = study.page(store)
    with explained(out or Path("reports") / name):
        index = write(page, out or Path("reports") / name)
    if as_json:
        return print_json(
            {"study": name, "made": made, "report": str(index), "findings": [vars(f) for f in page.findings]}
        )
    for finding in page.findings:
        say(f"[bold]{finding.verdict}[/]: {escape(finding.text)} [dim]({escape(finding.evidence)})[/]")
    say(f"report: {escape(str(index))}")


def _size(size: str | None) -> dict[str, str]:
    return {} if size is None else {"size": size}
