"""What several commands take, each with its help; and what they make of it. Torch is loaded by a call alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surefooted.errors import InputError

if TYPE_CHECKING:
    from surefooted.pipeline.runtime import Runtime
    from surefooted.pipeline.store import Store
    from surefooted.pipeline.tasks import Source

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
OwnData = Annotated[str | None, typer.Option("--data", help="A data set; by default the one the model was trained on.")]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Limit = Annotated[int, typer.Option(min=0, help="Only the first so many images; 0 for all.")]


def use_data_root(data_root: Path | None) -> None:
    if data_root is not None:
        from surefooted.data.paths import set_data_root

        set_data_root(data_root)


def open_store(root: Path | None) -> Store:
    from surefooted.pipeline.store import Store

    return Store(root)


def runtime_on(accelerator: str) -> Runtime:
    from surefooted.pipeline.runtime import Runtime

    return Runtime(accelerator)


def find_network(model: str | None, store: Store) -> Source:
    from surefooted.pipeline.lookup import find_victim

    if model is None:
        raise InputError(
            "which network? Give --model with a key that `surefooted train` printed, or a .safetensors file."
        )
    return find_victim(model, store)
