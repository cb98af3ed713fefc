"""``surefooted export``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from surefooted.cli.app import Command, app, report_errors
from surefooted.cli.flags import AsJson, DataRoot, StorePath
from surefooted.cli.session import find_network, open_session, place_flags
from surefooted.errors import ArgumentError

_ENDINGS = {"onnx": ".onnx", "pt2": ".pt2", "torchscript": ".ts", "safetensors": ".safetensors"}


@app.command(cls=Command)
@report_errors
def export(
    *,
    model: Annotated[
        str | None, typer.Argument(metavar="KEY", help="A trained network, as --model of other commands takes it.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="onnx, pt2, torchscript or safetensors.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file; by default KEY with the format's ending, if that is free.")
    ] = None,
    store: StorePath = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained network to a file for other tools, and check that the file answers as the network does.

    The file takes pixels in [0, 1], in batches of any size, and returns logits; the normalisation is part of it.
    """
    from surefooted.models.export import export_network, format_of
    from surefooted.pipeline.lookup import stored_metadata
    from surefooted.report.terminal import check_writable, escape, print_json, print_lines

    if to is not None and to not in _ENDINGS:
        raise ArgumentError(f"`to` is {to!r}; expected {', '.join(_ENDINGS)}.")
    if to is None and out is None:
        raise ArgumentError(f"Which format? Give --to ({', '.join(_ENDINGS)}), or --out with its ending.")
    check_writable(out)
    session = open_session(store, data_root, as_json=as_json)
    source = find_network(model, session.store)
    file = out or Path(f"{Path(str(model)).stem.replace(',', '-')}{_ENDINGS[str(to)]}")
    chosen: Any = to or format_of(file)
    about = stored_metadata(source, session.store)
    _check_free(file, out is not None, source, session.store)
    check = export_network(source.load(session.store), tuple(about["shape"]), file, chosen, about)
    if as_json:
        return print_json({"file": str(check.file), "format": check.format, "largest_difference": check.difference})
    differ = f"logits differ by {check.difference:.2g} at most"
    print_lines(
        f"[bold]{escape(str(check.file))}[/] answers as the network does: {differ}",
        *_next_line(check.file, check.format, source, place_flags(session.store, data_root)),
    )


def _check_free(file: Path, named: bool, source: Any, store: Any) -> None:
    """Check that writing a file destroys neither the network that it is made from nor a file that was not named."""
    from surefooted.pipeline.tasks import WeightsFile, trainings_of

    if not file.exists():
        return
    stored = [training.path(store) / "weights.safetensors" for training in trainings_of(source)]
    own = [source.file] if isinstance(source, WeightsFile) else stored
    if any(one.exists() and file.samefile(one) for one in own):
        raise ArgumentError(f"`out` {file} is the network that is to be exported. Name another file.")
    if not named:
        raise ArgumentError(f"{file} exists already. To overwrite it, name it: --out {shlex.quote(str(file))}.")


def _next_line(file: Path, to: str, source: Any, places: str) -> list[str]:
    """A command that reads the file."""
    from surefooted.components.spec import base_name
    from surefooted.pipeline.tasks import training_data
    from surefooted.pipeline.tasks.base import without_location
    from surefooted.report.terminal import escape

    data, name = training_data(source), escape(shlex.quote(str(file)))
    if data is None or to == "torchscript" or base_name(data) == "arrays" or without_location(data) != data:
        return []  # no command that is short and right
    if to == "safetensors":
        return [f"Next: surefooted attack pgd --model {name}{escape(places)}"]
    return [
        f"Next: surefooted audit --model {name} --data {base_name(data)} --eps 8/255 --budget quick{escape(places)}"
    ]
