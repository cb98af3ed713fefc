"""The command line: ``surefooted train | trained | attack | transfer | measure | corrupt | audit | study | list``.

Each module defines one command and adds it to the application; ``--help`` lists them in the order of these imports.
"""

from surefooted.cli import train, trained, attack, transfer, measure, corrupt, audit, study, list  # noqa: F401  # isort: skip
from surefooted.cli.app import main

__all__ = ["main"]
