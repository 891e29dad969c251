"""What is looked for in one's dialogs, and the piece of a message in which it was found."""

import re
import unicodedata

from service.domain.dialogs import ELLIPSIS
from service.domain.errors import ValidationFailed

QUERY_MAX_CHARACTERS = 200
MAX_WORDS = 20
SNIPPET_CHARACTERS = 160
_BEFORE = 50
# So much of a message is looked through for the piece; beyond it the beginning will do.
_LOOKED_AT = 20_000
_WORD = re.compile(r"[^\W_]+")


def words_of(query: str) -> tuple[str, ...]:
    """The words, without what the database takes for operators: all are wanted, in any order.

    Raises ValidationFailed if there is none, or if the query is too long.
    """
    if len(query) > QUERY_MAX_CHARACTERS:
        raise ValidationFailed(details={"q": [f"max_length:{QUERY_MAX_CHARACTERS}"]})
    words = tuple(dict.fromkeys(_WORD.findall(query)))[:MAX_WORDS]
    if not words:
        raise ValidationFailed(details={"q": ["no_words"]})
    return words


def snippet(content: str, words: tuple[str, ...]) -> str:
    """Some words around the first one that was found, in one line of plain text."""
    looked_at = content[:_LOOKED_AT]
    stems = "|".join(re.escape(_stem(_folded(word))) for word in words)
    found = re.search(rf"(?<![^\W_])(?:{stems})", _folded(looked_at))
    start = max(0, found.start() - _BEFORE) if found else 0
    # Not in the middle of a word, unless it is a very long one.
    space = looked_at.rfind(" ", max(0, start - 20), start + 1)
    start = start if space < 0 else space + 1
    end = start + SNIPPET_CHARACTERS
    piece = " ".join(content[start:end].split())
    return (ELLIPSIS if start else "") + piece + (ELLIPSIS if end < len(content) else "")


def _stem(word: str) -> str:
    """What its forms have in common, more or less."""
    return word[: max(3, (2 * len(word) + 2) // 3)]


def _folded(text: str) -> str:
    """Small letters without their marks, one for each character."""
    return "".join(unicodedata.normalize("NFD", character)[0].lower()[0] for character in text)
