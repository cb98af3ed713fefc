"""The command line: ``surefooted train | trained | attack | measure | audit | study | report | list``.

A module a command; each adds its own to the application, and ``--help`` lists them in the order of these imports.
"""

from surefooted.cli import train, trained, attack, measure, audit, study, list  # noqa: F401  # isort: skip
from surefooted.cli.app import main

__all__ = ["main"]
