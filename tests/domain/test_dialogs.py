"""Titles, previews and paths of dialogs."""

from hypothesis import given
from hypothesis import strategies as st

from service.domain.chat import text_language
from service.domain.dialogs import AUTO_TITLE_CHARACTERS, Segment, path_before, preview_of, title_of


@given(st.text())
def test_a_title_is_the_beginning_of_the_question_in_one_line(question: str) -> None:
    title, line = title_of(question), " ".join(question.split())
    assert len(title) <= AUTO_TITLE_CHARACTERS
    assert "\n" not in title
    assert line.startswith(title.removesuffix("…").rstrip()) or line == title


def test_a_title_ends_with_a_whole_word_if_it_can() -> None:
    assert title_of("  Comment\nretrouver   confiance ? ") == "Comment retrouver confiance ?"
    assert title_of("слово " * 20) == "слово " * 8 + "слово…"
    assert title_of("х" * 100) == "х" * 59 + "…"
    assert preview_of("a" * 160) == "a" * 160


BRANCHES = st.lists(st.integers(1, 5), min_size=1, max_size=6).map(
    lambda lengths: tuple(Segment(f"b{number}", sum(lengths[: number + 1])) for number in range(len(lengths)))
)


def places(segments: tuple[Segment, ...]) -> list[str]:
    """The branch of each position."""
    found: list[str] = []
    for segment in segments:
        found += [segment.branch] * (segment.until - len(found))
    return found


@given(segments=BRANCHES, data=st.data())
def test_a_path_leads_to_a_position_and_no_further(segments: tuple[Segment, ...], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, segments[-1].until))
    path = path_before(segments, position)
    assert places(path) == places(segments)[:position]
    assert [segment.until for segment in path] == sorted({segment.until for segment in path})


def test_words_are_stemmed_by_their_alphabet() -> None:
    assert text_language("Привет, world") == "russian"
    assert text_language("Bonjour") == text_language("") == "english"
