"""``surefooted measure``."""

from __future__ import annotations

from typing import Annotated

import typer

from surefooted.cli.app import OPEN, app, guarded
from surefooted.cli.flags import (
    Accelerator,
    AsJson,
    Config,
    DataRoot,
    Limit,
    Model,
    OwnData,
    Quiet,
    Seed,
    Split,
    StoreAt,
    Words,
    find_network,
    open_store,
    runtime_on,
    use_data_root,
)


@app.command(context_settings=OPEN)
@guarded
def measure(
    words: Words = None,
    model: Model = None,
    data: OwnData = None,
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
    """Measure a trained network's predictions: accuracy, calibration, uncertainty, with 95 % intervals.

    Options of metrics, attack and data: --ece.bins 20 --ece.edges equal_mass --attack.eps 0.1 --ood.path DIR
    """
    from surefooted.cli.actions.measuring import measured

    use_data_root(data_root)
    place = open_store(store)
    named = {"attack": attack, "data": data, "ood": ood}
    measured(
        named,
        words or [],
        config,
        find_network(model, place),
        metric or [],
        place,
        runtime_on(accelerator),
        quiet,
        as_json,
        part=split,
        limit=limit,
        levels=levels,
        draws=draws,
        seed=seed,
        against=find_network(against, place) if against else None,
        decompose=decompose,
    )
