"""The exceptions of Surefooted: one tree, so that a caller can tell a bad argument from missing data or a lost worker.

::

    SurefootedError
    ├── InputError (also a ValueError)    something that the user gave cannot be used
    │   ├── ArgumentError                 an argument has a wrong value, or two do not go together
    │   ├── DataError                     data are missing, unreadable or inconsistent
    │   ├── ModelError                    a classifier cannot be loaded, called or attacked
    │   ├── StoreError                    an artifact or a file is missing, damaged, locked or cannot be written
    │   └── DependencyError               an optional package is missing or broken
    └── WorkerError (also a RuntimeError) a worker process ended before its work was done

A message says what is wrong, what was expected and how to fix it. It names arguments in backquotes, as in Python:
``Set `data.validation=0.1` ``. The command line prints them as its own flags, ``--data.validation 0.1``, and exits with
code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SurefootedError(Exception):
    """Base class of every exception that Surefooted raises on purpose."""


class InputError(SurefootedError, ValueError):
    """Something that the user gave cannot be used; the message says what is wrong, what was expected, how to fix it."""


class ArgumentError(InputError):
    """An argument has a wrong value or an unknown name, or two arguments do not go together."""


class DataError(InputError):
    """Data are missing, cannot be read, or do not fit together."""


class ModelError(InputError):
    """A classifier cannot be loaded, called or attacked."""


class StoreError(InputError):
    """An artifact of the store, or a file of tensors or JSON, is missing, damaged, locked or cannot be written."""


class DependencyError(InputError):
    """An optional package is missing or broken."""


class WorkerError(SurefootedError, RuntimeError):
    """A worker process ended before its work was done."""


class Notice(UserWarning):
    """Something that the user should know but that stops nothing: given as a warning, not as an exception.

    The command line prints it as one line on standard error, and arguments in backquotes as flags.
    """


class DataNotice(Notice):
    """Something in a data set is not used, or is used in a way that the user may not expect; the message says what."""


class ModelNotice(Notice):
    """A model works in a way that makes results doubtful; the message says in which, and what to do."""


class ReducedAttack(Notice):
    """An attack runs in a reduced form because the model does not allow the full one; the message says which."""


class NonFiniteOutput(Notice):
    """Logits or gradients of a model are NaN or infinite; the message says for which images and how they count."""


class ConvertedInput(Notice):
    """A model works in another precision than that of the images, which are converted; the message says to which."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A suggestion to append to a message: the nearest known name, or all names if none is near.

    Example:
        >>> did_you_mean("pdg", ["pgd", "fgsm"])
        " Did you mean 'pgd'?"
    """
    names = sorted(names)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" Available: {', '.join(names)}."
