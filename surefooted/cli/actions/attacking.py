"""``surefooted attack``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from surefooted.attacks.transfer import far
from surefooted.cli.actions.words import data_for, flagged, own_name, part_of
from surefooted.cli.options import gather
from surefooted.components.spec import build, called, split
from surefooted.errors import InputError
from surefooted.evaluation.metrics.robustness import robust_accuracy, size_quantiles
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Attacked, Source, attacking, check_same_set, data_of, own_data
from surefooted.pipeline.tasks.transferred import Transferred
from surefooted.report.terminal import copy, escape, grid, options, print_json, say


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
    given = gather(("attack", "data"), named, words, config, defaults=own_name(victim), bare="attack")
    if "attack" not in given:
        raise InputError("which attack? Name one (surefooted list attacks), such as pgd.")
    on = partial(attacking, part=part_of(part), limit=limit, seed=seed)
    data = data_for(victim, given)
    if proxy is None:
        return on(victim, given["attack"], data=data)
    check_same_set(victim, proxy)
    data = data or own_data(victim)
    return Transferred(victim, on(proxy, far(given["attack"]), data=data))


def report_attack(cell: Attacked | Transferred, store: Store, out: Path | None, as_json: bool) -> None:
    found = cell.result(store)
    flags = cell.probed.flags(store, eot=cell.eot)
    if out is not None:
        copy(cell.path(store) / "attacked.safetensors", out)
    name, arguments = called(cell.attack), split(cell.attack)[1]
    robust = robust_accuracy(found["found"])
    # Other rules than nearest keep points that say nothing of a smaller ball.
    nearest = build("attack", cell.attack).keep == "nearest"
    sizes = size_quantiles(found["size"], found["found"]).tolist() if nearest else None
    document = {
        "key": cell.key,
        "attack": cell.attack,
        "proxy": cell.moved.victim.key if isinstance(cell, Transferred) else None,
        "split": cell.part,
        "n": len(found["y"]),
        "robust_accuracy": robust._asdict(),
        "size_quartiles": sizes,
        "mean_queries": float(found["queries"].float().mean()),
        "flags": [vars(flag) for flag in flags],
    }
    if as_json:
        return print_json(document)
    table = grid("", "value")
    away = arguments.get("away_from") == "prediction"
    table.add_row("answers unchanged" if away else "robust accuracy", escape(robust.percent()))
    if sizes:
        table.add_row("smallest size that breaks 25, 50, 75 %", ", ".join(f"{v:.4g}" for v in sizes))
    table.add_row("mean queries an image", f"{document['mean_queries']:.1f}")
    through = ", crafted on the proxy" if isinstance(cell, Transferred) else ""
    data = cell.probed.data or own_data(cell.victim)
    of = f" of {data_of(data).title}" if data else ""
    heading = f"[bold]{name}{through} on {cell.victim}, {cell.part} split{escape(of)}, n = {len(found['y'])}[/]"
    say(heading, table, f"[dim]{escape(options(arguments))}; 95 % Wilson interval[/]")
    say(*map(flagged, flags))
