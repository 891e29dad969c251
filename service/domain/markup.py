"""A model's Markdown as plain text with styles: what Telegram can show of it.

Headings are bold, lists have bullets and numbers, tables and code keep their form in blocks of code; what has no style
of its own stays as text. Nothing that was said is left out.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

# Deeper than any answer that means it. The library leaves out what is nested deeper, so such a text stays as it is.
_MAX_NESTING = 40
_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
    .enable(["table", "strikethrough"])
    # Definitions of links would vanish, and models indent without meaning code.
    .disable(["reference", "code"])
)
_LINE = "———"
# Others are no links to Telegram.
_SCHEMES = frozenset({"http", "https", "tg"})
_LANGUAGE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+#.-")
_LANGUAGE_MAX_CHARACTERS = 20


class Style(StrEnum):
    """In the order in which they enclose each other."""

    LINK = "link"
    BOLD = "bold"
    STRIKE = "strike"
    ITALIC = "italic"
    CODE = "code"
    PRE = "pre"


@dataclass(frozen=True, slots=True)
class Mark:
    """A style; `value` is the address of a link or the language of a block of code."""

    style: Style
    value: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """Text in one combination of styles, the outermost first."""

    text: str
    marks: tuple[Mark, ...] = ()

    @property
    def is_block(self) -> bool:
        return any(mark.style is Style.PRE for mark in self.marks)


def parse(markdown: str) -> list[Run]:
    """The text in runs; no two neighbours have the same styles, and none is empty."""
    tokens = _MARKDOWN.parse(markdown)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):
        return [Run(markdown.strip())] if markdown.strip() else []
    writer = _Writer(markdown.splitlines())
    writer.blocks(SyntaxTreeNode(tokens).children, tight=False)
    runs = merged(writer.runs)
    # Markup around nothing, such as an empty block of code, has no text; it is shown as it was written.
    return runs if any(run.text.strip() for run in runs) else merged([Run(markdown.strip())])


class _Writer:
    def __init__(self, lines: Sequence[str]) -> None:
        self.runs: list[Run] = []
        self._lines = lines
        self._marks: list[Mark] = []
        # What each line begins with inside of lists and quotations.
        self._prefix = ""

    def blocks(self, nodes: Sequence[SyntaxTreeNode], *, tight: bool) -> None:
        for number, node in enumerate(nodes):
            if number:
                self._gap(tight=tight)
            self._block(node, tight=tight)

    def _block(self, node: SyntaxTreeNode, *, tight: bool) -> None:
        match node.type:
            case "heading":
                with self._styled(Style.BOLD):
                    self._inline(node.children)
            case "fence":
                self._code_block(node.content.removesuffix("\n"), (node.info.split() or [""])[0])
            case "table":
                first, last = node.map or (0, 0)
                self._code_block("\n".join(self._lines[first:last]), "")
            case "bullet_list" | "ordered_list":
                self._list(node)
            case "blockquote":
                self._write("> ")
                self._nested("> ", node.children, tight=False)
            case "hr":
                self._write(_LINE)
            case "paragraph" | "inline":
                self._inline(node.children)
            case _:
                self.blocks(node.children, tight=tight)

    def _list(self, node: SyntaxTreeNode) -> None:
        tight = any(part.hidden for item in node.children for part in item.children if part.type == "paragraph")
        for number, item in enumerate(node.children):
            if number:
                self._gap(tight=tight)
            marker = "• " if node.type == "bullet_list" else f"{item.info}. "
            self._write(marker)
            self._nested(" " * len(marker), item.children, tight=tight)

    def _nested(self, prefix: str, nodes: Sequence[SyntaxTreeNode], *, tight: bool) -> None:
        outer = self._prefix
        self._prefix += prefix
        self.blocks(nodes, tight=tight)
        self._prefix = outer

    def _inline(self, nodes: Sequence[SyntaxTreeNode]) -> None:
        for node in nodes:
            match node.type:
                case "strong":
                    self._within(Style.BOLD, node)
                case "em":
                    self._within(Style.ITALIC, node)
                case "s":
                    self._within(Style.STRIKE, node)
                case "code_inline":
                    with self._styled(Style.CODE):
                        self._write(node.content)
                case "link":
                    self._link(str(node.attrs.get("href", "")), node)
                case "image":
                    self._link(str(node.attrs.get("src", "")), node)
                case "softbreak" | "hardbreak":
                    self._gap(tight=True)
                case "inline":
                    self._inline(node.children)
                case _:
                    self._write(node.content)

    def _within(self, style: Style, node: SyntaxTreeNode) -> None:
        with self._styled(style):
            self._inline(node.children)

    def _link(self, address: str, node: SyntaxTreeNode) -> None:
        before = len(self.runs)
        if _scheme(address) in _SCHEMES:
            with self._styled(Style.LINK, address):
                self._inline(node.children)
                if len(self.runs) == before:
                    self._write(address)
            return
        self._inline(node.children)
        if address:
            self._write(f" ({address})" if len(self.runs) > before else address)

    def _code_block(self, code: str, language: str) -> None:
        known = language if _LANGUAGE_CHARACTERS.issuperset(language) else ""
        with self._styled(Style.PRE, known[:_LANGUAGE_MAX_CHARACTERS]):
            self._write(code)

    def _gap(self, *, tight: bool) -> None:
        blank = "" if tight else f"\n{self._prefix.rstrip()}"
        self._write(f"{blank}\n{self._prefix}")

    @contextmanager
    def _styled(self, style: Style, value: str = "") -> Iterator[None]:
        self._marks.append(Mark(style, value))
        yield
        self._marks.pop()

    def _write(self, text: str) -> None:
        if text:
            self.runs.append(Run(text, _compatible(self._marks)))


def _scheme(address: str) -> str:
    """The scheme of an address, empty if it has none or is no address."""
    try:
        return urlsplit(address).scheme.lower()
    except ValueError:
        return ""


def _compatible(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """Each style once, as Telegram allows them together: code has no other style, and a link shows none as code."""
    by_style = {mark.style: mark for mark in marks}
    if Style.PRE in by_style:
        return (by_style[Style.PRE],)
    if Style.CODE in by_style and Style.LINK not in by_style:
        return (by_style[Style.CODE],)
    return tuple(by_style[style] for style in Style if style in by_style and style is not Style.CODE)


def merged(runs: Sequence[Run]) -> list[Run]:
    """The runs without empty ones, neighbours of the same styles as one."""
    joined: list[Run] = []
    for run in runs:
        if joined and joined[-1].marks == run.marks:
            joined[-1] = Run(joined[-1].text + run.text, run.marks)
        elif run.text:
            joined.append(run)
    return joined
