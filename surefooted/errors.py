"""The one error that users see: what was seen, what was expected, what to do.

The command line prints its text and exits with code 2; from Python it is a ``ValueError``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something given by the user cannot be used; the message says what was seen, what was expected, what to do."""


class ReducedAttack(UserWarning):
    """An attack runs with less than its name says, because the model does not allow more; the message says what."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`` Did you mean 'pgd'?``, or what there is to choose from when nothing is near."""
    names = sorted(names)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(names)}."
