"""A dialog as one Markdown document, and what its file is called. Only texts: who reads it is no concern here."""

import json
import re
import unicodedata
from datetime import UTC, datetime

from service.domain.dialogs import Chat, Message, Session
from service.domain.texts import text

FILE_NAME_CHARACTERS = 80
# Whatever may mean something to some dialect of Markdown, in one line.
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:$^=@])")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
# Breaks a line to some readers, or isn't allowed in YAML at all.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
# Changes the direction of what follows it, so that a name would show another ending than it has.
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|%;\u200e\u200f\u202a-\u202e\u2066-\u2069]')


def opening(session: Session, locale: str, now: datetime) -> str:
    """Front matter and title."""
    title = _title(session.title, locale)
    return (
        f"---\ntitle: {_quoted(title)}\nid: {_quoted(session.id)}\ncreated: {_stamp(session.created_at)}\n"
        f"exported: {_stamp(now)}\n---\n\n# {_escaped(title)}\n"
    )


def chat_heading(chat: Chat, number: int, locale: str) -> str:
    """Of the chats after the first one, or of one that has a title."""
    if number == 1 and not chat.title.strip():
        return ""
    title = chat.title if chat.title.strip() else text(locale, "dialog.chat", number)
    return f"\n## {_escaped(title)}\n"


def message(said: Message, locale: str) -> str:
    """A question is quoted as it was typed; an answer is Markdown already, and ends what it began."""
    who = text(locale, f"dialog.{said.role}")
    heading = f"\n### {_escaped(who)} · {said.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC\n\n"
    body = _quotation(said.content) if said.role == "user" else _closed(said.content)
    return f"{heading}{body}\n"


def file_name(session: Session, locale: str, ending: str) -> str:
    """After the title, without what some system takes for more than a letter."""
    name = _UNSAFE.sub(" ", unicodedata.normalize("NFC", _title(session.title, locale)))
    name = " ".join(_NOT_IN_NAMES.sub(" ", name).split())[:FILE_NAME_CHARACTERS].strip(" .")
    return f"{name or 'dialog'}.{ending}"


def _title(title: str, locale: str) -> str:
    return title.strip() or text(locale, "dialog.untitled")


def _quoted(value: str) -> str:
    """A string of YAML, of which JSON's are a part."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", json.dumps(value, ensure_ascii=False))


def _escaped(line: str) -> str:
    """Plain text in one line of Markdown."""
    return _MARKUP.sub(r"\\\1", " ".join(_UNSAFE.sub(" ", line).split()))


def _quotation(content: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _closed(content).splitlines()) or ">"


def _closed(content: str) -> str:
    """With an end to a block of code that has none, which would swallow what follows."""
    fence: str | None = None
    for line in content.splitlines():
        found = _FENCE.match(line)
        if found is None:
            continue
        marks, rest = found.groups()
        if fence is None:
            # A line of code in backticks is no fence.
            fence = marks if marks[0] == "~" or "`" not in rest else None
        elif marks.startswith(fence) and not rest.strip():
            fence = None
    return content if fence is None else f"{content.rstrip()}\n{fence}"


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
