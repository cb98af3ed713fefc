"""What the commands do, once their words are read: build cells, run them, and say what came of it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table as Grid

from surefooted import metrics
from surefooted.api import interval_kind
from surefooted.cell import Attacked, Named, Part, Predicted, Train, Weights, attacking, complete, data_of, training
from surefooted.errors import InputError, did_you_mean
from surefooted.execute import execute, plan
from surefooted.files import explained, read_json
from surefooted.machine import Machine
from surefooted.metrics.intervals import Interval, bootstrap
from surefooted.metrics.levels import by_level, levels_of
from surefooted.metrics.robustness import robust_accuracy, size_quantiles
from surefooted.options import gather
from surefooted.spec import PACKAGES, describe, names, resolve, split
from surefooted.store import Store

PARTS = ("train", "validation", "test")


def trained_cell(
    named: Mapping[str, str | None], words: Sequence[str], config: Path | None, seed: int, precision: Any
) -> Train:
    given = gather(("method", "net", "data", "recipe"), named, words, config)
    default = {"data": "digits", "recipe": "recipe"}
    for slot in ("method", "net"):
        if slot not in given or _nameless(given[slot], slot):
            kind = {"method": "methods", "net": "networks"}[slot]
            raise InputError(
                f"which {slot}? Name one (surefooted list {kind}), such as {'pat' if slot == 'method' else '--net lenet'}."
            )
    chosen = {slot: _with_default(given.get(slot), default.get(slot), slot) for slot in named}
    return training(**chosen, seed=seed, precision=precision)


def report_training(cell: Train, store: Store, out: Path | None, as_json: bool) -> None:
    weights = cell.path(store) / "weights.safetensors"
    if out is not None:
        _copy(weights, out)
    last = cell.history(store)[-1]
    document = {"key": cell.key, "weights": str(out or weights), "last_epoch": last, **cell.about()}
    if as_json:
        return _print_json(document)
    grid = _grid(f"{split(cell.method)[0]} on {data_of(cell.data).title}, seed {cell.seed}", "", "last epoch")
    for name, value in last.items():
        grid.add_row(name.replace("_", " "), _brief(value))
    _say(
        grid,
        f"[dim]key[/] {cell.key[:12]}   [dim]weights[/] {out or weights}",
        f"Next: surefooted attack pgd --model {cell.key[:12]}",
    )


def find_victim(model: str, store: Store) -> Train | Weights:
    """A file where there is one, else the artefact whose key begins so."""
    if Path(model).suffix or "/" in model:
        return Weights(Path(model))
    about = read_json(store.find("train", model) / "spec.json")
    return Train(**{slot: about[slot] for slot in ("method", "net", "data", "recipe", "seed", "precision")})


def attacked_cell(
    named: Mapping[str, str | None],
    words: Sequence[str],
    config: Path | None,
    victim: Train | Weights,
    part: str,
    limit: int,
    seed: int,
) -> Attacked:
    given = gather(("attack", "data"), named, words, config)
    if "attack" not in given or _nameless(given["attack"], "attack"):
        raise InputError("which attack? Name one (surefooted list attacks), such as pgd.")
    return attacking(victim, given["attack"], _part(part), data=_data(given), limit=limit, seed=seed)


def report_attack(cell: Attacked, store: Store, out: Path | None, as_json: bool) -> None:
    found = cell.result(store)
    if out is not None:
        _copy(cell.path(store) / "attacked.safetensors", out)
    name, arguments = split(cell.attack)
    robust = robust_accuracy(found["found"])
    sizes = size_quantiles(found["size"], found["found"])
    document = {
        "key": cell.key,
        "attack": cell.attack,
        "split": cell.part,
        "n": len(found["y"]),
        "robust_accuracy": robust._asdict(),
        "size_quartiles": [float(v) if v.isfinite() else None for v in sizes],
        "mean_queries": float(found["queries"].float().mean()),
    }
    if as_json:
        return _print_json(document)
    grid = _grid(f"{name} on the {cell.part} split", "", "value")
    away = arguments.get("away_from") == "prediction"
    grid.add_row("answers unchanged" if away else "robust accuracy", _percent(robust))
    grid.add_row("smallest size that breaks 25, 50, 75 %", ", ".join(f"{float(v):.4g}" for v in sizes))
    grid.add_row("mean queries an image", f"{document['mean_queries']:.1f}")
    _say(grid, f"[dim]{', '.join(f'{k}={_brief(v)}' for k, v in arguments.items())}; 95 % Wilson interval[/]")


def measured(
    named: Mapping[str, str | None],
    words: Sequence[str],
    config: Path | None,
    victim: Train | Weights,
    chosen: Sequence[str],
    store: Store,
    machine: Machine,
    quiet: bool,
    as_json: bool,
    *,
    split: str,
    limit: int,
    levels: int,
    draws: int,
    seed: int,
) -> None:
    chosen = chosen or metrics.__all__
    functions = {name: resolve("surefooted.metrics", name) for name in chosen}
    given = gather(("attack", "data", *functions), named, words, config)
    data, part = _data(given), _part(split)
    moved = None
    if "attack" in given:
        if _nameless(given["attack"], "attack"):
            raise InputError("options of an attack were given, but no attack; add --attack pgd.")
        moved = attacking(victim, given["attack"], part, data=data, limit=limit, seed=seed)
    ranked = attacking(
        victim, {"carlini_wagner": {"away_from": "prediction"}}, part, data=data, limit=limit, keep_points=False
    )
    cell = Predicted(victim, part, moved, data, limit)
    execute([cell, *([ranked] if levels else [])], store, machine=machine, quiet=quiet)
    p = cell.result(store)
    bound = {name: _with_options(function, given.get(name, {})) for name, function in functions.items()}
    values = {name: bootstrap(metric, p, draws=draws, kind=interval_kind(name)) for name, metric in bound.items()}
    document: dict[str, Any] = {"n": len(p.y), "split": part, "attack": moved and moved.attack}
    document["metrics"] = {name: value._asdict() for name, value in values.items()}
    if levels:
        level = levels_of(ranked.result(store)["size"], levels=levels)
        document["by_level"] = {name: by_level(metric, p, level).tolist() for name, metric in bound.items()}
    if as_json:
        return _print_json(document)
    grid = _grid(
        f"{part} split{', attacked' if moved else ''}, n = {len(p.y)}",
        "metric",
        "value",
        "95 % interval",
        *map(str, range(1, levels + 1)),
    )
    for name, value in values.items():
        row = document.get("by_level", {}).get(name, [])
        grid.add_row(name, f"{value.value:.4f}", f"[{value.low:.4f}, {value.high:.4f}]", *(f"{v:.3f}" for v in row))
    _say(grid, *(["[dim]columns 1, 2, ...: adversarial-robustness levels, 1 = least robust[/]"] if levels else []))


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
        Console(stderr=True).print(
            f"[bold]{name}[/]: {f'to make: {kinds}' if todo else 'everything is in the store'}", highlight=False
        )
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
        return _print_json(
            {"study": name, "made": made, "report": str(index), "findings": [vars(f) for f in page.findings]}
        )
    _say(*(f"[bold]{finding.verdict}[/]: {finding.text} [dim]({finding.evidence})[/]" for finding in page.findings))
    _say(f"report: {index}")


def show_components(kind: str | None, name: str | None, as_json: bool) -> None:
    if kind is None:
        counts = {k: names(package) for k, package in PACKAGES.items()}
        if as_json:
            return _print_json(counts)
        grid = _grid("Components", "kind", "names")
        for k, found in counts.items():
            grid.add_row(k, ", ".join(found))
        return _say(
            grid, "surefooted list KIND for meanings and arguments; surefooted list KIND NAME for all of one's help"
        )
    if kind not in PACKAGES:
        raise InputError(f"there is no kind {kind!r}.{did_you_mean(kind, PACKAGES)}")
    found = [describe(PACKAGES[kind], n) for n in ([name] if name else names(PACKAGES[kind]))]
    if as_json:
        return _print_json(found)
    for component in found:
        grid = Grid(box=None, padding=(0, 2, 0, 2), show_header=False)
        for argument in component["arguments"]:
            default = "required" if argument["required"] else f"= {_brief(argument['default'])}"
            grid.add_row(f"[cyan]{argument['name']}[/]", default, f"[dim]{argument['type']}[/]")
        text = (f"\n{component['text']}",) if name and component["text"] else ()
        _say(
            f"[bold]{component['name']}[/]  {_escape(component['summary'])}",
            *map(_escape, text),
            *([grid] if component["arguments"] else []),
            "",
        )


def _size(size: str | None) -> dict[str, str]:
    return {} if size is None else {"size": size}


def _part(split: str) -> Part:
    if split not in PARTS:
        raise InputError(f"--split is {split!r}; expected train, validation or test.")
    return split  # type: ignore[return-value]  # checked above


def _data(given: Mapping[str, Any]) -> Named | None:
    return complete("surefooted.data", _with_default(given["data"], None, "data")) if "data" in given else None


def _nameless(value: Any, slot: str) -> bool:
    """Whether only arguments were given: their component has to be named or known."""
    return isinstance(value, dict) and not (len(value) == 1 and isinstance(next(iter(value.values())), dict))


def _with_default(value: Any, default: str | None, slot: str) -> Any:
    if value is None:
        return default
    if _nameless(value, slot):
        if default is None:
            raise InputError(f"options of {slot} were given, but not which; add --{slot} NAME.")
        return {default: value}
    return value


def _with_options(metric: Any, options: Mapping[str, Any]) -> Any:
    from functools import partial

    return partial(metric, **options) if options else metric


def _copy(source: Path, target: Path) -> None:
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _grid(title: str, *columns: str) -> Grid:
    grid = Grid(title=title, title_justify="left", title_style="bold")
    for k, column in enumerate(columns):
        grid.add_column(column, justify="left" if k == 0 else "right")
    return grid


def _percent(value: Interval) -> str:
    return f"{100 * value.value:.2f} % [{100 * value.low:.2f}, {100 * value.high:.2f}]"


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(_brief(v) for v in value)}]"
    if isinstance(value, dict) and len(value) == 1:
        ((name, arguments),) = value.items()
        return (
            f"{name}({', '.join(f'{k}={_brief(v)}' for k, v in arguments.items())})"
            if isinstance(arguments, dict) and arguments
            else str(name)
        )
    return "none" if value is None else str(value)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _say(*what: Any) -> None:
    console = Console()
    for one in what:
        console.print(one, highlight=False)


def _print_json(document: Any) -> None:
    json.dump(document, sys.stdout, indent=1, default=lambda v: v.tolist() if isinstance(v, torch.Tensor) else str(v))
    print()
