"""The application that commands are added to, and how it ends: well, or with one message for what users can mend."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

import typer

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
    name="study", help="Run a study: many trainings and attacks, and the report on them.", no_args_is_help=True
)
app.add_typer(study_app)

# Options of components are not known before their names are: they arrive among the words left over, in order.
OPEN = {"ignore_unknown_options": True}


def main() -> None:
    """Entry point: an error that the user can mend is one message and exit code 2."""
    try:
        raise SystemExit(app(standalone_mode=False) or 0)
    except Exception as error:
        # What the parser of the command line refuses; its classes differ between versions, this method does not.
        if not hasattr(error, "format_message"):
            raise
        if not (message := error.format_message()):  # the help was printed in its place
            raise SystemExit(2) from None
        _fail(message, "--json" in sys.argv)


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Ctrl-C stops cleanly, and what cannot be used is said without a traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        as_json = kwargs["as_json"]
        try:
            command(*args, **kwargs)
            sys.stdout.flush()  # a pipe that was closed is noticed here, not when the interpreter ends
        except SurefootedError as error:
            _fail(with_flags(str(error)), as_json)
        except KeyboardInterrupt:
            _fail("stopped. Nothing is lost: the same command goes on from here.", as_json, 130)
        except BrokenPipeError:  # the reader, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None

    return run


def with_flags(message: str) -> str:
    """Arguments that a message names in backquotes, as flags.

    Example:
        >>> with_flags("Set `data.validation=0.1` or lower `data_root`.")
        'Set --data.validation 0.1 or lower --data-root.'
    """

    def flag(found: re.Match[str]) -> str:
        first, *rest = found["name"].split(".")
        name = ".".join([first.replace("_", "-"), *rest])  # options of components keep their underscores
        return f"--{name}" + (f" {found['value']}" if found["value"] else "")

    return re.sub(r"`(?P<name>[a-z_]+(?:\.[a-z_0-9]+)*)(?:=(?P<value>[^`]+))?`", flag, message)


def _fail(message: str, as_json: bool, code: int = 2) -> NoReturn:
    if as_json:
        print(json.dumps({"error": message}))
    print(f"surefooted: {message}", file=sys.stderr)
    raise SystemExit(code) from None
