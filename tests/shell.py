"""Commands in the process of the tests."""

import os
import sys
import warnings
from contextlib import contextmanager

from surefooted.core import streams


@contextmanager
def own_streams():
    """Undo what a command does to the streams of its process, which would end after it."""
    out, at, warned = sys.stdout, os.dup(1), warnings.formatwarning
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(at, 1)
        os.close(at)
        if streams._documents:
            streams._documents.close()
        sys.stdout, streams._documents, warnings.formatwarning = out, None, warned
