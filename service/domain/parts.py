"""Splits an answer into messages that a messenger takes: by paragraphs, then sentences, then anywhere."""

import re
from collections.abc import Iterator

_FENCE = "```"
# After these a text is cut, best first; each keeps what it ends with.
_ENDS = (re.compile(r"\n\n+"), re.compile(r"\n"), re.compile(r"(?<=[.!?…])\s+"), re.compile(r"\s+"))


def utf16_length(text: str) -> int:
    """How long a messenger finds the text: characters beyond the basic plane count twice."""
    return len(text) + sum(character > "\uffff" for character in text)


def split(text: str, limit: int) -> list[str]:
    """The text in parts of at most `limit` UTF-16 units, never empty; a cut code block is closed and opened again."""
    parts: list[str] = []
    rest, opened = text.strip(), ""
    while rest:
        if utf16_length(opened + rest) <= limit:
            parts.append(opened + rest)
            break
        # Room for the line that closes a block.
        room = _prefix(rest, limit - utf16_length(opened) - len(_FENCE) - 1)
        cut = next(_cuts(rest, room, inside=bool(opened)))
        piece, rest = opened + rest[:cut], rest[cut:]
        opened = _open_fence(piece)
        parts.append(piece.rstrip() + (f"\n{_FENCE}" if opened else ""))
        rest = rest.lstrip("\n") if opened else rest.lstrip()
    return [part for part in parts if part.strip()]


def _prefix(text: str, units: int) -> int:
    """How many characters of the text fit."""
    used = 0
    for index, character in enumerate(text):
        used += 2 if character > "\uffff" else 1
        if used > units:
            return max(index, 1)
    return len(text)


def _cuts(text: str, room: int, *, inside: bool) -> Iterator[int]:
    """Where to cut within the first `room` characters, best first: outside of code blocks if there is such a place."""
    head = text[:room]
    found: list[int] = []
    for end in _ENDS:
        found = [match.end() for match in end.finditer(head) if match.start() > room // 4]
        outside = [cut for cut in found if (text[:cut].count(_FENCE) + inside) % 2 == 0]
        if outside:
            yield outside[-1]
    lines = [match.end() for match in _ENDS[1].finditer(head) if match.start() > 0]
    if lines:
        yield lines[-1]
    yield room


def _open_fence(piece: str) -> str:
    """The line that opens the block which this piece leaves open, with its language; empty if it leaves none."""
    if piece.count(_FENCE) % 2 == 0:
        return ""
    language = re.match(r"[\w+-]{0,20}", piece.rpartition(_FENCE)[2])
    return f"{_FENCE}{language.group() if language else ''}\n"
