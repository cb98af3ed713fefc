"""Options that several commands take, with their help. Nothing here loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ComponentOptions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="--SLOT.OPTION VALUE",
        help="Arguments of components, such as --attack.eps 0.1 or --data.test_limit 300.",
    ),
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
AnyModel = Annotated[
    str | None,
    typer.Option(
        help="A trained network: a key of the store (or its first digits) or a .safetensors file; KEY,KEY,... is a "
        "deep ensemble, KEY@10 is MC dropout with 10 masks per prediction. Or an external classifier: MODULE:FUNCTION "
        "(a factory in Python without arguments, a module, or a black box), FILE.pt2 (torch.export), FILE.onnx, "
        "timm:NAME, transformers:NAME."
    ),
]
Weights = Annotated[Path | None, typer.Option(help="Weights of the factory's module (.safetensors).")]
Mean = Annotated[
    str | None, typer.Option(help="Per-channel mean that the model's normalisation uses, e.g. 0.5,0.5,0.5.")
]
Std = Annotated[
    str | None,
    typer.Option(help="Per-channel standard deviation that the model's normalisation uses, e.g. 0.2,0.2,0.2."),
]
Outputs = Annotated[
    str | None,
    typer.Option(
        help="What the model returns: logits (the default for a module), probabilities, log_probabilities, sigmoid "
        "(one logit of a binary classifier) or labels. A black box needs it."
    ),
]
Layout = Annotated[str, typer.Option(help="How a black box reads images: nchw, nhwc or flat.")]
Pixels = Annotated[str, typer.Option(help="Pixels that a black box reads: float32 in [0, 1], or uint8 from 0 to 255.")]
EvalData = Annotated[
    str | None, typer.Option("--data", help="A data set; by default the one that the network was trained on.")
]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Limit = Annotated[int, typer.Option(min=0, help="Maximum number of images: the first of --order; 0 for all.")]
ImageOrder = Annotated[
    str,
    typer.Option(
        "--order",
        help="official: the data set's own order of test images, as RobustBench takes them. random or random:SEED: "
        "--limit takes a random subset. split: the order that --data.split_seed draws, as the studies take them.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", help="Directory for the report; by default a name of model and data in reports/."),
]
