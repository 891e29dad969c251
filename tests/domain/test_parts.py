"""Answers in parts: nothing is lost, nothing is too long, and code stays code."""

import re

from hypothesis import given
from hypothesis import strategies as st

from service.domain.parts import split, utf16_length

TEXTS = st.text(st.sampled_from("абв xyz.!?\n\n🌊`"), max_size=400)
CODE = st.lists(st.sampled_from(["слово ", "\n\n", "конец. ", "```py\nx = 1\ny = 2\n```\n", "🌊🌊 "]), max_size=60)


def letters(text: str) -> str:
    return "".join(character for character in text if not character.isspace())


@given(TEXTS.filter(lambda text: "``" not in text), st.integers(20, 60))
def test_nothing_is_lost_and_nothing_too_long(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert letters("".join(parts)) == letters(text)
    assert all(part.strip() and utf16_length(part) <= limit for part in parts)


@given(TEXTS, st.integers(20, 60))
def test_any_text_is_split_in_bounded_parts(text: str, limit: int) -> None:
    assert all(part.strip() and utf16_length(part) <= limit for part in split(text, limit))


@given(CODE.map("".join), st.integers(40, 90))
def test_a_part_never_leaves_a_code_block_open(text: str, limit: int) -> None:
    for part in split(text, limit):
        assert part.count("```") % 2 == 0
        assert utf16_length(part) <= limit


@given(TEXTS, st.integers(20, 60))
def test_an_answer_that_was_cut_off_leaves_no_block_open(text: str, limit: int) -> None:
    assert all(part.count("```") % 2 == 0 for part in split(text, limit))


@given(CODE.map("".join), st.integers(40, 90))
def test_nothing_but_fences_is_added_around_code(text: str, limit: int) -> None:
    fences = re.compile(r"```(py)?")
    assert letters(fences.sub("", "".join(split(text, limit)))) == letters(fences.sub("", text))


@given(
    st.lists(st.sampled_from(["👨‍👩‍👧", "👍🏽", "e\u0301", "🇷🇺", "a"]), max_size=60).map("".join), st.integers(20, 40)
)
def test_no_part_begins_with_half_a_character(text: str, limit: int) -> None:
    for part in split(text, limit):
        assert part[0] not in "\u200d\u0301🏽"
        assert part[-1] != "\u200d"
        part.encode("utf-16")


def test_it_is_cut_at_the_best_place() -> None:
    assert split("Первый абзац.\n\nВторой абзац.", 20) == ["Первый абзац.", "Второй абзац."]
    assert split("Раз два три. Четыре пять шесть.", 22) == ["Раз два три.", "Четыре пять шесть."]
    assert split("короткий", 4000) == ["короткий"]
    assert split("  \n ", 100) == []
    assert split("a" * 50, 20) == ["a" * 16, "a" * 16, "a" * 18]
    assert split("🌊" * 10, 12) == ["🌊" * 4, "🌊" * 6]


def test_a_long_code_block_is_closed_and_opened_again() -> None:
    code = "```python\n" + "".join(f"line_{n} = {n}\n" for n in range(12)) + "```"
    parts = split("Вот код:\n\n" + code, 80)
    assert len(parts) > 2
    assert all(part.count("```") == 2 for part in parts if "line_" in part)
    assert all("```python" in part for part in parts if "line_" in part)


def test_a_long_text_is_split_in_a_time_that_grows_with_its_length() -> None:
    """Looking at all of the rest for each part would take minutes."""
    text = (" " * 40 + "\n") * 40_000
    assert split("a" + text + "b", 100) == ["a", "b"]
    words = "word " * 200_000
    assert " ".join(split(words, 100)) == words.strip()
