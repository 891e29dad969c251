"""What somebody sets for their tutor, on top of an assistant."""

import pytest

from service.domain.catalog import Assistant
from service.domain.texts import LOCALES
from service.domain.tutor import TutorConfig

TUTOR = Assistant("tutor", "Ты — наставник.", "ru", "default", 0.7, 2000, 20, "tokens")
PLANNER = Assistant("planner", "Ты — методист.", "ru", "default", 0.4, 6000, 20, "tokens", "plan")


def test_nothing_set_changes_nothing() -> None:
    assert TutorConfig().applied_to(TUTOR) == TUTOR
    assert TutorConfig().applied_to(PLANNER) == PLANNER


def test_what_is_set_counts() -> None:
    changed = TutorConfig("gpt-6-sol", 0, 100, "en").applied_to(TUTOR)
    assert (changed.model, changed.temperature, changed.output_tokens) == ("gpt-6-sol", 0, 100)
    assert (changed.id, changed.meter, changed.history_messages) == ("tutor", "tokens", 20)
    assert changed.persona == "Ты — наставник.\n\nAnswer in English."


@pytest.mark.parametrize("language", LOCALES)
def test_each_language_has_its_words(language: str) -> None:
    assert TutorConfig(language=language).applied_to(TUTOR).persona != TUTOR.persona


@pytest.mark.parametrize(("limit", "output_tokens"), [(100, 6000), (8000, 8000)])
def test_a_plan_is_never_cut_short_by_a_limit_for_answers(limit: int, output_tokens: int) -> None:
    assert TutorConfig(max_tokens=limit).applied_to(PLANNER).output_tokens == output_tokens


def test_of_one_that_answers_in_a_format_the_language_may_be_chosen_alone() -> None:
    spoken = TutorConfig("gpt-6-sol", 0, 100, "en").spoken_by(PLANNER)
    assert spoken.persona == "Ты — методист.\n\nAnswer in English."
    assert (spoken.model, spoken.temperature, spoken.output_tokens) == ("default", 0.4, 6000)
    assert TutorConfig("gpt-6-sol").spoken_by(PLANNER) == PLANNER
