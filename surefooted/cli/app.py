"""The application to which commands are added.

Exit codes: 0, 2 for an error that is reported as one message, 130 for Ctrl-C.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Collection
from functools import wraps
from typing import Annotated, Any, NoReturn

import typer

from surefooted import __version__
from surefooted.errors import SurefootedError

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
    name="study", help="Run a study: many trainings and attacks, and a report on them.", no_args_is_help=True
)
app.add_typer(study_app)

# Options of components depend on the components' names, so the parser passes unknown options on, in order.
ALLOW_COMPONENT_OPTIONS = {"ignore_unknown_options": True}
# Slots that take a component; ``--SLOT.OPTION`` sets an argument of it.
SLOTS = ("method", "net", "data", "recipe", "record", "attack", "ood")


def main() -> None:
    """Entry point: an error that the user can fix is printed as one message, with exit code 2."""
    try:
        raise SystemExit(app(standalone_mode=False) or 0)
    except Exception as error:
        # A usage error of the parser; its class differs between versions, this method does not.
        if not hasattr(error, "format_message"):
            raise
        if not (message := error.format_message()):  # the help was printed instead
            raise SystemExit(2) from None
        _fail(message, "--json" in sys.argv)


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors of Surefooted into one message without a traceback, and stop cleanly on Ctrl-C."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        as_json = arguments["as_json"]
        try:
            command(**arguments)
            sys.stdout.flush()  # raise BrokenPipeError here, not when the interpreter ends
        except SurefootedError as error:
            _fail(with_flags(str(error), {*arguments, *SLOTS}), as_json)
        except KeyboardInterrupt:
            _fail("Stopped. Nothing is lost: the same command resumes.", as_json, 130)
        except BrokenPipeError:  # the reader, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None

    return run


def with_flags(message: str, names: Collection[str]) -> str:
    """Write the arguments that a message names in backquotes as flags; leave other quoted text as it is.

    Args:
        names: arguments of the command, and slots of components.

    Example:
        >>> with_flags("Set `data.validation=0.1` or `data_root`, not `model.eval()`.", ["data", "data_root", "model"])
        'Set --data.validation 0.1 or --data-root, not `model.eval()`.'
        >>> with_flags("Lower `batch` of `recipe`.", ["recipe"])
        'Lower `batch` of --recipe.'
    """

    def flag(found: re.Match[str]) -> str:
        first, *rest = found["name"].split(".")
        if first not in names:
            return found[0]
        name = ".".join([first.replace("_", "-"), *rest])  # options of components keep their underscores
        return f"--{name}" + (f" {found['value']}" if found["value"] else "")

    return re.sub(r"`(?P<name>[a-z_]+(?:\.[a-z_0-9]+)*)(?:=(?P<value>[^`]+))?`", flag, message)


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"surefooted {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None: ...


def _fail(message: str, as_json: bool, code: int = 2) -> NoReturn:
    if as_json:
        print(json.dumps({"error": message}))
    print(f"surefooted: {message}", file=sys.stderr)
    raise SystemExit(code) from None
