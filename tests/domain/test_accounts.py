"""Names, passwords, and whose things a request may touch."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.accounts import (
    Actor,
    Role,
    check_password,
    check_username,
    fold_name,
)
from service.domain.errors import Forbidden, ValidationFailed


def refusal(name: str) -> list[str]:
    """The message keys with which this user name is refused; none if it is fine."""
    try:
        check_username(name)
    except ValidationFailed as error:
        return list(error.details["username"])
    return []


@pytest.mark.parametrize(
    "name",
    [
        "anna",
        "Анна",
        "Ёлка_2000",
        "Éloïse",
        "marie-claire.o",
        "bob@example.com",
        "x" * 64,
        "山田太郎",
        "佐々木",
        "たろうタロウ太郎",
        "スーパーマン",
        "김철수",
        "Ανδρέας",
        "123",
    ],
)
def test_names_of_one_script_are_fine(name: str) -> None:
    assert refusal(name) == []
    assert check_username(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "аdmin",  # Cyrillic а
        "admіn",  # Ukrainian і
        "аnnа",
        "pαypal",  # Greek α
        "BОSS",  # Cyrillic О
        "аԁmin",
        "admin管理",
    ],
)
def test_a_name_that_mixes_scripts_is_refused(name: str) -> None:
    assert refusal(name) == ["username_one_script"]


@pytest.mark.parametrize("name", ["", "ab", "  ab  ", "x" * 65, "\u00a0\u2003", "ﬁ"])
def test_names_have_three_to_sixty_four_characters(name: str) -> None:
    assert refusal(name) == ["username_length"]


@pytest.mark.parametrize(
    "name",
    [
        "an na",
        "anna\x00na",
        "anna\u200b",  # zero width space
        "an\u200dna",  # zero width joiner
        "\u202eanna",  # right to left override
        "anna\u0301\u0302\u0303",
        "anna$",
        "<script>",
        "anna/bob",
        "anna🙂",
        "\ud800anna",
        "\u1160\u1160\u1160",  # Hangul fillers are letters that nobody sees
        "김철수\u3164",
        "admin\u3164",
        "\uffa0김철수",
    ],
)
def test_names_that_cannot_be_read_are_refused(name: str) -> None:
    assert refusal(name) == ["username_characters"]


def test_a_shown_name_is_in_its_composed_form_and_trimmed() -> None:
    assert check_username(" Ａｎｎａ\n") == "Anna"
    assert check_username("e\u0301lise") == "élise"
    assert check_username("ⅷ-x") == "viii-x"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna", "aNNA"),
        ("anna", " Ａｎｎａ "),
        ("Straße", "STRASSE"),
        ("ﬁona", "Fiona"),
        ("Élise", "e\u0301lise"),
        ("ЁЛКА", "ёлка"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("user²", "user2"),
        ("K1m", "k1m"),
    ],
)
def test_names_that_look_alike_are_one_name(one: str, other: str) -> None:
    assert fold_name(one) == fold_name(other)


@given(st.text(max_size=8))
def test_folding_twice_changes_nothing(name: str) -> None:
    assert fold_name(fold_name(name)) == fold_name(name)


def test_folding_every_letter_twice_changes_nothing() -> None:
    letters = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isalnum()]
    assert [letter for letter in letters if fold_name(fold_name(letter)) != fold_name(letter)] == []


@given(st.text(min_size=3, max_size=20))
def test_a_fine_name_stays_fine_and_equal_to_itself(name: str) -> None:
    if not refusal(name):
        shown = check_username(name)
        assert check_username(shown) == shown
        assert fold_name(shown) == fold_name(name)
        assert unicodedata.is_normalized("NFKC", shown)


@pytest.mark.parametrize("length", [8, 9, 127, 128])
def test_passwords_have_eight_to_a_hundred_and_twenty_eight_characters(length: int) -> None:
    check_password("é" * length)


@pytest.mark.parametrize("length", [0, 1, 7, 129, 100_000])
def test_other_passwords_are_refused_by_the_name_of_their_field(length: int) -> None:
    with pytest.raises(ValidationFailed) as refused:
        check_password("x" * length, "newPassword")
    assert refused.value.details == {"newPassword": ["password_length"]}


def actor(role: Role) -> Actor:
    return Actor(account_id="me", role=role, request_id="r")


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("named", [None, "me"])
def test_everybody_owns_what_is_their_own(role: Role, named: str | None) -> None:
    assert actor(role).owner(named) == "me"


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN}))
@pytest.mark.parametrize("named", ["you", "", "Me", "me "])
def test_nobody_but_an_admin_may_name_somebody_else(role: Role, named: str) -> None:
    with pytest.raises(Forbidden):
        actor(role).owner(named)


def test_an_admin_may_name_anyone() -> None:
    assert actor(Role.ADMIN).owner("you") == "you"


def test_roles_of_staff() -> None:
    assert {role for role in Role if actor(role).is_staff} == {Role.ADMIN, Role.SUPPORT}
    assert {role for role in Role if actor(role).is_admin} == {Role.ADMIN}
