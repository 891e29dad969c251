"""Every text exists in every language, and says numbers as that language does."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import marshmallow
import pytest
from marshmallow import fields

from service.api import app as application
from service.api.errors import STATUSES
from service.domain import texts
from service.domain.errors import ServiceError

SERVICE = Path(application.__file__).parents[1]
LOCALES = texts.LOCALES


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def codes(root: type[ServiceError] = ServiceError) -> Iterator[str]:
    yield root.code
    for child in root.__subclasses__():
        yield from codes(child)


def detail_keys_in_code() -> set[str]:
    """The literal keys under `details={…}` and in `ValidationError("…")`, wherever they are raised."""
    found: set[str] = set()
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "details":
                found |= {key for part in ast.walk(node.value) if isinstance(part, ast.List) for key in _keys(part)}
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("ValidationError", "_refuse"):
                found |= {key for argument in node.args for key in _keys(argument)}
    return {key.split(":")[0] for key in found}


def _keys(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value and part.value[0].islower():
            yield part.value


def schemas(root: type[marshmallow.Schema] = marshmallow.Schema) -> Iterator[type[marshmallow.Schema]]:
    for child in root.__subclasses__():
        yield child
        yield from schemas(child)


def input_fields() -> Iterator[fields.Field]:
    from service.api.fields import Input

    for schema in schemas(Input):
        for field in schema().fields.values():
            yield field
            if isinstance(field, fields.List):
                yield field.inner


def test_languages_have_the_same_keys_and_placeholders() -> None:
    reference = texts.keys("ru")
    for locale in LOCALES:
        assert texts.keys(locale) == reference
    for key in reference:
        used = {locale: placeholders(texts._load(locale)[key]) for locale in LOCALES}
        assert used["en"] == used["ru"] == used["fr"], key


def test_every_code_has_a_status_and_texts() -> None:
    known = texts.keys("ru")
    for code in codes():
        assert code in STATUSES
    for code in STATUSES:
        assert {f"{code}.error", f"{code}.message"} <= known


def test_every_error_text_belongs_to_a_code() -> None:
    named = {
        key.rpartition(".")[0]
        for key in texts.keys("ru")
        if not key.startswith(("detail.", "page.", "bot.", "dialog.", "payment."))
    }
    assert named == set(STATUSES)


def test_every_detail_key_in_the_code_has_texts() -> None:
    keys = detail_keys_in_code()
    assert {"required", "username_length", "unknown_assistant", "json_depth", "url_not_public"} <= keys
    missing = {key for key in keys if f"detail.{key}" not in texts.keys("ru")}
    assert not missing


def test_every_complaint_of_a_field_has_texts() -> None:
    """Marshmallow's own English words never come through: each field's messages are our keys."""
    found = list(input_fields())
    assert found
    for field in found:
        complaints = [str(message) for message in field.error_messages.values()]
        complaints += [str(validator.error) for validator in field.validators if hasattr(validator, "error")]
        for complaint in complaints:
            for locale in LOCALES:
                assert texts.detail(locale, complaint)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 секунду"),
        (2, "2 секунды"),
        (5, "5 секунд"),
        (11, "11 секунд"),
        (21, "21 секунду"),
        (1234, "1\u00a0234 секунды"),
    ],
)
def test_russian_numbers_take_their_noun_form(seconds: int, words: str) -> None:
    assert texts.text("ru", "RATE_LIMITED.message", seconds=seconds) == f"Повторите через {words}."


def test_english_and_french_numbers_take_their_noun_form() -> None:
    assert texts.text("en", "RATE_LIMITED.message", seconds=1) == "Try again in 1 second."
    assert texts.text("en", "RATE_LIMITED.message", seconds=0) == "Try again in 0 seconds."
    assert texts.text("fr", "RATE_LIMITED.message", seconds=0) == "Réessayez dans 0 seconde."
    assert texts.text("fr", "RATE_LIMITED.message", seconds=2) == "Réessayez dans 2 secondes."


def test_a_complaint_inside_a_field_says_where() -> None:
    assert texts.detail("en", "3.role@not_choice:user, assistant") == "item 3.role: Must be one of: user, assistant."


def test_an_unknown_language_reads_russian() -> None:
    assert texts.text("de", "NOT_FOUND.error") == "Не найдено"
