"""What is printed where: characters that a terminal may not take, and a standard output that is kept for one document.

Nothing here loads torch.
"""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from typing import TextIO

# Categories of characters that are not shown: control and format characters, lone surrogates.
_HIDDEN = ("Cc", "Cf", "Cs")
# What people write whose keyboards lack these; accents are dropped, and other characters are written as escapes.
_LETTERS = {
    **{"ε": "eps", "δ": "delta", "σ": "sigma", "∞": "inf", "ß": "ss", "×": "x", "−": "-", "–": "-", "—": "-"},
    **{"·": "|", "…": "...", "→": "->", "≤": "<=", "≥": ">=", "±": "+-", "’": "'", "“": '"', "”": '"'},
}
_documents: TextIO | None = None


def visible(text: str) -> str:
    """Text with its control characters written out, so that they neither move the cursor nor hide what follows.

    Example:
        >>> visible("net" + chr(27) + "[2J") == "net" + chr(92) + "x1b[2J"
        True
    """
    return "".join(
        ascii(character)[1:-1] if character not in "\n\t" and unicodedata.category(character) in _HIDDEN else character
        for character in text
    )


def prepare_streams() -> None:
    """Let the output streams take any character: what their encoding lacks is written in other letters.

    A stream that the caller closed becomes one that discards what is written.
    """
    codecs.register_error("transliterate", transliterate)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="transliterate")


def transliterate(error: UnicodeError) -> tuple[str, int]:
    """Handle characters that an encoding lacks, for ``codecs.register_error``.

    Example:
        >>> codecs.register_error("transliterate", transliterate)
        >>> "ε ≤ é, größer".encode("ascii", "transliterate")
        b'eps <= e, grosser'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error

    def plain(letter: str) -> str:
        if letter in _LETTERS:
            return _LETTERS[letter]
        return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or ascii(letter)[1:-1]

    return "".join(map(plain, error.object[error.start : error.end])), error.end


def reserve_stdout() -> None:
    """Keep standard output for ``print_document``: what anything else prints from now on goes to standard error.

    That holds for print statements of a user's model, for libraries written in C and for child processes, until the
    process ends.
    """
    global _documents
    sys.stdout.flush()
    _documents = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    sys.stdout = sys.stderr


def print_document(text: str) -> None:
    """Print a document that a program reads on standard output, also where that is reserved.

    Example:
        >>> print_document("{}")
        {}
    """
    print(text, file=_documents or sys.stdout, flush=True)
