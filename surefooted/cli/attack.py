"""``surefooted attack``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefooted.cli.app import ALLOW_COMPONENT_OPTIONS, Command, app, report_errors
from surefooted.cli.flags import (
    Accelerator,
    AnyModel,
    AsJson,
    Config,
    DataRoot,
    EvalData,
    ImageOrder,
    Layout,
    Limit,
    Mean,
    Outputs,
    Pixels,
    Quiet,
    RandomSeed,
    Split,
    Std,
    StorePath,
    Weights,
)
from surefooted.cli.options import parse_components
from surefooted.cli.session import (
    ModelChoice,
    Session,
    Subset,
    choose_data,
    choose_model,
    model_options,
    open_session,
    own_data,
)
from surefooted.errors import ArgumentError

if TYPE_CHECKING:
    from surefooted.pipeline.store import Store
    from surefooted.pipeline.tasks import AttackTask, PredictTask, TransferTask


@app.command(cls=Command, context_settings=ALLOW_COMPONENT_OPTIONS)
@report_errors
def attack(
    *,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ATTACK", help="An attack; see: surefooted list attacks.")
    ] = None,
    model: AnyModel = None,
    data: EvalData = None,
    split: Split = "test",
    limit: Limit = 0,
    order: ImageOrder = "official",
    seed: RandomSeed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="Copy the adversarial examples to this .safetensors file.")] = None,
    proxy: Annotated[
        str | None,
        typer.Option(help="Transfer attack: craft the examples on this surrogate (as for --model)."),
    ] = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    outputs: Outputs = None,
    layout: Layout = "nchw",
    pixels: Pixels = "float32",
    store: StorePath = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Attack a classifier and print its robust accuracy.

    Options of the attack: --attack.eps 8/255 --attack.steps 40 --attack.objective cw_margin
    """
    from surefooted.report.terminal import check_writable

    check_writable(out, ".safetensors")
    session = open_session(store, data_root, accelerator, as_json=as_json, quiet=quiet)
    options = model_options(mean=mean, std=std, outputs=outputs, weights=weights, layout=layout, pixels=pixels)
    chosen = choose_model(model, session.store, (words or [])[1:], options)
    surrogate = choose_model(proxy, session.store) if proxy else None
    subset = Subset(split, limit, seed, order)
    task = task_of(chosen, words or [], {"data": data}, config=config, subset=subset, surrogate=surrogate)
    run_attack(task, session, out, order)


def run_attack(task: AttackTask | TransferTask, session: Session, out: Path | None, order: str) -> None:
    """Run an attack and what its report needs, and print the result."""
    from surefooted.pipeline.execute import execute
    from surefooted.report.terminal import print_json

    clean = _clean_predictions(task)
    execute([task, task.sanity_check, clean], session.store, runtime=session.runtime, quiet=session.quiet)
    if out is not None:
        _write_examples(task, session.store, order, out)
    document = _document(task, clean, session.store)
    if session.as_json:
        return print_json(document)
    _print_document(document, task)


def task_of(
    model: ModelChoice,
    words: list[str],
    named: dict[str, str | None],
    *,
    config: Path | None = None,
    subset: Subset,
    surrogate: ModelChoice | None = None,
) -> AttackTask | TransferTask:
    """The attack that the words describe, on the victim or transferred from a surrogate."""
    from surefooted.attacks.transfer import as_transfer_attack
    from surefooted.pipeline.tasks import TransferTask, attack_task, check_same_set, choose_order, training_data

    own = own_data(model.stored)
    given = parse_components(("attack", "data"), named, words, config, defaults=own, bare="attack")
    if "attack" not in given:
        raise ArgumentError("Which attack? Name one (surefooted list attacks), such as pgd.")
    data = choose_data(model.stored, given)
    victim = model.source(data)
    order = choose_order(victim, data, subset.split, subset.limit, subset.order)
    options: dict[str, Any] = {"split": subset.split, "limit": subset.limit, "seed": subset.seed, "order": order}
    if surrogate is None:
        return attack_task(victim, given["attack"], data=data, **options)
    data = data or training_data(victim)
    source = surrogate.source(data)
    check_same_set(victim, source)
    crafted = as_transfer_attack(given["attack"])
    return TransferTask(victim, attack_task(source, crafted, data=data, **options))


def _write_examples(task: AttackTask | TransferTask, store: Store, order: str, out: Path) -> None:
    """Write the result to a file, in the order asked for: that of a whole split may be stored in another."""
    from surefooted.core.files import as_input_error, write_tensors
    from surefooted.pipeline.tasks import TransferTask, eval_images

    of = task.source_attack if isinstance(task, TransferTask) else task
    rows = eval_images(of.victim, of.data, of.split, of.limit, order).rows
    tensors = task.result(store)
    index = tensors["rows"].argsort()[rows.argsort().argsort()]
    with as_input_error(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(out, {name: tensor[index] for name, tensor in tensors.items()}, {})


def _clean_predictions(task: AttackTask | TransferTask) -> PredictTask:
    """The predictions on the images before the attack."""
    from surefooted.pipeline.tasks import PredictTask, TransferTask

    of = task.source_attack if isinstance(task, TransferTask) else task
    return PredictTask(task.victim, of.split, None, of.data, of.limit, of.seed, of.order)


def _document(task: AttackTask | TransferTask, clean: PredictTask, store: Store) -> dict[str, Any]:
    """The result of the attack as plain data."""
    from surefooted.evaluation.metrics.intervals import binomial_interval
    from surefooted.evaluation.metrics.robustness import misclassified_under_attack, robust_accuracy, size_quantiles
    from surefooted.pipeline.tasks import TransferTask
    from surefooted.pipeline.tasks.base import component_of

    found, before = task.result(store), clean.result(store)
    correct = before.top()[1] > 0
    misclassified = misclassified_under_attack(found["found"], before).to(correct.device)
    n, broken = int(correct.sum()), int((correct & misclassified).sum())
    # Only `keep=nearest` looks for the smallest perturbation; other sizes say nothing of a smaller ball.
    nearest = component_of("attack", task.attack).keep == "nearest"
    return {
        "key": task.key,
        "attack": task.attack,
        "proxy": task.source_attack.victim.key if isinstance(task, TransferTask) else None,
        "precision": getattr(task.victim, "precision", "float32"),
        "split": task.split,
        "n": len(found["y"]),
        "clean_accuracy": binomial_interval(n, len(correct))._asdict(),
        "success_rate": binomial_interval(broken, n)._asdict() if n else None,
        "robust_accuracy": robust_accuracy(misclassified)._asdict(),
        "without_answer": int((~before.answered).sum()),
        "size_quartiles": size_quantiles(found["size"], found["found"]).tolist() if nearest else None,
        "mean_queries": float(found["queries"].float().mean()),
        "flags": [vars(flag) for flag in task.sanity_check.flags(store, eot=task.eot)],
    }


def _print_document(document: dict[str, Any], task: AttackTask | TransferTask) -> None:
    from surefooted.components.spec import base_name, parse_spec
    from surefooted.evaluation.metrics.intervals import Interval
    from surefooted.pipeline.tasks import TransferTask, load_splits, training_data
    from surefooted.report.display import flag_line
    from surefooted.report.terminal import escape, format_options, make_table, print_lines

    name, arguments = base_name(task.attack), parse_spec(task.attack)[1]
    table = make_table("", "value")
    from_prediction = arguments.get("away_from") == "prediction"
    robust = Interval(**document["robust_accuracy"]).percent()
    table.add_row("clean accuracy", escape(Interval(**document["clean_accuracy"]).percent()))
    # An attack that searches the nearest decision boundary has no radius within which accuracy is robust.
    unbroken = "robust accuracy" if arguments.get("eps") is not None else "images without an adversarial example"
    table.add_row("predictions unchanged" if from_prediction else unbroken, escape(robust))
    if document["success_rate"] and not from_prediction:
        success = Interval(**document["success_rate"]).percent()
        table.add_row("attack success on correctly classified images", escape(success))
    if sizes := document["size_quartiles"]:
        table.add_row("radius that breaks 25, 50, 75 % of images", ", ".join(f"{v:.4g}" for v in sizes))
    table.add_row("mean queries per image", f"{document['mean_queries']:.1f}")
    transferred = f" (crafted on {task.source_attack.victim})" if isinstance(task, TransferTask) else ""
    data = task.sanity_check.data or training_data(task.victim)
    title = f" of {load_splits(data).title}" if data else ""
    heading = f"{name} on {task.victim}{transferred}, {task.split} split{title}, n = {document['n']}"
    print_lines(
        f"[bold]{escape(heading)}[/]", table, f"[dim]{escape(format_options(arguments))}; 95 % Wilson interval[/]"
    )
    print_lines(*(flag_line(**flag) for flag in document["flags"]))
