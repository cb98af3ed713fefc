"""The command line: ``surefooted train | attack | measure | audit | corrupt | analyse | study | ...``.

Each module defines one command and adds it to the application; ``--help`` lists them in the order of these imports.
"""

from surefooted.cli import train, trained, export, attack, transfer, measure, audit, corrupt, analyse, study, list  # noqa: F401  # isort: skip
from surefooted.cli.app import main

__all__ = ["main"]
