"""Options that several commands take, with their help. Nothing here loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ComponentOptions = Annotated[
    list[str] | None, typer.Argument(metavar="--SLOT.OPTION VALUE", help="Options of components.")
]
StorePath = Annotated[
    Path | None, typer.Option("--store", help="Directory of artifacts [SUREFOOTED_STORE, or .surefooted].")
]
DataRoot = Annotated[Path | None, typer.Option(help="Directory that contains mnist/, cifar10/, ... [SUREFOOTED_DATA].")]
Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML, YAML or JSON file with components and their arguments by slot, such as net: {mlp: {width: 4}}. "
        "An option on the command line wins over the file."
    ),
]
RandomSeed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of every random draw.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars (a pipe has none anyway).")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Network = Annotated[
    str | None,
    typer.Option(
        help="A trained network: a key of the store (or its first digits) or a .safetensors file. KEY,KEY,... is a "
        "deep ensemble; KEY@10 is MC dropout with 10 masks per prediction."
    ),
]
EvalData = Annotated[
    str | None, typer.Option("--data", help="A data set; by default the one that the network was trained on.")
]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Limit = Annotated[int, typer.Option(min=0, help="Maximum number of images, from the first; 0 for all.")]
