"""``surefooted audit``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from surefooted.cli.actions.shared import data_for, flagged, own_name
from surefooted.cli.options import gather
from surefooted.core.files import as_input_error
from surefooted.errors import InputError
from surefooted.evaluation.metrics.intervals import Interval
from surefooted.models.external.model import is_external
from surefooted.pipeline.execute import execute
from surefooted.pipeline.lookup import find_victim
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.report.terminal import check_writable, escape, make_table, print_json, say


def report_audit(
    model: str | None,
    named: Mapping[str, str | None],
    words: Sequence[str],
    config: Path | None,
    store: Store,
    runtime: Runtime,
    out: Path | None,
    quiet: bool,
    as_json: bool,
    *,
    weights: Path | None,
    mean: str | None,
    std: str | None,
    outputs: str,
    **arguments: Any,
) -> None:
    from surefooted.auditing import audit_of
    from surefooted.auditing.run import audited, prepare, victim_of
    from surefooted.report import write_page

    if model is None:
        raise InputError(
            "which classifier? Give --model MODULE:FUNCTION, FILE.pt2, FILE.onnx, timm:NAME, transformers:NAME, a key "
            "of the store or a .safetensors file that surefooted wrote."
        )
    ours = None if is_external(model) else find_victim(model, store)
    given = gather(("data",), named, words, config, defaults=own_name(ours))
    data = data_for(ours, given)
    door: dict[str, Any] = {
        "mean": _numbers("mean", mean),
        "std": _numbers("std", std),
        "outputs": outputs,
        "weights": weights,
    }
    victim = victim_of(ours or model, data, **door)
    made = audit_of(model=victim, data=data, **arguments)
    out = out or Path("reports") / f"audit_{_slug(model)}"
    prepare(made, store, runtime, quiet=quiet)
    check_writable(out / "index.html")  # it makes the directory, which a refused model needs not
    execute(made.tasks, store, runtime=runtime, quiet=quiet)
    found = audited(made, store)
    with as_input_error(out):
        index = write_page(found.page, out)
    if as_json:
        return print_json(found.numbers | {"report": str(index)})
    say(f"[bold]audit of {escape(found.numbers['classifier'])} on {escape(found.numbers['data'])}[/]")
    shown = found.numbers["calibration"]
    table = make_table(
        f"{made.part} split, n = {found.numbers['n']}", "as it is", "temperature-scaled", "under AutoAttack"
    )
    for name in shown["clean"]:
        values = (row[name] for row in shown.values())
        table.add_row(name, *(escape(f"{v['value']:.4f} [{v['low']:.4f}, {v['high']:.4f}]") for v in values))
    say(table)
    table = make_table("attack", "eps", "robust accuracy")
    for one in found.numbers["attacks"]:
        table.add_row(one["name"], f"{one['eps']:.4g}", escape(Interval(**one["robust_accuracy"]).percent()))
    say(table)
    say(f"[dim]{escape(found.numbers['temperature'])}; 95 % intervals[/]", *map(flagged, found.flags))
    for finding in found.page.findings:
        say(f"[bold]{finding.verdict}[/]: {escape(finding.text)} [dim]({escape(finding.evidence)})[/]")
    say(f"report: {escape(str(index))}")


def _slug(model: str) -> str:
    """What the user calls the model, as a short name for a directory; long ones keep apart by a digest."""
    name = re.sub(r"[^\w.-]+", "_", model).strip("._") or "model"
    return name if len(name) <= 40 else f"{name[-31:].strip('._')}_{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    """``0.49,0.48,0.45`` as numbers."""
    try:
        return tuple(float(Fraction(part.strip())) for part in text.split(",")) if text else ()
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--{option} is {text!r}; expected a number for each channel, as in 0.49,0.48,0.45.") from None
