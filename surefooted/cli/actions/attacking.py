"""``surefooted attack``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from surefooted.attacks.transfer import as_transfer_attack
from surefooted.cli.actions.shared import data_for, flagged, own_name, part_of
from surefooted.cli.options import gather
from surefooted.components.spec import base_name, build, parse_spec
from surefooted.errors import InputError
from surefooted.evaluation.metrics.robustness import robust_accuracy, size_quantiles
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, Source, attack_task, check_same_set, load_splits, training_data
from surefooted.pipeline.tasks.transfer import TransferTask
from surefooted.report.terminal import copy_file, escape, format_options, make_table, print_json, say


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
) -> AttackTask | TransferTask:
    given = gather(("attack", "data"), named, words, config, defaults=own_name(victim), bare="attack")
    if "attack" not in given:
        raise InputError("which attack? Name one (surefooted list attacks), such as pgd.")
    on = partial(attack_task, part=part_of(part), limit=limit, seed=seed)
    data = data_for(victim, given)
    if proxy is None:
        return on(victim, given["attack"], data=data)
    check_same_set(victim, proxy)
    data = data or training_data(victim)
    return TransferTask(victim, on(proxy, as_transfer_attack(given["attack"]), data=data))


def report_attack(task: AttackTask | TransferTask, store: Store, out: Path | None, as_json: bool) -> None:
    found = task.result(store)
    flags = task.sanity_check.flags(store, eot=task.eot)
    if out is not None:
        copy_file(task.path(store) / "attacked.safetensors", out)
    name, arguments = base_name(task.attack), parse_spec(task.attack)[1]
    robust = robust_accuracy(found["found"])
    # Other rules than nearest keep points that say nothing of a smaller ball.
    nearest = build("attack", task.attack).keep == "nearest"
    sizes = size_quantiles(found["size"], found["found"]).tolist() if nearest else None
    document = {
        "key": task.key,
        "attack": task.attack,
        "proxy": task.moved.victim.key if isinstance(task, TransferTask) else None,
        "split": task.part,
        "n": len(found["y"]),
        "robust_accuracy": robust._asdict(),
        "size_quartiles": sizes,
        "mean_queries": float(found["queries"].float().mean()),
        "flags": [vars(flag) for flag in flags],
    }
    if as_json:
        return print_json(document)
    table = make_table("", "value")
    away = arguments.get("away_from") == "prediction"
    table.add_row("answers unchanged" if away else "robust accuracy", escape(robust.percent()))
    if sizes:
        table.add_row("smallest size that breaks 25, 50, 75 %", ", ".join(f"{v:.4g}" for v in sizes))
    table.add_row("mean queries an image", f"{document['mean_queries']:.1f}")
    through = ", crafted on the proxy" if isinstance(task, TransferTask) else ""
    data = task.sanity_check.data or training_data(task.victim)
    of = f" of {load_splits(data).title}" if data else ""
    heading = f"[bold]{name}{through} on {task.victim}, {task.part} split{escape(of)}, n = {len(found['y'])}[/]"
    say(heading, table, f"[dim]{escape(format_options(arguments))}; 95 % Wilson interval[/]")
    say(*map(flagged, flags))
