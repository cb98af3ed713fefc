"""What the commands do, once their words are read: build cells, run them, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from surefooted import metrics
from surefooted.api import interval_kind
from surefooted.cell import (
    Attacked,
    Named,
    Part,
    Predicted,
    Source,
    Train,
    attacking,
    data_of,
    images_of,
    own_data,
    training,
)
from surefooted.cell.transferred import Transferred, far
from surefooted.checks import Flag
from surefooted.console import Grid, brief, check_place, copy, escape, grid, options, print_json, say, spoken, tell
from surefooted.errors import InputError, did_you_mean
from surefooted.execute import execute, plan
from surefooted.files import explained
from surefooted.forecast import forecast
from surefooted.foreign.victim import is_foreign
from surefooted.machine import Machine
from surefooted.metrics.intervals import bootstrap
from surefooted.metrics.levels import by_level, levels_of
from surefooted.metrics.predictions import predictions
from surefooted.metrics.robustness import robust_accuracy, size_quantiles
from surefooted.options import gather
from surefooted.spec import PACKAGES, complete, describe, names, resolve, split
from surefooted.store import Store
from surefooted.victims import find_victim

PARTS = ("train", "validation", "test")


def trained_cell(
    named: Mapping[str, str | None], words: Sequence[str], config: Path | None, seed: int, precision: Any
) -> Train:
    default = {"data": "digits", "recipe": "recipe"}
    given = gather(("method", *named), named, words, config, defaults=default, bare="method")
    for slot, kind, example in (("method", "methods", "pat"), ("net", "networks", "--net lenet")):
        if slot not in given:
            raise InputError(f"which {slot}? Name one (surefooted list {kind}), such as {example}.")
    return training(**given, seed=seed, precision=precision)


def report_training(cell: Train, store: Store, out: Path | None, as_json: bool) -> None:
    weights = cell.path(store) / "weights.safetensors"
    if out is not None:
        copy(weights, out)
    last = cell.history(store)[-1]
    document = {"key": cell.key, "weights": str(out or weights), "last_epoch": last, **cell.about()}
    if as_json:
        return print_json(document)
    table = grid("", "last epoch")
    for name, value in last.items():
        table.add_row(name.replace("_", " "), brief(value))
    say(
        f"[bold]{split(cell.method)[0]} on {escape(data_of(cell.data).title)}, seed {cell.seed}[/]",
        table,
        f"[dim]key[/] {cell.key[:12]}   [dim]weights[/] {escape(str(out or weights))}",
        f"Next: surefooted attack pgd --model {cell.key[:12]}",
    )


def attacked_cell(
    named: Mapping[str, str | None],
    words: Sequence[str],
    config: Path | None,
    victim: Source,
    part: str,
    limit: int,
    seed: int,
    *,
    proxy: Source | None = None,
) -> Attacked | Transferred:
    given = gather(("attack", "data"), named, words, config, bare="attack")
    if "attack" not in given:
        raise InputError("which attack? Name one (surefooted list attacks), such as pgd.")
    on = partial(attacking, part=_part(part), limit=limit, seed=seed)
    data = _data(given)
    if proxy is None:
        return on(victim, given["attack"], data=data)
    data = data or own_data(victim)
    return Transferred(victim, on(proxy, far(given["attack"]), data=data))


def report_attack(cell: Attacked | Transferred, store: Store, out: Path | None, as_json: bool) -> None:
    found = cell.result(store)
    flags = cell.probed.flags(store, eot=cell.eot)
    if out is not None:
        copy(cell.path(store) / "attacked.safetensors", out)
    name, arguments = split(cell.attack)
    robust = robust_accuracy(found["found"])
    sizes = size_quantiles(found["size"], found["found"])
    document = {
        "key": cell.key,
        "attack": cell.attack,
        "proxy": cell.moved.victim.key if isinstance(cell, Transferred) else None,
        "split": cell.part,
        "n": len(found["y"]),
        "robust_accuracy": robust._asdict(),
        "size_quartiles": [float(v) for v in sizes],
        "mean_queries": float(found["queries"].float().mean()),
        "flags": [vars(flag) for flag in flags],
    }
    if as_json:
        return print_json(document)
    table = grid("", "value")
    away = arguments.get("away_from") == "prediction"
    table.add_row("answers unchanged" if away else "robust accuracy", escape(_percent(robust._asdict())))
    table.add_row("smallest size that breaks 25, 50, 75 %", ", ".join(f"{float(v):.4g}" for v in sizes))
    table.add_row("mean queries an image", f"{document['mean_queries']:.1f}")
    through = ", crafted on the proxy" if isinstance(cell, Transferred) else ""
    heading = f"[bold]{name}{through} on the {cell.part} split, n = {len(found['y'])}[/]"
    say(heading, table, f"[dim]{escape(options(arguments))}; 95 % Wilson interval[/]")
    say(*map(_flagged, flags))


def report_audit(
    model: str | None,
    named: Mapping[str, str | None],
    words: Sequence[str],
    config: Path | None,
    store: Store,
    machine: Machine,
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
    from surefooted.auditing import audited, prepare, victim_of
    from surefooted.report import write
    from surefooted.studies.audit import audit_of

    if model is None:
        raise InputError(
            "which classifier? Give --model MODULE:FUNCTION, FILE.pt2, FILE.onnx, timm:NAME, transformers:NAME, a key "
            "of the store or a .safetensors file that surefooted wrote."
        )
    data = _data(gather(("data",), named, words, config))
    door: dict[str, Any] = {
        "mean": _numbers("mean", mean),
        "std": _numbers("std", std),
        "outputs": outputs,
        "weights": weights,
    }
    if is_foreign(model):
        victim: Any = victim_of(model, data, **door)
    elif any(door[name] for name in ("mean", "std", "weights")) or outputs != "logits":
        raise InputError("--mean, --std, --outputs and --weights are for other classifiers than ours; leave them out.")
    else:
        victim = find_victim(model, store)
    made = audit_of(model=victim, data=data, **arguments)
    out = out or Path("reports") / "audit"
    check_place(out / "index.html")
    prepare(made, store, machine, quiet=quiet)
    execute(made.cells, store, machine=machine, quiet=quiet)
    found = audited(made, store)
    with explained(out):
        index = write(found.page, out)
    if as_json:
        return print_json(found.numbers | {"report": str(index)})
    shown = found.numbers["calibration"]
    table = grid(f"{made.part} split, n = {found.numbers['n']}", "as it is", "temperature-scaled", "under AutoAttack")
    for name in shown["clean"]:
        values = (row[name] for row in shown.values())
        table.add_row(name, *(escape(f"{v['value']:.4f} [{v['low']:.4f}, {v['high']:.4f}]") for v in values))
    say(table)
    table = grid("attack", "eps", "robust accuracy")
    for one in found.numbers["attacks"]:
        table.add_row(one["name"], f"{one['eps']:.4g}", escape(_percent(one["robust_accuracy"])))
    say(table)
    say(f"[dim]{escape(found.numbers['temperature'])}; 95 % intervals[/]", *map(_flagged, found.flags))
    for finding in found.page.findings:
        say(f"[bold]{finding.verdict}[/]: {escape(finding.text)} [dim]({escape(finding.evidence)})[/]")
    say(f"report: {escape(str(index))}")


def measured(
    named: Mapping[str, str | None],
    words: Sequence[str],
    config: Path | None,
    victim: Source,
    chosen: Sequence[str],
    store: Store,
    machine: Machine,
    quiet: bool,
    as_json: bool,
    *,
    part: str,
    limit: int,
    levels: int,
    draws: int,
    seed: int,
) -> None:
    chosen = chosen or metrics.__all__
    for name in chosen:
        resolve("surefooted.metrics", name)
    given = gather(("attack", "data", *chosen), named, words, config, defaults={name: name for name in chosen})
    bound = {name: _with_options(name, given[name]) for name in chosen}
    data, split = _data(given), _part(part)
    cells: list[Any] = []
    moved = None
    if "attack" in given:
        moved = attacking(victim, given["attack"], split, data=data, limit=limit, seed=seed)
    cells.append(cell := Predicted(victim, split, moved, data, limit))
    if levels:
        if levels > (n := len(images_of(victim, data, split, limit))):
            raise InputError(f"--levels is {levels}, and there are {n} images; each level needs one at least.")
        nearest = {"nearest_boundary": {"away_from": "prediction"}}
        cells.append(ranked := attacking(victim, nearest, split, data=data, limit=limit, keep_points=False))
    execute(cells, store, machine=machine, quiet=quiet)
    p = cell.result(store)
    values = {name: bootstrap(metric, p, draws=draws, kind=interval_kind(name)) for name, metric in bound.items()}
    document: dict[str, Any] = {"n": len(p.y), "split": split, "attack": moved and moved.attack}
    document["metrics"] = {name: {**value._asdict(), "options": given[name][name]} for name, value in values.items()}
    if levels:
        level = levels_of(ranked.sizes(store), levels=levels)
        document["by_level"] = {name: by_level(metric, p, level).tolist() for name, metric in bound.items()}
    if as_json:
        return print_json(document)
    table = grid("metric", "value", "95 % interval", *map(str, range(1, levels + 1)))
    for name, value in values.items():
        row = document.get("by_level", {}).get(name, [])
        interval = escape(f"[{value.low:.4f}, {value.high:.4f}]")
        table.add_row(name, f"{value.value:.4f}", interval, *(f"{v:.3f}" for v in row))
    heading = f"[bold]{split} split{f', attacked by {brief(moved.attack)}' if moved else ''}, n = {len(p.y)}[/]"
    legend = ["[dim]columns 1, 2, ...: adversarial-robustness levels, 1 = least robust[/]"] if levels else []
    say(heading, table, *legend)


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


def show_components(kind: str | None, name: str | None, as_json: bool) -> None:
    if kind is None:
        counts = {k: names(package) for k, package in PACKAGES.items()}
        if as_json:
            return print_json(counts)
        table = grid("kind", "names")
        for k, known in counts.items():
            table.add_row(k, ", ".join(known))
        return say(
            table, "surefooted list KIND for meanings and arguments; surefooted list KIND NAME for all of one's help"
        )
    if kind not in PACKAGES:
        raise InputError(f"there is no kind {kind!r}.{did_you_mean(kind, PACKAGES)}")
    found = [describe(PACKAGES[kind], n) for n in ([name] if name else names(PACKAGES[kind]))]
    if as_json:
        return print_json(found)
    for component in found:
        table = Grid(box=None, padding=(0, 2, 0, 2), show_header=False)
        for argument in component["arguments"]:
            default = "required" if argument["required"] else f"= {brief(argument['default'])}"
            table.add_row(f"[cyan]{argument['name']}[/]", escape(default), f"[dim]{escape(argument['type'])}[/]")
        text = (f"\n{component['text']}",) if name and component["text"] else ()
        say(
            f"[bold]{component['name']}[/]  {escape(component['summary'])}",
            *map(escape, text),
            *([table] if component["arguments"] else []),
            "",
        )


def _percent(share: Mapping[str, float]) -> str:
    return f"{100 * share['value']:.2f} % [{100 * share['low']:.2f}, {100 * share['high']:.2f}]"


def _flagged(flag: Flag) -> str:
    """A flag as printed beside a robust accuracy."""
    colour = "red" if flag.severity == "serious" else "yellow"
    name = flag.name.replace("_", " ")
    return f"[{colour}]{flag.severity}: {name}[/] {escape(flag.seen)}; [bold]{escape(flag.cure)}[/]"


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    """``0.49,0.48,0.45`` as numbers."""
    try:
        return tuple(float(Fraction(part.strip())) for part in text.split(",")) if text else ()
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--{option} is {text!r}; expected a number for each channel, as in 0.49,0.48,0.45.") from None


def _size(size: str | None) -> dict[str, str]:
    return {} if size is None else {"size": size}


def _part(split: str) -> Part:
    if split not in PARTS:
        raise InputError(f"--split is {split!r}; expected train, validation or test.")
    return split  # type: ignore[return-value]  # checked above


def _data(given: Mapping[str, Any]) -> Named | None:
    return complete("surefooted.data", given["data"]) if "data" in given else None


def _with_options(name: str, given: Named) -> Callable[..., float]:
    """The metric with its options, which are tried on made-up predictions: a fault must not wait for the real ones."""
    metric = resolve("surefooted.metrics", name)
    chosen, options = split(given)
    if chosen != name:
        raise InputError(f"--{name} is {chosen!r}; the options of a metric are written --{name}.OPTION VALUE.")
    if not options:
        return metric
    log_p = torch.linspace(0.6, 0.9, 64)[:, None].expand(64, 2).clone()
    log_p[:, 1] = 1 - log_p[:, 0]
    metric(predictions(log_p.log(), torch.arange(64) % 2), **options)
    return partial(metric, **options)
