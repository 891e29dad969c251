"""An answer as Telegram takes it: plain, as HTML, or as MarkdownV2, in parts that are each valid by themselves.

The rules are those of the Bot API's "Formatting options". The answer is split where its text is, never where its
markup is: a style that goes on is closed in one part and opened again in the next.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from service.domain.markup import Mark, Run, Style, merged, parse
from service.domain.parts import best_cut, split, utf16_length


class TextFormat(StrEnum):
    PLAIN = "plain"
    HTML = "html"
    MARKDOWNV2 = "markdownv2"


def whole(markdown: str, form: TextFormat) -> str:
    """All of an answer in one text."""
    if form is TextFormat.PLAIN:
        return markdown.strip()
    return _Text(parse(markdown), _DIALECTS[form]).whole()


def escaped(text: str, form: TextFormat) -> str:
    """Text that is no Markdown, such as a message of our own, to be shown as it is."""
    return text if form is TextFormat.PLAIN else text.translate(_DIALECTS[form].in_text)


def parts(markdown: str, form: TextFormat, limit: int) -> list[str]:
    """An answer in messages of at most `limit` UTF-16 units with their markup, at least `parts.PART_LEAST`."""
    if form is TextFormat.PLAIN:
        return split(markdown, limit)
    dialect = _DIALECTS[form]
    # Half a part at most is the address of a link, so that there is always room for some text.
    return _Text(_without_long_links(parse(markdown), dialect, limit // 2), dialect).parts(limit)


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a style begins and ends around text, and what stands for a character in text and in code."""

    opening: Callable[[Mark], str]
    closing: Callable[[Mark], str]
    in_text: Mapping[int, str]
    in_code: Mapping[int, str]

    def around(self, run: Run) -> tuple[str, str]:
        before = "".join(map(self.opening, run.marks))
        return before, "".join(map(self.closing, reversed(run.marks)))

    def escaped(self, text: str, run: Run) -> str:
        is_code = any(mark.style in (Style.CODE, Style.PRE) for mark in run.marks)
        return text.translate(self.in_code if is_code else self.in_text)


class _Text:
    """Runs of text with what they cost: every place in the text is known by the number of characters before it."""

    def __init__(self, runs: Sequence[Run], dialect: _Dialect) -> None:
        self._runs = runs
        self._dialect = dialect
        self._text = "".join(run.text for run in runs)
        self._starts = [0, *accumulate(len(run.text) for run in runs)][:-1]
        costs = [utf16_length(dialect.escaped(character, run)) for run in runs for character in run.text]
        # Of the characters before each place, and of the styles around the runs before each run.
        self._costs = [0, *accumulate(costs)]
        self._around = [0, *accumulate(utf16_length("".join(dialect.around(run))) for run in runs)]

    def whole(self) -> str:
        return self._rendered(0, len(self._text))

    def parts(self, limit: int) -> list[str]:
        found: list[str] = []
        start = 0
        while start < len(self._text):
            end = self._furthest(start, limit)
            if end < len(self._text):
                end = self._best(start, end)
            found.append(self._rendered(*self._trimmed(start, end)))
            start = end
        return [part for part in found if part]

    def _best(self, start: int, end: int) -> int:
        """The best place to cut at, up to `end`."""

        def is_outside(cut: int) -> bool:
            return self._is_outside(start + cut)

        return start + best_cut(self._text[start : end + 1], end - start, is_outside)

    def _furthest(self, start: int, limit: int) -> int:
        """The last place up to which a part from `start` is no longer than the limit."""
        least, most = start + 1, len(self._text)
        while least < most:
            middle = (least + most + 1) // 2
            least, most = (middle, most) if self._cost(start, middle) <= limit else (least, middle - 1)
        return least

    def _cost(self, start: int, end: int) -> int:
        around = self._around[self._run_at(end - 1) + 1] - self._around[self._run_at(start)]
        return self._costs[end] - self._costs[start] + around

    def _run_at(self, place: int) -> int:
        return bisect_right(self._starts, place) - 1

    def _is_outside(self, place: int) -> bool:
        """Whether a cut here leaves blocks of code whole."""
        if place >= len(self._text):
            return True
        number = self._run_at(place)
        return not self._runs[number].is_block or self._starts[number] == place

    def _trimmed(self, start: int, end: int) -> tuple[int, int]:
        """Without the white space around, but for the indentation of code."""
        while start < end and self._text[start].isspace() and self._is_blank_here(start):
            start += 1
        while end > start and self._text[end - 1].isspace():
            end -= 1
        return start, end

    def _is_blank_here(self, place: int) -> bool:
        return self._text[place] == "\n" or not self._runs[self._run_at(place)].is_block

    def _rendered(self, start: int, end: int) -> str:
        rendered = []
        for number in range(max(self._run_at(start), 0), len(self._runs)):
            run, begins = self._runs[number], self._starts[number]
            if begins >= end:
                break
            text = run.text[max(0, start - begins) : max(0, end - begins)]
            if text:
                before, after = self._dialect.around(run)
                rendered.append(f"{before}{self._dialect.escaped(text, run)}{after}")
        return "".join(rendered)


def _without_long_links(runs: Sequence[Run], dialect: _Dialect, most: int) -> list[Run]:
    """Links that take more than `most` units as text, the address after it."""
    kept: list[Run] = []
    for run in runs:
        link = next((mark for mark in run.marks if mark.style is Style.LINK), None)
        if link is not None and utf16_length(dialect.opening(link) + dialect.closing(link)) > most:
            marks = tuple(mark for mark in run.marks if mark is not link)
            kept.append(Run(f"{run.text} ({link.value})", marks))
        else:
            kept.append(run)
    return merged(kept)


_HTML_TEXT = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;"})
_HTML_ATTRIBUTE = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;"})
_HTML_TAGS = {Style.BOLD: "b", Style.STRIKE: "s", Style.ITALIC: "i", Style.CODE: "code"}


def _html_opening(mark: Mark) -> str:
    if mark.style is Style.LINK:
        return f'<a href="{mark.value.translate(_HTML_ATTRIBUTE)}">'
    if mark.style is Style.PRE:
        return f'<pre><code class="language-{mark.value}">' if mark.value else "<pre>"
    return f"<{_HTML_TAGS[mark.style]}>"


def _html_closing(mark: Mark) -> str:
    if mark.style is Style.LINK:
        return "</a>"
    if mark.style is Style.PRE:
        return "</code></pre>" if mark.value else "</pre>"
    return f"</{_HTML_TAGS[mark.style]}>"


_MARKDOWN_TEXT = str.maketrans({character: f"\\{character}" for character in r"\_*[]()~`>#+-=|{}.!"})
_MARKDOWN_CODE = str.maketrans({"\\": "\\\\", "`": "\\`"})
_MARKDOWN_ADDRESS = str.maketrans({"\\": "\\\\", ")": "\\)"})
_MARKDOWN_SIGNS = {Style.BOLD: "*", Style.STRIKE: "~", Style.ITALIC: "_", Style.CODE: "`"}


def _markdown_opening(mark: Mark) -> str:
    if mark.style is Style.LINK:
        return "["
    if mark.style is Style.PRE:
        return f"```{mark.value}\n"
    return _MARKDOWN_SIGNS[mark.style]


def _markdown_closing(mark: Mark) -> str:
    if mark.style is Style.LINK:
        return f"]({mark.value.translate(_MARKDOWN_ADDRESS)})"
    if mark.style is Style.PRE:
        return "\n```"
    return _MARKDOWN_SIGNS[mark.style]


_DIALECTS = {
    TextFormat.HTML: _Dialect(_html_opening, _html_closing, _HTML_TEXT, _HTML_TEXT),
    TextFormat.MARKDOWNV2: _Dialect(_markdown_opening, _markdown_closing, _MARKDOWN_TEXT, _MARKDOWN_CODE),
}
