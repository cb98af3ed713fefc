"""The command line: ``surefooted train | attack | measure | audit | study | report | list``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from surefooted.errors import InputError

if TYPE_CHECKING:
    from surefooted.cell import Source
    from surefooted.machine import Machine
    from surefooted.store import Store

app = typer.Typer(
    name="surefooted",
    help="Train, attack, measure and report on image classifiers: adversarial robustness and calibration together.",
    epilog="Start with: surefooted study run demo · surefooted list methods",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
study_app = typer.Typer(
    name="study", help="Run a study: many trainings and attacks, and the report on them.", no_args_is_help=True
)
app.add_typer(study_app)

# Options of components are not known before their names are: they arrive among the words left over, in order.
OPEN = {"ignore_unknown_options": True}

Words = Annotated[list[str] | None, typer.Argument(metavar="--SLOT.OPTION VALUE", help="Options of components.")]
StoreAt = Annotated[
    Path | None, typer.Option("--store", help="Directory of artefacts [SUREFOOTED_STORE, or .surefooted].")
]
DataRoot = Annotated[Path | None, typer.Option(help="Directory that holds mnist/, cifar10/, ... [SUREFOOTED_DATA].")]
Config = Annotated[
    Path | None, typer.Option(help="TOML or YAML file with the components and their options; flags win.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Keys every random draw.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars (there are none in a pipe anyway).")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="A trained network: a key of the store (its beginning will do) or a .safetensors file. Several keys with "
        "commas are an ensemble; KEY@10 leaves dropout on, with 10 masks a prediction."
    ),
]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Limit = Annotated[int, typer.Option(min=0, help="Only the first so many images; 0 for all.")]


def main() -> None:
    """Entry point: an error that the user can mend is one message and exit code 2."""
    try:
        raise SystemExit(app(standalone_mode=False) or 0)
    except Exception as error:
        # What the parser of the command line refuses; its classes differ between versions, this method does not.
        if not hasattr(error, "format_message"):
            raise
        _fail(error.format_message(), "--json" in sys.argv)


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Ctrl-C stops cleanly, and what cannot be used is said without a traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        as_json = kwargs["as_json"]
        try:
            command(*args, **kwargs)
            sys.stdout.flush()  # a pipe that was closed is noticed here, not when the interpreter ends
        except InputError as error:
            _fail(str(error), as_json)
        except KeyboardInterrupt:
            _fail("stopped. Nothing is lost: the same command goes on from here.", as_json, 130)
        except BrokenPipeError:  # the reader, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None

    return run


@app.command(context_settings=OPEN)
@guarded
def train(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="METHOD", help="A training method; see: surefooted list methods.")
    ] = None,
    net: Annotated[str | None, typer.Option(help="A network; see: surefooted list networks.")] = None,
    data: Annotated[str | None, typer.Option(help="A data set; see: surefooted list data.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Optimiser and schedule; see: surefooted list recipes.")] = None,
    record: Annotated[
        str | None, typer.Option(help="What to watch by iteration; see: surefooted list recorders.")
    ] = None,
    seed: Seed = 0,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    accelerator: Accelerator = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes that train data-parallel.")] = 1,
    strategy: Annotated[str, typer.Option(help="How they do: auto, ddp or ddp_spawn.")] = "auto",
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="Copy the weights here (.safetensors).")] = None,
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network by a method, or find it in the store; a killed run goes on where it was.

    Options of components follow their slot: --method.eps 0.1 --net.width 32 --recipe.epochs 10 --data.validation 0.2
    """
    from surefooted.commands.training import report_training, trained_cell
    from surefooted.console import check_place
    from surefooted.execute import execute
    from surefooted.machine import Machine

    _use(data_root)
    check_place(out)
    machine = Machine(accelerator, devices, strategy)
    place = _store(store)
    named = {"net": net, "data": data, "recipe": recipe, "record": record}
    cell = trained_cell(named, words or [], config, seed, precision)
    execute([cell], place, machine=machine, quiet=quiet)
    report_training(cell, place, out, as_json)


@app.command(context_settings=OPEN)
@guarded
def attack(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ATTACK", help="An attack; see: surefooted list attacks.")
    ] = None,
    model: Model = None,
    data: Annotated[str | None, typer.Option(help="A data set; by default the one the model was trained on.")] = None,
    split: Split = "test",
    limit: Limit = 0,
    seed: Seed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="Copy the perturbed points here (.safetensors).")] = None,
    proxy: Annotated[
        str | None,
        typer.Option(help="Craft the points on this network (a key or a file) and judge them by --model: transfer."),
    ] = None,
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Attack a trained network and print its robust accuracy.

    Options of the attack: --attack.eps 8/255 --attack.steps 40 --attack.objective cw_margin
    """
    from surefooted.commands.attacking import attacked_cell, report_attack
    from surefooted.console import check_place
    from surefooted.execute import execute

    _use(data_root)
    check_place(out)
    machine, place = _machine(accelerator), _store(store)
    victim = _victim(model, place)
    through = _victim(proxy, place) if proxy else None
    cell = attacked_cell({"data": data}, words or [], config, victim, split, limit, seed, proxy=through)
    execute([cell, cell.probed], place, machine=machine, quiet=quiet)
    report_attack(cell, place, out, as_json)


@app.command(context_settings=OPEN)
@guarded
def measure(
    words: Words = None,
    model: Model = None,
    data: Annotated[str | None, typer.Option(help="A data set; by default the one the model was trained on.")] = None,
    split: Split = "test",
    limit: Limit = 0,
    attack: Annotated[str | None, typer.Option(help="Measure at the points that this attack moves.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Repeat for several; all by default. See: surefooted list metrics.")
    ] = None,
    levels: Annotated[int, typer.Option(min=0, help="Also by so many adversarial-robustness levels.")] = 0,
    against: Annotated[
        str | None,
        typer.Option(help="Compare with this network (a key or a file), image by image."),
    ] = None,
    ood: Annotated[
        str | None, typer.Option(help="Does uncertainty tell this data set's images from the network's own?")
    ] = None,
    decompose: Annotated[
        bool, typer.Option("--decompose", help="Take Brier score and NLL apart: calibration, resolution, noise.")
    ] = False,
    draws: Annotated[int, typer.Option(min=1, help="Bootstrap draws.")] = 1000,
    seed: Seed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained network's predictions: accuracy, calibration, uncertainty, with bootstrap intervals.

    Options of metrics, attack and data: --ece.bins 20 --ece.edges equal_mass --attack.eps 0.1 --ood.path DIR
    """
    from surefooted.commands.measuring import measured

    _use(data_root)
    place = _store(store)
    named = {"attack": attack, "data": data, "ood": ood}
    measured(
        named,
        words or [],
        config,
        _victim(model, place),
        metric or [],
        place,
        _machine(accelerator),
        quiet,
        as_json,
        part=split,
        limit=limit,
        levels=levels,
        draws=draws,
        seed=seed,
        against=_victim(against, place) if against else None,
        decompose=decompose,
    )


@app.command(context_settings=OPEN)
@guarded
def audit(
    words: Words = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="MODULE:FUNCTION (a factory in Python), FILE.pt2 (torch.export), FILE.onnx, timm:NAME, "
            "transformers:NAME, or a network of ours by its key or .safetensors file."
        ),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="The factory's weights (.safetensors).")] = None,
    data: Annotated[str | None, typer.Option(help="A data set; see: surefooted list data.")] = None,
    eps: Annotated[str, typer.Option(help="Size of AutoAttack, in pixels' [0, 1]; the ladder is around it.")] = "8/255",
    norm: Annotated[str, typer.Option(help="linf or l2.")] = "linf",
    budget: Annotated[str, typer.Option(help="quick (256 images), standard (1,000) or full (all).")] = "standard",
    mean: Annotated[str | None, typer.Option(help="Of each channel, for a classifier of normalised pixels.")] = None,
    std: Annotated[str | None, typer.Option(help="Of each channel, likewise: 0.2,0.2,0.2.")] = None,
    outputs: Annotated[str, typer.Option(help="logits, or probabilities if it ends in a softmax.")] = "logits",
    eot: Annotated[int, typer.Option(min=1, help="Draws that each answer is the mean of; 20 if it is random.")] = 1,
    levels: Annotated[int, typer.Option(min=1, help="Adversarial-robustness levels.")] = 10,
    temperature: Annotated[str, typer.Option(help="Fitted on: validation, halves of the images, or auto.")] = "auto",
    split: Split = "test",
    limit: Annotated[int, typer.Option(min=0, help="Only so many images; 0 for the budget's number.")] = 0,
    seed: Seed = 0,
    accelerator: Accelerator = "auto",
    config: Config = None,
    report: Annotated[Path | None, typer.Option(help="Directory for the report; reports/audit by default.")] = None,
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Audit any classifier: accuracy, calibration, robustness, and whether the numbers can be trusted.

    Pixels come in [0, 1]. Says beforehand how long it will take; killed, the same command goes on where it was.
    """
    from surefooted.commands.auditing import report_audit
    from surefooted.options import parse

    _use(data_root)
    report_audit(
        model,
        {"data": data},
        words or [],
        config,
        _store(store),
        _machine(accelerator),
        report,
        quiet,
        as_json,
        weights=weights,
        mean=mean,
        std=std,
        outputs=outputs,
        eps=parse(eps),
        norm=norm,
        budget=budget,
        eot=eot,
        levels=levels,
        temperature=temperature,
        part=split,
        limit=limit,
        seed=seed,
    )


@study_app.command("run")
@guarded
def study_run(
    name: Annotated[str, typer.Argument(help="A study; see: surefooted list studies.")],
    size: Annotated[str | None, typer.Option(help="Such as smoke, cpu or paper; see: surefooted list studies.")] = None,
    report: Annotated[Path | None, typer.Option(help="Directory for the report; reports/NAME_SIZE by default.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    accelerator: Accelerator = "auto",
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run all that a study needs and the store lacks, then write its report. Killed, it goes on where it was."""
    from surefooted.commands.studying import run_study

    _use(data_root)
    run_study(name, size, _store(store), _machine(accelerator), workers or os.cpu_count() or 1, report, quiet, as_json)


@app.command()
@guarded
def report(
    name: Annotated[str, typer.Argument(help="A study that was run.")],
    size: Annotated[str | None, typer.Option(help="One of the study's sizes.")] = None,
    out: Annotated[Path | None, typer.Option(help="Directory for the report; reports/NAME_SIZE by default.")] = None,
    store: StoreAt = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Write a study's report from what is in the store; computes nothing anew."""
    from surefooted.commands.studying import write_report

    _use(data_root)
    write_report(name, size, _store(store), out, as_json)


@app.command("list")
@guarded
def list_components(
    kind: Annotated[str | None, typer.Argument(help="methods, attacks, networks, data, metrics, scores, ...")] = None,
    name: Annotated[str | None, typer.Argument(help="One of them, with all its help.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the components, each with its meaning and its arguments."""
    from surefooted.commands.listing import show_components

    show_components(kind, name, as_json)


def _fail(message: str, as_json: bool, code: int = 2) -> NoReturn:
    if as_json:
        print(json.dumps({"error": message}))
    print(f"surefooted: {message}", file=sys.stderr)
    raise SystemExit(code) from None


def _use(data_root: Path | None) -> None:
    if data_root is not None:
        from surefooted.data.paths import set_data_root

        set_data_root(data_root)


def _store(root: Path | None) -> Store:
    from surefooted.store import Store

    return Store(root)


def _machine(accelerator: str) -> Machine:
    from surefooted.machine import Machine

    return Machine(accelerator)


def _victim(model: str | None, store: Store) -> Source:
    from surefooted.victims import find_victim

    if model is None:
        raise InputError(
            "which network? Give --model with a key that `surefooted train` printed, or a .safetensors file."
        )
    return find_victim(model, store)
