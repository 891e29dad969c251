"""Answers in Telegram's formats: each part is a message that Telegram takes, and together they are the answer."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.domain.markup import Style, parse
from service.domain.parts import PART_LEAST, utf16_length
from service.domain.telegram import TextFormat, parts, whole
from tests.domain.telegram_rules import Message, Refused, parse_html, parse_markdown

PARSERS = {TextFormat.HTML: parse_html, TextFormat.MARKDOWNV2: parse_markdown}
FORMATTED = pytest.mark.parametrize("form", list(PARSERS))

# What Markdown is made of, and what breaks those who put it together.
PIECES = st.one_of(
    st.sampled_from(["слово ", "конец. ", "🌊", "👨\u200d👩\u200d👧", "é", "\n", "\n\n", "\n\n\n", "   ", "\t"]),
    st.sampled_from(["**", "*", "_", "__", "~~", "`", "``", "```", "```py\n", "\n```\n", "``` \n", "a*b_c", "\\*"]),
    st.sampled_from(["[", "](", ")", "](https://a.b/c?d=1&e=(2))", "![x](http://y.z)", "<b>", "</a>", "&amp;", "&"]),
    st.sampled_from(["# ", "## Глава\n", "- ", "1. ", "> ", "x|y\n|-|-|\n", "|", "---\n", "\\(x\\)", "\\"]),
    st.sampled_from(list("<>#{}.!-=+(")),
)
MARKDOWN = st.one_of(st.lists(PIECES, max_size=60).map("".join), st.text(max_size=200))
LIMITS = st.integers(PART_LEAST, 300)


def letters(text: str) -> str:
    return "".join(character for character in text if not character.isspace())


def plain(markdown: str) -> str:
    return letters("".join(run.text for run in parse(markdown)))


@FORMATTED
@settings(max_examples=400, deadline=None)
@given(markdown=MARKDOWN, limit=LIMITS)
@example(markdown="_a_**_b_**_c_ *a***b** ~~*x*~~_y_", limit=PART_LEAST)
@example(markdown="**`code` in bold, [`code`](https://a.b) in a link**", limit=PART_LEAST)
@example(markdown="```" + "x" * 30 + "\n" + "`\\" * 200, limit=PART_LEAST)
@example(markdown=f"[{'long ' * 100}](https://a.b/{'&' * 90})", limit=PART_LEAST)
@example(markdown="```\n```", limit=PART_LEAST)
@example(markdown="> " * 200 + "deep", limit=PART_LEAST)
def test_telegram_takes_every_part_and_all_of_it_is_there(form: TextFormat, markdown: str, limit: int) -> None:
    found = parts(markdown, form, limit)
    assert all(utf16_length(part) <= limit for part in found)
    taken = "".join(PARSERS[form](part).text for part in found)
    # The address of a link that fits no part stands behind it.
    expected, addresses = plain(markdown), re.compile(r"\((https?|tg):[^ ]*\)")
    assert addresses.sub("", letters(taken)) == addresses.sub("", expected)


@FORMATTED
@settings(max_examples=200, deadline=None)
@given(markdown=MARKDOWN)
def test_telegram_takes_the_whole(form: TextFormat, markdown: str) -> None:
    text = whole(markdown, form)
    assert bool(text.strip()) is bool(plain(markdown))
    if text.strip():
        assert letters(PARSERS[form](text).text) == plain(markdown)


@settings(max_examples=200, deadline=None)
@given(markdown=st.lists(st.sampled_from(["слово ", "\n\n", "**ж** ", "`к` ", "```py\nx = 1\n```\n"]), max_size=80))
def test_both_formats_say_the_same(markdown: list[str]) -> None:
    text = "".join(markdown)
    if text.strip():
        styled = [PARSERS[form](whole(text, form)) for form in PARSERS]
        assert styled[0].entities == styled[1].entities or _without_ends(styled[0]) == _without_ends(styled[1])


def _without_ends(message: Message) -> list[tuple[str, str, str]]:
    """MarkdownV2 has a line's end before the fence that closes a block."""
    return [(style, value, text.strip("\n")) for style, value, text in message.entities]


@FORMATTED
def test_what_telegram_can_show(form: TextFormat) -> None:
    markdown = (
        "# Глава\n\n**жирный** и *курсив*, ~~нет~~, `a < b`, [ссылка](https://example.com/?a=1&b=(2))\n\n"
        "- раз\n- два\n\n3. три\n\n```python\nif a < b: print(`x`)\n```"
    )
    message = PARSERS[form](whole(markdown, form))
    assert [(style, value, text.strip()) for style, value, text in message.entities] == [
        ("bold", "", "Глава"),
        ("bold", "", "жирный"),
        ("italic", "", "курсив"),
        ("strike", "", "нет"),
        ("code", "", "a < b"),
        ("link", "https://example.com/?a=1&b=(2)", "ссылка"),
        ("pre", "python", "if a < b: print(`x`)"),
    ]
    assert "• раз\n• два\n\n3. три" in message.text


def test_the_formats_to_the_letter() -> None:
    markdown = "**Цена:** 1.5 < 2 & *3_4*!"
    assert whole(markdown, TextFormat.HTML) == "<b>Цена:</b> 1.5 &lt; 2 &amp; <i>3_4</i>!"
    assert whole(markdown, TextFormat.MARKDOWNV2) == r"*Цена:* 1\.5 < 2 & _3\_4_\!"
    assert whole(f"  {markdown}\n", TextFormat.PLAIN) == markdown


@FORMATTED
def test_a_style_that_is_cut_goes_on_in_the_next_part(form: TextFormat) -> None:
    found = parts(f"**{'слово ' * 60}конец**", form, 120)
    assert len(found) > 2
    assert {tuple(style for style, *_ in PARSERS[form](part).entities) for part in found} == {("bold",)}


@FORMATTED
def test_code_is_not_cut_if_it_fits_a_part(form: TextFormat) -> None:
    code = "```py\n" + "x = 1\n" * 20 + "```"
    found = [PARSERS[form](part) for part in parts(f"{'слово ' * 15}\n\n{code}\n\nконец", form, 200)]
    blocks = [text for message in found for style, _, text in message.entities if style == "pre"]
    assert [block.strip("\n") for block in blocks] == ["x = 1\n" * 19 + "x = 1"]


@FORMATTED
def test_what_is_one_character_to_the_eye_stays_whole(form: TextFormat) -> None:
    family = "👨‍👩‍👧"
    found = parts(family * 60, form, PART_LEAST)
    assert all(len(part) % len(family) == 0 for part in found)


def test_code_has_no_other_style() -> None:
    (run,) = [run for run in parse("**bold `code` bold**") if run.text == "code"]
    assert [mark.style for mark in run.marks] == [Style.CODE]


@pytest.mark.parametrize("address", ["javascript:alert(1)", "mailto:a@b.c", "/path", "file:///etc/passwd", ""])
def test_an_address_that_is_none_to_telegram_stays_text(address: str) -> None:
    text = whole(f"[here]({address})", TextFormat.HTML)
    assert "<a" not in text
    assert "here" in text


@pytest.mark.parametrize(
    "markdown", ["*a " * 20_000, "[" * 50_000, "`" * 50_001, "> " * 20_000, "**a*" * 12_000, "<" * 50_000]
)
def test_no_answer_takes_long(markdown: str) -> None:
    started = time.process_time()
    for form in TextFormat:
        parts(markdown, form, 4_000)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("parser", "message"),
    [
        (parse_markdown, "a.b"),
        (parse_markdown, "*a"),
        (parse_markdown, "__a__"),
        (parse_markdown, "*a `b`*"),
        (parse_markdown, "[a](ftp://b)"),
        (parse_markdown, "``` x```"),
        (parse_markdown, " \n"),
        (parse_markdown, "a\\"),
        (parse_html, "a < b"),
        (parse_html, "a & b"),
        (parse_html, "<b>a"),
        (parse_html, "<b><i>a</b></i>"),
        (parse_html, "<b></b>x"),
        (parse_html, '<a href="javascript:x">a</a>'),
        (parse_html, "<u>a</u>"),
        (parse_html, "a&nbsp;b"),
        (parse_html, "<pre><code>a</code></pre>"),
    ],
)
def test_the_judge_is_strict(parser: object, message: str) -> None:
    with pytest.raises(Refused):
        parser(message)  # type: ignore[operator]
