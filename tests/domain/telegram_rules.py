"""Telegram's rules for formatted messages as a strict parser: what the Bot API documents under "Formatting options".

It takes a message apart into its plain text and its entities, and raises `Refused` for whatever Telegram answers with
"can't parse entities", or would show otherwise than it was meant. It knows nothing of the code that it judges.
"""

import html
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MUST_BE_ESCAPED = frozenset("_*[]()~`>#+-=|{}.!")
SIGNS = {"*": "bold", "_": "italic", "~": "strike"}
TAGS = {"b": "bold", "i": "italic", "s": "strike", "a": "link", "code": "code", "pre": "pre"}
NAMED = {"&lt;", "&gt;", "&amp;", "&quot;"}
# Whose text has no other style, neither inside nor around it.
ALONE = {"code", "pre"}


class Refused(Exception):
    pass


@dataclass
class Message:
    """`entities` are (style, value, text)."""

    text: str = ""
    entities: list[tuple[str, str, str]] = field(default_factory=list)


def parse_markdown(source: str) -> Message:
    """A MarkdownV2 message."""
    return _Markdown(source).parse()


def parse_html(source: str) -> Message:
    return _Html(source).parse()


class _Parser:
    def __init__(self, source: str) -> None:
        self.source, self.place, self.message = source, 0, Message()
        # Style, value, where its text begins.
        self.open: list[tuple[str, str, int]] = []

    def begin(self, style: str, value: str = "") -> None:
        styles = [each for each, *_ in self.open]
        if style in styles:
            raise Refused(f"{style} inside of itself")
        if ALONE & {style, *styles} and styles:
            raise Refused(f"{style} inside of {styles}")
        self.open.append((style, value, len(self.message.text)))

    def end(self, style: str, value: str | None = None) -> None:
        if not self.open or self.open[-1][0] != style:
            raise Refused(f"end of {style} at {self.place} in {self.open}")
        _, begun_with, start = self.open.pop()
        text = self.message.text[start:]
        if not text:
            raise Refused(f"{style} around nothing")
        self.message.entities.append((style, begun_with if value is None else value, text))

    def finish(self) -> Message:
        if self.open:
            raise Refused(f"never ended: {self.open}")
        if not self.message.text.strip():
            raise Refused("message text is empty")
        return self.message

    def take(self, length: int = 1) -> str:
        taken = self.source[self.place : self.place + length]
        self.place += length
        return taken

    def at(self, text: str) -> bool:
        return self.source.startswith(text, self.place)


class _Markdown(_Parser):
    def parse(self) -> Message:
        while self.place < len(self.source):
            if self.open and self.open[-1][0] in ALONE:
                self.in_code()
            else:
                self.in_text()
        return self.finish()

    def in_text(self) -> None:
        if self.at("```"):
            self.take(3)
            self.begin("pre", self.language())
        elif self.at("`"):
            self.take()
            self.begin("code")
        elif self.at("__"):
            raise Refused("underline, which nobody meant")
        elif self.at("["):
            self.take()
            self.begin("link")
        elif self.at("]("):
            self.take(2)
            self.end("link", self.address())
        elif self.source[self.place] in SIGNS:
            style = SIGNS[self.take()]
            if style in [each for each, *_ in self.open]:
                self.end(style)
            else:
                self.begin(style)
        else:
            self.character(MUST_BE_ESCAPED)

    def in_code(self) -> None:
        style = self.open[-1][0]
        sign = "```" if style == "pre" else "`"
        if self.at(sign):
            self.take(len(sign))
            self.end(style)
        else:
            self.character(frozenset("`"))

    def character(self, reserved: frozenset[str]) -> None:
        character = self.take()
        if character == "\\":
            character = self.take()
            if not 1 <= ord(character or "\0") <= 126:
                raise Refused(f"\\ before {character!r}")
        elif character in reserved:
            raise Refused(f"character {character!r} is reserved and must be escaped at {self.place}")
        self.message.text += character

    def language(self) -> str:
        found = re.match(r"[^\s`]*", self.source[self.place :])
        language = found.group() if found else ""
        self.take(len(language))
        if not self.at("\n"):
            raise Refused("code begins on the line of its fence")
        self.take()
        return language

    def address(self) -> str:
        address = ""
        while not self.at(")"):
            if self.place >= len(self.source):
                raise Refused("an address without an end")
            character = self.take()
            address += self.take() if character == "\\" else character
        self.take()
        return checked(address)


class _Html(_Parser):
    def parse(self) -> Message:
        while self.place < len(self.source):
            if self.at("<"):
                self.tag()
            elif self.at("&"):
                self.entity()
            else:
                self.message.text += self.take()
                if self.message.text[-1] == ">":
                    raise Refused("a bare >")
        return self.finish()

    def tag(self) -> None:
        found = re.match(r'<(/?)([a-z]+)(?: (href|class)="([^"<>]*)")?>', self.source[self.place :])
        if not found or found[2] not in TAGS:
            raise Refused(f"no tag of Telegram's at {self.source[self.place : self.place + 30]!r}")
        self.take(len(found[0]))
        style = TAGS[found[2]]
        if found[1]:
            self.close(style)
        elif style == "code" and [each for each, *_ in self.open] == ["pre"]:
            if found[3] != "class" or not found[4].startswith("language-"):
                raise Refused("code in pre without a language")
            _, _, start = self.open.pop()
            self.open += [("pre", found[4].removeprefix("language-"), start), ("inner", "", start)]
        elif (found[3] == "href") is not (style == "link") or found[3] == "class":
            raise Refused(f"attribute {found[3]} of {style}")
        else:
            self.begin(style, checked(unescaped(found[4])) if style == "link" else "")

    def close(self, style: str) -> None:
        if style == "code" and self.open and self.open[-1][0] == "inner":
            self.open.pop()
        else:
            self.end(style)

    def entity(self) -> None:
        found = re.match(r"&[a-z]+;|&#[0-9]+;", self.source[self.place :])
        if not found or (found[0] not in NAMED and not found[0].startswith("&#")):
            raise Refused(f"a bare & at {self.place}")
        self.take(len(found[0]))
        self.message.text += html.unescape(found[0])


def unescaped(value: str) -> str:
    if re.search(r"&(?!(?:lt|gt|amp|quot);)", value):
        raise Refused("a bare & in an attribute")
    return html.unescape(value)


def checked(address: str) -> str:
    if urlsplit(address).scheme not in ("http", "https", "tg") or re.search(r"\s", address):
        raise Refused(f"no address to Telegram: {address!r}")
    return address
