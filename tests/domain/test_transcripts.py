"""A dialog as a Markdown document: whatever was said, the document keeps its form."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from service.domain import transcripts
from service.domain.dialogs import Message, new_dialog

NOW = datetime(2024, 1, 15, 10, tzinfo=UTC)
TEXTS = st.text() | st.text(alphabet="`~#>-*_ \n\t\\[]()<!&|:a\u2028\x85")


def session(title: str):
    return new_dialog("id", "account", "api", NOW, title=title).session


def said(role: str, content: str) -> Message:
    return Message("m", "c", "s", "a", "j", role, content, NOW, "root", 0, None)


def headings(document: str) -> list[tuple[str, str]]:
    """Tags and plain texts of the top-level headings."""
    tokens = MarkdownIt("commonmark").parse(document.partition("\n---\n")[2])
    return [
        (token.tag, "".join(part.content for part in tokens[n + 1].children or ()))
        for n, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0
    ]


@given(title=TEXTS, question=TEXTS)
def test_no_title_and_no_question_breaks_the_document(title: str, question: str) -> None:
    document = transcripts.opening(session(title), "en", NOW)
    document += transcripts.message(said("user", question), "en") + transcripts.message(said("assistant", "yes"), "en")
    found = headings(document)
    assert [tag for tag, _ in found] == ["h1", "h3", "h3"]
    assert [text for _, text in found[1:]] == ["You · 2024-01-15 10:00 UTC", "Assistant · 2024-01-15 10:00 UTC"]


@given(title=TEXTS)
def test_the_front_matter_is_three_lines_whatever_the_title(title: str) -> None:
    front = transcripts.opening(session(title), "en", NOW).split("\n---\n")[0]
    lines = front.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["---", "title", "id", "created", "exported"]
    assert json.loads(lines[1].partition(": ")[2]) in (title.strip(), "New conversation")


@pytest.mark.parametrize("fence", ["```", "````", "~~~", "```python", "  ```js"])
def test_a_block_of_code_that_never_ends_is_ended(fence: str) -> None:
    document = transcripts.opening(session("x"), "en", NOW)
    document += transcripts.message(said("assistant", f"look:\n{fence}\ncode"), "en")
    document += transcripts.message(said("user", "next"), "en")
    assert [tag for tag, _ in headings(document)] == ["h1", "h3", "h3"]


@pytest.mark.parametrize(
    "answer",
    ["# Title\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |", "```py\nx\n```", "`a` ``` b", "~~~\n```\n~~~", ""],
)
def test_an_answers_markdown_is_passed_through(answer: str) -> None:
    assert transcripts.message(said("assistant", answer), "fr").endswith(f"UTC\n\n{answer}\n")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Café à Nice", "Café à Nice.md"),
        ("../../etc/passwd", "etc passwd.md"),
        ('a"; filename="x.exe', "a filename= x.exe.md"),
        ("line\r\nSet-Cookie: a", "line Set-Cookie a.md"),
        ("\u202egnp.exe", "gnp.exe.md"),
        ("...", "dialog.md"),
        ("/\\", "dialog.md"),
        ("", "New conversation.md"),
        ("я" * 300, "я" * 80 + ".md"),
    ],
)
def test_a_file_is_named_after_its_title(title: str, name: str) -> None:
    assert transcripts.file_name(session(title), "en", "md") == name
