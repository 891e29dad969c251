"""Splits an answer into messages that a messenger takes: by paragraphs, then sentences, then anywhere.

Of plain text, in which a block of code between two lines of backticks is closed and opened again where it must be cut.
Formatted text is split in `service/domain/telegram.py`, at the places that `best_cut` finds.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator

# Of one message, in UTF-16 units. The most is Telegram's; less than the least leaves no room for markup.
PART_LEAST, PART_CHARACTERS, PART_MOST = 100, 4_000, 4_096
_FENCE = "```"
# After these a text is cut, best first; each keeps what it ends with.
_ENDS = (re.compile(r"\n\n+"), re.compile(r"\n"), re.compile(r"(?<=[.!?…])\s+"), re.compile(r"\s+"))
_JOINER = "\u200d"


def utf16_length(text: str) -> int:
    """How long a messenger finds the text: characters beyond the basic plane count twice."""
    return len(text) + sum(character > "\uffff" for character in text)


def split(text: str, limit: int) -> list[str]:
    """The text in parts of at most `limit` UTF-16 units, never empty; a cut code block is closed and opened again."""
    parts: list[str] = []
    text, at, opened = text.strip(), 0, ""
    while at < len(text):
        # A few characters more than a part may have: looking at all the rest for each part takes too long.
        rest = text[at : at + limit + 1]
        if len(rest) <= limit and utf16_length(last := _closed(opened + rest)) <= limit:
            parts.append(last)
            break
        # Room for the line that closes a block.
        room = _prefix(rest, limit - utf16_length(opened) - len(_FENCE) - 1)
        cut = best_cut(rest, room, _outside_fences(rest, inside=bool(opened)))
        piece = opened + rest[:cut]
        opened = _open_fence(piece)
        parts.append(piece.rstrip() + (f"\n{_FENCE}" if opened else ""))
        at = _next_word(text, at + cut, "\n" if opened else None)
    return [part for part in parts if part.strip()]


def _closed(text: str) -> str:
    """An answer that was cut off may end inside of a block."""
    return f"{text}\n{_FENCE}" if text.count(_FENCE) % 2 else text


def _next_word(text: str, at: int, blank: str | None) -> int:
    """The place after what is blank, white space unless it is named."""
    while at < len(text) and (text[at].isspace() if blank is None else text[at] == blank):
        at += 1
    return at


def best_cut(text: str, room: int, is_outside: Callable[[int], bool]) -> int:
    """Where to cut within the first `room` characters: where code isn't cut, if there is such a place.

    `is_outside` says of a place whether it is not in a block of code. Between 1 and `room`.
    """
    return next(_cuts(text, room, is_outside))


def _cuts(text: str, room: int, is_outside: Callable[[int], bool]) -> Iterator[int]:
    """Places to cut at, best first."""
    head = text[:room]
    for end in _ENDS:
        # One that leaves a part nearly empty is no better than the next kind.
        found = [match.end() for match in end.finditer(head) if match.start() > room // 4]
        outside = next((cut for cut in reversed(found) if is_outside(cut)), None)
        if outside is not None:
            yield outside
    lines = [match.end() for match in _ENDS[1].finditer(head) if match.start() > 0]
    if lines:
        yield lines[-1]
    yield _whole(text, room)


def _whole(text: str, room: int) -> int:
    """`room`, or a little less: not inside of a row of backticks, nor of what the eye takes for one character."""
    for cut in range(room, 0, -1):
        before, after = text[cut - 1], text[cut : cut + 1]
        if not (_belongs(after) or before == _JOINER or before == after == "`"):
            return cut
    return room


def _belongs(character: str) -> bool:
    """Whether it changes the character before it: an accent, a variant, a skin colour, a joiner."""
    if not character:
        return False
    combining = unicodedata.category(character).startswith("M")
    return combining or character == _JOINER or "\U0001f3fb" <= character <= "\U0001f3ff"


def _prefix(text: str, units: int) -> int:
    """How many characters of the text fit, one at least."""
    used = 0
    for index, character in enumerate(text):
        used += 2 if character > "\uffff" else 1
        if used > units:
            return max(index, 1)
    return len(text)


def _outside_fences(text: str, *, inside: bool) -> Callable[[int], bool]:
    return lambda cut: (text.count(_FENCE, 0, cut) + inside) % 2 == 0


def _open_fence(piece: str) -> str:
    """The line that opens the block which this piece leaves open, with its language; empty if it leaves none."""
    if piece.count(_FENCE) % 2 == 0:
        return ""
    language = re.match(r"[\w+-]{0,20}", piece.rpartition(_FENCE)[2])
    return f"{_FENCE}{language.group() if language else ''}\n"
