"""The application to which commands are added.

Exit codes: 0, 2 for an error that is reported as one message, 130 for Ctrl-C.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import wraps
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from surefooted import __version__
from surefooted.cli.options import UnknownOptionError
from surefooted.components.component import CallError
from surefooted.core.streams import prepare_streams, print_document, reserve_stdout, visible
from surefooted.errors import ArgumentError, SurefootedError

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
SLOTS = ("method", "net", "data", "recipe", "record", "log", "attack", "ood")


def main() -> None:
    """Entry point: an error that the user can fix is printed as one message, with exit code 2."""
    prepare_streams()
    warnings.formatwarning = lambda message, *_, **__: f"surefooted: {visible(str(message))}\n"
    as_json = "--json" in sys.argv
    try:
        _check_surroundings()
        raise SystemExit(app(standalone_mode=False) or 0)
    except ArgumentError as error:
        _fail(str(error), as_json)
    except Exception as error:
        # A usage error of the parser; its class differs between versions, this method does not.
        if not hasattr(error, "format_message"):
            raise
        if not (message := error.format_message()):  # the help was printed instead
            raise SystemExit(2) from None
        _fail(message, as_json)


class Command(TyperCommand):
    """A command that refuses an option given twice: the parser would take the last one in silence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for param in order:
            takes_one = not getattr(param, "multiple", True) and not getattr(param, "is_flag", True)
            if order.count(param) > 1 and param.name and takes_one:
                raise ArgumentError(f"--{param.name.replace('_', '-')} is given twice; give it once.")
        return super().parse_args(ctx, args)


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors of Surefooted into one message without a traceback, and stop cleanly on Ctrl-C."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        as_json = arguments["as_json"]
        names = {*arguments, *SLOTS}
        try:
            if as_json:
                reserve_stdout()
            command(**arguments)
            sys.stdout.flush()  # raise BrokenPipeError here, not when the interpreter ends
        except UnknownOptionError as error:
            _fail(error.among(names - {"words"}), as_json)
        except CallError as error:  # of a function whose arguments are the command's own
            _fail(with_flags(error.within(""), names), as_json)
        except SurefootedError as error:
            _fail(with_flags(str(error), names), as_json)
        except KeyboardInterrupt:
            _fail("Stopped. Nothing is lost: the same command resumes.", as_json, 130)
        except BrokenPipeError:  # the reader, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except MemoryError:
            _fail(
                "There is not enough memory. Use fewer images (--limit), a smaller batch or fewer processes.", as_json
            )
        except UnicodeEncodeError as error:
            _fail(
                f"{error.object!r} cannot be written in the encoding {error.encoding} of this locale. Use a UTF-8 "
                "locale (LC_ALL=C.UTF-8), or another name.",
                as_json,
            )
        except Exception as error:
            if os.environ.get("SUREFOOTED_TRACEBACK"):
                raise
            _fail(_describe_fault(error), as_json, 1)

    return run


def _check_surroundings() -> None:
    """Refuse words that are no text and a working directory that was removed: every path depends on them."""
    for word in sys.argv[1:]:
        if any(unicodedata.category(letter) == "Cs" for letter in word):
            raise ArgumentError(
                f"{word!r} is not valid text in this locale's encoding ({sys.getfilesystemencoding()}). Use a UTF-8 "
                "locale, such as LC_ALL=C.UTF-8, or another name."
            )
    try:
        os.getcwd()
    except OSError:
        raise ArgumentError("The working directory does not exist any more. Change to another (cd).") from None


def _describe_fault(error: Exception) -> str:
    """An error that should not have happened, in one line."""
    first = next(iter(str(error).strip().splitlines()), "")
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"Unexpected {type(error).__name__}{': ' * bool(first)}{first} ({os.path.basename(frame.filename)}, line "
        f"{frame.lineno}). This is a fault of Surefooted or of code that it called. SUREFOOTED_TRACEBACK=1 shows where."
    )


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
    with suppress(OSError):  # nobody may be there to read it
        if as_json:
            print_document(json.dumps({"error": message}))
        print(f"surefooted: {visible(message)}", file=sys.stderr, flush=True)
    raise SystemExit(code) from None
